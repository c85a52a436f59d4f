package rocket

import (
	"maps"
	"sync/atomic"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
)

// configMaxBytes bounds a stored message where a topic sets it. Its default is Kafka's and does not hold for messages.
const configMaxBytes = "max.message.bytes"

// perm is what clients may do with a topic.
type perm int32

// The permissions, with RocketMQ's bits.
const (
	permInherit perm = meta.PermInherit // topics created by sending take its settings
	permWrite   perm = meta.PermWrite
	permRead    perm = meta.PermRead
	permDefault      = permRead | permWrite
)

// routes is the way from what a request names to the queue that holds it. A table is immutable and swapped as a whole when the image
// changes, so that looking up takes no lock, and allocates nothing even from the bytes of a frame.
type routes struct {
	names map[string]*route
	ids   map[penstock.TopicID]*route
}

// route is one topic whose name RocketMQ allows. It is immutable but for the partitions found. A topic that did not change between two images
// keeps its route.
type route struct {
	name   string
	text   []byte // the name
	id     penstock.TopicID
	topic  *meta.Topic
	perm   perm
	reads  int32 // queues that consumers are told of
	writes int32 // queues that producers are told of
	order  bool
	native bool // in the message format; others need translation
	most   int  // bytes of one stored message, 0 if the topic does not say
	parts  []partRoute
	out    *metric.Tally // payload bytes to consumers
	in     traffic       // what producers sent
}

// partRoute is one partition of a route.
type partRoute struct {
	// led caches what Partitions said. It is filled on first use, because the image may be seen here before the partition is open; one that
	// has ended is looked up again.
	led atomic.Pointer[replica.Partition]
}

// byName finds a topic by the bytes of its name.
func (t *routes) byName(name []byte) *route { return t.names[string(name)] }

// partition returns a led partition, nil if there is none now.
func (f *Front) partition(r *route, queue int32) *replica.Partition {
	if queue < 0 || int(queue) >= len(r.parts) {
		return nil
	}
	pr := &r.parts[queue]
	if p := pr.led.Load(); p != nil && p.Err() == nil {
		return p
	}
	p := f.o.Partitions.Partition(penstock.PartitionID{Topic: r.id, Partition: queue})
	if p != nil {
		pr.led.Store(p)
	}
	return p
}

// follow brings the route table up to the new image. meta calls it with one image at a time.
func (f *Front) follow(_, img *meta.Image) {
	last := f.routes.Load()
	next := f.nextRoutes(last, img)
	f.routes.Store(next)
	for name := range last.names {
		if next.names[name] == nil {
			f.forgetTraffic(name)
		}
	}
}

// nextRoutes makes the table of an image out of the last one, since of thousands of topics few change at a time.
func (f *Front) nextRoutes(last *routes, img *meta.Image) *routes {
	t := &routes{names: maps.Clone(last.names), ids: maps.Clone(last.ids)}
	img.Topics(func(topic *meta.Topic) bool {
		if r := last.ids[topic.ID]; (r == nil || r.topic != topic) && visible(topic) {
			r = f.newRoute(r, topic)
			t.names[topic.Name], t.ids[topic.ID] = r, r
		}
		return true
	})
	for id, r := range last.ids {
		if img.TopicByID(id) != nil {
			continue
		}
		delete(t.ids, id)
		if t.names[r.name] == r {
			delete(t.names, r.name) // unless another topic has the name by now
		}
	}
	return t
}

// visible reports whether RocketMQ's clients see the topic: its name is one that they allow, and it is not the broker's own.
func visible(t *meta.Topic) bool { return checkTopic(t.Name) == "" && !group.Internal(t.Name) }

// newRoute makes the route of a topic; old is its route until now, nil if it is new. Partitions found stay found.
func (f *Front) newRoute(old *route, topic *meta.Topic) *route {
	reads, writes := topic.Queues()
	r := &route{
		name: topic.Name, text: []byte(topic.Name), id: topic.ID, topic: topic,
		perm:   perm(topic.Settings.Perm),
		reads:  int32(reads),
		writes: int32(writes),
		order:  topic.Settings.Order,
		native: topic.Format == penstock.FormatMessage,
		parts:  make([]partRoute, len(topic.Partitions)),
		out:    f.o.Account.Tally(brokerName, topic.Name),
		in:     f.newTraffic(topic.Name),
	}
	if topic.Configs[configMaxBytes] != "" {
		r.most = int(topic.Settings.MaxMessageBytes)
	}
	for i := range r.parts {
		if old != nil && i < len(old.parts) {
			r.parts[i].led.Store(old.parts[i].led.Load())
		}
	}
	return r
}
