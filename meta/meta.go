// Package meta is the cluster's truth: topics, their configuration, who leads which partition, brokers, blocks of
// producer ids, RocketMQ's groups and values. It is typed state over an Engine (etcd), changed by compare-and-swap, kept in memory as an immutable
// Image that one watch brings up to date. Whoever serves traffic reads the Image only, so that losing the engine freezes the control
// plane and nothing else.
package meta

import (
	"context"

	"penstock"
)

// Engine is the small part of a consistent key-value store that meta needs. All methods may be called concurrently.
// When the engine cannot answer the error wraps penstock.ErrUnavailable.
type Engine interface {
	// Range returns all keys with the prefix, sorted, and the revision they were read at.
	Range(ctx context.Context, prefix string) ([]KV, int64, error)
	// Commit applies all changes in one transaction if all conditions hold; if not it returns false and nothing
	// has changed. At most 128 of both together.
	Commit(ctx context.Context, conds []Cond, changes []Change) (ok bool, revision int64, err error)
	// Watch delivers every change of keys with the prefix after the revision, in order, until ctx ends. After a gap that
	// cannot be filled it delivers an Update with Reset, and the watcher reads everything again.
	Watch(ctx context.Context, prefix string, after int64) <-chan Update
	// Close ends the engine.
	Close() error
}

// KV is a key, its value and the revision of its last change.
type KV struct {
	Key      string
	Value    []byte
	Revision int64
}

// Cond demands that a key's last change was at Revision; 0 demands that it does not exist.
type Cond struct {
	Key      string
	Revision int64
}

// Change sets a key, or deletes it if Value is nil.
type Change struct {
	Key   string
	Value []byte
}

// Update is what one transaction changed.
type Update struct {
	Revision int64
	Changes  []Change
	Reset    bool
}

// Image is the cluster at one revision. It is immutable and may be kept.
type Image struct {
	Revision  int64
	ClusterID string
	Brokers   map[penstock.BrokerID]*Broker
	Defaults  Settings // of a topic that sets nothing itself
	topics    map[string]*Topic
	ids       map[penstock.TopicID]*Topic
	gone      map[penstock.TopicID]gone
	groups    map[string]*GroupConfig
	values    map[string]namespace
	configs   map[string]scope  // of brokers, by scope
	self      string            // the scope of the broker that this store is of
	defaults  map[string]string // broker-wide ones in force, by catalogue key
}

// Topic returns the topic of that name, nil if there is none.
func (i *Image) Topic(name string) *Topic { return i.topics[name] }

// TopicByID returns the topic with that id, nil if there is none.
func (i *Image) TopicByID(id penstock.TopicID) *Topic { return i.ids[id] }

// Topics calls f for every topic, in no particular order, until it returns false.
func (i *Image) Topics(f func(*Topic) bool) {
	for _, t := range i.topics {
		if !f(t) {
			return
		}
	}
}

// Len is the number of topics.
func (i *Image) Len() int { return len(i.topics) }

// Broker is one node as clients reach it.
type Broker struct {
	ID        penstock.BrokerID
	Epoch     int64 // grows with every start of the node
	Rack      string
	Endpoints map[string]string // listener name to host:port
}

// Topic is one topic. It is immutable.
type Topic struct {
	ID         penstock.TopicID
	Name       string
	Format     penstock.Format
	Layout     penstock.Layout
	Partitions []Partition
	Configs    map[string]string // set explicitly; see Catalog for the rest
	Settings   Settings          // Configs and defaults, parsed
	Revision   int64             // of the last change, for compare-and-swap

	epoch    penstock.Epoch      // of partitions without a state of their own
	replicas []penstock.BrokerID // of partitions without a state of their own
	own      map[int]int64       // partitions with a state of their own, and its revision
}

// Partition is who holds a partition and who leads it.
type Partition struct {
	Leader   penstock.BrokerID
	Epoch    penstock.Epoch // of the leader
	Version  int32          // grows with every change of this struct
	Replicas []penstock.BrokerID
	InSync   []penstock.BrokerID
}
