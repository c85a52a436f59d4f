package kafka

// Heartbeat (key 12), versions 0-4.
//
//	1  throttle time
//	3  static members (KIP-345)
//	4  flexible

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

const (
	keyHeartbeat           int16 = 12
	firstHeartbeatInstance int16 = 3
)

func apiHeartbeat() *api {
	return &api{
		key: keyHeartbeat, name: "Heartbeat", shown: 0, min: 0, max: 4, flexible: 4,
		before: refuse, after: smallFrame, right: right{opRead, onGroup},
		shape:  shape{text(), fixed(4), text(), text().from(firstHeartbeatInstance)},
		handle: heartbeat,
	}
}

func heartbeat(s *session, r request) {
	var q kmsg.HeartbeatRequest
	if !r.decode(&q) {
		return
	}
	err := s.coordinator().Heartbeat(q.Group, group.Heartbeat{MemberID: q.MemberID, InstanceID: orEmpty(q.InstanceID), Generation: q.Generation})
	resp := kmsg.HeartbeatResponse{ErrorCode: s.count(r, codeOf(err))}
	s.reply(r, &resp)
}
