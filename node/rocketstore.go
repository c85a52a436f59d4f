package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/delay"
	"penstock/disk"
	"penstock/meta"
	"penstock/rocket"
	"penstock/store/commit"
)

// RocketStoreOptions says which store directory of a RocketMQ broker (storePathRootDir) is written or taken over.
type RocketStoreOptions struct {
	Store  string // RocketMQ's directory; it is not changed when it is taken over
	Data   string // data directory
	Broker penstock.BrokerID
	Log    *slog.Logger
}

// RocketStore says what was written or taken over.
type RocketStore struct {
	Topics  []RocketStoreTopic
	Groups  int      // that something is configured of
	Offsets int      // queues of which it is known how far a group has read
	Bytes   int64    // of the commit log; 0 after an export
	Notes   []string // what somebody should know
}

// RocketStoreTopic is one topic.
type RocketStoreTopic struct {
	Name   string
	ID     penstock.TopicID // zero after an export
	Queues int
}

// tell takes the figures of a state over.
func (r *RocketStore) tell(s *rocketState) {
	r.Groups = len(s.groups)
	for _, topics := range s.offsets {
		for _, queues := range topics {
			r.Offsets += len(queues)
		}
	}
	r.Notes = append(r.Notes, s.notes...)
}

// ExportRocket writes the topics of the message format in the commit layout as the store directory of a RocketMQ broker, with what is configured of groups, how far they have
// read, and how far delayed messages are delivered. Neither broker may be running, and this one must have been stopped cleanly.
func ExportRocket(ctx context.Context, o RocketStoreOptions) (sum *RocketStore, err error) {
	d, err := openOffline(ctx, o.Data, o.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	sum = &RocketStore{}
	named := map[string]*meta.Topic{}
	var known []commit.RocketTopic
	d.meta.Image().Topics(func(t *meta.Topic) bool {
		switch {
		case t.Format != penstock.FormatMessage:
		case t.Layout != penstock.LayoutCommit:
			sum.Notes = append(sum.Notes, fmt.Sprintf("topic %q is not written: its layout is %v, and only that of the commit log is RocketMQ's", t.Name, t.Layout))
		default:
			named[t.Name] = t
			known = append(known, rocketTopic(t))
		}
		return true
	})
	slices.Sort(sum.Notes)
	state, err := gatherRocketState(ctx, d, named)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	to, err := disk.Open(o.Store, disk.Options{Logger: o.Log, JournalBytes: -1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	topics, err := commit.Export(ctx, d.disk, to, known)
	if err != nil {
		return nil, err
	}
	if err := state.write(to, time.Now().UnixMilli()); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	for i := range topics {
		sum.Topics = append(sum.Topics, RocketStoreTopic{Name: topics[i].Name, Queues: topics[i].Partitions()})
	}
	sum.tell(state)
	return sum, nil
}

// rocketTopic is a topic as RocketMQ has it.
func rocketTopic(t *meta.Topic) commit.RocketTopic {
	number := func(key string, none int) int {
		n, err := strconv.Atoi(t.Configs[key])
		if err != nil || n < 0 {
			return none
		}
		return n
	}
	return commit.RocketTopic{
		Name: t.Name, Queues: len(t.Partitions), ReadQueues: number(meta.ConfigReadQueues, 0), WriteQueues: number(meta.ConfigWriteQueues, 0),
		Perm: number(meta.ConfigPerm, meta.PermRead|meta.PermWrite), Order: t.Configs[meta.ConfigOrder] == "true",
		Attributes: rocket.AttributesFile(t.Configs[meta.ConfigAttributes]),
	}
}

// ImportRocket takes over the commit log of a RocketMQ broker with its topics, its groups, how far they have read and how far delayed messages are delivered: offsets, positions and
// messages stay, and nothing is deleted by age until somebody says so. The data directory must have no messages in the commit layout yet. Neither broker may be running.
func ImportRocket(ctx context.Context, o RocketStoreOptions) (sum *RocketStore, err error) {
	from := os.DirFS(o.Store)
	topics, err := commit.RocketTopics(from)
	var state *rocketState
	if err == nil {
		state, err = readRocketState(from)
	}
	if err != nil {
		return nil, fmt.Errorf("store directory %s: %w", o.Store, err)
	}
	d, err := openOffline(ctx, o.Data, o.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	todo, ids, err := planRocket(ctx, d.meta, topics, o.Broker)
	if err != nil {
		return nil, fmt.Errorf("nothing was taken over: %w", err)
	}
	sum = &RocketStore{}
	if sum.Bytes, err = commit.Import(ctx, d.disk, from, func(name string) (penstock.TopicID, bool) { id, ok := ids[name]; return id, ok }); err != nil {
		return nil, fmt.Errorf("%w. Remove %s before you try again", err, filepath.Join(d.root, "commit", "message"))
	}
	for _, n := range todo {
		if _, err := d.meta.CreateTopic(ctx, n, false); err != nil {
			return nil, err
		}
		sum.Topics = append(sum.Topics, RocketStoreTopic{n.Name, n.ID, n.Partitions})
	}
	if err := state.keep(ctx, d, o.Broker, ids); err != nil {
		return nil, fmt.Errorf("messages and topics were taken over, groups only in part: %w. Begin again with another data directory", err)
	}
	sum.tell(state)
	sum.Notes = append(sum.Notes, "queues and index are made from the log at the next start of the broker", "access rules are not taken over")
	return sum, nil
}

// planRocket finds out which topics are to be made, with new ids, and whether they can be.
func planRocket(ctx context.Context, m *meta.Store, topics []commit.RocketTopic, broker penstock.BrokerID) (todo []meta.NewTopic, ids map[string]penstock.TopicID, err error) {
	ids = map[string]penstock.TopicID{}
	for i := range topics {
		t := &topics[i]
		if t.Queues == 0 && rocketOwn(t) {
			continue
		}
		configs, err := rocketConfigs(t)
		if err != nil {
			return nil, nil, fmt.Errorf("topic %q: %w", t.Name, err)
		}
		var id penstock.TopicID
		_, _ = rand.Read(id[:]) // it never fails
		n := meta.NewTopic{Name: t.Name, ID: id, Format: penstock.FormatMessage, Layout: penstock.LayoutCommit, Partitions: max(1, t.Partitions()),
			Replicas: []penstock.BrokerID{broker}, Configs: configs, Epoch: 1}
		if _, err := m.CreateTopic(ctx, n, true); err != nil {
			return nil, nil, err
		}
		ids[t.Name] = id
		todo = append(todo, n)
	}
	return todo, ids, nil
}

// rocketOwn reports whether a topic without messages is one that every RocketMQ broker makes for itself.
func rocketOwn(t *commit.RocketTopic) bool {
	switch t.Name {
	case "TBW102", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT", "BenchmarkTest", delay.Topic:
		return true
	}
	// Topics that stand for a cluster or a broker have the permission to inherit.
	return strings.HasPrefix(t.Name, "RMQ_SYS_") || strings.HasPrefix(t.Name, "rmq_sys_") || t.Perm&meta.PermInherit != 0 || strings.HasPrefix(t.Name, "TRANS_CHECK_MAX_TIME") ||
		strings.HasSuffix(t.Name, "_REPLY_TOPIC")
}

// rocketConfigs are the attributes of a topic, and that nothing of it is deleted.
func rocketConfigs(t *commit.RocketTopic) (map[string]string, error) {
	c := keepForEver()
	if t.Perm != meta.PermRead|meta.PermWrite {
		c[meta.ConfigPerm] = strconv.Itoa(t.Perm & (meta.PermRead | meta.PermWrite | meta.PermInherit))
	}
	if n := t.Partitions(); t.ReadQueues > 0 && t.ReadQueues != n {
		c[meta.ConfigReadQueues] = strconv.Itoa(t.ReadQueues)
	}
	if n := t.Partitions(); t.WriteQueues > 0 && t.WriteQueues != n {
		c[meta.ConfigWriteQueues] = strconv.Itoa(t.WriteQueues)
	}
	if t.Order {
		c[meta.ConfigOrder] = "true"
	}
	attributes, err := rocket.ParseAttributesFile(t.Attributes)
	if attributes != "" {
		c[meta.ConfigAttributes] = attributes
	}
	return c, err
}
