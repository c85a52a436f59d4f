package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/producer"
	"penstock/store"
)

// TestApply: partitions come, change and go with the image.
func TestApply(t *testing.T) {
	g := newRig(t)
	topic := topicOf(40, penstock.DurabilityFsync)
	topic.Partitions[5].Leader = 99
	g.apply([]*meta.Topic{topic})
	id := func(i int32) penstock.PartitionID { return penstock.PartitionID{Topic: topic.ID, Partition: i} }
	n := 0
	g.Each(func(*Partition) bool { n++; return true })
	if n != 39 || g.Partition(id(5)) != nil || g.Partition(id(0)) == nil || g.Partition(id(40)) != nil || g.figures.partitions.Value() != 39 {
		t.Fatalf("%d partitions led", n)
	}
	first := g.Partition(id(0))

	next := *topic
	next.Partitions = slices.Clone(topic.Partitions)
	next.Partitions[5].Leader = self
	next.Partitions[6].Leader = 99
	next.Partitions = append(next.Partitions, meta.Partition{Leader: self, Epoch: 1})
	next.Settings.SegmentBytes = 4711
	six := g.Partition(id(6))
	g.apply([]*meta.Topic{&next})
	if g.Partition(id(5)) == nil || g.Partition(id(40)) == nil || g.Partition(id(6)) != nil || g.Partition(id(0)) != first {
		t.Error("the change was not followed")
	}
	if c := g.store.parts[id(0)].config; c.SegmentBytes != 4711 {
		t.Errorf("configuration not taken over: %+v", c)
	}
	if res, done := six.Append(request(penstock.AcksAll, batches(1)...), nil); !done || !errors.Is(res.Err, penstock.ErrClosed) {
		t.Errorf("append to what is led elsewhere: %+v", res)
	}
	if g.store.parts[id(6)] == nil {
		t.Error("a partition led elsewhere was deleted")
	}

	g.apply(nil)
	if len(g.store.parts) != 0 || len(g.ledgers) != 0 || g.figures.partitions.Value() != 0 {
		t.Errorf("%d partitions and %d ledgers left of a deleted topic", len(g.store.parts), len(g.ledgers))
	}
	if _, _, err := first.Read(ReadRequest{Epoch: -1, LastEpoch: -1}, nil); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("read of a deleted partition: %v", err)
	}
	if _, err := first.Find(0, ReadUncommitted); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("look-up in a deleted partition: %v", err)
	}
	if _, err := first.EpochEnd(0); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("epochs of a deleted partition: %v", err)
	}
}

// TestOpenFails: a partition that cannot be opened answers with the reason, the others work, and it is tried again.
func TestOpenFails(t *testing.T) {
	g := newRig(t)
	g.store.failOpen[1] = fmt.Errorf("segment 0: %w", penstock.ErrCorrupt)
	topic := topicOf(3, penstock.DurabilityRelaxed)
	g.apply([]*meta.Topic{topic})
	bad := g.Partition(penstock.PartitionID{Topic: topic.ID, Partition: 1})
	if !errors.Is(bad.Err(), penstock.ErrCorrupt) || g.figures.failed.Value() != 1 {
		t.Fatalf("%v, %d failed", bad.Err(), g.figures.failed.Value())
	}
	if res, done := bad.Append(request(penstock.AcksAll, batches(1)...), nil); !done || !errors.Is(res.Err, penstock.ErrCorrupt) {
		t.Errorf("%+v", res)
	}
	if _, _, err := bad.Read(ReadRequest{Epoch: -1, LastEpoch: -1}, nil); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if o := bad.Offsets(); o.End != penstock.NoOffset || bad.Stats() != (store.Stats{}) {
		t.Errorf("%+v", o)
	}
	w := newPoll(1)
	bad.Wait(w.Waiter, 0, ReadUncommitted)
	<-w.fired
	good := g.Partition(penstock.PartitionID{Topic: topic.ID, Partition: 2})
	if res, _ := good.Append(request(penstock.AcksAll, batches(1)...), nil); res.Err != nil {
		t.Errorf("%+v", res)
	}
	g.reopen()
	if g.Partition(bad.ID()) != bad {
		t.Error("replaced although it still fails")
	}
	g.store.failOpen = nil
	g.reopen()
	again := g.Partition(bad.ID())
	if again == bad || again.Err() != nil || g.figures.failed.Value() != 0 {
		t.Errorf("not opened again: %v", again.Err())
	}
	if !errors.Is(bad.Err(), penstock.ErrClosed) {
		t.Errorf("who holds the old one is not told: %v", bad.Err())
	}
	g.apply(nil)
	if g.Partition(bad.ID()) != nil || !errors.Is(again.Err(), penstock.ErrClosed) {
		t.Error("the new one did not go with its topic")
	}
}

