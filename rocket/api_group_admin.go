package rocket

// What is configured of consumer groups: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200) and its list form (225), GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201),
// GET_SUBSCRIPTIONGROUP_CONFIG (352), DELETE_SUBSCRIPTIONGROUP (207).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/rocket/remoting"
)

func apiSetGroup() *api {
	return &api{code: 200, name: "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP", frame: groupFrame, right: right{opUpdate, onGroup}, handle: setGroup}
}

func apiSetGroups() *api {
	return &api{code: 225, name: "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST", frame: wideFrame, right: right{opUpdate, onGroup}, handle: setGroups}
}

func apiAllGroups() *api {
	return &api{code: 201, name: "GET_ALL_SUBSCRIPTIONGROUP_CONFIG", frame: smallFrame, right: right{opGet, onCluster}, handle: allGroups}
}

func apiGroupConfig() *api {
	return &api{code: 352, name: "GET_SUBSCRIPTIONGROUP_CONFIG", frame: smallFrame, right: right{opGet, onGroup}, handle: groupConfigOf}
}

func apiDeleteGroup() *api {
	return &api{code: 207, name: "DELETE_SUBSCRIPTIONGROUP", frame: smallFrame, right: right{opDelete, onGroup}, handle: deleteGroup}
}

const (
	groupFrame   = remoting.MaxHeader + 64<<10 // the configuration of one group
	maxGroupList = 1000                        // groups of one request
)

// groupJSON is RocketMQ's SubscriptionGroupConfig. What is absent has its default.
type groupJSON struct {
	Attributes     map[string]string `json:"attributes"`
	BrokerID       int64             `json:"brokerId"`
	Broadcast      bool              `json:"consumeBroadcastEnable"`
	Consume        bool              `json:"consumeEnable"`
	ConsumeFromMin bool              `json:"consumeFromMinEnable"`
	Orderly        bool              `json:"consumeMessageOrderly"`
	Timeout        int               `json:"consumeTimeoutMinute"`
	Name           string            `json:"groupName"`
	RetryPolicy    json.RawMessage   `json:"groupRetryPolicy"`
	SysFlag        int               `json:"groupSysFlag"`
	NotifyIDs      bool              `json:"notifyConsumerIdsChangedEnable"`
	RetryMax       int               `json:"retryMaxTimes"`
	RetryQueues    int               `json:"retryQueueNums"`
	Subscriptions  json.RawMessage   `json:"subscriptionDataSet,omitempty"`
	SlowBrokerID   int64             `json:"whichBrokerWhenConsumeSlowly"`
}

// defaultRetryPolicy is what RocketMQ shows where none is set: back-off by the levels of delay.
const defaultRetryPolicy = `{"type":"CUSTOMIZED"}`

func groupToJSON(g *meta.GroupConfig) groupJSON {
	j := groupJSON{
		Attributes: g.Attributes, BrokerID: g.BrokerID, Broadcast: g.Broadcast, Consume: g.Consume, ConsumeFromMin: g.ConsumeFromMin,
		Orderly: g.Orderly, Timeout: g.ConsumeTimeout, Name: g.Name, RetryPolicy: json.RawMessage(defaultRetryPolicy), SysFlag: g.SysFlag,
		NotifyIDs: g.NotifyIDs, RetryMax: g.RetryMax, RetryQueues: g.RetryQueues, SlowBrokerID: g.SlowBrokerID,
	}
	if j.Attributes == nil {
		j.Attributes = map[string]string{}
	}
	if g.RetryPolicy != "" {
		j.RetryPolicy = json.RawMessage(g.RetryPolicy)
	}
	if g.Subscriptions != "" {
		j.Subscriptions = json.RawMessage(g.Subscriptions)
	}
	return j
}

// groupFromJSON reads a configuration over what the group has, or over the default. Attributes are changes: "+name" sets, "-name" deletes.
func (f *Front) groupFromJSON(body []byte) (meta.GroupConfig, error) {
	var named struct {
		Name string `json:"groupName"`
	}
	if err := json.Unmarshal(body, &named); err != nil {
		return meta.GroupConfig{}, fmt.Errorf("%w: configuration of a group: %v", penstock.ErrInvalidConfig, err)
	}
	if why := checkGroup(named.Name); why != "" {
		return meta.GroupConfig{}, fmt.Errorf("%w: %s", penstock.ErrInvalidConfig, why)
	}
	return groupOver(f.configOf(named.Name), body)
}

// groupOver reads a configuration over the one that the group has.
func groupOver(g *meta.GroupConfig, body []byte) (meta.GroupConfig, error) {
	j := groupToJSON(g)
	j.Attributes = nil
	if err := json.Unmarshal(body, &j); err != nil {
		return meta.GroupConfig{}, fmt.Errorf("%w: configuration of group %s: %v", penstock.ErrInvalidConfig, g.Name, err)
	}
	out := meta.GroupConfig{
		Name: j.Name, Consume: j.Consume, ConsumeFromMin: j.ConsumeFromMin, Broadcast: j.Broadcast, Orderly: j.Orderly, NotifyIDs: j.NotifyIDs,
		RetryQueues: j.RetryQueues, RetryMax: j.RetryMax, BrokerID: j.BrokerID, SlowBrokerID: j.SlowBrokerID, SysFlag: j.SysFlag,
		ConsumeTimeout: j.Timeout,
	}
	if p := string(j.RetryPolicy); p != defaultRetryPolicy && p != "null" {
		out.RetryPolicy = p
	}
	if p := string(j.Subscriptions); p != "null" {
		out.Subscriptions = p
	}
	var err error
	out.Attributes, err = changedAttributes(g.Attributes, j.Attributes)
	return out, err
}

