package kafka

// FindCoordinator (key 10), versions 0-6.
//
//	1  kind of coordinator: group or transaction; throttle time, error message
//	3  flexible
//	4  several names at once (KIP-699)
//	5  (an error that only transactions have)
//	6  share groups (KIP-932)
//
// Only coordinators of consumer groups are served. The first question makes the journal's topic.

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
)

const (
	keyFindCoordinator        int16 = 10
	firstFindCoordinatorKind  int16 = 1
	firstFindCoordinatorBatch int16 = 4

	coordinatorOfGroup int8 = 0
)

func apiFindCoordinator() *api {
	return &api{
		key: keyFindCoordinator, name: "FindCoordinator", shown: 0, min: 0, max: 6, flexible: 3,
		before: refuse, after: smallFrame, right: right{opDescribe, onGroup},
		shape: shape{
			text().to(firstFindCoordinatorBatch - 1), fixed(1).from(firstFindCoordinatorKind),
			plain[string](text()).from(firstFindCoordinatorBatch),
		},
		handle: findCoordinator,
	}
}

func findCoordinator(s *session, r request) {
	q := kmsg.NewPtrFindCoordinatorRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	if q.CoordinatorType != coordinatorOfGroup || s.coordinator().Exists() {
		s.answerCoordinators(r, q)
		return
	}
	s.control(r, func(ctx context.Context) {
		// A client that has left meanwhile, and with it the context, is no news.
		if err := s.coordinator().Ready(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.front.o.Logger.Warn("group coordinator is not ready", "error", err)
		}
		s.answerCoordinators(r, q)
	})
}

func (s *session) answerCoordinators(r request, q *kmsg.FindCoordinatorRequest) {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if r.version < firstFindCoordinatorBatch {
		c := s.findCoordinator(r, q.CoordinatorType, q.CoordinatorKey)
		resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = c.ErrorCode, c.ErrorMessage, c.NodeID, c.Host, c.Port
	} else {
		for _, key := range q.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, s.findCoordinator(r, q.CoordinatorType, key))
		}
	}
	s.reply(r, resp)
}

func (s *session) findCoordinator(r request, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, int32(penstock.NoBroker), -1
	refuse := func(why code, err error) kmsg.FindCoordinatorResponseCoordinator {
		c.ErrorCode, c.ErrorMessage = s.count(r, why), kmsg.StringPtr(err.Error())
		return c
	}
	if kind != coordinatorOfGroup {
		return refuse(codeInvalidRequest, fmt.Errorf("coordinators of kind %d are not served, only those of consumer groups", kind))
	}
	id, err := s.coordinator().Of(key)
	if err != nil {
		return refuse(codeOf(err), err)
	}
	b := s.front.o.Topics.Image().Brokers[id]
	if b == nil {
		return refuse(codeCoordinatorNotAvailable, fmt.Errorf("broker %d: %w", id, group.ErrUnavailable))
	}
	host, port, ok := s.front.endpoint(b)
	if !ok {
		return refuse(codeCoordinatorNotAvailable, fmt.Errorf("broker %d on this listener: %w", id, group.ErrUnavailable))
	}
	c.NodeID, c.Host, c.Port = int32(id), host, port
	return c
}
