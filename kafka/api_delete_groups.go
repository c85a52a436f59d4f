package kafka

// DeleteGroups (key 42), versions 0-2.
//
//	1  throttle time
//	2  flexible

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const keyDeleteGroups int16 = 42

func apiDeleteGroups() *api {
	return &api{
		key: keyDeleteGroups, name: "DeleteGroups", shown: 0, min: 0, max: 2, flexible: 2,
		before: refuse, after: wideFrame, right: right{opDelete, onGroup},
		shape:  shape{plain[string](text())},
		handle: deleteGroups,
	}
}

func deleteGroups(s *session, r request) {
	q := kmsg.NewPtrDeleteGroupsRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	resp := kmsg.NewPtrDeleteGroupsResponse()
	for _, name := range q.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group = name
		resp.Groups = append(resp.Groups, g)
	}
	// The last to be done answers; one more than there are, for none may be named.
	var left atomic.Int64
	left.Store(int64(len(q.Groups)) + 1)
	done := func() {
		if left.Add(-1) == 0 {
			defer s.front.contain(r.wire.Conn())
			s.reply(r, resp)
		}
	}
	for i := range resp.Groups {
		g := &resp.Groups[i]
		s.coordinator().Delete(g.Group, func(err error) {
			g.ErrorCode = s.count(r, codeOf(err))
			done()
		})
	}
	done()
}
