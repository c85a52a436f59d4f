package replica

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"penstock"
	"penstock/meta"
	"penstock/store"
)

// TestAcks: what each acknowledgement waits for, and when its batch is seen.
func TestAcks(t *testing.T) {
	rows := []struct {
		durability penstock.Durability
		acks       penstock.Acks
		waits      bool
	}{
		{penstock.DurabilityFsync, penstock.AcksAll, true},
		{penstock.DurabilityFsync, penstock.AcksLeader, false},
		{penstock.DurabilityFsync, penstock.AcksNone, false},
		{penstock.DurabilityRelaxed, penstock.AcksAll, false},
		{penstock.DurabilityRelaxed, penstock.AcksLeader, false},
		{penstock.DurabilityRelaxed, penstock.AcksNone, false},
	}
	for _, row := range rows {
		p, f := newRig(t).lead(t, topicOf(1, row.durability), 0)
		var heard results
		res, done := p.Append(request(row.acks, batches(1)...), heard.notify)
		if done == row.waits || res.Err != nil || res.First != 0 {
			t.Errorf("%s acks=%d: done %v, %+v", row.durability, row.acks, done, res)
		}
		if seen := p.Offsets().HighWatermark; seen != 0 == row.waits || p.Offsets().End != 10 {
			t.Errorf("%s acks=%d: high watermark %d", row.durability, row.acks, seen)
		}
		if f.log.commits != 0 != row.waits {
			t.Errorf("%s acks=%d: %d commits asked for", row.durability, row.acks, f.log.commits)
		}
		f.log.sync(f.log.Written(), nil)
		if got := heard.take(); len(got) != 0 != row.waits || row.waits && (got[0].Err != nil || got[0].First != 0) {
			t.Errorf("%s acks=%d: notified %+v", row.durability, row.acks, got)
		}
		if seen := p.Offsets().HighWatermark; seen != 10 {
			t.Errorf("%s acks=%d: high watermark %d after the sync", row.durability, row.acks, seen)
		}
	}
}

// sent is what the twin remembers of one append: the visibility rule of the design, followed literally.
type sent struct {
	part        int
	first, next penstock.Offset
	mark        store.Mark
	promised    bool
}

// TestPromises drives two partitions, on a log each or on one together, with appends and rounds of group commit, and
// compares edges and notifications with the literal rule.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := newRig(t)
		if rapid.Bool().Draw(rt, "shared") {
			g.store.shared = &fakeLog{}
		}
		topic := topicOf(2, penstock.DurabilityFsync)
		var ps [2]*Partition
		var fs [2]*fakePartition
		var heard [2]results
		for i := range ps {
			ps[i], fs[i] = g.lead(t, topic, int32(i))
		}
		var all []sent
		answered := [2]int{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(rt, "partition")
				acks := rapid.SampledFrom([]penstock.Acks{penstock.AcksAll, penstock.AcksLeader}).Draw(rt, "acks")
				n := rapid.IntRange(1, 3).Draw(rt, "batches")
				first := fs[i].end
				res, done := ps[i].Append(request(acks, batches(n)...), heard[i].notify)
				if res.Err != nil || res.First != first || done != (acks == penstock.AcksLeader) {
					rt.Fatalf("done %v, %+v", done, res)
				}
				all = append(all, sent{i, first, fs[i].end, fs[i].log.Written(), acks == penstock.AcksAll})
			},
			"sync": func(rt *rapid.T) {
				l := fs[rapid.IntRange(0, 1).Draw(rt, "log")].log
				to := store.Mark(rapid.Int64Range(int64(l.Synced()), int64(l.Written())).Draw(rt, "to"))
				l.sync(to, nil)
			},
			"": func(rt *rapid.T) {
				for i := range ps {
					want := fs[i].end
					var answers []penstock.Offset
					for _, s := range slices.Backward(all) {
						if s.part != i || !s.promised {
							continue
						}
						if s.mark > fs[i].log.Synced() {
							want = s.first
						} else {
							answers = append(answers, s.first)
						}
					}
					if got := ps[i].Offsets(); got.HighWatermark != want || got.LastStable != want || got.End != fs[i].end {
						rt.Fatalf("partition %d: %+v, want high watermark %d", i, got, want)
					}
					heard[i].mu.Lock()
					for j, res := range heard[i].got {
						if res.Err != nil || res.First != answers[len(answers)-1-j] {
							rt.Fatalf("partition %d: answer %d is %+v, want %v", i, j, res, answers)
						}
					}
					answered[i] = len(heard[i].got)
					heard[i].mu.Unlock()
					if answered[i] != len(answers) {
						rt.Fatalf("partition %d: %d answers, want %d", i, answered[i], len(answers))
					}
				}
			},
		})
	})
}

