package replica

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/meta"
	"penstock/producer"
	"penstock/record"
	"penstock/store"
	"penstock/store/commit"
	"penstock/store/segment"
)

// produced makes a validated batch of n records of a producer, with a tag as its value.
func produced(t testing.TB, id penstock.ProducerID, seq int32, n int32, tag uint64) penstock.Batch {
	t.Helper()
	var records []byte
	for i := range n {
		r := kmsg.Record{OffsetDelta: i, Value: binary.BigEndian.AppendUint64(nil, tag)}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
	}
	b := kmsg.RecordBatch{
		Magic: 2, PartitionLeaderEpoch: -1, LastOffsetDelta: n - 1, NumRecords: n,
		FirstTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_000,
		ProducerID: int64(id), FirstSequence: seq, Records: records,
	}
	if id == penstock.NoProducer {
		b.ProducerEpoch, b.FirstSequence = -1, -1
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	out, err := record.Validate(raw, record.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// node is the real store under Replicas, on a disk that can crash.
type node struct {
	*Replicas
	disk *disk.Disk
}

func startNode(t testing.TB, fsys disk.FS, topics ...*meta.Topic) *node {
	t.Helper()
	d := disk.New(fsys, disk.Options{})
	s, err := segment.New(d, record.Format{}, segment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := commit.New(d, record.Format{}, commit.Options{FileBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{disk: d, Replicas: New(Options{Broker: self, Stores: map[StoreKey]store.Store{{}: s, {Layout: penstock.LayoutCommit}: c}})}
	n.apply(topics)
	return n
}

func (n *node) stop(t testing.TB) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.disk.Close(); err != nil {
		t.Fatal(err)
	}
}

// abandon stops a node whose disk has crashed: what it still does matters to nobody.
func (n *node) abandon() {
	_ = n.Close()
	_ = n.disk.Close()
}

func realTopic(durability penstock.Durability, epoch penstock.Epoch) *meta.Topic {
	t := topicOf(1, durability)
	t.ID = penstock.TopicID{byte(durability) + 1}
	t.Partitions[0].Epoch = epoch
	t.Settings = meta.Settings{
		MinInSync: 1, Durability: durability, SegmentBytes: 2 << 10, SegmentAge: 7 * 24 * time.Hour, IndexBytes: 1 << 20,
		IndexInterval: 256, RetentionAge: -1, RetentionBytes: -1, FileDeleteDelay: time.Hour, MaxMessageBytes: 1 << 20, CleanupPolicy: "delete",
	}
	return t
}

// contents reads all that is visible: the tag of the batch at each offset where one begins.
func contents(t testing.TB, p *Partition) map[penstock.Offset]uint64 {
	t.Helper()
	got := map[penstock.Offset]uint64{}
	for at := p.Offsets().Start; at < p.Offsets().HighWatermark; {
		es, _, err := p.Read(ReadRequest{From: at, Max: 1 << 20, Whole: true, Epoch: -1, LastEpoch: -1}, nil)
		if err != nil || len(es) == 0 {
			t.Fatalf("read at %d of %+v: %d extents, %v", at, p.Offsets(), len(es), err)
		}
		for _, e := range es {
			b := make([]byte, e.Len)
			if _, err := e.File.ReadAt(b, e.Off); err != nil {
				t.Fatal(err)
			}
			e.Release()
			for len(b) > 0 {
				h, err := record.Format{}.Header(b)
				if err == nil {
					err = record.Format{}.Verify(b[:h.Size])
				}
				if err != nil || h.BaseOffset != at {
					t.Fatalf("at %d: batch of %d, %v", at, h.BaseOffset, err)
				}
				w := record.Walk(b[:h.Size])
				var r record.Record
				w.Next(&r)
				got[at] = binary.BigEndian.Uint64(r.Value)
				at, b = h.NextOffset(), b[h.Size:]
			}
		}
	}
	return got
}

// claim is what somebody outside knows of the log before a crash.
type claim struct {
	mu     sync.Mutex
	life   penstock.Epoch             // answers that come from an earlier one come too late to count
	known  map[penstock.Offset]uint64 // acknowledged, or seen by a reader, of what was promised
	seq    int32                      // of the producer's next batch
	last   penstock.Batch             // the producer's last batch that was acknowledged, by its header
	lastAt penstock.Offset
}

// TestCrash loops through power cuts and kills, by seed, in the layouts in turn. After each: what was acknowledged is there, what was promised and
// read is there, the producer's last batch is known as a duplicate, and its next is accepted.
func TestCrash(t *testing.T) {
	seeds := uint64(60)
	if n, err := strconv.ParseUint(os.Getenv("STORETEST_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashSeed(t, seed) })
	}
}

func crashSeed(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	fsys := disktest.New()
	c := &claim{known: map[penstock.Offset]uint64{}}
	for life := range penstock.Epoch(4) {
		topic := realTopic(penstock.DurabilityFsync, life)
		topic.Layout = penstock.Layout(seed % 2)
		n := startNode(t, fsys, topic)
		p := n.Partition(penstock.PartitionID{Topic: topic.ID})
		if p.Err() != nil {
			t.Fatalf("life %d: %v", life, p.Err())
		}
		c.check(t, p)
		c.live(t, n, p, r, uint64(life)<<32)
		c.mu.Lock() // nothing is acknowledged while the power goes
		c.life++
		if r.IntN(3) == 0 {
			fsys = fsys.Kill()
		} else {
			fsys = fsys.Crash(r.Uint64())
		}
		c.mu.Unlock()
		n.abandon()
	}
}

// check holds the log against what is known of it.
func (c *claim) check(t *testing.T, p *Partition) {
	t.Helper()
	got := contents(t, p)
	for off, tag := range c.known {
		if got[off] != tag {
			t.Fatalf("batch %x at %d was acknowledged or read and is %x now; %+v", tag, off, got[off], p.Offsets())
		}
	}
	c.again(t, p)
	// Batches that were sent and not acknowledged may be there or not: the producer finds out as a real one does, by
	// the sequence that is accepted. Those that are there have been made durable by the start.
	c.seq = 0
	after := penstock.NoOffset
	if c.last.Bytes != nil {
		c.seq, after = c.last.Header.BaseSequence+c.last.Header.LastDelta+1, c.lastAt
	}
	for _, off := range slices.Sorted(maps.Keys(got)) {
		if tag := got[off]; off > after && tag&idempotentTag != 0 {
			records := int32(tag >> 8 & 0xf)
			c.known[off] = tag
			c.last, c.lastAt = produced(t, 1, c.seq, records, tag), off
			c.seq += records
		}
	}
	c.again(t, p)
}

// again sends the last acknowledged batch once more.
func (c *claim) again(t *testing.T, p *Partition) {
	t.Helper()
	if c.last.Bytes == nil {
		return
	}
	again := c.last
	again.Bytes = append([]byte(nil), c.last.Bytes...)
	wait := make(chan AppendResult, 1)
	res, done := p.Append(request(penstock.AcksAll, again), func(res AppendResult) { wait <- res })
	if !done {
		res = <-wait
	}
	if res.Err != nil || !res.Duplicate || res.First != c.lastAt {
		t.Fatalf("the last batch again: %+v, want a duplicate of %d", res, c.lastAt)
	}
}

// idempotentTag marks the tag of a batch that has a producer; its number of records is in the bits from 8.
const idempotentTag = 1 << 63

// live does some work on the partition.
func (c *claim) live(t *testing.T, n *node, p *Partition, r *rand.Rand, tag uint64) {
	t.Helper()
	var wg sync.WaitGroup
	life := c.life
	// With four in flight the last one that was acknowledged is among the five that the log knows.
	flight := make(chan struct{}, producer.Window-1)
	for range cap(flight) {
		flight <- struct{}{}
	}
	for i := range r.IntN(40) {
		records := int32(1 + r.IntN(5))
		tag := tag | uint64(records)<<8 | uint64(i)<<16
		switch r.IntN(8) {
		case 0:
			p.Append(request(penstock.AcksLeader, produced(t, penstock.NoProducer, 0, records, tag)), nil)
		case 1:
			n.checkpoint(t.Context())
		case 2:
			if err := p.save(true); err != nil {
				t.Fatal(err)
			}
		case 3:
			wg.Wait()
		default:
			tag |= idempotentTag
			b := produced(t, 1, c.seq, records, tag)
			sent := penstock.Batch{Header: b.Header, Bytes: append([]byte(nil), b.Bytes...)}
			c.seq += records
			wg.Add(1)
			<-flight
			notify := func(res AppendResult) {
				c.acked(life, sent, tag, res)
				flight <- struct{}{}
				wg.Done()
			}
			if res, done := p.Append(request(penstock.AcksAll, b), notify); done {
				if res.Err != nil {
					t.Fatalf("%+v", res)
				}
				notify(res) // a round of group commit under way took the batch with it
			}
		}
		if i%4 == 0 {
			c.read(t, p)
		}
	}
	if r.IntN(2) == 0 {
		wg.Wait()
	}
}

func (c *claim) acked(life penstock.Epoch, b penstock.Batch, tag uint64, res AppendResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if res.Err != nil || life != c.life {
		return
	}
	c.known[res.First] = tag
	if res.First > c.lastAt || c.last.Bytes == nil {
		c.last, c.lastAt = b, res.First
	}
}

// read notes what a reader sees. What was sent with acks=1 may be lost later, and what was promised may not.
func (c *claim) read(t *testing.T, p *Partition) {
	got := contents(t, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	for off, tag := range got {
		if tag&idempotentTag != 0 {
			c.known[off] = tag
		}
	}
}

// TestRestart: after a clean stop all five batches of a producer are known, in the order of their sequences.
func TestRestart(t *testing.T) {
	fsys := disktest.New()
	topic := realTopic(penstock.DurabilityFsync, 0)
	n := startNode(t, fsys, topic)
	id := penstock.PartitionID{Topic: topic.ID}
	var wg sync.WaitGroup
	for i := range int32(6) {
		wg.Add(1)
		if _, done := n.Partition(id).Append(request(penstock.AcksAll, produced(t, 9, 10*i, 10, 1)), func(AppendResult) { wg.Done() }); done {
			wg.Done()
		}
	}
	wg.Wait()
	n.stop(t)
	n = startNode(t, fsys, topic)
	for i := range int32(6) {
		res, done := n.Partition(id).Append(request(penstock.AcksAll, produced(t, 9, 10*i, 10, 1)), nil)
		if want := penstock.Offset(10 * i); !done || res.Duplicate != (i > 0) || i > 0 && res.First != want || (res.Err == nil) != (i > 0) {
			t.Errorf("batch %d: %+v %v", i, res, done)
		}
	}
	if res, _ := n.Partition(id).Append(request(penstock.AcksLeader, produced(t, 9, 60, 1, 1)), nil); res.Err != nil || res.First != 60 {
		t.Errorf("the next: %+v", res)
	}
	n.stop(t)
}

// TestOfflineDisk: a sync that fails tells everybody who waits, and reading goes on.
func TestOfflineDisk(t *testing.T) {
	fsys := disktest.New()
	topic := realTopic(penstock.DurabilityFsync, 0)
	n := startNode(t, fsys, topic)
	p := n.Partition(penstock.PartitionID{Topic: topic.ID})
	p.Append(request(penstock.AcksLeader, produced(t, penstock.NoProducer, 0, 3, 1)), nil)
	fsys.Inject("sync#1=EIO")
	wait := make(chan AppendResult, 1)
	if res, done := p.Append(request(penstock.AcksAll, produced(t, 1, 0, 3, 2)), func(res AppendResult) { wait <- res }); !done {
		if res = <-wait; res.Err == nil {
			t.Errorf("%+v", res)
		}
	}
	if got := contents(t, p); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if res, _ := p.Append(request(penstock.AcksLeader, produced(t, penstock.NoProducer, 0, 3, 1)), nil); res.Err == nil {
		t.Error("an append after the failed sync")
	}
	n.abandon()
}

// TestMany appends from several producers at once to real logs of both durabilities, with readers and a checkpoint
// beside them, and compares the outcome with what was answered.
func TestMany(t *testing.T) {
	const producers, rounds = 6, 40
	fsys := disktest.New()
	topics := []*meta.Topic{realTopic(penstock.DurabilityFsync, 0), realTopic(penstock.DurabilityRelaxed, 0)}
	n := startNode(t, fsys, topics...)
	var mu sync.Mutex
	known := [2]map[penstock.Offset]uint64{{}, {}}
	var wg sync.WaitGroup
	for id := range penstock.ProducerID(producers) {
		wg.Go(func() {
			k := int(id) % 2
			p := n.Partition(penstock.PartitionID{Topic: topics[k].ID})
			answer := make(chan AppendResult, 1)
			for i := range int32(rounds) {
				tag := uint64(id)<<32 | uint64(i)
				res, done := p.Append(request(penstock.AcksAll, produced(t, id, 2*i, 2, tag)), func(res AppendResult) { answer <- res })
				if !done {
					res = <-answer
				}
				if res.Err != nil || res.Duplicate || p.Offsets().HighWatermark <= res.First && k == 1 {
					t.Errorf("producer %d, batch %d: %+v", id, i, res)
					return
				}
				mu.Lock()
				known[k][res.First] = tag
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				contents(t, n.Partition(penstock.PartitionID{Topic: topics[0].ID}))
				n.checkpoint(t.Context())
			}
		}
	})
	wg.Wait()
	close(stop)
	beside.Wait()
	for k, topic := range topics {
		got := contents(t, n.Partition(penstock.PartitionID{Topic: topic.ID}))
		if len(got) != len(known[k]) || len(got) != producers/2*rounds {
			t.Errorf("%s: %d batches, %d answers", topic.Settings.Durability, len(got), len(known[k]))
		}
		for off, tag := range known[k] {
			if got[off] != tag {
				t.Errorf("%s at %d: %x, want %x", topic.Settings.Durability, off, got[off], tag)
			}
		}
	}
	n.stop(t)
	if fsys.OpenFiles() != 0 {
		t.Errorf("%d files left open", fsys.OpenFiles())
	}
}
