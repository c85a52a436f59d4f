package kafka

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/metric"
	"penstock/record"
	"penstock/replica"
)

// routes is the way from what a request names to the partition that holds it. A table is immutable and swapped as a
// whole when the image changes, so that looking up takes no lock, and allocates nothing even from the bytes of a frame.
type routes struct {
	names map[string]*route
	ids   map[penstock.TopicID]*route
}

// route is one topic. It is immutable but for the partitions found. A topic that did not change between two images keeps its
// route, so a *route may be held over a wait; the next look-up tells whether it is still the topic's.
type route struct {
	name     string
	id       penstock.TopicID
	topic    *meta.Topic
	parts    []partRoute
	out      *metric.Tally // payload bytes to consumers
	in       traffic       // what producers sent
	rules    record.Rules  // but for the time
	messages bool          // in the message format, which is translated
	stored   bool          // of messages: their time is that of storing; else that of their birth
	internal bool          // the broker's own: clients may read it and not write to it
}

// partRoute is one partition of a route.
type partRoute struct {
	leader penstock.BrokerID
	epoch  penstock.Epoch
	// led caches what Partitions said. It is filled on first use, because the image may be seen here before the
	// partition is open; one that has ended is looked up again.
	led atomic.Pointer[replica.Partition]
}

// byName finds a topic by the bytes of its name.
func (t *routes) byName(name []byte) *route { return t.names[string(name)] }

// byID finds a topic by its id.
func (t *routes) byID(id penstock.TopicID) *route { return t.ids[id] }

// named reads what a request calls a topic, its id or its name, and finds its route. Of a topic that does not exist the
// route is nil, and its name is copied from the frame; else the name returned is empty.
func (t *routes) named(r *reader, byID bool) (found *route, name string, id penstock.TopicID) {
	if byID {
		id = r.topicID()
		return t.byID(id), "", id
	}
	b := r.text()
	if found = t.byName(b); found == nil {
		name = string(b)
	}
	return found, name, id
}

// partition returns a led partition, or the code that says why there is none.
func (f *Front) partition(r *route, index int32) (*replica.Partition, code) {
	if index < 0 || int(index) >= len(r.parts) {
		return nil, codeUnknownTopicOrPartition
	}
	pr := &r.parts[index]
	if p := pr.led.Load(); p != nil && p.Err() == nil {
		return p, codeNone
	}
	p := f.o.Partitions.Partition(penstock.PartitionID{Topic: r.id, Partition: index})
	if p == nil {
		return nil, codeNotLeaderOrFollower
	}
	pr.led.Store(p)
	return p, codeNone
}

// shownInternal reports whether clients are told that a topic is the broker's own: the journal of groups, and topics whose names Kafka does
// not allow, which RocketMQ's clients made. Clients list such topics only when asked to, and subscribe to none of them by a pattern.
func shownInternal(t *meta.Topic) bool {
	return group.Internal(t.Name) || meta.CheckName(t.Name) != nil
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

// nextRoutes makes the table of an image out of the last one. Copying maps is many times cheaper than filling them, and
// of thousands of topics few change at a time.
func (f *Front) nextRoutes(last *routes, img *meta.Image) *routes {
	t := &routes{names: maps.Clone(last.names), ids: maps.Clone(last.ids)}
	img.Topics(func(topic *meta.Topic) bool {
		if r := last.ids[topic.ID]; r == nil || r.topic != topic {
			r = f.newRoute(r, topic)
			t.names[topic.Name], t.ids[topic.ID] = r, r
		}
		return true
	})
	if len(t.ids) == img.Len() {
		return t
	}
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

// newRoute makes the route of a topic; old is its route until now, nil if it is new. Partitions whose leader did not
// change keep what was found.
func (f *Front) newRoute(old *route, topic *meta.Topic) *route {
	r := &route{
		name: topic.Name, id: topic.ID, topic: topic,
		parts:    make([]partRoute, len(topic.Partitions)),
		out:      f.o.Account.Tally(f.o.Listener, topic.Name),
		rules:    rulesOf(&topic.Settings),
		messages: topic.Format == penstock.FormatMessage,
		stored:   topic.Configs["message.timestamp.type"] == "LogAppendTime", // the settings say so of all topics of messages
		internal: shownInternal(topic) || rocketOwn[topic.Name],
	}
	r.in = f.newTraffic(topic.Name)
	for i := range r.parts {
		p := &topic.Partitions[i]
		r.parts[i].leader, r.parts[i].epoch = p.Leader, p.Epoch
		if old != nil && i < len(old.parts) && old.parts[i].leader == p.Leader && old.parts[i].epoch == p.Epoch {
			r.parts[i].led.Store(old.parts[i].led.Load())
		}
	}
	return r
}

// rulesOf turns a topic's settings into what its batches are held to. Where the broker stamps the time the producer's
// does not matter.
func rulesOf(s *meta.Settings) record.Rules {
	r := record.Rules{MaxBytes: s.MaxMessageBytes, Keys: compacted(s.CleanupPolicy)}
	if !s.AppendTime {
		r.Before, r.After = max(s.TimestampBefore, 0), max(s.TimestampAfter, 0)
	}
	return r
}

// rulesAt are the rules of the route at a time.
func (r *route) rulesAt(now time.Time) record.Rules {
	rules := r.rules
	rules.Now = penstock.Timestamp(now.UnixMilli())
	return rules
}

// compacted reports whether a cleanup policy, a list, has compaction in it.
func compacted(policy string) bool { return strings.Contains(policy, "compact") }

// sortedBrokers lists broker ids in order.
func sortedBrokers(m map[penstock.BrokerID]*meta.Broker) []penstock.BrokerID {
	return slices.Sorted(maps.Keys(m))
}