// TestNoStore: a layout that the node has no store for is that topic's trouble only.
func TestNoStore(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityFsync)
	topic.Layout = penstock.LayoutCommit
	g.apply([]*meta.Topic{topic})
	if p := g.Partition(penstock.PartitionID{Topic: topic.ID}); !errors.Is(p.Err(), penstock.ErrInvalidConfig) {
		t.Errorf("%v", p.Err())
	}
	g.apply(nil)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// TestClose: promises fail, waiters fire, states are saved, stores are closed, once.
func TestClose(t *testing.T) {
	g := newRig(t)
	p, f := g.lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	var heard results
	p.Append(request(penstock.AcksAll, sequenced(1, 0, 0)), heard.notify)
	w := newPoll(1)
	p.Wait(w.Waiter, 0, ReadUncommitted)
	for range 2 {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := heard.take(); len(got) != 1 || !errors.Is(got[0].Err, penstock.ErrClosed) || !w.has() {
		t.Errorf("%+v, waiter %v", got, w.has())
	}
	f.log.sync(f.log.Written(), nil)
	if got := heard.take(); len(got) != 0 {
		t.Errorf("told twice: %+v", got)
	}
	if s, err := producer.Decode(f.state); err != nil || s.Len() != 1 || f.stateAt != 10 || g.store.closed != 1 {
		t.Errorf("%v at %d, %v, closed %d times", s, f.stateAt, err, g.store.closed)
	}
	g.apply([]*meta.Topic{topicOf(2, penstock.DurabilityFsync)})
	if len(g.store.parts) != 1 {
		t.Error("applied after the end")
	}
}

// TestRecovery: producers come from the saved state and the batches behind it; those before it are not read again.
func TestRecovery(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityRelaxed)
	p, f := g.lead(t, topic, 0)
	for i := range int32(6) {
		p.Append(request(penstock.AcksAll, sequenced(1, 0, 10*i)), nil)
	}
	p.unsaved = saveEvery
	g.checkpoint(t.Context())
	if f.stateAt != 60 || g.store.checkpoints != 1 {
		t.Fatalf("state saved at %d, %d checkpoints", f.stateAt, g.store.checkpoints)
	}
	p.Append(request(penstock.AcksAll, sequenced(2, 0, 0)), nil)
	p.Append(request(penstock.AcksAll, sequenced(1, 0, 60)), nil)
	for i := range f.headers[:6] {
		f.headers[i].BaseSequence = 1 << 20 // would confuse whoever reads them again
	}
	second := newRig(t)
	second.store.parts[f.id] = f
	p, _ = second.lead(t, topic, 0)
	for _, row := range []struct {
		b    penstock.Batch
		want penstock.Offset // NoOffset: appended
	}{
		{sequenced(1, 0, 10), penstock.NoOffset - 1},
		{sequenced(1, 0, 20), 20},
		{sequenced(1, 0, 60), 70},
		{sequenced(2, 0, 0), 60},
		{sequenced(1, 0, 70), penstock.NoOffset},
	} {
		res, _ := p.Append(request(penstock.AcksAll, row.b), nil)
		switch row.want {
		case penstock.NoOffset:
			if res.Err != nil || res.Duplicate {
				t.Errorf("%+v: %+v", row.b.Header, res)
			}
		case penstock.NoOffset - 1:
			if !errors.Is(res.Err, penstock.ErrOutOfOrderSequence) {
				t.Errorf("%+v: %+v", row.b.Header, res)
			}
		default:
			if !res.Duplicate || res.First != row.want {
				t.Errorf("%+v: %+v, want duplicate of %d", row.b.Header, res, row.want)
			}
		}
	}
}

// TestRecoveryFromTheMiddle: a batch that the log's start cuts in two is still one that its producer appended.
func TestRecoveryFromTheMiddle(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityRelaxed)
	f := &fakePartition{id: penstock.PartitionID{Topic: topic.ID}, log: &fakeLog{}}
	for i := range int32(2) {
		if _, err := f.Append([]penstock.Batch{sequenced(1, 0, 10*i)}, 3, 0); err != nil {
			t.Fatal(err)
		}
	}
	f.start, f.log.synced = 15, f.log.written
	g.store.parts[f.id] = f
	p, _ := g.lead(t, topic, 0)
	if res, _ := p.Append(request(penstock.AcksAll, sequenced(1, 0, 10)), nil); !res.Duplicate || res.First != 10 {
		t.Errorf("%+v", res)
	}
	if res, _ := p.Append(request(penstock.AcksAll, sequenced(1, 0, 30)), nil); !errors.Is(res.Err, penstock.ErrOutOfOrderSequence) {
		t.Errorf("%+v", res)
	}
}

