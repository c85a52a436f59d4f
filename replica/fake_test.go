package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/store"
)

// fakeLog is a log of which the test says when it becomes durable. Marks are bytes, so that nobody takes them for offsets.
type fakeLog struct {
	mu      sync.Mutex
	written store.Mark
	synced  store.Mark
	notify  func(store.Mark, error)
	commits int
}

func (l *fakeLog) Written() store.Mark { l.mu.Lock(); defer l.mu.Unlock(); return l.written }
func (l *fakeLog) Synced() store.Mark  { l.mu.Lock(); defer l.mu.Unlock(); return l.synced }
func (l *fakeLog) Commit()             { l.mu.Lock(); defer l.mu.Unlock(); l.commits++ }

func (l *fakeLog) Notify(f func(store.Mark, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify = f
}

// sync ends a round of group commit.
func (l *fakeLog) sync(to store.Mark, err error) {
	l.mu.Lock()
	if err == nil {
		l.synced = max(l.synced, to)
	}
	synced, notify := l.synced, l.notify
	l.mu.Unlock()
	if notify != nil {
		notify(synced, err)
	}
}

// fakePartition holds headers in memory.
type fakePartition struct {
	id      penstock.PartitionID
	log     *fakeLog
	mu      sync.Mutex
	headers []penstock.BatchHeader
	start   penstock.Offset
	end     penstock.Offset
	epochs  []store.EpochStart
	config  store.Config
	fail    error // of the next appends
	stateAt penstock.Offset
	state   []byte
	kept    bool         // KeepState was called
	scans   atomic.Int32 // calls of Scan
	retains atomic.Int32
}

var (
	_ store.Partition = (*fakePartition)(nil)
	_ store.Log       = (*fakeLog)(nil)
	_ store.Store     = (*fakeStore)(nil)
)

func (p *fakePartition) ID() penstock.PartitionID { return p.id }
func (p *fakePartition) Log() store.Log           { return p.log }

func (p *fakePartition) Append(batches []penstock.Batch, epoch penstock.Epoch, now penstock.Timestamp) (store.Appended, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return store.Appended{}, p.fail
	}
	a := store.Appended{First: p.end, Time: penstock.NoTimestamp}
	for i := range batches {
		h := &batches[i].Header
		h.BaseOffset, h.Epoch = p.end, epoch
		if p.config.AppendTime {
			h.MaxTimestamp, a.Time = now, now
		}
		p.end = h.NextOffset()
		p.headers = append(p.headers, *h)
		a.Bytes += int64(h.Size)
	}
	if n := len(p.epochs); n == 0 || p.epochs[n-1].Epoch < epoch {
		p.epochs = append(p.epochs, store.EpochStart{Epoch: epoch, Start: a.First})
	}
	p.log.mu.Lock()
	p.log.written += store.Mark(a.Bytes)
	a.End = p.log.written
	p.log.mu.Unlock()
	a.Next = p.end
	return a, nil
}

func (p *fakePartition) Read(r store.ReadRequest, dst []penstock.Extent) ([]penstock.Extent, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.headers {
		if h.LastOffset() >= r.From && h.BaseOffset < r.Limit {
			dst = append(dst, penstock.Extent{Off: int64(h.BaseOffset), Len: int64(h.Size)})
		}
	}
	return dst, nil
}

func (p *fakePartition) Bounds() (start, end penstock.Offset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start, p.end
}

func (p *fakePartition) Find(t penstock.Timestamp) (store.Found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.headers {
		if h.MaxTimestamp >= t {
			return store.Found{Offset: h.BaseOffset, Timestamp: h.MaxTimestamp, Epoch: h.Epoch}, nil
		}
	}
	return store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}, nil
}

func (p *fakePartition) Scan(from penstock.Offset, visit func(*penstock.BatchHeader) error) error {
	p.scans.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.headers {
		if p.headers[i].LastOffset() >= from {
			if err := visit(&p.headers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *fakePartition) Configure(c store.Config)       { p.mu.Lock(); defer p.mu.Unlock(); p.config = c }
func (p *fakePartition) SetStart(penstock.Offset) error { return nil }
func (p *fakePartition) Truncate(penstock.Offset) error { return nil }
func (p *fakePartition) Epochs() []store.EpochStart {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.epochs)
}
func (p *fakePartition) SetEpoch(penstock.Epoch) error { return nil }
func (p *fakePartition) Stats() store.Stats            { return store.Stats{Segments: 1} }

func (p *fakePartition) Retain(_ time.Time, limit penstock.Offset) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retains.Add(1)
	if limit > p.end {
		return 0, fmt.Errorf("limit %d beyond the end %d", limit, p.end)
	}
	return 0, nil
}

func (p *fakePartition) SaveState(at penstock.Offset, state []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stateAt, p.state = at, slices.Clone(state)
	return nil
}

func (p *fakePartition) KeepState(until penstock.Offset) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stateAt, p.kept = until, true
	return nil
}

