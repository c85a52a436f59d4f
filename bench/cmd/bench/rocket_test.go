package main

import (
	"slices"
	"testing"
)

func TestRocketProgramsLines(t *testing.T) {
	for line, want := range map[string][]string{
		"[Complete] Send Total: 50000 | Send TPS: 4592 | Max RT(ms): 268 | Average RT(ms):   0.217 | Send Failed: 0 | Response Failed: 3": {"50000", "4592", "0.217", "0", "3"},
		"[Complete] Send Total: 6400 Send Failed: 1 Response Failed: 0":                                                                   {"6400", "", "", "1", "0"},
		"Current Time: 2026-11-21 15:14:02,301 | Send TPS: 2618 | Max RT(ms): 268":                                                        nil,
	} {
		got := sendDone.FindStringSubmatch(line)
		if len(got) > 0 {
			got = got[1:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestRocketVerdicts(t *testing.T) {
	row := func(rate, trip, cpu, gib float64) *rocketRow {
		r := &rocketRow{}
		r.Rate.Median, r.Trip.Median, r.CPU.Median, r.PerGiB.Median = rate, trip, cpu, gib
		return r
	}
	own, theirs := row(130, 5, 30, 1), row(100, 10, 100, 10)
	for _, c := range []struct {
		work rocketWork
		want []bool
	}{
		{rocketWork{d: relaxed, threads: 1}, []bool{true, true}},
		{rocketWork{d: relaxed}, []bool{true}},
		{rocketWork{d: durable, threads: 64}, []bool{true}},
		{rocketWork{d: durable, threads: 1}, nil},
	} {
		var got []bool
		for _, v := range rocketVerdicts(c.work, own, theirs) {
			got = append(got, v.Met)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.work, got, c.want)
		}
		for _, v := range rocketVerdicts(c.work, theirs, own) {
			if v.Met {
				t.Errorf("%+v the other way: %v", c.work, v)
			}
		}
	}
}
