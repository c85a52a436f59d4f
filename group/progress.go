package group

import (
	"context"
	"fmt"

	"penstock"
)

// ScheduleGroup is the name under which RocketMQ notes how far delayed messages are delivered. It is the broker's own: nobody else joins it, commits
// to it or deletes it, for messages would be lost by that. It is there for all to see.
const ScheduleGroup = "CID_RMQ_SYS_SCHEDULE"

// LoadProgress returns what SaveProgress noted for a topic, by partition; those of which nothing was are left out. It makes the journal if there is
// none, and waits until it is loaded.
func (c *Coordinator) LoadProgress(ctx context.Context, name, topic string, id penstock.TopicID) (map[int32]penstock.Offset, error) {
	ready := c.Ready(ctx)
	at := map[int32]penstock.Offset{}
	err := c.Read(name, nil, func(t string, partition int32, o Committed, ok bool) {
		if ok && t == topic && (o.TopicID == id || o.TopicID.IsZero()) {
			at[partition] = o.Offset
		}
	})
	if err != nil {
		return nil, fmt.Errorf("group %q: %w", name, firstOf(ready, err))
	}
	return at, nil
}

// firstOf is the first error there is.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// SaveProgress commits how far the broker itself has got in a topic, for ever: it does not expire. answer is called once, possibly before
// SaveProgress returns.
func (c *Coordinator) SaveProgress(name, topic string, id penstock.TopicID, at map[int32]penstock.Offset, answer func(error)) {
	r := &Commit{Generation: -1, Rocket: true, own: true}
	for partition, to := range at {
		r.Offsets = append(r.Offsets, CommitOffset{Topic: topic, TopicID: id, Partition: partition, Offset: to, Epoch: penstock.NoEpoch})
	}
	c.Commit(name, r, func(err error) {
		for i := range r.Offsets {
			err = firstOf(err, r.Offsets[i].Err)
		}
		answer(err)
	})
}

// refuseOwn refuses what only the broker itself does.
func refuseOwn(name string) error {
	if name == ScheduleGroup {
		return fmt.Errorf("%w: %q is the broker's own", ErrInvalidGroup, name)
	}
	return nil
}
