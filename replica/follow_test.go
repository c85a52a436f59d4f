package replica

import (
	"context"
	"errors"
	"testing"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/store"
)

// gated is a store that opens and removes partitions only when it is let.
type gated struct {
	*fakeStore
	gate    chan struct{} // closed: open
	reached chan string   // what waits at it
}

func (s *gated) pass(what string) {
	select {
	case s.reached <- what:
	default:
	}
	<-s.gate
}

func (s *gated) Open(id penstock.PartitionID, c store.Config) (store.Partition, error) {
	s.pass("open")
	return s.fakeStore.Open(id, c)
}

func (s *gated) Remove(id penstock.PartitionID) error {
	s.pass("remove")
	return s.fakeStore.Remove(id)
}

func newGated(t *testing.T) (*rig, *gated) {
	g := newRig(t)
	s := &gated{g.store, make(chan struct{}), make(chan string, 1000)}
	g.o.Stores = map[StoreKey]store.Store{{}: s}
	return g, s
}

// TestFollowDoesNotWait: an image is taken note of while partitions are still being opened; they are not led until they are open, and
// Ready tells when.
func TestFollowDoesNotWait(t *testing.T) {
	g, s := newGated(t)
	topic := topicOf(40, penstock.DurabilityFsync)
	g.begin([]*meta.Topic{topic})
	<-s.reached
	id := penstock.PartitionID{Topic: topic.ID, Partition: 39}
	if g.Partition(id) != nil {
		t.Error("led before it is open")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := g.Ready(ctx, topic.ID); !errors.Is(err, penstock.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready although it is not: %v", err)
	}
	close(s.gate)
	if err := g.Ready(t.Context(), topic.ID); err != nil {
		t.Fatal(err)
	}
	if p := g.Partition(id); p == nil || p.Err() != nil {
		t.Error("not led although it is ready")
	}
	if err := g.Ready(t.Context(), penstock.TopicID{9}); err != nil {
		t.Errorf("a topic that is not known: %v", err)
	}
	g.finish()
	if n := g.figures.partitions.Value(); n != 40 {
		t.Errorf("%d partitions counted", n)
	}
}

// TestFollowKeepsOrder: a topic is created, changed, deleted and created again under its name before the first step has ended; all
// steps are done, each topic's in their order.
func TestFollowKeepsOrder(t *testing.T) {
	g, s := newGated(t)
	first := topicOf(5, penstock.DurabilityFsync)
	g.begin([]*meta.Topic{first})
	<-s.reached
	wider := topicOf(7, penstock.DurabilityRelaxed)
	g.begin([]*meta.Topic{wider})
	g.begin(nil)
	second := topicOf(3, penstock.DurabilityFsync)
	second.ID = penstock.TopicID{2}
	g.begin([]*meta.Topic{second})
	back := topicOf(2, penstock.DurabilityFsync) // the first id again
	g.begin([]*meta.Topic{second, back})
	g.begin([]*meta.Topic{second})
	close(s.gate)
	for _, id := range []penstock.TopicID{first.ID, second.ID} {
		if err := g.Ready(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	g.finish()
	if n := len(g.store.parts); n != 3 {
		t.Errorf("%d partitions in the store", n)
	}
	for i := range int32(3) {
		if p := g.Partition(penstock.PartitionID{Topic: second.ID, Partition: i}); p == nil || p.Err() != nil {
			t.Errorf("partition %d is not led", i)
		}
	}
	if g.Partition(penstock.PartitionID{Topic: first.ID}) != nil || len(g.follower.topics) != 1 || len(g.ledgers) != 3 {
		t.Errorf("left of the first: %d topics, %d ledgers", len(g.follower.topics), len(g.ledgers))
	}
}

// TestCloseWhileFollowing: what has not begun never does, what has ends first, and who waits for a topic is let go.
func TestCloseWhileFollowing(t *testing.T) {
	g, s := newGated(t)
	topic := topicOf(100, penstock.DurabilityFsync)
	g.begin([]*meta.Topic{topic})
	<-s.reached
	waited := make(chan error, 1)
	go func() { waited <- g.Ready(context.Background(), topic.ID) }()
	closed := make(chan error, 1)
	go func() { closed <- g.Close() }()
	for g.isOpen() {
		time.Sleep(time.Millisecond)
	}
	close(s.gate)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	<-waited
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if n := len(g.store.parts); n > g.o.Workers || g.store.closed != 1 {
		t.Errorf("%d partitions were opened, closed %d times", n, g.store.closed)
	}
}

// isOpen reports whether Close has not begun.
func (r *Replicas) isOpen() bool {
	r.follower.mu.Lock()
	defer r.follower.mu.Unlock()
	return !r.follower.closed
}

// TestFollowFirstImage: the present image is done when Follow returns.
func TestFollowFirstImage(t *testing.T) {
	g := newRig(t)
	img := &meta.Image{}
	g.Follow(img, img)
	if n := g.figures.partitions.Value(); n != 0 {
		t.Errorf("%d partitions", n)
	}
}

// TestRemovalWaits: what is left of a deleted topic does not keep a new one from being made.
func TestRemovalWaits(t *testing.T) {
	var f follower
	first, second := &applied{}, &applied{}
	f.removal = []job{{a: first}, {a: first}}
	f.jobs = []job{{a: second}}
	for i, want := range []*applied{second, first, first} {
		if j, ok := f.take(); !ok || j.a != want {
			t.Errorf("job %d is another", i)
		}
	}
	if _, ok := f.take(); ok || f.jobs != nil || f.removal != nil {
		t.Error("there is one more")
	}
}

// slowRemoval is a store that removes a partition only when it is let.
type slowRemoval struct {
	*fakeStore
	let chan struct{}
}

func (s *slowRemoval) Remove(id penstock.PartitionID) error {
	<-s.let
	return s.fakeStore.Remove(id)
}

// TestCreateDuringRemoval: a topic is there while the removal of a large one is held up by its disk.
func TestCreateDuringRemoval(t *testing.T) {
	g := newRig(t)
	large, small := topicOf(500, penstock.DurabilityFsync), topicOf(3, penstock.DurabilityFsync)
	small.ID, small.Name = penstock.TopicID{9}, "small"
	g.apply([]*meta.Topic{large})
	s := &slowRemoval{g.store, make(chan struct{}, 3)}
	g.o.Stores = map[StoreKey]store.Store{{}: s}
	g.begin([]*meta.Topic{})
	g.begin([]*meta.Topic{small})
	for range small.Partitions { // as many removals end; who did them makes the new topic, not another removal
		s.let <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.Ready(ctx, small.ID); err != nil {
		t.Error(err)
	}
	for i := range int32(3) {
		if p := g.Partition(penstock.PartitionID{Topic: small.ID, Partition: i}); p == nil || p.Err() != nil {
			t.Errorf("partition %d is not led", i)
		}
	}
	close(s.let)
	g.finish()
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if n := len(g.store.parts); n != 3 {
		t.Errorf("%d partitions in the store", n)
	}
}
