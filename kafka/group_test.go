package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/disk"
)

// again is the house after a kill -9 or a power cut: the same metadata, and of the disk what survived.
func (h *house) again(power bool) *house {
	h.t.Helper()
	next := &house{t: h.t, meta: h.meta, engine: h.engine, layouts: h.layouts}
	next.disk = h.disk.Kill()
	if power {
		next.disk = h.disk.Crash(7)
	}
	h.killed = true
	h.stop()
	h.groups.Close()
	_ = h.replicas.Close()
	next.store = disk.New(next.disk, disk.Options{})
	next.raise(nil)
	return next
}

// consumer is a franz-go member of a group that counts what it is given.
type consumer struct {
	*kgo.Client
	mu   sync.Mutex
	owns map[int32]bool // guarded by mu: partitions of the topic "t"
	seen map[string]int // guarded by mu: records by value
	lost error          // guarded by mu
	end  context.CancelFunc
	done chan struct{}
}

// member joins a group and polls until the test ends or leave is called.
func (h *house) member(opts ...kgo.Opt) *consumer {
	h.t.Helper()
	r := &consumer{owns: map[int32]bool{}, seen: map[string]int{}, done: make(chan struct{})}
	note := func(own bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, c *kgo.Client, parts map[string][]int32) {
			if !own {
				_ = c.CommitUncommittedOffsets(ctx) // what it does not commit is read twice, which the test sees
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, p := range parts["t"] {
				if delete(r.owns, p); own {
					r.owns[p] = true
				}
			}
		}
	}
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(h.addr), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)), kgo.OnPartitionsLost(note(false)),
		kgo.HeartbeatInterval(20 * time.Millisecond), kgo.SessionTimeout(6 * time.Second), kgo.RebalanceTimeout(10 * time.Second),
		kgo.FetchMaxWait(50 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }),
	}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Client = c
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	go r.poll(ctx)
	h.t.Cleanup(func() { r.leave(true) })
	return r
}

func (r *consumer) poll(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		fs := r.PollFetches(ctx)
		r.mu.Lock()
		fs.EachRecord(func(rec *kgo.Record) { r.seen[string(rec.Value)]++ })
		fs.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.Canceled) {
				r.lost = err
			}
		})
		r.mu.Unlock()
	}
}

// leave closes the client; without goodbye it only stops, as a process does that is killed.
func (r *consumer) leave(goodbye bool) {
	r.end()
	<-r.done
	if goodbye {
		r.Close()
	}
}

func (r *consumer) owned() []int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.owns))
}

// shared reports whether the members own all n partitions, each once, and none nothing.
func shared(n int, members ...*consumer) bool {
	var all []int32
	for _, m := range members {
		o := m.owned()
		if len(o) == 0 {
			return false
		}
		all = append(all, o...)
	}
	slices.Sort(all)
	return len(all) == n && len(slices.Compact(all)) == n
}

// TestGroupRebalance: two members share a topic by each way of franz-go, eager and cooperative; one leaves and the other
// has all; nothing is lost and, as all is committed at a goodbye, nothing comes twice.
func TestGroupRebalance(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "", nil)
			h.topic("t", 4, nil)
			p := h.franz(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			for part := range int32(4) {
				h.produce(p, "t", part, 50)
			}
			a := h.member(kgo.Balancers(balancer))
			h.until("the first has all", func() bool { return shared(4, a) })
			b := h.member(kgo.Balancers(balancer))
			h.until("both share", func() bool { return shared(4, a, b) })
			a.leave(true)
			h.until("the second has all", func() bool { return shared(4, b) })
			h.until("all is read", func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				b.mu.Lock()
				defer b.mu.Unlock()
				n := 0
				for v := range a.seen {
					n++
					if b.seen[v] > 0 {
						t.Errorf("%s was read twice", v)
					}
				}
				return n+len(b.seen) == 200
			})
			b.leave(true)
			if a.lost != nil || b.lost != nil {
				t.Error(a.lost, b.lost)
			}
			got, err := kadm.NewClient(p).FetchOffsets(h.ctx(), "g")
			if err != nil {
				t.Fatal(err)
			}
			for part := range int32(4) {
				if o, ok := got.Lookup("t", part); !ok || o.At != 50 {
					t.Errorf("partition %d: %+v", part, o)
				}
			}
		})
	}
}

// TestGroupStatic: a static member that comes back within its session has its partitions again, and nobody rebalances (KIP-345).
func TestGroupStatic(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 4, nil)
	a := h.member(kgo.InstanceID("one"), kgo.Balancers(kgo.RangeBalancer()))
	h.until("the first has all", func() bool { return shared(4, a) })
	b := h.member(kgo.InstanceID("two"), kgo.Balancers(kgo.RangeBalancer()))
	h.until("both share", func() bool { return shared(4, a, b) })
	_, before := b.GroupMetadata()
	had := b.owned()
	b.leave(true) // a static member says no goodbye to the group
	c := h.member(kgo.InstanceID("two"), kgo.Balancers(kgo.RangeBalancer()))
	h.until("it is back", func() bool { return slices.Equal(c.owned(), had) })
	id, after := c.GroupMetadata()
	if before != after || !shared(4, a, c) {
		t.Errorf("generation %d became %d", before, after)
	}
	d, err := kadm.NewClient(h.franz()).DescribeGroups(h.ctx(), "g")
	if err != nil || d["g"].State != "Stable" || len(d["g"].Members) != 2 {
		t.Fatalf("%+v %v", d, err)
	}
	for _, m := range d["g"].Members {
		if *m.InstanceID == "two" && m.MemberID != id || m.ClientHost != "/127.0.0.1" {
			t.Errorf("%+v, the client is %s", m, id)
		}
	}
}

// TestGroupResume: what was committed before a kill -9, and before a power cut, counts after it, and the members go on.
func TestGroupResume(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 2, nil)
	for life := range 3 {
		p := h.franz(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		h.produce(p, "t", 0, 30)
		h.produce(p, "t", 1, 30)
		a := h.member(kgo.DisableAutoCommit())
		want := 60
		h.until("what is new is read", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			n := 0
			for _, k := range a.seen {
				n += k
			}
			if n > want {
				t.Fatalf("life %d: %d records read, %d are new", life, n, want)
			}
			return n == want
		})
		if err := a.CommitUncommittedOffsets(h.ctx()); err != nil {
			t.Fatal(err)
		}
		a.leave(false)
		t.Cleanup(a.Close)
		h = h.again(life%2 == 1)
		got, err := kadm.NewClient(h.franz()).FetchOffsets(h.ctx(), "g")
		if err != nil {
			t.Fatal(err)
		}
		for part := range int32(2) {
			if o, _ := got.Lookup("t", part); o.At != int64(30*(life+1)) {
				t.Fatalf("life %d, partition %d: %+v", life, part, o)
			}
		}
		h.dropMembers("g") // that of the last life is gone for good
	}
}

// dropMembers takes all members out of a group, as an administrator does.
func (h *house) dropMembers(name string) {
	h.t.Helper()
	d, err := h.groups.Describe(name)
	if err != nil {
		h.t.Fatal(err)
	}
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Group = name
	for _, m := range d.Members {
		lm := kmsg.NewLeaveGroupRequestMember()
		lm.MemberID = m.ID
		q.Members = append(q.Members, lm)
	}
	resp := h.ask(q, 5).(*kmsg.LeaveGroupResponse)
	for _, m := range resp.Members {
		if m.ErrorCode != 0 {
			h.t.Fatalf("%+v", resp)
		}
	}
}
