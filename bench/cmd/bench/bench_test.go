package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"penstock/bench/floors"
	"penstock/bench/load"
	"penstock/bench/stat"
)

func TestMain(m *testing.M) {
	if child, err := floors.Child(os.Args[1:]); child {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "penstock")
	if err := os.WriteFile(binary, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args    string
		bad     bool
		command string
		rounds  int
		peers   string
	}{
		{args: "cpu -penstock " + binary, command: "cpu", rounds: 3, peers: "penstock kafka"},
		{args: "cpu -short -penstock " + binary, command: "cpu", rounds: 1, peers: "penstock kafka"},
		{args: "all -short -rounds 2 -penstock " + binary, command: "all", rounds: 2, peers: "penstock kafka"},
		{args: "syscalls -penstock " + binary, command: "syscalls", rounds: 3, peers: "penstock"},
		{args: "latency -peers kafka", command: "latency", rounds: 3, peers: "kafka"}, // no binary needed
		{args: "scale -short -wide 20 -connections 5 -penstock " + binary, command: "scale", rounds: 1, peers: "penstock kafka"},
		{args: "scale -wide -1 -penstock " + binary, bad: true},
		{args: "scale -connections -1 -penstock " + binary, bad: true},
		{args: "cpu -wide 20 -penstock " + binary, bad: true},
		{args: "floors", command: "floors", rounds: 3},
		{args: "cpu -penstock " + binary + ".not", bad: true},
		{args: "cpu -peers tea", bad: true},
		{args: "cpu -peers kafka -only (", bad: true},
		{args: "cpu -peers kafka -rounds -1", bad: true},
		{args: "cpu -peers kafka more", bad: true},
		{args: "tea", bad: true},
		{args: "-short cpu", bad: true},
		{args: "", bad: true},
	} {
		var said bytes.Buffer
		got, s, err := parse(strings.Fields(c.args), &said)
		if (err != nil) != c.bad {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if c.bad {
			continue
		}
		if got.name != c.command || s.rounds != c.rounds || strings.Join(s.names(), " ") != c.peers {
			t.Errorf("%q: %s, %d rounds, %v", c.args, got.name, s.rounds, s.names())
		}
	}
}

// Every command that the usage names can be parsed, and "all" runs those that need no choice.
func TestUsageNamesAll(t *testing.T) {
	var said bytes.Buffer
	if code := run(t.Context(), nil, &said, &said); code != 0 {
		t.Errorf("exit status %d", code)
	}
	for _, c := range commands() {
		if !strings.Contains(said.String(), "  "+c.name+" ") {
			t.Errorf("usage does not name %s", c.name)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		v    verdict
		met  bool
		text string
	}{
		{judge("floor", 1.3, 1.3, true), true, "1.30x floor (<= 1.3: met)"},
		{judge("floor", 1.31, 1.3, true), false, "1.31x floor (<= 1.3: missed)"},
		{judge("kafka", 4, 4, false), true, "4.00x kafka (>= 4: met)"},
		{judge("kafka", 3.9, 4, false), false, "3.90x kafka (>= 4: missed)"},
	} {
		if c.v.Met != c.met || c.v.String() != c.text {
			t.Errorf("%+v: %s, want %s", c.v, c.v, c.text)
		}
	}
}

func TestReport(t *testing.T) {
	r := &report{Bench: "tea", head: []string{"who", "how"}}
	r.set("water at %d degrees", 96)
	r.add(map[string]int{"cups": 3}, "penstock", spread(stat.Of([]float64{1, 2, 4}), 1))
	r.add(map[string]int{"cups": 5}, "kafka", spread(stat.Of([]float64{2}), 1))
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	var back struct {
		Bench    string           `json:"bench"`
		Settings []string         `json:"settings"`
		Rows     []map[string]int `json:"rows"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(last, "json ")), &back); err != nil {
		t.Fatalf("%q: %v", last, err)
	}
	if back.Bench != "tea" || back.Rows[1]["cups"] != 5 || back.Settings[0] != "water at 96 degrees" {
		t.Errorf("%+v", back)
	}
	for _, want := range []string{"who       how\n", "penstock  2.0 (1.0-4.0)\n", "kafka     2.0\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// A case divides by its own unit, and its verdicts stand on medians.
func TestCPUReport(t *testing.T) {
	var out bytes.Buffer
	s := &session{out: &out, peers: "penstock,kafka", rounds: 3, partitions: 6}
	r := &cpuRun{s: s, took: map[string]map[string][]cpuSample{}}
	var cases []cpuCase
	for _, c := range cpuCases() {
		if c.name != "produce-1m" && c.name != "produce-100b" {
			continue
		}
		cases = append(cases, c)
		for who, cost := range map[string][]int{floor: {90, 100, 500}, penstock: {120, 110, 900}, apache: {1000, 1000, 2000}} {
			for _, ms := range cost {
				r.keep(c, who, time.Duration(ms)*time.Millisecond, load.Moved{Records: 500_000, Batches: 512, Bytes: 1 << 29, Elapsed: time.Second})
			}
		}
	}
	if err := r.report(cases); err != nil {
		t.Fatal(err)
	}
	large, small := r.sum(cases[0], penstock), r.sum(cases[1], penstock)
	if large.Seconds.Median != 0.24 || large.Seconds != large.GiB {
		t.Errorf("by GiB: %+v", large)
	}
	if small.Seconds.Median != 0.24 || small.Unit != "million records" || small.GiB.Max != 1.8 {
		t.Errorf("by a million: %+v", small)
	}
	for _, want := range []string{"1.20x floor (<= 1.3: met), 0.12x kafka (<= 0.2: met)", "0.12x kafka (<= 0.3: met)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestTopicConfig(t *testing.T) {
	for _, c := range []struct {
		who  string
		d    durability
		want string
	}{
		{penstock, durable, "map[]"}, {penstock, relaxed, "map[penstock.durability:relaxed]"},
		{apache, durable, "map[flush.messages:1]"}, {apache, relaxed, "map[]"},
	} {
		if got := fmt.Sprint((&contender{name: c.who}).config(c.d)); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.who, c.d, got, c.want)
		}
	}
}

// The floors need no broker, so a whole command runs here.
func TestFloorsAlone(t *testing.T) {
	var out bytes.Buffer
	s := &session{out: &out, dir: t.TempDir(), short: true, rounds: 2, only: regexp.MustCompile("rtt")}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if err := floorsAlone(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(s.dir); len(left) != 0 {
		t.Errorf("%d files stay behind", len(left))
	}
	if !strings.Contains(out.String(), `"floor":"rtt"`) {
		t.Errorf("no round trip in\n%s", out.String())
	}
}
