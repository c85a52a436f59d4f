package rocket

// What members of a group ask to share out queues: GET_CONSUMER_LIST_BY_GROUP (38), and, where they consume in order, LOCK_BATCH_MQ (41) and
// UNLOCK_BATCH_MQ (42). Locks are leases of a minute in memory; clients renew them each 20 seconds.

import (
	"encoding/json"
	"fmt"

	"penstock/group"
)

func apiConsumerList() *api {
	return &api{code: 38, name: "GET_CONSUMER_LIST_BY_GROUP", frame: smallFrame, right: right{opSub, onGroup}, handle: consumerList}
}

func apiLock() *api {
	return &api{code: 41, name: "LOCK_BATCH_MQ", frame: wideFrame, right: right{opSub, onGroup}, handle: lockQueues}
}

func apiUnlock() *api {
	return &api{code: 42, name: "UNLOCK_BATCH_MQ", frame: wideFrame, right: right{opSub, onGroup}, handle: unlockQueues}
}

func consumerList(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("consumerGroup")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	ids := s.front.o.Roster.ClientIDs(name)
	if len(ids) == 0 {
		s.refuse(t, codeSystemError, fmt.Sprintf("no consumer for this group, %.300s", name))
		return
	}
	s.reply(t, nil, mustJSON(map[string]any{"consumerIdList": ids}))
}

// lockJSON is RocketMQ's LockBatchRequestBody, and that of unlocking.
type lockJSON struct {
	Group    string      `json:"consumerGroup"`
	ClientID string      `json:"clientId"`
	Queues   []queueJSON `json:"mqSet"`
}

// locks reads a request for locks. Queues that there are not are left out: nobody shall fill the memory with names.
func (s *session) locks(r *request) (l lockJSON, queues []group.Queue, err error) {
	if err := json.Unmarshal(r.Body, &l); err != nil {
		return l, nil, fmt.Errorf("queues to lock: %w", err)
	}
	routes := s.front.routes.Load()
	for _, q := range l.Queues {
		if route := routes.names[q.Topic]; route != nil && q.QueueID >= 0 && int(q.QueueID) < len(route.parts) {
			queues = append(queues, group.Queue{Topic: q.Topic, Broker: q.BrokerName, ID: q.QueueID})
		}
	}
	return l, queues, nil
}

func lockQueues(s *session, r *request) {
	t := r.ticket()
	l, queues, err := s.locks(r)
	t.wire.Release()
	var held []group.Queue
	if err == nil {
		held, err = s.front.o.Roster.Lock(l.Group, l.ClientID, queues)
	}
	if err != nil && len(held) == 0 {
		s.fail(t, err)
		return
	}
	ok := make([]queueJSON, 0, len(held))
	for _, q := range held {
		ok = append(ok, queueJSON{BrokerName: q.Broker, QueueID: q.ID, Topic: q.Topic})
	}
	s.reply(t, nil, mustJSON(map[string]any{"lockOKMQSet": ok}))
}

func unlockQueues(s *session, r *request) {
	t := r.ticket()
	l, queues, err := s.locks(r)
	t.wire.Release()
	if err != nil {
		s.fail(t, err)
		return
	}
	s.front.o.Roster.Unlock(l.Group, l.ClientID, queues)
	s.reply(t, nil, nil)
}
