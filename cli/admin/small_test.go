package admin

import (
	"testing"
	"time"

	"penstock/cli"
)

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
	if got := near("a", []string{"b", "ab"}); got != "" {
		t.Errorf("one letter is taken for %q", got)
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

// TestRounds gives every look at a record a round in which its partition is read at that place.
func TestRounds(t *testing.T) {
	a, b := place{"t", 0}, place{"t", 1}
	var out [5]*float64
	var rounds []map[place]*wantedAge
	for i, w := range []struct {
		p    place
		from int64
	}{{a, 5}, {b, 5}, {a, 7}, {a, 5}, {b, 9}} {
		rounds = want(rounds, w.p, w.from, &out[i])
	}
	if len(rounds) != 2 || rounds[0][a].from != 5 || len(rounds[0][a].to) != 2 || rounds[0][b].from != 5 || rounds[1][a].from != 7 || rounds[1][b].from != 9 {
		t.Errorf("rounds: %+v", rounds)
	}
	seconds := 1.5
	*rounds[0][a].to[1] = &seconds
	if out[3] == nil || *out[3] != seconds {
		t.Error("the age is not written where it is wanted")
	}
}

func TestCells(t *testing.T) {
	seconds := func(s float64) *float64 { return &s }
	for want, s := range map[string]*float64{"-": nil, "0s": seconds(0), "250ms": seconds(0.25), "1m0s": seconds(60.2), "2h0m5s": seconds(7205.4)} {
		if got := age(s); got != want {
			t.Errorf("age is %s, want %s", got, want)
		}
	}
	if got := share(100, 3, 10); *got != 30 {
		t.Errorf("share: %d", *got)
	}
	if got := share(100, 0, 0); *got != 0 {
		t.Errorf("share of nothing: %d", *got)
	}
	one := int64(1)
	if plus(nil, &one) != nil || plus(&one, nil) != nil || *plus(&one, &one) != 2 {
		t.Error("plus")
	}
	if count(1, "record") != "1 record" || count(2, "record") != "2 records" {
		t.Error("count")
	}
}
