package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"penstock"
	"penstock/delay"
	"penstock/disk"
	"penstock/group"
	"penstock/meta"
	"penstock/rocket"
	"penstock/store/commit"
)

// Files below store/config of a RocketMQ broker, but for topics.json, which store/commit reads and writes.
const (
	rocketConfigDir   = "config"
	rocketOffsetsFile = "consumerOffset.json"
	rocketGroupsFile  = "subscriptionGroup.json"
	rocketDelaysFile  = "delayOffset.json"
)

// topicAtGroup parts topic and group in the names of consumerOffset.json; neither may hold it.
const topicAtGroup = "@"

// commitLot bounds the offsets of one commit.
const commitLot = 1000

// rocketState is what a RocketMQ broker keeps beside its log and its topics: what is configured of groups, how far they have read, and how far each level of delay is
// delivered.
type rocketState struct {
	groups  []meta.GroupConfig
	offsets map[string]map[string]map[int32]penstock.Offset // by group and topic
	delays  map[int32]penstock.Offset                       // by level, from 1 on
	notes   []string
}

// queueOffsets are offsets as RocketMQ writes them.
type queueOffsets map[int32]penstock.Offset

// rocket writes the numbers of queues bare, as RocketMQ's library does.
func (q queueOffsets) rocket() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, n := range slices.Sorted(maps.Keys(q)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(n)) + ":" + strconv.FormatInt(int64(q[n]), 10))
	}
	b.WriteByte('}')
	return b.String()
}

// quoteKeys makes JSON of what RocketMQ's library writes: it leaves keys that are numbers bare.
func quoteKeys(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/4)
	text := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case text && c == '\\' && i+1 < len(b):
			out = append(out, c)
			i++
			c = b[i]
		case c == '"':
			text = !text
		case !text && (c == '-' || c >= '0' && c <= '9'):
			n := i + 1
			for n < len(b) && strings.IndexByte("0123456789.eE+-", b[n]) >= 0 {
				n++
			}
			next := n
			for next < len(b) && strings.IndexByte(" \t\r\n", b[next]) >= 0 {
				next++
			}
			if next < len(b) && b[next] == ':' {
				out = append(append(append(out, '"'), b[i:n]...), '"')
			} else {
				out = append(out, b[i:n]...)
			}
			i = n - 1
			continue
		}
		out = append(out, c)
	}
	return out
}

// readRocketFile reads a file below config; there need not be any.
func readRocketFile(from fs.FS, name string, to any) error {
	b, err := commit.RocketConfig(from, name)
	if err == nil && b != nil {
		err = json.Unmarshal(quoteKeys(b), to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join(rocketConfigDir, name), err)
	}
	return nil
}

// readRocketState reads the state of a RocketMQ broker.
func readRocketState(from fs.FS) (*rocketState, error) {
	s := &rocketState{offsets: map[string]map[string]map[int32]penstock.Offset{}}
	var offsets struct {
		Table map[string]map[int32]penstock.Offset `json:"offsetTable"`
	}
	var groups struct {
		Table     map[string]json.RawMessage `json:"subscriptionGroupTable"`
		Forbidden map[string]map[string]int  `json:"forbiddenTable"`
	}
	var delays struct {
		Table map[int32]penstock.Offset `json:"offsetTable"`
	}
	for _, f := range []struct {
		name string
		to   any
	}{{rocketOffsetsFile, &offsets}, {rocketGroupsFile, &groups}, {rocketDelaysFile, &delays}} {
		if err := readRocketFile(from, f.name, f.to); err != nil {
			return nil, err
		}
	}
	for name, b := range groups.Table {
		g, err := rocket.ParseGroupFile(name, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(rocketConfigDir, rocketGroupsFile), err)
		}
		if d := meta.DefaultGroup(name); rocket.OwnGroup(name) && sameGroup(&g, &d) {
			continue
		}
		s.groups = append(s.groups, g)
	}
	slices.SortFunc(s.groups, func(a, b meta.GroupConfig) int { return strings.Compare(a.Name, b.Name) })
	if len(groups.Forbidden) > 0 {
		s.note("what groups may not read (forbiddenTable in %s) is not taken over", path.Join(rocketConfigDir, rocketGroupsFile))
	}
	for key, at := range offsets.Table {
		s.take(key, at)
	}
	s.delays = delays.Table
	s.lookForOthers(from)
	return s, nil
}