func (p *fakePartition) LoadState() (penstock.Offset, []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil && !p.kept {
		return penstock.NoOffset, nil
	}
	return p.stateAt, p.state
}

// fakeStore keeps partitions; with shared they lie on one log, as in the commit layout.
type fakeStore struct {
	mu          sync.Mutex
	parts       map[penstock.PartitionID]*fakePartition
	shared      *fakeLog
	failOpen    map[int32]error
	checkpoints int
	trims       int
	closed      int
}

func (s *fakeStore) Open(id penstock.PartitionID, c store.Config) (store.Partition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failOpen[id.Partition]; err != nil {
		return nil, err
	}
	p := s.parts[id]
	if p == nil {
		log := s.shared
		if log == nil {
			log = &fakeLog{}
		}
		p = &fakePartition{id: id, log: log, config: c}
		s.parts[id] = p
	}
	return p, nil
}

func (s *fakeStore) Remove(id penstock.PartitionID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[id] == nil {
		return errors.New("no such partition")
	}
	delete(s.parts, id)
	return nil
}

func (s *fakeStore) List() ([]penstock.PartitionID, error) { return nil, nil }
func (s *fakeStore) Checkpoint() error                     { s.mu.Lock(); defer s.mu.Unlock(); s.checkpoints++; return nil }
func (s *fakeStore) Trim()                                 { s.mu.Lock(); defer s.mu.Unlock(); s.trims++ }
func (s *fakeStore) Close() error                          { s.mu.Lock(); defer s.mu.Unlock(); s.closed++; return nil }
func (s *fakeStore) Clean() bool                           { return true }

// rig is Replicas over a fake store.
type rig struct {
	*Replicas
	store *fakeStore
	now   atomic.Int64 // ms
}

const self penstock.BrokerID = 7

func newRig(_ testing.TB) *rig {
	g := &rig{store: &fakeStore{parts: map[penstock.PartitionID]*fakePartition{}, failOpen: map[int32]error{}}}
	g.now.Store(1_700_000_000_000)
	g.Replicas = New(Options{
		Broker: self,
		Stores: map[StoreKey]store.Store{{}: g.store},
		Now:    func() time.Time { return time.UnixMilli(g.now.Load()) },
	})
	return g
}

// topicOf is a topic of n partitions that the rig's node leads in epoch 3.
func topicOf(n int, durability penstock.Durability) *meta.Topic {
	t := &meta.Topic{
		ID: penstock.TopicID{1, 2, 3}, Name: "orders",
		Settings: meta.Settings{MinInSync: 1, Durability: durability, SegmentBytes: 1 << 20, CleanupPolicy: "delete"},
	}
	for range n {
		t.Partitions = append(t.Partitions, meta.Partition{Leader: self, Epoch: 3, Replicas: []penstock.BrokerID{self}})
	}
	return t
}

// lead applies the topic and returns partition i with its fake.
func (g *rig) lead(t testing.TB, topic *meta.Topic, i int32) (*Partition, *fakePartition) {
	t.Helper()
	g.apply([]*meta.Topic{topic})
	id := penstock.PartitionID{Topic: topic.ID, Partition: i}
	p := g.Partition(id)
	if p == nil || p.Err() != nil {
		t.Fatalf("partition %d is not led", i)
	}
	return p, g.store.parts[id]
}

// batches makes batches of 10 records and 100 bytes without a producer.
func batches(n int) []penstock.Batch {
	var out []penstock.Batch
	for range n {
		out = append(out, penstock.Batch{Header: penstock.BatchHeader{
			Size: 100, Records: 10, LastDelta: 9, ProducerID: penstock.NoProducer, BaseSequence: penstock.NoSequence, MaxTimestamp: 5000,
		}})
	}
	return out
}

// sequenced makes one batch of 10 records from producer id.
func sequenced(id penstock.ProducerID, epoch int16, seq int32) penstock.Batch {
	b := batches(1)[0]
	b.Header.ProducerID, b.Header.ProducerEpoch, b.Header.BaseSequence = id, epoch, seq
	return b
}

// results collects what notify is called with.
type results struct {
	mu  sync.Mutex
	got []AppendResult
}

func (r *results) notify(res AppendResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, res)
}

func (r *results) take() []AppendResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func request(acks penstock.Acks, bs ...penstock.Batch) AppendRequest {
	return AppendRequest{Batches: bs, Acks: acks, Epoch: penstock.NoEpoch}
}
