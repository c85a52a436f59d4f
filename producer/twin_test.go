package producer_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock"
	"penstock/producer"
)

// twin knows the rules and no structure: it keeps everything that was ever appended and looks through all of it.
type twin struct {
	log  []penstock.BatchHeader
	seen map[penstock.ProducerID]penstock.Timestamp // of those not forgotten
	from map[penstock.ProducerID]int                // where in log a producer's memory begins
}

// known lists the batches and markers of id that are remembered.
func (w *twin) known(id penstock.ProducerID) []penstock.BatchHeader {
	var out []penstock.BatchHeader
	if _, ok := w.seen[id]; !ok {
		return nil
	}
	for _, h := range w.log[w.from[id]:] {
		if h.ProducerID == id {
			out = append(out, h)
		}
	}
	return out
}

// open reports whether id has a transaction open, and its first offset.
func (w *twin) open(id penstock.ProducerID) (first penstock.Offset, ok bool) {
	for _, h := range w.log {
		switch {
		case h.ProducerID != id:
		case h.Is(penstock.FlagControl):
			ok = false
		case h.Is(penstock.FlagTransactional) && !ok:
			first, ok = h.BaseOffset, true
		}
	}
	return first, ok
}

// sequences lists the sequence of every record of h.
func sequences(h *penstock.BatchHeader) []int32 {
	var out []int32
	s := int64(h.BaseSequence)
	for range h.LastDelta + 1 {
		out = append(out, int32(s))
		if s++; s > math.MaxInt32 {
			s = 0
		}
	}
	return out
}

func (w *twin) check(h *penstock.BatchHeader) (duplicate penstock.Offset, err error) {
	known := w.known(h.ProducerID)
	if len(known) == 0 {
		return penstock.NoOffset, nil
	}
	epoch := known[len(known)-1].ProducerEpoch
	if h.ProducerEpoch < epoch {
		return penstock.NoOffset, penstock.ErrFencedProducer
	}
	// The unbroken run of batches in the latest epoch.
	var run []penstock.BatchHeader
	for _, k := range slices.Backward(known) {
		if k.ProducerEpoch != epoch {
			break
		}
		if !k.Is(penstock.FlagControl) {
			run = append(run, k)
		}
	}
	if h.ProducerEpoch == epoch {
		for i, k := range run {
			if i < 5 && slices.Equal(sequences(&k), sequences(h)) {
				return k.BaseOffset, nil
			}
		}
	}
	if _, open := w.open(h.ProducerID); open && !h.Is(penstock.FlagTransactional) {
		return penstock.NoOffset, penstock.ErrInvalidRecord
	}
	want := int32(0)
	if h.ProducerEpoch == epoch && len(run) > 0 {
		all := sequences(&run[0])
		if want = all[len(all)-1]; want == math.MaxInt32 {
			want = 0
		} else {
			want++
		}
	}
	if h.BaseSequence != want {
		return penstock.NoOffset, penstock.ErrOutOfOrderSequence
	}
	return penstock.NoOffset, nil
}

func (w *twin) apply(h *penstock.BatchHeader, now penstock.Timestamp) {
	if _, ok := w.seen[h.ProducerID]; !ok {
		w.from[h.ProducerID] = len(w.log)
	}
	w.seen[h.ProducerID] = now
	w.log = append(w.log, *h)
}

func (w *twin) expire(now penstock.Timestamp, expiry time.Duration) int {
	n := 0
	for id, at := range w.seen {
		if _, open := w.open(id); !open && now-at >= penstock.Timestamp(expiry.Milliseconds()) {
			delete(w.seen, id)
			n++
		}
	}
	return n
}

// stable walks the whole log: an offset is unstable while a transaction that began at or below it has no marker
// below the high watermark.
func (w *twin) stable(high penstock.Offset) penstock.Offset {
	began := map[penstock.ProducerID]penstock.Offset{}
	lowest := high
	for _, h := range w.log {
		_, in := began[h.ProducerID]
		switch {
		case h.Is(penstock.FlagControl):
			if in && h.BaseOffset >= high {
				lowest = min(lowest, began[h.ProducerID])
			}
			delete(began, h.ProducerID)
		case h.Is(penstock.FlagTransactional) && !in:
			began[h.ProducerID] = h.BaseOffset
		}
	}
	for _, first := range began {
		lowest = min(lowest, first)
	}
	return lowest
}

// machine drives a State and its twin with the same calls.
type machine struct {
	s    *producer.State
	w    twin
	now  penstock.Timestamp
	end  penstock.Offset
	high penstock.Offset
}

