package commit

import (
	"sync"

	"penstock"
)

// queueName is whose a message is, as RocketMQ names it.
type queueName struct {
	topic string
	queue int32
}

// names says which partition holds the messages of a topic's queue. It is changed under Store.w only, and may be asked at any time.
type names struct {
	mu     sync.RWMutex
	queues map[string]map[int32]penstock.PartitionID // guarded by mu
	topics map[penstock.TopicID]string               // guarded by mu
	held   map[penstock.PartitionID]queueName        // guarded by mu: queues the other way round
}

func newNames() *names {
	return &names{queues: map[string]map[int32]penstock.PartitionID{}, topics: map[penstock.TopicID]string{},
		held: map[penstock.PartitionID]queueName{}}
}

// holder is the partition that holds a queue.
func (n *names) holder(topic []byte, queue int32) (penstock.PartitionID, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.queues[string(topic)][queue]
	return id, ok
}

// topic is how the messages of a topic call it; empty if there are none.
func (n *names) topic(id penstock.TopicID) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.topics[id]
}

// set notes that id holds a queue, unless another does.
func (n *names) set(name queueName, id penstock.PartitionID) (holder penstock.PartitionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if has, ok := n.queues[name.topic][name.queue]; ok {
		return has
	}
	if n.queues[name.topic] == nil {
		n.queues[name.topic] = map[int32]penstock.PartitionID{}
	}
	n.queues[name.topic][name.queue] = id
	n.topics[id.Topic] = name.topic
	n.held[id] = name
	return id
}

// drop forgets what id holds.
func (n *names) drop(id penstock.PartitionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, ok := n.held[id]
	if !ok {
		return
	}
	delete(n.held, id)
	delete(n.queues[name.topic], name.queue)
	if len(n.queues[name.topic]) == 0 {
		delete(n.queues, name.topic)
		delete(n.topics, id.Topic)
	}
}