// TestSyncFails: all who wait hear of it, later appends fail, and nothing more becomes visible.
func TestSyncFails(t *testing.T) {
	p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	var heard results
	p.Append(request(penstock.AcksLeader, batches(1)...), nil)
	for range 3 {
		p.Append(request(penstock.AcksAll, batches(1)...), heard.notify)
	}
	f.log.sync(f.log.Written()-100, nil)
	if got := heard.take(); len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	f.log.sync(0, errors.New("input/output error"))
	if got := heard.take(); len(got) != 1 || !errors.Is(got[0].Err, penstock.ErrOffline) {
		t.Errorf("%+v", got)
	}
	for _, acks := range []penstock.Acks{penstock.AcksAll, penstock.AcksLeader} {
		if res, done := p.Append(request(acks, batches(1)...), heard.notify); !done || !errors.Is(res.Err, penstock.ErrOffline) {
			t.Errorf("acks=%d: %+v %v", acks, res, done)
		}
	}
	f.log.sync(f.log.Written(), nil) // must not be believed
	if o := p.Offsets(); o.HighWatermark != 30 || o.End != 40 || len(heard.take()) != 0 {
		t.Errorf("%+v", o)
	}
	if es, _, err := p.Read(ReadRequest{From: 0, Max: 1 << 20, Epoch: -1, LastEpoch: -1}, nil); len(es) != 3 || err != nil {
		t.Errorf("reading went: %v, %v", es, err)
	}
}

// TestAppendFails: an append that the store refuses leaves nothing behind.
func TestAppendFails(t *testing.T) {
	p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	f.fail = penstock.ErrDiskFull
	res, done := p.Append(request(penstock.AcksAll, sequenced(1, 0, 0)), nil)
	if !done || !errors.Is(res.Err, penstock.ErrDiskFull) || f.log.commits != 0 {
		t.Errorf("%+v %v", res, done)
	}
	f.fail = nil
	if res, _ = p.Append(request(penstock.AcksAll, sequenced(1, 0, 0)), nil); res.Err != nil || res.First != 0 || res.Duplicate {
		t.Errorf("again: %+v", res)
	}
}

func TestEpochs(t *testing.T) {
	p, _ := newRig(t).lead(t, topicOf(1, penstock.DurabilityRelaxed), 0) // the leader's epoch is 3
	for _, row := range []struct {
		epoch penstock.Epoch
		want  error
	}{{penstock.NoEpoch, nil}, {3, nil}, {2, penstock.ErrFencedEpoch}, {4, penstock.ErrUnknownEpoch}} {
		r := request(penstock.AcksAll, batches(1)...)
		r.Epoch = row.epoch
		if res, done := p.Append(r, nil); !done || !errors.Is(res.Err, row.want) || (res.Err == nil) != (row.want == nil) {
			t.Errorf("append in epoch %d: %v", row.epoch, res.Err)
		}
		_, _, err := p.Read(ReadRequest{Max: 1, Epoch: row.epoch, LastEpoch: penstock.NoEpoch}, nil)
		if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("read in epoch %d: %v", row.epoch, err)
		}
	}
}

// TestMinInSync: acks=all needs the set, no other acknowledgement does, and a topic cannot demand more than a partition has
// replicas (Kafka's effectiveMinIsr).
func TestMinInSync(t *testing.T) {
	g := newRig(t)
	topic := topicOf(2, penstock.DurabilityFsync)
	topic.Settings.MinInSync = 2
	topic.Partitions[1].Replicas = []penstock.BrokerID{self, 8}
	alone, _ := g.lead(t, topic, 0)
	short, f := g.lead(t, topic, 1)
	if res, _ := alone.Append(request(penstock.AcksAll, batches(1)...), func(AppendResult) {}); res.Err != nil {
		t.Errorf("one replica: %v", res.Err)
	}
	if res, done := short.Append(request(penstock.AcksAll, batches(1)...), nil); !done || !errors.Is(res.Err, penstock.ErrNotEnoughReplicas) || f.end != 0 {
		t.Errorf("two replicas, one in sync: %+v", res)
	}
	if res, done := short.Append(request(penstock.AcksLeader, batches(1)...), nil); !done || res.Err != nil {
		t.Errorf("acks=1: %+v", res)
	}
	if o := short.Offsets(); o.HighWatermark != 0 || o.End != 10 {
		t.Errorf("visible below the minimum (KAFKA-15583): %+v", o)
	}
	var heard results
	relaxed := *topic
	relaxed.Settings.MinInSync = 1
	g.apply([]*meta.Topic{&relaxed})
	if o := short.Offsets(); o.HighWatermark != 10 {
		t.Errorf("not visible with the minimum met: %+v", o)
	}
	short.Append(request(penstock.AcksAll, batches(1)...), heard.notify)
	g.apply([]*meta.Topic{topic})
	if got := heard.take(); len(got) != 1 || !errors.Is(got[0].Err, penstock.ErrFewerReplicas) {
		t.Errorf("a promise that cannot be kept any more: %+v", got)
	}
	f.log.sync(f.log.Written(), nil)
	if o := short.Offsets(); o.HighWatermark != 10 {
		t.Errorf("visible below the minimum: %+v", o)
	}
	g.apply([]*meta.Topic{&relaxed})
	if o := short.Offsets(); o.HighWatermark != 20 || len(heard.take()) != 0 {
		t.Errorf("not visible at last: %+v", o)
	}
}

