package node

import (
	"math"
	"runtime"
	"testing"
	"time"

	"penstock"
	"penstock/group"
	"penstock/replica"
)

// slowGroups are groups whose look takes a time.
type slowGroups struct {
	clock *time.Time
	takes time.Duration
	looks int
}

func (g *slowGroups) Lags(limits group.LagLimits, f func(*group.Lag)) int {
	g.looks++
	*g.clock = g.clock.Add(g.takes)
	f(&group.Lag{Group: "g"})
	return g.looks
}

func (g *slowGroups) List() ([]group.Description, error) { return nil, group.ErrLoading }

// TestLookIsBounded demands that looking at groups takes a tenth of the time at most, however often it is asked for.
func TestLookIsBounded(t *testing.T) {
	clock := time.Unix(1_000_000, 0)
	g := &slowGroups{clock: &clock, takes: 2 * time.Second}
	l := &groupLook{now: func() time.Time { return clock }}
	began, spent := clock, time.Duration(0)
	for range 1000 {
		before := clock
		lags, _, left, at := l.look(g)
		spent += clock.Sub(before)
		if len(lags) != 1 || left != g.looks || at.After(clock) || clock.Sub(at) > 18*time.Second {
			t.Fatalf("%d lags, %d left after %d looks, of %v at %v", len(lags), left, g.looks, at, clock)
		}
		clock = clock.Add(time.Second)
	}
	if share := float64(spent) / float64(clock.Sub(began)); share > 0.11 || g.looks < 40 {
		t.Errorf("%d looks take %.3f of the time", g.looks, share)
	}
}

// TestBehind demands that a sum is shown only where no part of it is missing.
func TestBehind(t *testing.T) {
	at := time.UnixMilli(1_000_000)
	lag := func(records, bytes int64, oldest penstock.Timestamp) *group.Lag {
		return &group.Lag{Backlog: replica.Backlog{End: 9, Records: records, Bytes: bytes, Oldest: oldest}}
	}
	for _, c := range []struct {
		name string
		lags []*group.Lag
		want behind
	}{
		{"two", []*group.Lag{lag(2, 20, 990_000), lag(3, 30, 970_000)}, behind{records: 5, bytes: 50, seconds: 30, known: true, deep: true}},
		{"one has read all", []*group.Lag{lag(2, 20, 990_000), lag(0, 0, penstock.NoTimestamp)}, behind{records: 2, bytes: 20, seconds: 10, known: true, deep: true}},
		{"one not looked at", []*group.Lag{lag(2, 20, 990_000), lag(3, -1, penstock.NoTimestamp)}, behind{records: 5, bytes: 20, seconds: 10, known: true}},
		{"one is elsewhere", []*group.Lag{lag(2, 20, 990_000), {Backlog: replica.Backlog{End: penstock.NoOffset, Bytes: -1}}}, behind{records: 2, bytes: 20, seconds: 10}},
		{"of the future", []*group.Lag{lag(1, 10, 2_000_000)}, behind{records: 1, bytes: 10, known: true, deep: true}},
	} {
		b := behind{known: true, deep: true}
		for _, l := range c.lags {
			b.add(l, at)
		}
		if b != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, b, c.want)
		}
	}
}

func TestIdle(t *testing.T) {
	clock, used := time.Unix(0, 0), time.Duration(0)
	m := newIdleMeter(func() time.Time { return clock }, func() time.Duration { return used })
	n := time.Duration(runtime.GOMAXPROCS(0))
	for _, c := range []struct {
		wall, cpu time.Duration
		want      float64
	}{
		{0, 0, 1},
		{10 * time.Second, n * 5 * time.Second, 0.5},
		{idleWindow / 2, n * time.Second, 0.5}, // too early to say
		{10 * time.Second, 0, 1 - 1/10.5},
		{time.Second, n * time.Minute, 0},
		{time.Minute, 0, 1},
	} {
		clock, used = clock.Add(c.wall), used+c.cpu
		if got := m.share(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if processTime() <= 0 {
		t.Error("the process has used no time")
	}
}

func TestDiskTraffic(t *testing.T) {
	r, w, ok := diskTraffic(files{"proc/self/io": "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 5\n"})
	if r != 4096 || w != 8192 || !ok {
		t.Errorf("%d, %d, %v", r, w, ok)
	}
	for _, fs := range []files{{}, {"proc/self/io": "read_bytes: x\nwrite_bytes: 1\n"}} {
		if _, _, ok := diskTraffic(fs); ok {
			t.Errorf("%v tells something", fs)
		}
	}
}
