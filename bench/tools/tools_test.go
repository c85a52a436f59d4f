package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"penstock/bench/compare"
)

// TestScriptAndDifferences reads what is embedded: every step names a tool or a directive, every entry fits a step.
func TestScriptAndDifferences(t *testing.T) {
	steps, err := readScript(scriptText)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(shortForm(steps)); n < 10 || n >= len(steps) {
		t.Errorf("the short form has %d of %d steps", n, len(steps))
	}
	table, err := compare.ReadDifferences(differencesText)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range table {
		fits := func(s step) bool { return d.On.MatchString(s.line) }
		if !slices.ContainsFunc(steps, fits) {
			t.Errorf("no step fits %q", d.On)
		}
	}
}

func TestReadScript(t *testing.T) {
	steps, err := readScript("# a comment\n\n*?kafka-topics --list\n~kafka-console-producer --topic 'a b' --x ''\n    one\n    two\n!await t 3\n")
	if err != nil || len(steps) != 3 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	if s := steps[0]; !s.short || !s.again || s.unordered || s.line != "kafka-topics --list" {
		t.Errorf("first step: %+v", s)
	}
	want := []string{"kafka-console-producer", "--topic", "a b", "--x", ""}
	if s := steps[1]; s.short || !s.unordered || !slices.Equal(s.words, want) || s.input != "one\ntwo\n" {
		t.Errorf("second step: %+v", s)
	}
	for _, bad := range []string{"    text without a step", "kafka-nothing --list", "kafka-topics 'open", "*?", "!nothing"} {
		if _, err := readScript(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestCompare holds the comparison against its meaning: taking away the lines of one side alone leaves the same on both, and no
// longer common part exists (found by trying all parts of short texts).
func TestCompare(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		out := make([]string, rnd.IntN(7))
		for i := range out {
			out[i] = string(rune('a' + rnd.IntN(3)))
		}
		return out
	}
	for range 500 {
		a, b := text(), text()
		changes := compare.Lines(a, b)
		common := len(a)
		restA, restB := slices.Clone(a), slices.Clone(b)
		for _, c := range changes {
			from := &restB
			if c.Sign == "-" {
				from = &restA
				common--
			}
			if !slices.Contains(*from, c.Line) {
				t.Fatalf("%v against %v: %v names a line that is not there", a, b, changes)
			}
			i := slices.Index(*from, c.Line)
			*from = slices.Delete(*from, i, i+1)
		}
		if want := longest(a, b); common != want || len(restA) != want || len(restB) != want {
			t.Fatalf("%v against %v: %d lines in common, want %d: %v", a, b, common, want, changes)
		}
	}
}

// longest is the length of the longest common part, by trying all parts of a.
func longest(a, b []string) int {
	best := 0
	for set := range 1 << len(a) {
		n, at, ok := 0, 0, true
		for i, l := range a {
			if set>>i&1 == 0 {
				continue
			}
			k := slices.Index(b[at:], l)
			if ok = k >= 0; !ok {
				break
			}
			at += k + 1
			n++
		}
		if ok {
			best = max(best, n)
		}
	}
	return best
}

func TestExplain(t *testing.T) {
	table, err := compare.ReadDifferences("# what\non kafka-topics .*\n- old [0-9]+\n+ new .*\nwhy It is so.\n")
	if err != nil || len(table) != 1 {
		t.Fatalf("%d entries, %v", len(table), err)
	}
	cases := []struct {
		step string
		c    compare.Change
		want bool
	}{
		{"kafka-topics --list", compare.Change{Sign: "-", Line: "old 7"}, true},
		{"kafka-topics --list", compare.Change{Sign: "+", Line: "new x"}, true},
		{"kafka-topics --list", compare.Change{Sign: "+", Line: "old 7"}, false},
		{"kafka-topics --list", compare.Change{Sign: "-", Line: "very old 7"}, false},
		{"kafka-configs --list", compare.Change{Sign: "-", Line: "old 7"}, false},
	}
	for _, c := range cases {
		if got := compare.Explain(table, c.step, c.c, true) != nil; got != c.want {
			t.Errorf("%s, %v: expected is %v, want %v", c.step, c.c, got, c.want)
		}
	}
	if p := table[0].Lines; p[0].Seen != 1 || p[1].Seen != 1 {
		t.Errorf("seen %d and %d, want 1 and 1", p[0].Seen, p[1].Seen)
	}
	for _, bad := range []string{"on x\nwhy y", "on x\n- y", "on (\n- y\nwhy z", "what", "- y\nwhy z", "on x\n- y\nwhy"} {
		if _, err := compare.ReadDifferences(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestNormal(t *testing.T) {
	words := strings.NewReplacer("/data/x", "LOGS", ":9092", ":PORT")
	got := normal(compare.Result{
		Code: 1,
		Out:  "b   at 127.0.0.1:9092\na TopicId: AbCdEfGhIjKlMnOpQrStUw\n\n{\"z\":[{\"topic\":\"t\",\"size\":2},{\"topic\":\"s\",\"size\":1}],\"dir\":\"/data/x\"}\n",
		Err:  "member-01234567-89ab-cdef-0123-456789abcdef since 1763728433000\n\tat some.Class(File.java:7)\n",
	}, words, false)
	want := []string{
		"out b at 127.0.0.1:PORT", "out a TopicId: ID", "out .dir = LOGS", "out .z(s).size = 1", "out .z(s).topic = s",
		"out .z(t).size = 2", "out .z(t).topic = t", "err member-UUID since TIME", "exit 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	said := normal(compare.Result{Err: "java.util.concurrent.ExecutionException: a.b.XException: it is so: yes\n"}, words, false)
	if want := []string{"err java.util.concurrent.ExecutionException: a.b.XException:", "err says it is so: yes", "exit 0"}; !slices.Equal(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
	sorted := normal(compare.Result{Out: "b\na\n"}, words, true)
	if want := []string{"out a", "out b", "exit 0"}; !slices.Equal(sorted, want) {
		t.Errorf("got %q, want %q", sorted, want)
	}
}