// TestDuplicates: a batch sent again is answered with its first offset and time, and waits for the disk as it did then.
func TestDuplicates(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityFsync)
	topic.Settings.AppendTime = true
	p, f := g.lead(t, topic, 0)
	var heard results
	p.Append(request(penstock.AcksAll, batches(1)...), nil)
	first, _ := p.Append(request(penstock.AcksAll, sequenced(5, 0, 0)), heard.notify)
	g.now.Add(1000)
	if res, done := p.Append(request(penstock.AcksAll, sequenced(5, 0, 0)), heard.notify); done || res.Err != nil {
		t.Errorf("answered before the original is durable: %+v", res)
	}
	if res, done := p.Append(request(penstock.AcksLeader, sequenced(5, 0, 0)), nil); !done || !res.Duplicate || res.First != 10 || res.Time != first.Time {
		t.Errorf("acks=1: %+v %v", res, done)
	}
	if f.end != 20 {
		t.Errorf("a duplicate was appended: end %d", f.end)
	}
	f.log.sync(100, nil) // the batch before
	if got := heard.take(); len(got) != 0 {
		t.Errorf("notified too early: %+v", got)
	}
	f.log.sync(200, nil)
	got := heard.take()
	if len(got) != 2 || got[0].Duplicate || !got[1].Duplicate || got[0].First != 10 || got[1].First != 10 || got[0].Time != got[1].Time || got[0].Time <= 0 {
		t.Errorf("%+v", got)
	}
	if res, done := p.Append(request(penstock.AcksAll, sequenced(5, 0, 0)), nil); !done || !res.Duplicate || res.First != 10 {
		t.Errorf("durable already: %+v %v", res, done)
	}
	if o := p.Offsets(); o.HighWatermark != 20 {
		t.Errorf("%+v", o)
	}
}

// TestSeveralBatches: several batches are appended all or none.
func TestSeveralBatches(t *testing.T) {
	control := batches(1)[0]
	control.Header.Flags = penstock.FlagControl
	txn := sequenced(9, 0, 0)
	txn.Header.Flags = penstock.FlagTransactional
	rows := []struct {
		name      string
		bs        []penstock.Batch
		want      error
		duplicate bool
		appended  int
	}{
		{"none", nil, penstock.ErrInvalidRecord, false, 0},
		{"next two", []penstock.Batch{sequenced(1, 0, 20), sequenced(1, 0, 30)}, nil, false, 2},
		{"two producers", []penstock.Batch{sequenced(1, 0, 20), sequenced(2, 0, 0), sequenced(1, 0, 30), sequenced(2, 0, 10)}, nil, false, 4},
		{"gap inside", []penstock.Batch{sequenced(1, 0, 20), sequenced(1, 0, 40)}, penstock.ErrOutOfOrderSequence, false, 0},
		{"gap before", []penstock.Batch{batches(1)[0], sequenced(1, 0, 30)}, penstock.ErrOutOfOrderSequence, false, 0},
		{"duplicates", []penstock.Batch{sequenced(1, 0, 0), sequenced(1, 0, 10)}, nil, true, 0},
		{"half of them", []penstock.Batch{sequenced(1, 0, 10), sequenced(1, 0, 20)}, penstock.ErrOutOfOrderSequence, false, 0},
		{"the other half", []penstock.Batch{sequenced(2, 0, 0), sequenced(1, 0, 10)}, penstock.ErrOutOfOrderSequence, false, 0},
		{"old epoch", []penstock.Batch{sequenced(1, 2, 0), sequenced(1, 1, 0)}, penstock.ErrFencedProducer, false, 0},
		{"control", []penstock.Batch{control}, penstock.ErrInvalidRecord, false, 0},
		{"transactional", []penstock.Batch{txn}, penstock.ErrInvalidRecord, false, 0},
	}
	for _, row := range rows {
		p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityRelaxed), 0)
		p.Append(request(penstock.AcksAll, sequenced(1, 0, 0), sequenced(1, 0, 10)), nil)
		res, done := p.Append(request(penstock.AcksAll, row.bs...), nil)
		if !done || !errors.Is(res.Err, row.want) || (res.Err == nil) != (row.want == nil) || res.Duplicate != row.duplicate {
			t.Errorf("%s: %+v %v", row.name, res, done)
		}
		if got := len(f.headers) - 2; got != row.appended {
			t.Errorf("%s: %d batches appended, want %d", row.name, got, row.appended)
		}
	}
}

