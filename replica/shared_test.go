package replica

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/disk/disktest"
	"penstock/meta"
)

// sharedTopic is a topic of n partitions on the shared log.
func sharedTopic(number byte, n int, durability penstock.Durability) *meta.Topic {
	t := realTopic(durability, 1)
	t.ID, t.Name, t.Layout = penstock.TopicID{number, 77}, fmt.Sprint("shared", number), penstock.LayoutCommit
	t.Settings.FileDeleteDelay = 1
	one := t.Partitions[0]
	t.Partitions = nil
	for range n {
		t.Partitions = append(t.Partitions, one)
	}
	return t
}

func (n *node) part(topic *meta.Topic, i int) *Partition {
	return n.Partition(penstock.PartitionID{Topic: topic.ID, Partition: int32(i)})
}

// TestSharedLog: many producers write to many partitions of one log at once, with and without waiting for the disk, while another topic on it
// comes and goes and readers look on. Every acknowledgement comes once; everything acknowledged is where it was said to be, before and
// after a restart; and readers of a partition see its batches in order, none before it may be seen.
func TestSharedLog(t *testing.T) {
	const producers, partitions, each = 16, 40, 60
	fsys := disktest.New()
	topics := []*meta.Topic{sharedTopic(1, partitions, penstock.DurabilityFsync), sharedTopic(2, partitions, penstock.DurabilityRelaxed)}
	passing := sharedTopic(3, 8, penstock.DurabilityFsync)
	n := startNode(t, fsys, topics...)
	type place struct {
		topic, partition int
		at               penstock.Offset
	}
	var mu sync.Mutex
	acked := map[place]uint64{}
	var work, told sync.WaitGroup
	for producer := range producers {
		work.Go(func() {
			for i := range each {
				to := place{topic: (producer + i) % 2, partition: (producer*7 + i*11) % partitions}
				tag := uint64(producer)<<32 | uint64(i)
				acks := penstock.AcksAll
				if i%5 == 0 {
					acks = penstock.AcksLeader
				}
				note := func(res AppendResult) {
					mu.Lock()
					defer mu.Unlock()
					if to.at = res.First; res.Err != nil || acked[to] != 0 {
						t.Errorf("%+v: %v, or acknowledged twice", to, res.Err)
					}
					acked[to] = tag
				}
				told.Add(1)
				res, done := n.part(topics[to.topic], to.partition).Append(AppendRequest{
					Batches: []penstock.Batch{produced(t, penstock.NoProducer, 0, 2, tag)}, Acks: acks, Epoch: penstock.NoEpoch,
				}, func(res AppendResult) { note(res); told.Done() })
				if done {
					note(res)
					told.Done()
				}
			}
		})
	}
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() { // what comes and goes
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			n.apply(append(topics[:2:2], passing))
			for p := range passing.Partitions {
				n.part(passing, p).Append(request(penstock.AcksAll, produced(t, penstock.NoProducer, 0, 1, 9)), func(AppendResult) {})
			}
			n.apply(topics)
		}
	})
	beside.Go(func() { // readers
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			contents(t, n.part(topics[i%2], i%partitions))
		}
	})
	work.Wait()
	waited := make(chan struct{})
	go func() { told.Wait(); close(waited) }()
	select {
	case <-waited:
	case <-time.After(time.Minute):
		t.Fatal("an acknowledgement is missing after a minute")
	}
	close(stop)
	beside.Wait()
	check := func(n *node) {
		t.Helper()
		batches := 0
		for i, topic := range topics {
			for p := range partitions {
				for at, tag := range contents(t, n.part(topic, p)) {
					batches++
					if acked[place{i, p, at}] != tag {
						t.Fatalf("%s partition %d has %x at %d, acknowledged was %x", topic.Name, p, tag, at, acked[place{i, p, at}])
					}
				}
			}
		}
		if batches != producers*each || len(acked) != batches {
			t.Fatalf("%d batches, %d acknowledged, want %d", batches, len(acked), producers*each)
		}
	}
	check(n)
	n.stop(t)
	again := startNode(t, fsys, topics...)
	check(again)
	again.stop(t)
}

// TestSharedRound: what waits on one log, whatever its partition, becomes durable by one round of group commit.
func TestSharedRound(t *testing.T) {
	const partitions = 100
	fsys := disktest.New()
	topic := sharedTopic(1, partitions, penstock.DurabilityFsync)
	n := startNode(t, fsys, topic)
	defer n.stop(t)
	answers := make(chan AppendResult, partitions+1)
	send := func(p int) {
		if _, done := n.part(topic, p).Append(request(penstock.AcksAll, produced(t, penstock.NoProducer, 0, 1, uint64(p))), func(r AppendResult) { answers <- r }); done {
			t.Errorf("partition %d: acknowledged although no sync has ended", p)
		}
	}
	for p := range partitions { // the first one makes a partition's files
		n.part(topic, p).Append(request(penstock.AcksLeader, produced(t, penstock.NoProducer, 0, 1, uint64(p))), nil)
	}
	fsys.Inject("sync#*=stall")
	send(0)
	fsys.WaitStalled(1)
	before := n.disk.Stats().Rounds
	for p := range partitions {
		send(p)
	}
	for p := range partitions {
		if high := n.part(topic, p).Offsets().HighWatermark; high != 1 {
			t.Errorf("partition %d shows %d records before they are durable", p, high)
		}
	}
	fsys.Heal()
	for range partitions + 1 {
		if r := <-answers; r.Err != nil {
			t.Error(r.Err)
		}
	}
	if rounds := n.disk.Stats().Rounds - before; rounds > 2 {
		t.Errorf("%d rounds for %d partitions that waited together", rounds, partitions)
	}
	if got := contents(t, n.part(topic, 99)); len(got) != 2 || got[1] != 99 {
		t.Errorf("partition 99 has %v", got)
	}
}
