package meta_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock"
	"penstock/meta"
	"penstock/meta/metatest"
)

// brokers is a list of broker ids, written short.
func brokers(ids ...penstock.BrokerID) []penstock.BrokerID { return ids }

func TestCreate(t *testing.T) {
	s, e := metatest.Open(t)
	before := e.Commits()
	topic, err := s.CreateTopic(t.Context(), meta.NewTopic{
		Name: "a|b", Format: penstock.FormatMessage, Partitions: 10_000, Replicas: brokers(0, 3), Configs: map[string]string{"retention.ms": "5000"},
		Epoch: 4,
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := e.Commits() - before; n != 1 {
		t.Errorf("%d transactions, want one", n)
	}
	img := s.Image()
	if img.Topic("a|b") != topic || img.TopicByID(topic.ID) != topic || img.Len() != 1 {
		t.Fatal("the image does not have the topic")
	}
	want := meta.Partition{Leader: 0, Epoch: 4, Version: 4, Replicas: brokers(0, 3), InSync: brokers(0, 3)}
	if len(topic.Partitions) != 10_000 || !reflect.DeepEqual(topic.Partitions[9_999], want) {
		t.Errorf("partition %+v, want %+v", topic.Partitions[9_999], want)
	}
	if topic.Format != penstock.FormatMessage || topic.Settings.RetentionAge != 5*time.Second || topic.ID.IsZero() {
		t.Errorf("topic %+v", topic)
	}
}

func TestCreateRefuses(t *testing.T) {
	s, _ := metatest.Open(t)
	metatest.Topic(t, s, "a.b", 1, nil)
	taken := metatest.Topic(t, s, "c", 1, nil).ID
	for _, c := range []struct {
		topic meta.NewTopic
		want  error
		text  string
	}{
		{meta.NewTopic{Name: "a.b", Partitions: 1, Replicas: brokers(0)}, penstock.ErrTopicExists, "a.b"},
		{meta.NewTopic{Name: "a_b", Partitions: 1, Replicas: brokers(0)}, penstock.ErrInvalidTopic, `collides with "a.b"`},
		{meta.NewTopic{Name: "a/b", Partitions: 1, Replicas: brokers(0)}, penstock.ErrInvalidTopic, "a/b"},
		{meta.NewTopic{Name: "d", Partitions: 0, Replicas: brokers(0)}, penstock.ErrInvalidPartitions, "0, want 1 to"},
		{meta.NewTopic{Name: "d", Partitions: meta.MaxPartitions + 1, Replicas: brokers(0)}, penstock.ErrInvalidPartitions, "100001"},
		{meta.NewTopic{Name: "d", Partitions: 1}, penstock.ErrInvalidPartitions, "0 replicas"},
		{meta.NewTopic{Name: "d", Partitions: 1, Replicas: brokers(1, 1)}, penstock.ErrInvalidPartitions, "twice"},
		{meta.NewTopic{Name: "d", Partitions: 1, Replicas: brokers(0), Epoch: -1}, penstock.ErrInvalidPartitions, "epoch -1"},
		{meta.NewTopic{Name: "d.e", Partitions: 1, Replicas: brokers(0), Format: penstock.FormatMessage}, penstock.ErrInvalidTopic, "d.e"},
		{meta.NewTopic{Name: "d|e", Partitions: 1, Replicas: brokers(0)}, penstock.ErrInvalidTopic, "d|e"},
		{meta.NewTopic{Name: "d", Partitions: 1, Replicas: brokers(0), Configs: map[string]string{"x": "y"}}, penstock.ErrInvalidConfig, "x: unknown"},
	} {
		for _, check := range []bool{true, false} {
			_, err := s.CreateTopic(t.Context(), c.topic, check)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("create %+v, check %v: %v, want %v and %q", c.topic, check, err, c.want, c.text)
			}
		}
	}
	_, err := s.CreateTopic(t.Context(), meta.NewTopic{Name: "d", ID: taken, Partitions: 1, Replicas: brokers(0)}, false)
	if !errors.Is(err, penstock.ErrTopicExists) || !strings.Contains(err.Error(), "its id") {
		t.Errorf("create with the id of another: %v", err)
	}
	if n := s.Image().Len(); n != 2 {
		t.Errorf("%d topics, want two", n)
	}
}

// TestCheckOnly shows that with check nothing is created.
func TestCheckOnly(t *testing.T) {
	s, e := metatest.Open(t)
	before := e.Commits()
	topic, err := s.CreateTopic(t.Context(), meta.NewTopic{Name: "a", Partitions: 3, Replicas: brokers(0)}, true)
	if err != nil || len(topic.Partitions) != 3 {
		t.Fatalf("%+v, %v", topic, err)
	}
	if e.Commits() != before || s.Image().Len() != 0 {
		t.Error("something was created")
	}
}

// TestSubscribersFirst shows that the creator's call returns only after subscribers saw the topic, and that nobody sees
// the image before they have.
func TestSubscribersFirst(t *testing.T) {
	s, e := metatest.Open(t)
	var seen []string
	s.Subscribe(func(old, img *meta.Image) {
		if s.Image() != old {
			t.Error("the image is published before the subscriber has seen it")
		}
		if old.Revision > img.Revision {
			t.Errorf("revision %d after %d", img.Revision, old.Revision)
		}
		img.Topics(func(topic *meta.Topic) bool {
			seen = append(seen, topic.Name) // no lock: the creator's call orders it, or the race detector complains
			return true
		})
	})
	e.Hold(true)
	created := make(chan error)
	go func() {
		_, err := s.CreateTopic(context.Background(), meta.NewTopic{Name: "a", Partitions: 1, Replicas: brokers(0)}, false)
		created <- err
	}()
	for e.Commits() < 3 { // the cluster's id, the broker, the topic
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-created:
		t.Fatalf("created before anybody heard of it: %v", err)
	default:
	}
	e.Hold(false)
	if err := <-created; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []string{"a"}) {
		t.Fatalf("subscriber saw %v when the creator had its answer", seen)
	}
}