// TestSequenceWrap: the replica keeps a producer going over the largest sequence.
func TestSequenceWrap(t *testing.T) {
	p, _ := newRig(t).lead(t, topicOf(1, penstock.DurabilityRelaxed), 0)
	for _, seq := range []int32{math.MaxInt32 - 9, 0, 10} {
		if res, _ := p.Append(request(penstock.AcksAll, sequenced(1, 0, seq)), nil); res.Err != nil || res.Duplicate {
			t.Errorf("sequence %d: %+v", seq, res)
		}
	}
}

// TestAppendAllocates nothing in the steady state, whatever is waited for.
func TestAppendAllocates(t *testing.T) {
	for _, acks := range []penstock.Acks{penstock.AcksLeader, penstock.AcksAll} {
		p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
		f.headers = make([]penstock.BatchHeader, 0, 1<<16)
		r := request(acks, sequenced(1, 0, 0), batches(1)[0])
		told := 0
		notify := func(AppendResult) { told++ }
		run := func() {
			for range 5 {
				r.Batches[0].Header.BaseSequence += 10
				if res, _ := p.Append(r, notify); res.Err != nil {
					t.Fatal(res.Err)
				}
			}
			f.log.sync(f.log.Written(), nil)
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("acks=%d: %v allocations for five appends", acks, n)
		}
		if acks == penstock.AcksAll && told != 102*5 {
			t.Errorf("%d answers, want %d", told, 102*5)
		}
	}
}

// TestQueue compares the ring with a slice, over its growth and its release.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var q queue
		var twin []promise
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"push": func(rt *rapid.T) {
				for range rapid.SampledFrom([]int{1, 3, 2000}).Draw(rt, "n") {
					n++
					pr := promise{mark: isrMark(store.Mark(n))}
					if at := q.push(pr); q.at(at).mark != pr.mark {
						rt.Fatal("number and promise do not agree")
					}
					twin = append(twin, pr)
				}
			},
			"pop": func(rt *rapid.T) {
				for range rapid.IntRange(0, len(twin)).Draw(rt, "n") {
					if q.head().mark != twin[0].mark {
						rt.Fatalf("%d at the head, want %d", q.head().mark, twin[0].mark)
					}
					q.pop()
					twin = twin[1:]
				}
			},
			"": func(rt *rapid.T) {
				if q.len() != len(twin) || q.len() == 0 && len(q.ring) > maxRing {
					rt.Fatalf("%d promises in %d places, want %d", q.len(), len(q.ring), len(twin))
				}
			},
		})
	})
}

// BenchmarkAppend is what this room adds to the store's write: an append of one batch, and for acks=all its share of a
// round of group commit for every 16.
func BenchmarkAppend(b *testing.B) {
	for _, acks := range []penstock.Acks{penstock.AcksLeader, penstock.AcksAll} {
		b.Run(map[penstock.Acks]string{penstock.AcksLeader: "leader", penstock.AcksAll: "all"}[acks], func(b *testing.B) {
			p, f := newRig(b).lead(b, topicOf(1, penstock.DurabilityFsync), 0)
			r := request(acks, sequenced(1, 0, -10))
			notify := func(AppendResult) {}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h := &r.Batches[0].Header
				h.BaseSequence = (h.BaseSequence + 10) & math.MaxInt32
				if res, _ := p.Append(r, notify); res.Err != nil {
					b.Fatal(res.Err)
				}
				if i%16 == 15 {
					f.log.sync(f.log.Written(), nil)
					f.headers = f.headers[:0]
				}
			}
		})
	}
}
