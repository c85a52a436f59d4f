package admin

import (
	"testing"
	"time"

	"penstock/cli"
	"penstock/cli/clitest"
)

func clitestComplete(t *testing.T, args []string) string {
	t.Helper()
	r := clitest.Run(t.Context(), family, "", args...)
	if r.Failure != nil {
		t.Fatalf("%v: %v", args, r.Failure)
	}
	return r.Out
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2026-01-30T10:00:00Z":      time.Date(2026, 1, 30, 10, 0, 0, 0, time.UTC),
		"2026-01-30T10:00:00+02:00": time.Date(2026, 1, 30, 8, 0, 0, 0, time.UTC),
		"2026-01-30T10:00:00.250Z":  time.Date(2026, 1, 30, 10, 0, 0, 250e6, time.UTC),
		"1769853600000":             time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC),
		"-1h":                       now.Add(-time.Hour),
		"-90m":                      now.Add(-90 * time.Minute),
		"-7d":                       now.Add(-7 * 24 * time.Hour),
		"-1w2d3h":                   now.Add(-(9*24 + 3) * time.Hour),
		"now":                       now,
	} {
		if got, err := parseTime("--to", s, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-", "1h", "+1h", "--1h", "-h", "-1", "-d", "-1d-1h", "5", "-5", "yesterday", "2026-01-30", "99999999999999999999", "-99999999d"} {
		if got, err := parseTime("--to", s, now); cli.ExitCode(err) != cli.ExitUsage {
			t.Errorf("%q: %v, %v; want a wrong use", s, got, err)
		}
	}
}

func TestParseWhere(t *testing.T) {
	for _, c := range []struct {
		words []string
		topic string
		want  string // "" is all
	}{
		{[]string{"a"}, "a", "-"},
		{[]string{"a:0"}, "a", "0"},
		{[]string{"a:0,2-4", "b"}, "a", "0,2,3,4"},
		{[]string{"a:1", "a:0,1"}, "a", "1,0"},
		{[]string{"a:1", "a"}, "a", "-"},
		{[]string{"a", "a:1"}, "a", "-"},
	} {
		w, err := parseWhere("--topic", c.words)
		if err != nil || numbers(w[c.topic]) != c.want {
			t.Errorf("%q: %v, %v", c.words, w, err)
		}
	}
	for _, s := range []string{"", ":0", "a:", "a:x", "a:-1", "a:3-1", "a:0,", "a:0-999999999", "a:4294967296", "a:1-2-3"} {
		if w, err := parseWhere("--topic", []string{s}); cli.ExitCode(err) != cli.ExitUsage {
			t.Errorf("%q: %v, %v; want a wrong use", s, w, err)
		}
	}
}

func TestNear(t *testing.T) {
	all := []string{"retention.ms", "retention.bytes", "segment.ms", "cleanup.policy"}
	for name, want := range map[string]string{
		"retention.m": "retention.ms", "Retention.MS": "retention.ms", "segmnt.ms": "segment.ms", "cleanup-policy": "cleanup.policy", "x": "", "": "", "nothing.alike": "",
	} {
		if got := near(name, all); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		d    int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"ab", "ba", 2}} {
		if d := distance(c.a, c.b, 10); d != c.d {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, d, c.d)
		}
	}
}