// changedAttributes applies changes to attributes. A name without a sign is one that was read from here and comes back.
func changedAttributes(kept, changes map[string]string) (map[string]string, error) {
	out := maps.Clone(kept)
	if out == nil {
		out = map[string]string{}
	}
	for name, value := range changes {
		switch {
		case len(name) > 1 && name[0] == '+':
			out[name[1:]] = value
		case len(name) > 1 && name[0] == '-':
			delete(out, name[1:])
		case name != "" && name != "+" && name != "-":
			out[name] = value
		default:
			return nil, fmt.Errorf("%w: attribute %q: want +name or -name", penstock.ErrInvalidConfig, name)
		}
	}
	return out, nil
}

// configOf is what is configured of a group.
func (f *Front) configOf(name string) *meta.GroupConfig {
	if g := f.o.Topics.Image().Group(name); g != nil {
		return g
	}
	g := meta.DefaultGroup(name)
	return &g
}

func setGroup(s *session, r *request) {
	t := r.ticket()
	g, err := s.front.groupFromJSON(r.Body)
	s.setGroups(t, []meta.GroupConfig{g}, err)
}

func setGroups(s *session, r *request) {
	t := r.ticket()
	var list struct {
		Groups []json.RawMessage `json:"groupConfigList"`
	}
	err := json.Unmarshal(r.Body, &list)
	if err != nil {
		err = fmt.Errorf("%w: configurations of groups: %v", penstock.ErrInvalidConfig, err)
	} else if len(list.Groups) > maxGroupList {
		err = fmt.Errorf("%w: configurations of %d groups, at most %d at once", penstock.ErrInvalidConfig, len(list.Groups), maxGroupList)
	}
	var gs []meta.GroupConfig
	for i := 0; i < len(list.Groups) && err == nil; i++ {
		var g meta.GroupConfig
		g, err = s.front.groupFromJSON(list.Groups[i])
		gs = append(gs, g)
	}
	s.setGroups(t, gs, err)
}

// setGroups stores configurations, unless reading them failed.
func (s *session) setGroups(t ticket, gs []meta.GroupConfig, err error) {
	if err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	s.control(func(ctx context.Context) {
		for i := range gs {
			if err := s.front.o.Admin.Config.SetGroup(ctx, gs[i]); err != nil {
				s.fail(t, err)
				return
			}
		}
		s.reply(t, nil, nil)
	})
}

// knownGroups are the names of all groups that there is anything to say of: a configuration, members, or offsets.
func (f *Front) knownGroups() []string {
	names := map[string]bool{}
	f.o.Topics.Image().Groups(func(g *meta.GroupConfig) bool {
		names[g.Name] = true
		return true
	})
	if f.o.Admin.Crews != nil {
		consumers, _ := f.o.Admin.Crews.Groups()
		for _, name := range consumers {
			names[name] = true
		}
	}
	if g := f.o.Admin.Groups; g != nil && g.Exists() {
		list, err := g.List()
		if err != nil {
			f.o.Logger.Debug("groups are listed in part", "error", err)
		}
		for i := range list {
			names[list[i].Name] = true
		}
	}
	for name := range names {
		if checkGroup(name) != "" {
			delete(names, name) // one of Kafka's
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// allGroups tells the configurations of groups by name, from a number on where the client asks for parts.
func allGroups(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	from, most := q.Int32Or("groupSeq", 0), q.Int32Or("maxGroupNum", maxTopics)
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	inParts := r.Text("groupSeq") != "" || r.Text("maxGroupNum") != "" || r.Text("dataVersion") != ""
	t.wire.Release()
	f := s.front
	names := f.knownGroups()
	total := len(names)
	if inParts {
		names = names[min(max(int(from), 0), total):]
		names = names[:min(len(names), int(max(min(most, maxTopics), 0)))]
	}
	table := make(map[string]groupJSON, len(names))
	for _, name := range names {
		table[name] = groupToJSON(f.configOf(name))
	}
	s.reply(t, func(w *remoting.Writer) { w.Int("totalGroupNum", int64(total)) }, mustJSON(struct {
		DataVersion dataVersion          `json:"dataVersion"`
		Forbidden   struct{}             `json:"forbiddenTable"`
		Groups      map[string]groupJSON `json:"subscriptionGroupTable"`
	}{DataVersion: f.dataVersion(), Groups: table}))
}

func groupConfigOf(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("group")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	if checkGroup(name) != "" {
		s.refuse(t, codeGroupNotExist, fmt.Sprintf("No group in this broker. group: %.300s", name))
		return
	}
	s.reply(t, nil, mustJSON(groupToJSON(s.front.configOf(name))))
}

// deleteGroup deletes what is configured of a group and, if asked, how far it has read.
func deleteGroup(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, clean := q.Text("groupName"), q.Bool("cleanOffset")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	a := &s.front.o.Admin
	s.control(func(ctx context.Context) {
		if err := a.Config.DeleteGroup(ctx, name); err != nil {
			s.fail(t, err)
			return
		}
		if !clean || a.Groups == nil {
			s.reply(t, nil, nil)
			return
		}
		a.Groups.Delete(name, func(err error) {
			if err != nil && !errors.Is(err, group.ErrGroupNotFound) {
				s.fail(t, err)
				return
			}
			s.reply(t, nil, nil)
		})
	})
}