// TestRecoveryOfTransactions: the last stable offset of a log that was written elsewhere, with an open transaction.
func TestRecoveryOfTransactions(t *testing.T) {
	const txn, marker = penstock.FlagTransactional, penstock.FlagTransactional | penstock.FlagControl
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityRelaxed)
	f := &fakePartition{id: penstock.PartitionID{Topic: topic.ID}, log: &fakeLog{}}
	for _, b := range []struct {
		id    penstock.ProducerID
		flags penstock.BatchFlags
	}{{1, txn}, {2, txn}, {1, marker}, {3, 0}, {1, txn}} {
		x := sequenced(b.id, 0, 0)
		x.Header.Flags = b.flags
		if _, err := f.Append([]penstock.Batch{x}, 3, 0); err != nil {
			t.Fatal(err)
		}
	}
	f.log.synced = f.log.written
	g.store.parts[f.id] = f
	p, _ := g.lead(t, topic, 0)
	if o := p.Offsets(); o.LastStable != 10 || o.HighWatermark != 50 {
		t.Errorf("%+v", o)
	}
}

// TestTailIsMadeDurable: what a killed process left in the page cache is shown only when it is on disk.
func TestTailIsMadeDurable(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityFsync)
	f := &fakePartition{id: penstock.PartitionID{Topic: topic.ID}, log: &fakeLog{}}
	if _, err := f.Append(batches(2), 3, 0); err != nil {
		t.Fatal(err)
	}
	g.store.parts[f.id] = f
	applied := make(chan struct{})
	go func() {
		g.apply([]*meta.Topic{topic})
		close(applied)
	}()
	for {
		f.log.mu.Lock()
		asked := f.log.commits > 0
		f.log.mu.Unlock()
		if asked {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if g.Partition(f.id) != nil {
		t.Error("led before the tail is durable")
	}
	f.log.sync(f.log.Written(), nil)
	<-applied
	if o := g.Partition(f.id).Offsets(); o.HighWatermark != 20 {
		t.Errorf("%+v", o)
	}
}

// TestUpkeep runs the loop with short intervals until each of its duties was done.
func TestUpkeep(t *testing.T) {
	g := newRig(t)
	g.o.RetentionEvery, g.o.CheckpointEvery, g.o.TrimEvery = time.Millisecond, time.Millisecond, time.Millisecond
	p, f := g.lead(t, topicOf(1, penstock.DurabilityRelaxed), 0)
	p.Append(request(penstock.AcksAll, sequenced(1, 0, 0)), nil)
	g.now.Add(25 * 3600 * 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		g.Upkeep(ctx)
		close(ended)
	}()
	done := func() bool {
		g.store.mu.Lock()
		defer g.store.mu.Unlock()
		p.ledger.mu.Lock()
		defer p.ledger.mu.Unlock()
		return g.store.checkpoints > 1 && g.store.trims > 1 && f.retains.Load() > 1 && p.producers.Len() == 0
	}
	for !done() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
}

// TestConfig: a topic's zeros are said, a store's mean the default.
func TestConfig(t *testing.T) {
	full := meta.Settings{
		SegmentBytes: 1, SegmentAge: 2, SegmentJitter: 3, IndexBytes: 4, IndexInterval: 5, RetentionAge: 6, RetentionBytes: 7,
		FileDeleteDelay: 8, Preallocate: true, MaxMessageBytes: 9, AppendTime: true, TimestampBefore: 10, TimestampAfter: 11,
		CleanupPolicy: "compact,delete", IndexKeys: true,
	}
	want := store.Config{
		SegmentBytes: 1, SegmentAge: 2, SegmentJitter: 3, IndexBytes: 4, IndexInterval: 5, RetentionAge: 6, RetentionBytes: 7,
		FileDeleteDelay: 8, AppendTime: true, TimestampBefore: 10, TimestampAfter: 11, MaxBatchBytes: 9, IndexKeys: true,
	}
	if got := configOf(&full); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	zero := configOf(&meta.Settings{CleanupPolicy: "delete"})
	if zero.RetentionAge <= 0 || zero.RetentionBytes <= 0 || zero.FileDeleteDelay <= 0 || zero.IndexInterval <= 0 || zero.SegmentAge <= 0 || !zero.NoPreallocate {
		t.Errorf("a zero became a default: %+v", zero)
	}
	if c := configOf(&meta.Settings{CleanupPolicy: "compact", RetentionAge: time.Hour, RetentionBytes: 1}); c.RetentionAge >= 0 || c.RetentionBytes > 0 {
		t.Errorf("a compacted topic loses its old records: %+v", c)
	}
}

// TestErrorsNameThePartition: an error that reaches a log line says whose it is.
func TestErrorsNameThePartition(t *testing.T) {
	p, _ := newRig(t).lead(t, topicOf(1, penstock.DurabilityRelaxed), 0)
	p.Append(request(penstock.AcksAll, sequenced(1, 1, 0)), nil)
	r := request(penstock.AcksAll, sequenced(1, 0, 0))
	for _, epoch := range []penstock.Epoch{penstock.NoEpoch, 1, 9} {
		r.Epoch = epoch
		if res, _ := p.Append(r, nil); res.Err == nil || !strings.Contains(res.Err.Error(), p.ID().String()) {
			t.Errorf("epoch %d: %v", epoch, res.Err)
		}
	}
}
