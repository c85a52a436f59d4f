package kafka

// SyncGroup (key 14), versions 0-5.
//
//	1  throttle time
//	3  static members (KIP-345)
//	4  flexible
//	5  protocol type and name, both ways (KIP-559)
//
// The answer waits for the leader's assignment to be durable.

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

const (
	keySyncGroup           int16 = 14
	firstSyncGroupInstance int16 = 3
	firstSyncGroupProtocol int16 = 5
)

func apiSyncGroup() *api {
	return &api{
		key: keySyncGroup, name: "SyncGroup", shown: 0, min: 0, max: 5, flexible: 4,
		before: refuse, after: groupFrame, right: right{opRead, onGroup},
		shape: shape{
			text(), fixed(4), text(), text().from(firstSyncGroupInstance),
			text().from(firstSyncGroupProtocol), text().from(firstSyncGroupProtocol),
			array[kmsg.SyncGroupRequestGroupAssignment](text(), blob()),
		},
		handle: syncGroup,
	}
}

func syncGroup(s *session, r request) {
	q := kmsg.NewPtrSyncGroupRequest()
	if !r.decode(q) {
		return
	}
	y := group.Sync{
		MemberID: q.MemberID, InstanceID: orEmpty(q.InstanceID), Generation: q.Generation,
		ProtocolType: orEmpty(q.ProtocolType), ProtocolName: orEmpty(q.Protocol), Assignment: map[string][]byte{},
	}
	for i := range q.GroupAssignment {
		y.Assignment[q.GroupAssignment[i].MemberID] = bytes.Clone(q.GroupAssignment[i].MemberAssignment)
	}
	r.idle()
	var h held
	answer := func(a group.SyncAnswer) {
		defer s.front.contain(r.wire.Conn())
		h.end()
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode, resp.MemberAssignment = s.count(r, codeOf(a.Err)), a.Assignment
		if a.Err == nil {
			resp.ProtocolType, resp.Protocol = &a.ProtocolType, &a.Protocol
		}
		s.reply(r, resp)
	}
	if r.version >= firstSyncGroupProtocol && (y.ProtocolType == "" || y.ProtocolName == "") {
		answer(group.SyncAnswer{Err: group.ErrInconsistentProtocol})
		return
	}
	h.watch(s, r, s.coordinator().Sync(q.Group, y, answer))
}