// TestNotSeen shows what a creator hears whose change is in the engine but did not come back in time.
func TestNotSeen(t *testing.T) {
	s, e := metatest.Open(t)
	e.Hold(true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.CreateTopic(ctx, meta.NewTopic{Name: "a", Partitions: 1, Replicas: brokers(0)}, false)
	if !errors.Is(err, penstock.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	e.Hold(false)
}

func TestDelete(t *testing.T) {
	s, e := metatest.Open(t)
	topic := metatest.Topic(t, s, "a", 200, nil)
	for i := range 200 { // more states than one transaction takes
		e.Put(fmt.Sprintf("penstock/part/%s/%d", topic.ID.Hex(), i), []byte(`{"v":1,"leader":0,"epoch":5,"version":6,"replicas":[0,7]}`))
	}
	other := metatest.Topic(t, s, "b", 1, nil) // orders: the states before it have been seen
	for _, id := range []penstock.TopicID{topic.ID, other.ID} {
		if err := s.DeleteTopic(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := s.Removed(t.Context(), other.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	if s.Image().Len() != 0 || s.Image().Topic("a") != nil {
		t.Error("the topic is still there")
	}
	if err := s.DeleteTopic(t.Context(), topic.ID); !errors.Is(err, penstock.ErrUnknownTopicID) {
		t.Errorf("second deletion: %v", err)
	}
	kvs, _, err := e.Range(t.Context(), "penstock/part/")
	if err != nil || len(kvs) != 0 {
		t.Errorf("%d states of partitions left, %v", len(kvs), err)
	}
	again := metatest.Topic(t, s, "a", 1, nil)
	if again.ID == topic.ID || again.Partitions[0].Epoch != 0 {
		t.Errorf("the new topic is %+v", again)
	}
	for _, b := range brokers(0, 7) {
		if got := s.Image().Gone(b); !slices.Contains(got, topic.ID) {
			t.Errorf("broker %d is not told to delete the files: %v", b, got)
		}
		if err := s.Removed(t.Context(), topic.ID, b); err != nil {
			t.Fatal(err)
		}
		if got := s.Image().Gone(b); len(got) != 0 {
			t.Errorf("broker %d is still told: %v", b, got)
		}
	}
	if kvs, _, _ := e.Range(t.Context(), "penstock/gone/"); len(kvs) != 0 {
		t.Errorf("%d notes of deleted topics left", len(kvs))
	}
}

// TestSwept shows that a start removes what a deletion left, and only that.
func TestSwept(t *testing.T) {
	s, e := metatest.Open(t)
	topic := metatest.Topic(t, s, "a", 2, nil)
	value := []byte(`{"v":1,"leader":0,"epoch":5,"version":6,"replicas":[0]}`)
	own, left := "penstock/part/"+topic.ID.Hex()+"/1", "penstock/part/"+strings.Repeat("ab", 16)+"/0"
	e.Put(own, value)
	e.Put(left, value)
	again, err := meta.Open(t.Context(), meta.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if p := again.Image().Topic("a").Partitions; p[0].Epoch != 0 || p[1].Epoch != 5 || p[1].Version != 6 {
		t.Errorf("partitions %+v", p)
	}
	kvs, _, _ := e.Range(t.Context(), "penstock/part/")
	if len(kvs) != 1 || kvs[0].Key != own {
		t.Errorf("keys %v, want %s alone", kvs, own)
	}
}

func TestSetConfigs(t *testing.T) {
	s, _ := metatest.Open(t)
	topic := metatest.Topic(t, s, "a", 1, map[string]string{"retention.ms": "1"})
	const writers = 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			err := s.SetConfigs(context.Background(), topic.ID, func(c map[string]string) (map[string]string, error) {
				c["index.interval.bytes"] += "1" // each try must see what came before
				c["segment.ms"] = fmt.Sprint(1000 + i)
				return c, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := s.Image().Topic("a")
	if want := strings.Repeat("1", writers); got.Configs["index.interval.bytes"] != want || got.Settings.IndexInterval != 11111111 {
		t.Errorf("%v: a change was lost, want index.interval.bytes=%s", got.Configs, want)
	}
	if topic.Configs["index.interval.bytes"] != "" {
		t.Error("an image that was published has changed")
	}
	mine := errors.New("mine")
	err := s.SetConfigs(t.Context(), topic.ID, func(map[string]string) (map[string]string, error) { return nil, mine })
	if !errors.Is(err, mine) {
		t.Errorf("error of the caller's own function: %v", err)
	}
	err = s.SetConfigs(t.Context(), topic.ID, func(map[string]string) (map[string]string, error) {
		return map[string]string{"retention.ms": "x"}, nil
	})
	if !errors.Is(err, penstock.ErrInvalidConfig) {
		t.Errorf("invalid value: %v", err)
	}
	err = s.SetConfigs(t.Context(), penstock.TopicID{1}, func(c map[string]string) (map[string]string, error) { return c, nil })
	if !errors.Is(err, penstock.ErrUnknownTopicID) {
		t.Errorf("unknown topic: %v", err)
	}
}

// TestElect raises partitions by their topic's key, those with a state of their own by that, and nobody else's.
func TestElect(t *testing.T) {
	s, e := metatest.Open(t)
	for i := range 200 {
		metatest.Topic(t, s, fmt.Sprintf("t%d", i), 1, nil)
	}
	mixed := metatest.Topic(t, s, "mixed", 4, nil)
	put := func(n int, leader penstock.BrokerID) {
		e.Put(fmt.Sprintf("penstock/part/%s/%d", mixed.ID.Hex(), n),
			fmt.Appendf(nil, `{"v":1,"leader":%d,"epoch":5,"version":9,"replicas":[0,1],"in_sync":[%d]}`, leader, leader))
	}
	put(1, 0)
	put(2, 1)
	other, err := s.CreateTopic(t.Context(), meta.NewTopic{Name: "other", Partitions: 1, Replicas: brokers(1, 0)}, false)
	if err != nil {
		t.Fatal(err)
	}
	before := e.Commits()
	if err := s.Elect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := e.Commits() - before; n > 5 {
		t.Errorf("%d transactions for 201 topics", n)
	}
	img := s.Image()
	for i := range 200 {
		if p := img.Topic(fmt.Sprintf("t%d", i)).Partitions[0]; p.Epoch != 1 || p.Version != 1 {
			t.Fatalf("t%d: %+v", i, p)
		}
	}
	var got []string
	for _, p := range img.Topic("mixed").Partitions {
		got = append(got, fmt.Sprintf("%d/%d/%d", p.Leader, p.Epoch, p.Version))
	}
	if want := []string{"0/1/1", "0/6/10", "1/5/9", "0/1/1"}; !slices.Equal(got, want) {
		t.Errorf("leader/epoch/version %v, want %v", got, want)
	}
	if p := img.TopicByID(other.ID).Partitions[0]; p.Epoch != 0 {
		t.Errorf("another broker's partition was raised: %+v", p)
	}
}

func TestProducerIDs(t *testing.T) {
	s, e := metatest.Open(t)
	var mu sync.Mutex
	given := map[penstock.ProducerID]bool{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				first, err := s.ProducerIDs(context.Background(), 10)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i := range 10 {
					if id := first + penstock.ProducerID(i); given[id] {
						t.Errorf("%d was given twice", id)
					} else {
						given[id] = true
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	again, err := meta.Open(t.Context(), meta.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if first, err := again.ProducerIDs(t.Context(), 1); err != nil || given[first] {
		t.Errorf("after a restart %d, %v", first, err)
	}
	for _, c := range []struct{ skip, want penstock.ProducerID }{{5000, 5001}, {10, 5002}, {5002, 5003}, {5004, 5005}} {
		if err := s.SkipProducerIDs(t.Context(), c.skip); err != nil {
			t.Fatal(err)
		}
		if first, err := s.ProducerIDs(t.Context(), 1); err != nil || first != c.want {
			t.Errorf("after %d was skipped: %d, %v, want %d", c.skip, first, err, c.want)
		}
	}
	if err := s.SkipProducerIDs(t.Context(), 1<<63-1); err == nil {
		t.Error("the last of all ids was skipped")
	}
	if _, err := s.ProducerIDs(t.Context(), 0); err == nil {
		t.Error("a block of nothing was given")
	}
}

func TestRegister(t *testing.T) {
	s, _ := metatest.Open(t)
	b := meta.Broker{ID: 5, Rack: "r", Endpoints: map[string]string{"kafka": "h:1"}}
	var last int64
	for range 3 {
		epoch, err := s.Register(t.Context(), b)
		if err != nil || epoch <= last {
			t.Fatalf("epoch %d after %d, %v", epoch, last, err)
		}
		last = epoch
		if got := s.Image().Brokers[5]; got.Epoch != epoch || got.Rack != "r" || !maps.Equal(got.Endpoints, b.Endpoints) {
			t.Fatalf("the image shows %+v", got)
		}
	}
}

// TestAway shows that losing the engine stops changes and leaves the image, and that it comes back by itself.
func TestAway(t *testing.T) {
	s, e := metatest.Open(t)
	topic := metatest.Topic(t, s, "a", 1, nil)
	e.Fail(errors.New("gone"))
	_, create := s.CreateTopic(t.Context(), meta.NewTopic{Name: "b", Partitions: 1, Replicas: brokers(0)}, false)
	_, ids := s.ProducerIDs(t.Context(), 1)
	_, register := s.Register(t.Context(), meta.Broker{ID: 1})
	for what, err := range map[string]error{
		"create": create, "producer ids": ids, "register": register, "delete": s.DeleteTopic(t.Context(), topic.ID),
		"elect":     s.Elect(t.Context(), 0),
		"configure": s.SetConfigs(t.Context(), topic.ID, func(c map[string]string) (map[string]string, error) { return c, nil }),
	} {
		if !errors.Is(err, penstock.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", what, err, penstock.ErrUnavailable)
		}
	}
	if s.Image().Topic("a") == nil {
		t.Error("the image lost its topic")
	}
	e.Fail(nil)
	metatest.Topic(t, s, "b", 1, nil)
	if _, err := meta.Open(t.Context(), meta.Options{Engine: e, Defaults: map[string]string{"segment.ms": "x"}}); !errors.Is(err, penstock.ErrInvalidConfig) {
		t.Errorf("open with invalid defaults: %v", err)
	}
}

// TestBadValue shows that a value that cannot be read stops a start, naming its key, and while running leaves what was
// there.
func TestBadValue(t *testing.T) {
	s, e := metatest.Open(t)
	topic := metatest.Topic(t, s, "a", 1, nil)
	key := "penstock/topic/" + topic.ID.Hex()
	e.Put(key, []byte(`{"v":99}`))
	metatest.Topic(t, s, "b", 1, nil)
	if s.Image().Topic("a") == nil {
		t.Error("the topic is gone")
	}
	if _, err := meta.Open(t.Context(), meta.Options{Engine: e}); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("start: %v, want an error that names %s", err, key)
	}
}

// TestStaleConfig shows that a stored value that is not valid any more gives way to the default.
func TestStaleConfig(t *testing.T) {
	s, e := metatest.Open(t)
	topic := metatest.Topic(t, s, "a", 1, nil)
	e.Put("penstock/topic/"+topic.ID.Hex(), []byte(`{"v":1,"name":"a","partitions":1,"replicas":[0],"format":"record",
		"layout":"segment","configs":{"segment.ms":"-5","retention.ms":"7","old":"x"}}`))
	metatest.Topic(t, s, "b", 1, nil) // orders: the change before it has been seen
	got := s.Image().Topic("a").Settings
	if got.SegmentAge != 168*time.Hour || got.RetentionAge != 7*time.Millisecond {
		t.Errorf("settings %+v", got)
	}
}

// TestIncremental does random things, with watches that lag and break, and demands that the image kept up to date by changes equals
// the one read afresh.
func TestIncremental(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := &metatest.Engine{}
		defer e.Close()
		s, err := meta.Open(context.Background(), meta.Options{Engine: e})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		var last int64
		s.Subscribe(func(_, img *meta.Image) {
			if img.Revision < last {
				rt.Errorf("revision %d after %d", img.Revision, last)
			}
			last = img.Revision
		})
		for range 30 {
			step(rt, r, s, e)
		}
		metaTopic(s, "end")
		fresh, err := meta.Open(context.Background(), meta.Options{Engine: e})
		if err != nil {
			rt.Fatal(err)
		}
		defer fresh.Close()
		got, want := *s.Image(), *fresh.Image()
		got.Revision, want.Revision = 0, 0 // opening may have swept
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("image by changes\n%+v\nread afresh\n%+v", got, want)
		}
	})
}

func metaTopic(s *meta.Store, name string) {
	_, _ = s.CreateTopic(context.Background(), meta.NewTopic{Name: name, Partitions: 3, Replicas: brokers(0, 1)}, false)
}

// step does one thing; that it may be refused is part of it.
func step(rt *rapid.T, r *rand.Rand, s *meta.Store, e *metatest.Engine) {
	ctx := context.Background()
	var any *meta.Topic
	s.Image().Topics(func(t *meta.Topic) bool { any = t; return r.IntN(3) > 0 })
	switch r.IntN(11) {
	case 0, 1, 2:
		metaTopic(s, fmt.Sprintf("t%d", r.IntN(6)))
	case 3:
		if any != nil {
			_ = s.DeleteTopic(ctx, any.ID)
		}
	case 4:
		if any != nil {
			_ = s.SetConfigs(ctx, any.ID, func(map[string]string) (map[string]string, error) {
				return map[string]string{"segment.ms": fmt.Sprint(1 + r.IntN(9))}, nil
			})
		}
	case 5:
		if any != nil {
			e.Put(fmt.Sprintf("penstock/part/%s/%d", any.ID.Hex(), r.IntN(3)),
				fmt.Appendf(nil, `{"v":1,"leader":%d,"epoch":%d,"version":1,"replicas":[0,1],"in_sync":[0]}`, r.IntN(2), r.IntN(9)))
		}
	case 6:
		if err := s.Elect(ctx, penstock.BrokerID(r.IntN(2))); err != nil {
			rt.Fatal(err)
		}
	case 7:
		e.Hold(true)
		e.Put("penstock/broker/3", fmt.Appendf(nil, `{"v":1,"epoch":%d}`, r.IntN(9)))
		e.Put("penstock/broker/4", nil)
		e.Compact()
		e.Hold(false)
	case 9:
		_ = s.SetBrokerConfigs(ctx, []string{"", "0", "5"}[r.IntN(3)], func(map[string]string) (map[string]string, error) {
			if r.IntN(3) == 0 {
				return nil, nil
			}
			return map[string]string{"log.retention.ms": fmt.Sprint(r.IntN(9))}, nil
		})
	case 10:
		if any != nil {
			_ = s.AddPartitions(ctx, any.ID, len(any.Partitions)+r.IntN(3), false)
		}
	case 8:
		if _, err := s.Register(ctx, meta.Broker{ID: penstock.BrokerID(r.IntN(5))}); err != nil {
			rt.Fatal(err)
		}
	}
}
