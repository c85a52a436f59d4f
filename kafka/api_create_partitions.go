package kafka

// CreatePartitions (key 37), versions 0-3.
//
//	1  throttle time
//	2  flexible
//	3  (an error for a quota that does not exist here)

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
	"penstock/meta"
)

const keyCreatePartitions int16 = 37

// apiCreatePartitions is the row of CreatePartitions.
func apiCreatePartitions() *api {
	return &api{
		key: keyCreatePartitions, name: "CreatePartitions", shown: 0, min: 0, max: 3, flexible: 2,
		before: refuse, after: wideFrame, right: right{opAlter, onTopic},
		shape: shape{
			array[kmsg.CreatePartitionsRequestTopic](
				text(), fixed(4), array[kmsg.CreatePartitionsRequestTopicAssignment](plain[int32](fixed(4))),
			),
			fixed(4), fixed(1),
		},
		handle: createPartitions,
	}
}

// createPartitions raises the numbers of partitions one topic after another in a goroutine of its own: each is a transaction in
// the metadata store. A name that occurs twice is refused each time, because which of the two was meant cannot be known.
func createPartitions(s *session, r request) {
	q := kmsg.NewPtrCreatePartitionsRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	s.control(r, func(ctx context.Context) {
		resp := kmsg.NewPtrCreatePartitionsResponse()
		named := map[string]int{}
		for i := range q.Topics {
			named[q.Topics[i].Topic]++
		}
		for i := range q.Topics {
			out := kmsg.NewCreatePartitionsResponseTopic()
			out.Topic = q.Topics[i].Topic
			why, err := codeInvalidRequest, fmt.Errorf("topic %q is named more than once", out.Topic)
			if named[out.Topic] == 1 {
				why, err = s.addPartitions(ctx, &q.Topics[i], q.ValidateOnly)
			}
			if err != nil {
				out.ErrorCode, out.ErrorMessage = s.count(r, why), kmsg.StringPtr(err.Error())
			}
			resp.Topics = append(resp.Topics, out)
		}
		s.reply(r, resp)
	})
}

var (
	errNoTopic  = fmt.Errorf("%w: no topic has this name", penstock.ErrUnknownTopic)
	errInternal = errors.New("the topic is the broker's own")
)

// addPartitions raises the number of one topic's partitions.
func (s *session) addPartitions(ctx context.Context, q *kmsg.CreatePartitionsRequestTopic, check bool) (code, error) {
	o := &s.front.o
	t := o.Topics.Image().Topic(q.Topic)
	switch {
	case t == nil:
		return codeUnknownTopicOrPartition, errNoTopic
	case group.Internal(t.Name):
		return codeInvalidTopic, fmt.Errorf("topic %q: %w: which of its partitions has a group's offsets follows from their number", t.Name, errInternal)
	}
	if err := o.Topics.AddPartitions(ctx, t.ID, int(q.Count), true); err != nil {
		return topicCode(err), err
	}
	if q.Assignment != nil {
		if err := s.checkAssignment(t, q); err != nil {
			return codeInvalidReplicaAssignment, err
		}
	}
	if check {
		return codeNone, nil
	}
	if err := o.Topics.AddPartitions(ctx, t.ID, int(q.Count), false); err != nil {
		return topicCode(err), err
	}
	o.Logger.Info("partitions added", slog.String("topic", t.Name), slog.Int("had", len(t.Partitions)), slog.Int("has", int(q.Count)))
	return codeNone, nil
}

// checkAssignment checks where the client wants new partitions: all must lie where the topic's others do.
func (s *session) checkAssignment(t *meta.Topic, q *kmsg.CreatePartitionsRequestTopic) error {
	if more := int(q.Count) - len(t.Partitions); len(q.Assignment) != more {
		return fmt.Errorf("topic %q: %d partitions are added, but %d are assigned", t.Name, more, len(q.Assignment))
	}
	brokers, want := s.front.placeable(), t.Replicas()
	for i := range q.Assignment {
		var replicas []penstock.BrokerID
		for _, id := range q.Assignment[i].Replicas {
			b := penstock.BrokerID(id)
			if !slices.Contains(brokers, b) || slices.Contains(replicas, b) {
				return fmt.Errorf("topic %q, assignment %d: broker %d does not exist or is named twice", t.Name, i, id)
			}
			replicas = append(replicas, b)
		}
		if !slices.Equal(replicas, want) {
			return fmt.Errorf("topic %q, assignment %d: brokers %v; new partitions must lie where the others do, on %v", t.Name, i, replicas, want)
		}
	}
	return nil
}

// topicCode is codeOf for a topic that the client named by its name.
func topicCode(err error) code {
	if errors.Is(err, penstock.ErrUnknownTopicID) {
		return codeUnknownTopicOrPartition
	}
	return codeOf(err)
}
