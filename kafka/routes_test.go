package kafka

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"penstock"
	"penstock/meta"
	"penstock/meta/metatest"
)

// TestRoutesTwin: after any changes of metadata the table holds exactly the image's topics, by name and by id; topics
// that did not change keep their route; and tables handed out before are as they were.
func TestRoutesTwin(t *testing.T) {
	store, _ := metatest.Open(t)
	f := New(Options{Topics: store, Partitions: nowhere{}})
	rng := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		before := f.routes.Load()
		size := len(before.names)
		name := fmt.Sprintf("t%d", rng.IntN(8))
		topic := store.Image().Topic(name)
		var err error
		switch {
		case topic == nil:
			metatest.Topic(t, store, name, 1+rng.IntN(3), nil)
		case rng.IntN(2) == 0:
			err = store.DeleteTopic(t.Context(), topic.ID)
		default:
			err = store.SetConfigs(t.Context(), topic.ID, func(map[string]string) (map[string]string, error) {
				return map[string]string{"max.message.bytes": fmt.Sprint(1000 + rng.IntN(1000))}, nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		now, img := f.routes.Load(), store.Image()
		if len(now.names) != img.Len() || len(now.ids) != img.Len() || len(before.names) != size {
			t.Fatalf("%d names, %d ids, %d topics; the table before has %d, had %d", len(now.names), len(now.ids), img.Len(), len(before.names), size)
		}
		img.Topics(func(topic *meta.Topic) bool {
			r := now.byName([]byte(topic.Name))
			if r == nil || r != now.byID(topic.ID) || r.topic != topic || len(r.parts) != len(topic.Partitions) || r.rules.MaxBytes != topic.Settings.MaxMessageBytes {
				t.Fatalf("%s: %+v", topic.Name, r)
			}
			if old := before.ids[topic.ID]; old != nil && old.topic == topic && old != r {
				t.Fatalf("%s has a new route without a change", topic.Name)
			}
			return true
		})
	}
}

// TestRoutesKeepPartitions: what was found of a partition is kept while its leader and epoch are the same.
func TestRoutesKeepPartitions(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 2, nil)
	r := h.front.routes.Load().ids[topic.ID]
	p, _ := h.front.partition(r, 1)
	err := h.meta.SetConfigs(h.ctx(), topic.ID, func(map[string]string) (map[string]string, error) {
		return map[string]string{"retention.ms": "5"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if next := h.front.routes.Load().ids[topic.ID]; next == r || p == nil || next.parts[1].led.Load() != p || next.parts[0].led.Load() != nil {
		t.Error("a change of configuration lost a partition, or the route is the same")
	}
	if err := h.meta.Elect(h.ctx(), 0); err != nil {
		t.Fatal(err)
	}
	if next := h.front.routes.Load().ids[topic.ID]; next.parts[1].led.Load() != nil {
		t.Error("a new epoch kept a partition")
	}
}

// TestLookUpAllocates: finding a topic by the bytes of its name, or by its id, allocates nothing.
func TestLookUpAllocates(t *testing.T) {
	table := tableOf(map[string]penstock.TopicID{"a-topic": {1}})
	name := []byte("a-topic")
	if n := testing.AllocsPerRun(100, func() {
		if table.byName(name) == nil || table.byID(penstock.TopicID{1}) == nil {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
