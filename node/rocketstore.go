package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"penstock"
	"penstock/disk"
	"penstock/meta"
	"penstock/meta/etcd"
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
	Topics []RocketStoreTopic
	Bytes  int64    // of the commit log; 0 after an export
	Notes  []string // what somebody should know
}

// RocketStoreTopic is one topic.
type RocketStoreTopic struct {
	Name   string
	ID     penstock.TopicID // zero after an export
	Queues int
}

// ExportRocket writes the topics of the message format in the commit layout as the store directory of a RocketMQ broker. Neither broker may be running.
func ExportRocket(ctx context.Context, o RocketStoreOptions) (sum *RocketStore, err error) {
	d, err := disk.Open(o.Data, disk.Options{Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("%w. Stop the broker that uses it, or choose another directory with --data", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	to, err := disk.Open(o.Store, disk.Options{Logger: o.Log, JournalBytes: -1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	topics, err := commit.Export(ctx, d, to, nil)
	if err != nil {
		return nil, err
	}
	sum = &RocketStore{}
	for i := range topics {
		sum.Topics = append(sum.Topics, RocketStoreTopic{Name: topics[i].Name, Queues: topics[i].Partitions()})
		if topics[i].Name == scheduled {
			sum.Notes = append(sum.Notes, "RocketMQ is not told which delayed messages were delivered; it delivers those that are kept again")
		}
	}
	sum.Notes = append(sum.Notes, "offsets of groups are not written; a RocketMQ broker begins with none")
	return sum, nil
}

const scheduled = "SCHEDULE_TOPIC_XXXX"

// ImportRocket takes over the commit log of a RocketMQ broker with its topics: offsets, positions and messages stay, and nothing is deleted by age until somebody says
// so. The data directory must have no messages in the commit layout yet. Neither broker may be running.
func ImportRocket(ctx context.Context, o RocketStoreOptions) (sum *RocketStore, err error) {
	topics, err := commit.RocketTopics(os.DirFS(o.Store))
	if err != nil {
		return nil, fmt.Errorf("store directory %s: %w", o.Store, err)
	}
	root, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, err
	}
	d, err := disk.Open(root, disk.Options{Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("%w. Stop the broker that uses it, or choose another directory with --data", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	engine, err := etcd.Open(ctx, etcd.Options{Dir: filepath.Join(root, metaDir), Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", root, err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	m, err := meta.Open(ctx, meta.Options{Engine: engine, Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", root, err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	sum = &RocketStore{}
	ids := map[string]penstock.TopicID{}
	var todo []meta.NewTopic
	for i := range topics {
		t := &topics[i]
		if t.Queues == 0 && rocketOwn(t) {
			continue
		}
		var id penstock.TopicID
		_, _ = rand.Read(id[:]) // it never fails
		n := meta.NewTopic{Name: t.Name, ID: id, Format: penstock.FormatMessage, Layout: penstock.LayoutCommit, Partitions: max(1, t.Partitions()),
			Replicas: []penstock.BrokerID{o.Broker}, Configs: rocketConfigs(t), Epoch: 1}
		if _, err := m.CreateTopic(ctx, n, true); err != nil {
			return nil, fmt.Errorf("nothing was taken over: %w", err)
		}
		ids[t.Name] = id
		todo = append(todo, n)
	}
	if sum.Bytes, err = commit.Import(ctx, d, os.DirFS(o.Store), func(name string) (penstock.TopicID, bool) { id, ok := ids[name]; return id, ok }); err != nil {
		return nil, fmt.Errorf("%w. Remove %s before you try again", err, filepath.Join(root, "commit", "message"))
	}
	for _, n := range todo {
		if _, err := m.CreateTopic(ctx, n, false); err != nil {
			return nil, err
		}
		sum.Topics = append(sum.Topics, RocketStoreTopic{n.Name, n.ID, n.Partitions})
	}
	sum.Notes = append(sum.Notes, "queues and index are made from the log at the next start of the broker",
		"offsets of groups, subscription groups and access rules are not taken over")
	return sum, nil
}

// rocketOwn reports whether a topic without messages is one that every RocketMQ broker makes for itself.
func rocketOwn(t *commit.RocketTopic) bool {
	switch t.Name {
	case "TBW102", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT", "BenchmarkTest", scheduled:
		return true
	}
	const inherit = 1 // a bit of the permission: of topics that stand for a cluster or a broker
	return strings.HasPrefix(t.Name, "RMQ_SYS_") || strings.HasPrefix(t.Name, "rmq_sys_") || t.Perm&inherit != 0 || strings.HasPrefix(t.Name, "TRANS_CHECK_MAX_TIME")
}

// rocketConfigs are the attributes of a topic, and that nothing of it is deleted.
func rocketConfigs(t *commit.RocketTopic) map[string]string {
	c := keepForEver()
	const readWrite = 2 | 4
	if t.Perm != readWrite && t.Perm&readWrite != 0 {
		c[meta.ConfigPerm] = strconv.Itoa(t.Perm & readWrite)
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
	return c
}
