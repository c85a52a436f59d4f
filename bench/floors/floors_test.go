package floors

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if child, err := Child(os.Args[1:]); child {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Every floor runs with little work, counts it whole, and uses a plausible time.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		spec  Spec
		count int
		bytes int64
	}{
		{Spec{Kind: RoundTrip, Count: 200}, 200, 0},
		{Spec{Kind: Fetch, Dir: dir, Unit: 1 << 20, Bytes: 64 << 20}, 64, 64 << 20},
		{Spec{Kind: Fetch, Dir: dir, Unit: 1000, Bytes: 12345, Depth: 3}, 12, 12000},
		{Spec{Kind: Produce, Dir: dir, Unit: 64 << 10, Bytes: 16 << 20}, 256, 16 << 20},
		{Spec{Kind: Produce, Dir: dir, Unit: 2 << 20, Bytes: 16 << 20, Depth: 1}, 8, 16 << 20},
	} {
		r, err := Measure(t.Context(), c.spec)
		if err != nil {
			t.Fatalf("%+v: %v", c.spec, err)
		}
		if r.Count != c.count || r.Bytes != c.bytes {
			t.Errorf("%+v: %d of %d bytes, want %d of %d", c.spec, r.Count, r.Bytes, c.count, c.bytes)
		}
		if r.CPU <= 0 || r.Elapsed <= 0 {
			t.Errorf("%+v: %s in %s", c.spec, r.CPU, r.Elapsed)
		}
	}
}

// Appenders that wait together share a sync: there are as many acknowledgements as joins.
func TestFsync(t *testing.T) {
	r, err := Measure(t.Context(), Spec{Kind: Fsync, Dir: t.TempDir(), Waiters: 8, For: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Count < 8 || r.Bytes != int64(r.Count)*recordBytes || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("%+v", r)
	}
}

func TestRefusals(t *testing.T) {
	for _, s := range []Spec{
		{}, {Kind: "tea"}, {Kind: Fetch}, {Kind: Fetch, Unit: 10, Bytes: 5}, {Kind: Produce, Unit: maxUnit + 1, Bytes: 1 << 40},
		{Kind: Fsync, Waiters: 1}, {Kind: Fsync, For: time.Second}, {Kind: RoundTrip},
	} {
		if _, err := Measure(t.Context(), s); err == nil {
			t.Errorf("no error for %+v", s)
		}
	}
	if child, _ := Child([]string{"cpu", "{}"}); child {
		t.Error("an ordinary command is taken for a child")
	}
	if child, err := Child([]string{serveCommand, "{"}); !child || err == nil {
		t.Errorf("broken argument: %t, %v", child, err)
	}
}
