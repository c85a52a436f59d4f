package kafka

// DescribeGroups (key 15), versions 0-6.
//
//	1  throttle time
//	3  authorized operations
//	4  static members (KIP-345)
//	5  flexible
//	6  a group that does not exist is an error with a message (KIP-1043); before, it is dead

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

const (
	keyDescribeGroups          int16 = 15
	firstDescribeGroupsRight   int16 = 3
	firstDescribeGroupsUnknown int16 = 6

	// stateDead is Kafka's name of the state of a group that does not exist.
	stateDead = "Dead"
)

func apiDescribeGroups() *api {
	return &api{
		key: keyDescribeGroups, name: "DescribeGroups", shown: 0, min: 0, max: 6, flexible: 5,
		before: refuse, after: wideFrame, right: right{opDescribe, onGroup},
		shape:  shape{plain[string](text()), fixed(1).from(firstDescribeGroupsRight)},
		handle: describeGroups,
	}
}

func describeGroups(s *session, r request) {
	q := kmsg.NewPtrDescribeGroupsRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, name := range q.Groups {
		g := s.describeGroup(r, name)
		if q.IncludeAuthorizedOperations {
			g.AuthorizedOperations = allGroupOperations
		}
		resp.Groups = append(resp.Groups, g)
	}
	s.reply(r, resp)
}

func (s *session) describeGroup(r request, name string) kmsg.DescribeGroupsResponseGroup {
	g := kmsg.NewDescribeGroupsResponseGroup()
	g.Group = name
	d, err := s.coordinator().Describe(name)
	switch {
	case errors.Is(err, group.ErrGroupNotFound):
		g.State = stateDead
		if r.version >= firstDescribeGroupsUnknown {
			g.ErrorCode, g.ErrorMessage = s.count(r, codeOf(err)), kmsg.StringPtr(fmt.Sprintf("group %q: %v", name, err))
		}
		return g
	case err != nil:
		g.ErrorCode = s.count(r, codeOf(err))
		return g
	}
	g.State, g.ProtocolType, g.Protocol = d.Phase.String(), d.ProtocolType, d.Protocol
	for i := range d.Members {
		dm, m := &d.Members[i], kmsg.NewDescribeGroupsResponseGroupMember()
		m.MemberID, m.InstanceID, m.ClientID, m.ClientHost = dm.ID, orNull(dm.InstanceID), dm.ClientID, dm.ClientHost
		m.ProtocolMetadata, m.MemberAssignment = dm.Metadata, dm.Assignment
		g.Members = append(g.Members, m)
	}
	return g
}