// sameGroup compares what is configured of two groups.
func sameGroup(a, b *meta.GroupConfig) bool {
	return string(rocket.GroupFile(a)) == string(rocket.GroupFile(b))
}

// take takes over how far a group has read in a topic.
func (s *rocketState) take(key string, at map[int32]penstock.Offset) {
	topic, name, ok := strings.Cut(key, topicAtGroup)
	if !ok || meta.CheckGroupName(name) != nil {
		s.note("%s: offsets of %.300q are not taken over: it names no group", rocketOffsetsFile, key)
		return
	}
	if name == group.ScheduleGroup {
		return // the broker's own; delayOffset.json says it
	}
	if s.offsets[name] == nil {
		s.offsets[name] = map[string]map[int32]penstock.Offset{}
	}
	s.offsets[name][topic] = at
}

// lookForOthers notes what else lies in the directory and is not taken over.
func (s *rocketState) lookForOthers(from fs.FS) {
	var filters struct {
		Table map[string]any `json:"filterDataByTopic"`
	}
	if readRocketFile(from, "consumerFilter.json", &filters) == nil && len(filters.Table) > 0 {
		s.note("filters by SQL (consumerFilter.json) are not taken over: they are not served")
	}
	for _, dir := range []string{"topics", "subscriptionGroups", "consumerOffsets", "metadata"} {
		if _, err := fs.Stat(from, path.Join(rocketConfigDir, dir)); err == nil {
			s.note("%s is in RocksDB and was not read, only JSON is: write it as JSON with mqadmin rocksDBConfigToJson first, if the broker kept its configuration there",
				path.Join(rocketConfigDir, dir))
		}
	}
}

func (s *rocketState) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// keep writes the state into the data directory. ids are the topics that were taken over.
func (s *rocketState) keep(ctx context.Context, o *offline, broker penstock.BrokerID, ids map[string]penstock.TopicID) error {
	for i := range s.groups {
		if err := o.meta.SetGroup(ctx, s.groups[i]); err != nil {
			return err
		}
	}
	for name, of := range s.offsets {
		maps.DeleteFunc(of, func(topic string, _ map[int32]penstock.Offset) bool { return ids[topic].IsZero() }) // those of topics that are no more
		if len(of) == 0 {
			delete(s.offsets, name)
		}
	}
	if len(s.offsets) == 0 && len(s.delays) == 0 {
		return nil
	}
	return o.withGroups(ctx, broker, true, func(c *group.Coordinator) error {
		for _, name := range slices.Sorted(maps.Keys(s.offsets)) {
			if err := s.commit(ctx, c, name, ids); err != nil {
				return fmt.Errorf("offsets of group %q: %w", name, err)
			}
		}
		id, ok := ids[delay.Topic]
		if len(s.delays) == 0 || !ok {
			return nil
		}
		at := map[int32]penstock.Offset{}
		for level, next := range s.delays {
			if level >= 1 {
				at[level-1] = next
			}
		}
		return answered(ctx, func(answer func(error)) { c.SaveProgress(group.ScheduleGroup, delay.Topic, id, at, answer) })
	})
}

// commit commits how far a group has read in the topics that were taken over.
func (s *rocketState) commit(ctx context.Context, c *group.Coordinator, name string, ids map[string]penstock.TopicID) error {
	var all []group.CommitOffset
	for _, topic := range slices.Sorted(maps.Keys(s.offsets[name])) {
		id := ids[topic]
		for n, at := range s.offsets[name][topic] {
			if n >= 0 && at >= 0 {
				all = append(all, group.CommitOffset{Topic: topic, TopicID: id, Partition: n, Offset: at, Epoch: penstock.NoEpoch})
			}
		}
	}
	for lot := range slices.Chunk(all, commitLot) {
		r := &group.Commit{Generation: -1, Rocket: true, Offsets: lot}
		if err := answered(ctx, func(answer func(error)) { c.Commit(name, r, answer) }); err != nil {
			return err
		}
		for i := range lot {
			if lot[i].Err != nil {
				return lot[i].Err
			}
		}
	}
	return nil
}

