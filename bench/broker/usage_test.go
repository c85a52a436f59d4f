package broker

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       Usage
		bad        bool
	}{
		{name: "plain", line: "42 (penstock) S 1 42 42 0 -1 4194560 100 0 0 0 123 45 7 8 20 0 9 0 100 200 300",
			want: Usage{User: 1230 * time.Millisecond, System: 450 * time.Millisecond, Threads: 9}},
		{name: "name with spaces and parentheses", line: "42 (a) b (c d) R 1 42 42 0 -1 4194560 100 0 0 0 3 4 7 8 20 0 2 0 100",
			want: Usage{User: 30 * time.Millisecond, System: 40 * time.Millisecond, Threads: 2}},
		{name: "short", line: "42 (x) S 1 2 3", bad: true},
		{name: "no name", line: "42 x S 1 2 3", bad: true},
		{name: "not a number", line: "42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 q 4 7 8 20 0 2 0 100", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got Usage
			err := got.parseStat([]byte(c.line))
			if (err != nil) != c.bad {
				t.Fatalf("error %v, want one: %t", err, c.bad)
			}
			if !c.bad && got != c.want {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	var got Usage
	if err := got.parseStatus([]byte("Name:\tx\nVmRSS:\t   2048 kB\nRssAnon:\t     512 kB\nRssFile:\t 1536 kB\n")); err != nil {
		t.Fatal(err)
	}
	if want := (Usage{RSS: 2 << 20, Anon: 512 << 10}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "VmRSS: 1 kB\n", "VmRSS: 1 MB\nRssAnon: 1 kB\n", "VmRSS: x kB\nRssAnon: 1 kB\n"} {
		if err := new(Usage).parseStatus([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

// The clock of a process and its stat file are two views of one account: the file rounds each of its two parts down to a tick.
func TestCPUAgreesWithStat(t *testing.T) {
	sum := 0
	for start, _ := CPU(os.Getpid()); ; {
		for i := range 1 << 16 {
			sum += i * i
		}
		now, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now-start > 100*time.Millisecond {
			break
		}
	}
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	u, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := u.User + u.System; got < before-2*tick || got > after {
		t.Errorf("stat says %s, the clock %s to %s (%d)", got, before, after, sum)
	}
	if u.RSS <= 0 || u.Anon <= 0 || u.Anon > u.RSS || u.Threads < 1 || u.FDs < 3 {
		t.Errorf("usage %+v", u)
	}
}

func TestCPUOfNobody(t *testing.T) {
	if _, err := CPU(1 << 23); err == nil {
		t.Error("no error for a process that cannot be: process ids end at 1 << 22")
	}
}
