package wire

import (
	"bytes"
	"io"
	"testing"
)

// TestNoAllocations shows that neither requests nor answers allocate, in memory and by sendfile.
func TestNoAllocations(t *testing.T) {
	f := newStoredFile(t, 100_000)
	for _, c := range []struct {
		name   string
		serve  func(*Request)
		answer int
	}{
		{"in memory", echo, 4 + 96},
		{"copied", func(r *Request) {
			a := NewAnswer()
			a.Attach(f.extent(0, 5000), nil)
			r.Reply(a)
		}, 4 + 5000},
		{"by sendfile", func(r *Request) {
			a := NewAnswer()
			a.Attach(f.extent(0, 50_000), nil)
			a.Attach(f.extent(10_000, 80_000), nil)
			r.Reply(a)
		}, 4 + 130_000},
		{"through a pipe", func(r *Request) {
			a := NewAnswer()
			a.Attach(f.extent(0, 50_000), nil)
			a.Attach(f.extent(60_000, 30_000), nil)
			r.Reply(a)
		}, 4 + 80_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			const depth = 8
			s := start(t, &front{serve: c.serve}, Options{Budget: NewBudget(1 << 20)})
			conn := dial(t, s)
			ask := bytes.Repeat(framed(make([]byte, 96)), depth)
			in := make([]byte, depth*c.answer)
			round := func() {
				if _, err := conn.Write(ask); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, in); err != nil {
					t.Fatal(err)
				}
			}
			for range 20 {
				round() // fills the pools
			}
			// A collection meanwhile empties the pools, and a flush may need a goroutine: a few in 8,000 requests.
			if n := testing.AllocsPerRun(1000, round); n > 0 && !raceEnabled {
				t.Errorf("%v allocations for %d requests", n, depth)
			}
		})
	}
}
