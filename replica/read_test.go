package replica

import (
	"errors"
	"testing"

	"penstock"
	"penstock/meta"
	"penstock/store"
)

// history gives the partition epochs 1 from 0, 3 from 20 and, as its leader's, 5 from 40, and the end 50.
func history(t *testing.T) *Partition {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityRelaxed)
	topic.Partitions[0].Epoch = 1
	p, _ := g.lead(t, topic, 0)
	for _, epoch := range []penstock.Epoch{1, 3, 5} {
		next := *topic
		next.Partitions = []meta.Partition{topic.Partitions[0]}
		next.Partitions[0].Epoch = epoch
		g.apply([]*meta.Topic{&next})
		n := 2
		if epoch == 5 {
			n = 1
		}
		p.Append(request(penstock.AcksAll, batches(n)...), nil)
	}
	return p
}

// TestEpochEnd: KIP-279, as Kafka's LeaderEpochFileCache.endOffsetFor.
func TestEpochEnd(t *testing.T) {
	p := history(t)
	rows := []struct {
		asked, epoch penstock.Epoch
		end          penstock.Offset
	}{
		{penstock.NoEpoch, penstock.NoEpoch, penstock.NoOffset},
		{0, 0, 0},
		{1, 1, 20},
		{2, 1, 20},
		{3, 3, 40},
		{4, 3, 40},
		{5, 5, 50},
		{6, penstock.NoEpoch, penstock.NoOffset},
	}
	for _, row := range rows {
		if got, err := p.EpochEnd(row.asked); err != nil || got != (store.EpochStart{Epoch: row.epoch, Start: row.end}) {
			t.Errorf("epoch %d: %+v, %v; want %d at %d", row.asked, got, err, row.epoch, row.end)
		}
	}
}

// TestEpochEndBeforeFirstBatch: a leader's epoch begins where its log ended, before it appends anything.
func TestEpochEndBeforeFirstBatch(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityRelaxed)
	p, _ := g.lead(t, topic, 0)
	if got, _ := p.EpochEnd(3); got != (store.EpochStart{Epoch: 3, Start: 0}) {
		t.Errorf("an empty log: %+v", got)
	}
	p.Append(request(penstock.AcksAll, batches(1)...), nil)
	next := *topic
	next.Partitions = []meta.Partition{topic.Partitions[0]}
	next.Partitions[0].Epoch = 9
	g.apply([]*meta.Topic{&next})
	for asked, want := range map[penstock.Epoch]store.EpochStart{3: {Epoch: 3, Start: 10}, 8: {Epoch: 3, Start: 10}, 9: {Epoch: 9, Start: 10}} {
		if got, _ := p.EpochEnd(asked); got != want {
			t.Errorf("epoch %d: %+v, want %+v", asked, got, want)
		}
	}
}

// TestDiverging: KIP-320 and KIP-595, as Kafka's Partition.readRecords.
func TestDiverging(t *testing.T) {
	p := history(t)
	rows := []struct {
		from penstock.Offset
		last penstock.Epoch
		want *store.EpochStart
		err  error
	}{
		{20, 1, nil, nil},
		{10, 1, nil, nil},
		{21, 1, &store.EpochStart{Epoch: 1, Start: 20}, nil},
		{15, 2, &store.EpochStart{Epoch: 1, Start: 20}, nil},
		{30, 3, nil, nil},
		{50, 5, nil, nil},
		{45, 4, &store.EpochStart{Epoch: 3, Start: 40}, nil},
		{5, 0, &store.EpochStart{Epoch: 0, Start: 0}, nil},
		{50, 6, nil, penstock.ErrOffsetOutOfRange},
		{51, 5, nil, penstock.ErrOffsetOutOfRange},
	}
	for _, row := range rows {
		es, res, err := p.Read(ReadRequest{From: row.from, Max: 1 << 20, Epoch: penstock.NoEpoch, LastEpoch: row.last}, nil)
		if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("%d in epoch %d: %v", row.from, row.last, err)
		}
		if (res.Diverging == nil) != (row.want == nil) || res.Diverging != nil && (*res.Diverging != *row.want || len(es) > 0) {
			t.Errorf("%d in epoch %d: %+v with %d extents, want %+v", row.from, row.last, res.Diverging, len(es), row.want)
		}
	}
}

// TestReadClips: nobody reads what is not visible, and asking for it is no error while it exists.
func TestReadClips(t *testing.T) {
	p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	p.arrive(t, f, batches(1)[0])
	open := sequenced(1, 0, 0)
	open.Header.Flags = penstock.FlagTransactional
	p.arrive(t, f, open)
	p.Append(request(penstock.AcksAll, batches(2)...), nil) // 0 stable, 10 open, 20 and 30 promised
	rows := []struct {
		from penstock.Offset
		iso  Isolation
		want int
		err  error
	}{
		{0, ReadUncommitted, 2, nil},
		{0, ReadCommitted, 1, nil},
		{10, ReadUncommitted, 1, nil},
		{10, ReadCommitted, 0, nil},
		{20, ReadUncommitted, 0, nil},
		{40, ReadUncommitted, 0, nil},
		{41, ReadUncommitted, 0, penstock.ErrOffsetOutOfRange},
		{-1, ReadUncommitted, 0, penstock.ErrOffsetOutOfRange},
	}
	for _, row := range rows {
		es, res, err := p.Read(ReadRequest{From: row.from, Max: 1 << 20, Isolation: row.iso, Epoch: -1, LastEpoch: -1}, nil)
		if len(es) != row.want || !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("from %d, isolation %d: %d batches, %v", row.from, row.iso, len(es), err)
		}
		if res.HighWatermark != 20 || res.LastStable != 10 || res.Start != 0 {
			t.Errorf("from %d: %+v", row.from, res)
		}
	}
	f.start = 15 // retention went over the transaction's beginning: the last stable offset is not below the log's
	if o := p.Offsets(); o.LastStable != 15 || o.Start != 15 || o.HighWatermark != 20 {
		t.Errorf("%+v", o)
	}
	if _, _, err := p.Read(ReadRequest{From: 14, Max: 1, Epoch: -1, LastEpoch: -1}, nil); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("below the start: %v", err)
	}
}

func TestFindClips(t *testing.T) {
	p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	for i := range 4 {
		b := batches(1)
		b[0].Header.MaxTimestamp = penstock.Timestamp(100 * (i + 1))
		acks := penstock.AcksLeader
		if i == 2 {
			acks = penstock.AcksAll
		}
		p.Append(request(acks, b...), nil)
	}
	for at, want := range map[penstock.Timestamp]penstock.Offset{50: 0, 200: 10, 201: penstock.NoOffset, 400: penstock.NoOffset, 401: penstock.NoOffset} {
		if got, err := p.Find(at, ReadUncommitted); err != nil || got.Offset != want {
			t.Errorf("at %d: %+v, %v; want %d", at, got, err, want)
		}
	}
	f.log.sync(f.log.Written(), nil)
	if got, _ := p.Find(201, ReadUncommitted); got.Offset != 20 || got.Timestamp != 300 || got.Epoch != 3 {
		t.Errorf("%+v", got)
	}
}

// TestReadAllocates nothing for a reader at the tail or behind it.
func TestReadAllocates(t *testing.T) {
	p, _ := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	p.Append(request(penstock.AcksLeader, batches(3)...), nil)
	dst := make([]penstock.Extent, 0, 8)
	n := testing.AllocsPerRun(100, func() {
		for _, from := range []penstock.Offset{0, 30} {
			if _, _, err := p.Read(ReadRequest{From: from, Max: 1 << 20, Epoch: 3, LastEpoch: -1}, dst); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
