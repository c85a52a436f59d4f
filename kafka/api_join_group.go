package kafka

// JoinGroup (key 11), versions 0-9.
//
//	1  rebalance timeout; before, the session's counts
//	2  throttle time
//	4  a new member is sent away with an id and comes again (KIP-394)
//	5  static members (KIP-345)
//	6  flexible
//	7  protocol type in the answer
//	8  reason (KIP-800)
//	9  a leader that comes back may skip sharing out anew (KIP-814)
//
// The answer waits for the other members.

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

const (
	keyJoinGroup            int16 = 11
	firstJoinGroupRebalance int16 = 1
	firstJoinGroupKnown     int16 = 4
	firstJoinGroupInstance  int16 = 5
	firstJoinGroupReason    int16 = 8
	firstJoinGroupSkip      int16 = 9
)

func apiJoinGroup() *api {
	return &api{
		key: keyJoinGroup, name: "JoinGroup", shown: 0, min: 0, max: 9, flexible: 6,
		before: refuse, after: groupFrame, right: right{opRead, onGroup},
		shape: shape{
			text(), fixed(4), fixed(4).from(firstJoinGroupRebalance), text(), text().from(firstJoinGroupInstance), text(),
			array[kmsg.JoinGroupRequestProtocol](text(), blob()),
			text().from(firstJoinGroupReason),
		},
		handle: joinGroup,
	}
}

func joinGroup(s *session, r request) {
	q := kmsg.NewPtrJoinGroupRequest()
	if !r.decode(q) {
		return
	}
	j := joinOf(&r, q)
	r.idle()
	var h held
	forget := s.coordinator().Join(q.Group, j, func(a group.JoinAnswer) {
		defer s.front.contain(r.wire.Conn())
		h.end()
		s.answerJoin(r, &a)
	})
	h.watch(s, r, forget)
}

// joinOf is the request in the words of the group room. It holds nothing of the frame.
func joinOf(r *request, q *kmsg.JoinGroupRequest) group.Join {
	j := group.Join{
		MemberID: q.MemberID, InstanceID: orEmpty(q.InstanceID), ClientID: string(r.client), ClientHost: clientHost(r.wire.Conn().RemoteAddr()),
		SessionTimeout:   time.Duration(q.SessionTimeoutMillis) * time.Millisecond,
		RebalanceTimeout: time.Duration(max(q.RebalanceTimeoutMillis, 0)) * time.Millisecond,
		ProtocolType:     q.ProtocolType, Reason: orEmpty(q.Reason),
		RequireKnown: r.version >= firstJoinGroupKnown, CanSkip: r.version >= firstJoinGroupSkip,
	}
	if r.version < firstJoinGroupRebalance {
		j.RebalanceTimeout = j.SessionTimeout
	}
	if j.MemberID == "" {
		name := j.ClientID
		if j.InstanceID != "" {
			name = j.InstanceID
		}
		j.NewID = newMemberID(name)
	}
	for i := range q.Protocols {
		p := &q.Protocols[i]
		j.Protocols = append(j.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	return j
}

func (s *session) answerJoin(r request, a *group.JoinAnswer) {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.Generation, resp.MemberID = s.count(r, codeOf(a.Err)), a.Generation, a.MemberID
	if a.Err == nil {
		resp.ProtocolType, resp.Protocol = &a.ProtocolType, &a.Protocol
	}
	resp.LeaderID, resp.SkipAssignment = a.Leader, a.SkipAssignment
	for i := range a.Members {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.InstanceID, m.ProtocolMetadata = a.Members[i].MemberID, orNull(a.Members[i].InstanceID), a.Members[i].Metadata
		resp.Members = append(resp.Members, m)
	}
	s.reply(r, resp)
}
