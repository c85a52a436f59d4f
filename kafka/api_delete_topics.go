package kafka

// DeleteTopics (key 20), versions 1-6.
//
//	1  throttle time
//	4  flexible
//	5  error messages
//	6  topics by id

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
	"penstock/meta"
)

const (
	keyDeleteTopics      int16 = 20
	firstDeleteTopicByID int16 = 6
)

// apiDeleteTopics is the row of DeleteTopics.
func apiDeleteTopics() *api {
	return &api{
		key: keyDeleteTopics, name: "DeleteTopics", shown: 1, min: 1, max: 6, flexible: 4,
		before: refuse, after: wideFrame, right: right{opDelete, onTopic},
		shape: shape{
			plain[string](text()).to(firstDeleteTopicByID - 1),
			array[kmsg.DeleteTopicsRequestTopic](text(), fixed(16)).from(firstDeleteTopicByID),
			fixed(4),
		},
		handle: deleteTopics,
	}
}

// deleteTopics deletes the topics one after another in a goroutine of its own. Until version 5 names come in a list of their
// own, which is turned into that of version 6.
func deleteTopics(s *session, r request) {
	q := kmsg.NewPtrDeleteTopicsRequest()
	if !r.decode(q) {
		return
	}
	r.wire.Release()
	r.body, r.client = nil, nil
	for _, name := range q.TopicNames {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		q.Topics = append(q.Topics, t)
	}
	s.control(r, func(ctx context.Context) {
		resp := kmsg.NewPtrDeleteTopicsResponse()
		for i := range q.Topics {
			resp.Topics = append(resp.Topics, s.deleteTopic(ctx, r, &q.Topics[i]))
		}
		s.reply(r, resp)
	})
}

// deleteTopic deletes one topic, named by exactly one of name and id. The answer names it by both, for a client that knew only
// one. Kafka would delete a topic of its own, and every group's offsets with it, at a slip of the hand; here it stays.
func (s *session) deleteTopic(ctx context.Context, r request, q *kmsg.DeleteTopicsRequestTopic) kmsg.DeleteTopicsResponseTopic {
	out := kmsg.NewDeleteTopicsResponseTopic()
	out.Topic, out.TopicID = q.Topic, q.TopicID
	img := s.front.o.Topics.Image()
	byID := q.TopicID != [16]byte{}
	var t *meta.Topic
	why, message := codeUnknownTopicOrPartition, "no topic has this name"
	switch {
	case s.front.o.KeepTopics:
		why, message = codeTopicDeletionDisabled, "this broker is configured to let nobody delete topics"
	case byID == (q.Topic != nil):
		why, message = codeInvalidRequest, "name a topic by its name or by its id"
	case byID:
		t, why, message = img.TopicByID(penstock.TopicID(q.TopicID)), codeUnknownTopicID, "no topic has this id"
	default:
		t = img.Topic(*q.Topic)
	}
	if t == nil {
		out.ErrorCode, out.ErrorMessage = s.count(r, why), kmsg.StringPtr(message)
		return out
	}
	out.Topic, out.TopicID = kmsg.StringPtr(t.Name), t.ID
	if group.Internal(t.Name) {
		out.ErrorCode = s.count(r, codeInvalidTopic)
		out.ErrorMessage = kmsg.StringPtr("the topic is the broker's own: all groups and their offsets would be lost; delete groups one by one instead")
		return out
	}
	if err := s.front.o.Topics.DeleteTopic(ctx, t.ID); err != nil {
		out.ErrorCode, out.ErrorMessage = s.count(r, codeOf(err)), kmsg.StringPtr(err.Error())
	}
	return out
}
