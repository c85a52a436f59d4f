package kafka

// ListGroups (key 16), versions 0-5.
//
//	1  throttle time
//	3  flexible
//	4  states, and a filter by them (KIP-518)
//	5  types, and a filter by them (KIP-848)

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	keyListGroups        int16 = 16
	firstListGroupsState int16 = 4
	firstListGroupsType  int16 = 5
)

func apiListGroups() *api {
	return &api{
		key: keyListGroups, name: "ListGroups", shown: 0, min: 0, max: 5, flexible: 3,
		before: refuse, after: smallFrame, right: right{opDescribe, onGroup},
		shape:  shape{plain[string](text()).from(firstListGroupsState), plain[string](text()).from(firstListGroupsType)},
		handle: listGroups,
	}
}

func listGroups(s *session, r request) {
	q := kmsg.NewPtrListGroupsRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrListGroupsResponse()
	all, err := s.coordinator().List()
	resp.ErrorCode = s.count(r, codeOf(err))
	for i := range all {
		d := &all[i]
		if !allows(q.StatesFilter, d.Phase.String()) || !allows(q.TypesFilter, classic) {
			continue
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = d.Name, d.ProtocolType, d.Phase.String(), classic
		resp.Groups = append(resp.Groups, g)
	}
	s.reply(r, resp)
}
