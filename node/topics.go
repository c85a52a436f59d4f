package node

import (
	"context"

	"penstock"
	"penstock/meta"
	"penstock/replica"
)

// topics are the cluster's topics as the fronts see them: a change of a topic is answered when its partitions on this node have
// followed it, or with ErrUnavailable when they have not in the caller's time. The metadata waits for nobody meanwhile. A topic
// that was deleted is gone for clients at once; its files go afterwards.
type topics struct {
	*meta.Store
	replicas *replica.Replicas
}

// CreateTopic is meta.Store's; the partitions are ready when it returns.
func (t *topics) CreateTopic(ctx context.Context, n meta.NewTopic, check bool) (*meta.Topic, error) {
	topic, err := t.Store.CreateTopic(ctx, n, check)
	if err != nil || check || topic == nil {
		return topic, err
	}
	return topic, t.replicas.Ready(ctx, topic.ID)
}

// AddPartitions is meta.Store's; the partitions are ready when it returns.
func (t *topics) AddPartitions(ctx context.Context, id penstock.TopicID, count int, check bool) error {
	if err := t.Store.AddPartitions(ctx, id, count, check); err != nil || check {
		return err
	}
	return t.replicas.Ready(ctx, id)
}

// SetConfigs is meta.Store's; the partitions go by the new configuration when it returns.
func (t *topics) SetConfigs(ctx context.Context, id penstock.TopicID, f func(map[string]string) (map[string]string, error)) error {
	if err := t.Store.SetConfigs(ctx, id, f); err != nil {
		return err
	}
	return t.replicas.Ready(ctx, id)
}
