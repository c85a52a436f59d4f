package meta

import (
	"context"
	"fmt"
	"slices"

	"penstock"
)

// Replicas are the brokers that new partitions of the topic lie on, leader first. The slice is the caller's.
func (t *Topic) Replicas() []penstock.BrokerID { return slices.Clone(t.replicas) }

// AddPartitions raises the number of a topic's partitions to count, which must be more than it has: partitions are never
// taken away, since that would lose their records. The new ones lie where Replicas says. With check it only says whether
// it could. Records of a key may go to another partition from then on; that is the caller's to know. When it returns the
// partitions are open. Errors: ErrUnknownTopicID, ErrInvalidPartitions, ErrConflict, ErrUnavailable.
func (s *Store) AddPartitions(ctx context.Context, id penstock.TopicID, count int, check bool) error {
	for range maxTries {
		t := s.Image().TopicByID(id)
		if t == nil {
			return fmt.Errorf("topic %v: %w", id, penstock.ErrUnknownTopicID)
		}
		switch has := len(t.Partitions); {
		case count > MaxPartitions:
			return fmt.Errorf("topic %q: %w: %d, at most %d are possible", t.Name, penstock.ErrInvalidPartitions, count, MaxPartitions)
		case count == has:
			return fmt.Errorf("topic %q: %w: it has %d already", t.Name, penstock.ErrInvalidPartitions, has)
		case count < has:
			return fmt.Errorf("topic %q: %w: it has %d, and %d would be fewer; partitions are never taken away", t.Name, penstock.ErrInvalidPartitions, has, count)
		}
		if check {
			return nil
		}
		v := t.value()
		v.Partitions = count
		ok, revision, err := s.engine.Commit(ctx, []Cond{{topicKey(id), t.Revision}}, []Change{{topicKey(id), encode(v)}})
		if err != nil {
			return fmt.Errorf("add partitions to topic %q: %w", t.Name, unavailable(err))
		}
		if ok {
			return s.await(ctx, revision)
		}
		s.settled(ctx, revision)
	}
	return fmt.Errorf("add partitions to topic %v: %w", id, penstock.ErrConflict)
}