// header draws a batch, near what its producer would send.
func (m *machine) header(t *rapid.T) *penstock.BatchHeader {
	id := penstock.ProducerID(rapid.IntRange(1, 4).Draw(t, "id"))
	h := idempotent(id, 0, 0, int32(rapid.IntRange(1, 3).Draw(t, "records")))
	h.MaxTimestamp = penstock.Timestamp(rapid.IntRange(-1, 1000).Draw(t, "time"))
	known := m.w.known(id)
	if len(known) == 0 {
		h.BaseSequence = rapid.SampledFrom([]int32{0, 5, math.MaxInt32 - 3}).Draw(t, "first")
		return m.flags(t, h)
	}
	pick := known[max(0, len(known)-rapid.IntRange(1, 7).Draw(t, "back"))]
	h.ProducerEpoch, h.BaseSequence = pick.ProducerEpoch, pick.BaseSequence
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0: // again
		h.LastDelta, h.Records = pick.LastDelta, pick.Records
	case 1, 2, 3: // the next
		last := known[len(known)-1]
		h.ProducerEpoch = last.ProducerEpoch
		h.BaseSequence = int32((int64(last.BaseSequence) + int64(last.LastDelta) + 1) % (1 << 31))
		if last.Is(penstock.FlagControl) {
			h.BaseSequence = int32(rapid.IntRange(0, 4).Draw(t, "after a marker"))
		}
	case 4:
		h.ProducerEpoch += int16(rapid.IntRange(-1, 2).Draw(t, "epochs"))
		h.BaseSequence = int32(rapid.IntRange(0, 1).Draw(t, "sequence"))
	case 5:
		h.BaseSequence = max(0, h.BaseSequence+int32(rapid.IntRange(-3, 3).Draw(t, "off by")))
	}
	h.BaseSequence = max(0, h.BaseSequence)
	return m.flags(t, h)
}

func (m *machine) flags(t *rapid.T, h *penstock.BatchHeader) *penstock.BatchHeader {
	if rapid.IntRange(0, 3).Draw(t, "transactional") == 0 {
		h.Flags = penstock.FlagTransactional
	}
	return h
}

func (m *machine) append(h *penstock.BatchHeader) {
	h.BaseOffset = m.end
	m.end = h.NextOffset()
	m.s.Apply(h, m.now)
	m.w.apply(h, m.now)
}

func (m *machine) produce(t *rapid.T) {
	h := m.header(t)
	wantDup, wantErr := m.w.check(h)
	v, err := m.s.Check(h)
	if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		t.Fatalf("check %+v: %v, want %v", h, err, wantErr)
	}
	if v.Duplicate != (wantDup != penstock.NoOffset) || v.Duplicate && v.Offset != wantDup {
		t.Fatalf("check %+v: %+v, want duplicate of %d", h, v, wantDup)
	}
	if err == nil && !v.Duplicate {
		m.append(h)
	}
}

func (m *machine) marker(t *rapid.T) {
	id := penstock.ProducerID(rapid.IntRange(1, 4).Draw(t, "id"))
	h := idempotent(id, 0, penstock.NoSequence, 1)
	if known := m.w.known(id); len(known) > 0 {
		h.ProducerEpoch = known[len(known)-1].ProducerEpoch + int16(rapid.IntRange(0, 1).Draw(t, "bump"))
	}
	h.Flags = penstock.FlagTransactional | penstock.FlagControl
	m.append(h)
}

func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{s: new(producer.State), w: twin{seen: map[penstock.ProducerID]penstock.Timestamp{}, from: map[penstock.ProducerID]int{}}}
		t.Repeat(map[string]func(*rapid.T){
			"produce": m.produce,
			"again":   m.produce,
			"marker":  m.marker,
			"time":    func(t *rapid.T) { m.now += penstock.Timestamp(rapid.IntRange(0, 3000).Draw(t, "ms")) },
			"expire": func(t *rapid.T) {
				if got, want := m.s.Expire(m.now, 5*time.Second), m.w.expire(m.now, 5*time.Second); got != want {
					t.Fatalf("%d expired, want %d", got, want)
				}
			},
			"restart": func(t *rapid.T) {
				b := m.s.Append(nil)
				s, err := producer.Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				if again := s.Append(nil); !slices.Equal(again, b) {
					t.Fatalf("snapshot %x came back as %x", b, again)
				}
				m.s = s
			},
			"": func(t *rapid.T) {
				m.high = max(m.high, penstock.Offset(rapid.Int64Range(int64(m.high), int64(m.end)).Draw(t, "high")))
				if got, want := m.s.LastStable(m.high), m.w.stable(m.high); got != want {
					t.Fatalf("last stable offset %d at high watermark %d, want %d", got, m.high, want)
				}
				if m.s.Len() != len(m.w.seen) {
					t.Fatalf("%d producers, want %d", m.s.Len(), len(m.w.seen))
				}
			},
		})
	})
}

func FuzzDecode(f *testing.F) {
	var s producer.State
	f.Add(s.Append(nil))
	for i := range int32(7) {
		s.Apply(at(idempotent(penstock.ProducerID(i%2), 3, i, 1), penstock.Offset(i), penstock.FlagTransactional), penstock.Timestamp(i))
	}
	s.Apply(at(idempotent(1, 3, -1, 1), 8, penstock.FlagTransactional|penstock.FlagControl), 9)
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := producer.Decode(b)
		if err != nil {
			return
		}
		again, err := producer.Decode(s.Append(nil))
		if err != nil || !slices.Equal(again.Append(nil), s.Append(nil)) {
			t.Errorf("%x: %v", b, err)
		}
		s.Apply(idempotent(1, 3, 5, 2), 100)
		s.LastStable(50)
		s.Expire(math.MaxInt64, time.Hour)
	})
}
