package kafka

// LeaveGroup (key 13), versions 0-5.
//
//	1  throttle time
//	3  several members, static ones by their instance id alone (KIP-345)
//	4  flexible
//	5  reason (KIP-800)

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

const (
	keyLeaveGroup          int16 = 13
	firstLeaveGroupMembers int16 = 3
	firstLeaveGroupReason  int16 = 5
)

func apiLeaveGroup() *api {
	return &api{
		key: keyLeaveGroup, name: "LeaveGroup", shown: 0, min: 0, max: 5, flexible: 4,
		before: refuse, after: wideFrame, right: right{opRead, onGroup},
		shape: shape{
			text(), text().to(firstLeaveGroupMembers - 1),
			array[kmsg.LeaveGroupRequestMember](text(), text(), text().from(firstLeaveGroupReason)).from(firstLeaveGroupMembers),
		},
		handle: leaveGroup,
	}
}

func leaveGroup(s *session, r request) {
	q := kmsg.NewPtrLeaveGroupRequest()
	if !r.decode(q) {
		return
	}
	who := []group.Leaver{{MemberID: q.MemberID}}
	if r.version >= firstLeaveGroupMembers {
		who = who[:0]
		for i := range q.Members {
			m := &q.Members[i]
			who = append(who, group.Leaver{MemberID: m.MemberID, InstanceID: orEmpty(m.InstanceID), Reason: orEmpty(m.Reason)})
		}
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	errs, err := s.coordinator().Depart(q.Group, who)
	switch {
	case err != nil:
		resp.ErrorCode = s.count(r, codeOf(err))
	case r.version < firstLeaveGroupMembers:
		resp.ErrorCode = s.count(r, codeOf(errs[0]))
	default:
		for i := range q.Members {
			m := kmsg.NewLeaveGroupResponseMember()
			m.MemberID, m.InstanceID, m.ErrorCode = q.Members[i].MemberID, q.Members[i].InstanceID, s.count(r, codeOf(errs[i]))
			resp.Members = append(resp.Members, m)
		}
	}
	s.reply(r, resp)
}