// answered waits for the answer of what f begins.
func answered(ctx context.Context, f func(answer func(error))) error {
	got := make(chan error, 1)
	f(func(err error) { got <- err })
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gatherRocketState finds what a RocketMQ broker is to know of groups and of delayed messages; topics are those that it gets.
func gatherRocketState(ctx context.Context, o *offline, topics map[string]*meta.Topic) (*rocketState, error) {
	s := &rocketState{offsets: map[string]map[string]map[int32]penstock.Offset{}, delays: map[int32]penstock.Offset{}}
	img := o.meta.Image()
	configured := map[string]bool{}
	img.Groups(func(g *meta.GroupConfig) bool {
		s.groups = append(s.groups, *g)
		configured[g.Name] = true
		return true
	})
	broker := penstock.BrokerID(0)
	if t := img.Topic(group.JournalTopic); t != nil {
		broker = t.Partitions[0].Leader
	}
	err := o.withGroups(ctx, broker, false, func(c *group.Coordinator) error {
		list, err := c.List()
		for i := 0; i < len(list) && err == nil; i++ {
			err = s.gather(c, list[i].Name, topics)
		}
		return err
	})
	for name := range s.offsets {
		if !configured[name] {
			s.groups = append(s.groups, meta.DefaultGroup(name)) // here there are groups of all names; there only those that somebody made
		}
	}
	slices.SortFunc(s.groups, func(a, b meta.GroupConfig) int { return strings.Compare(a.Name, b.Name) })
	return s, err
}

// gather takes how far a group has read in topics.
func (s *rocketState) gather(c *group.Coordinator, name string, topics map[string]*meta.Topic) error {
	lost := 0
	err := c.Read(name, nil, func(topic string, n int32, at group.Committed, ok bool) {
		t := topics[topic]
		if !ok || t == nil || !at.TopicID.IsZero() && at.TopicID != t.ID {
			return
		}
		if name == group.ScheduleGroup {
			if topic == delay.Topic {
				s.delays[n+1] = at.Offset
			}
			return
		}
		if meta.CheckGroupName(name) != nil {
			lost++
			return
		}
		of := s.offsets[name]
		if of == nil {
			of = map[string]map[int32]penstock.Offset{}
			s.offsets[name] = of
		}
		if of[topic] == nil {
			of[topic] = map[int32]penstock.Offset{}
		}
		of[topic][n] = at.Offset
	})
	if lost > 0 {
		s.note("%d offsets of group %.300q are not written: RocketMQ does not allow its name", lost, name)
	}
	if err != nil {
		return fmt.Errorf("offsets of group %q: %w", name, err)
	}
	return nil
}

// write writes the files of a RocketMQ broker; now is the time that they bear, in ms.
func (s *rocketState) write(to *disk.Disk, now int64) error {
	version := fmt.Sprintf(`"dataVersion":{"counter":1,"stateVersion":0,"timestamp":%d}`, now)
	var offsets []string
	for _, name := range slices.Sorted(maps.Keys(s.offsets)) {
		for _, topic := range slices.Sorted(maps.Keys(s.offsets[name])) {
			offsets = append(offsets, quoted(topic+topicAtGroup+name)+":"+queueOffsets(s.offsets[name][topic]).rocket())
		}
	}
	var groups []string
	for i := range s.groups {
		groups = append(groups, quoted(s.groups[i].Name)+":"+string(rocket.GroupFile(&s.groups[i])))
	}
	for name, text := range map[string]string{
		rocketOffsetsFile: "{" + version + ",\"offsetTable\":{" + strings.Join(offsets, ",\n") + "}}\n",
		rocketGroupsFile:  "{" + version + ",\"forbiddenTable\":{},\"subscriptionGroupTable\":{" + strings.Join(groups, ",\n") + "}}\n",
		rocketDelaysFile:  "{" + version + ",\"offsetTable\":" + queueOffsets(s.delays).rocket() + "}\n",
	} {
		if err := to.WriteFile(path.Join(rocketConfigDir, name), []byte(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// quoted is a text in JSON.
func quoted(s string) string {
	b, _ := json.Marshal(s) // a string can be
	return string(b)
}
