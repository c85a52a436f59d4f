package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/delay"
	"penstock/group"
	"penstock/meta"
	"penstock/replica"
	"penstock/rocket"
	"penstock/store"
)

// Labels of the listeners of RocketMQ's protocol, in metrics and among a broker's endpoints.
const (
	rocketListener = "rocket"
	vipListener    = "rocket.vip"
	namesListener  = "rocket.namesrv"
)

// leadRocket builds what serves RocketMQ's clients, if they are served. Partitions and groups are there already.
func (n *Node) leadRocket() {
	c := &n.c.Rocket
	if c.Listen == "" {
		return
	}
	n.background("roster", n.roster.Run)
	later := delay.New(delay.Options{
		Broker: n.c.Broker, Topics: n.topics, Partitions: n.replicas, Progress: n.groups, Levels: c.Levels, Logger: n.log, Metrics: n.registry,
	})
	n.background("delayed messages", later.Run)
	host, digits, _ := net.SplitHostPort(n.info.RocketAdvertised)
	port, _ := strconv.ParseUint(digits, 10, 16)
	n.rocket = rocket.New(rocket.Options{
		Broker: n.c.Broker, BrokerName: c.Name, ClusterName: c.Cluster,
		Advertised: func() (string, int32) { return host, int32(port) },
		Topics:     n.topics, Partitions: n.replicas, Groups: n.groups, Roster: n.roster, Delay: later, Values: values{n.meta},
		Locate: n.stores.locate, FindKey: n.findKey, Memory: memory(root{}),
		Admin: rocket.Admin{
			Crews: n.roster, Groups: n.groups, Config: n.meta, Runtime: n.rocketRuntime, BrokerConfig: n.rocketConfigs,
		},
		NoAutoCreate: !c.Create, DefaultQueues: c.Queues, Layout: c.Layout, Requests: n.requests.ofRocket(), Account: n.account, Metrics: n.registry, Logger: n.log,
		Limits: rocket.Limits{
			MessageBytes: int(c.Message), PullBytes: c.Pull, PullCount: c.PullCount, MaxWait: c.PullWait, ControlTime: n.c.ControlTime,
		},
	})
}

// storeHost is the host that messages name as the one that stored them; without an address where clients are told a name.
func (n *Node) storeHost() netip.AddrPort {
	host, digits, _ := net.SplitHostPort(n.info.RocketAdvertised)
	port, _ := strconv.ParseUint(digits, 10, 16)
	addr, _ := netip.ParseAddr(host)
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port))
}

// newRoster makes what knows RocketMQ's clients; nil if there are none.
func (n *Node) newRoster() *group.Roster {
	if n.c.Rocket.Listen == "" {
		return nil
	}
	return group.NewRoster(group.RosterOptions{Logger: n.log, Metrics: n.registry, Expiry: n.c.Rocket.Expiry, Limits: group.RosterLimits{Groups: n.c.Groups, Links: n.c.Conns}})
}

// values are the pairs of the name server.
type values struct{ store *meta.Store }

// Values are those of a namespace.
func (v values) Values(namespace string) map[string]string { return v.store.Image().Values(namespace) }

// SetValue sets one, or deletes it.
func (v values) SetValue(ctx context.Context, namespace, key string, value *string) error {
	return v.store.SetValue(ctx, namespace, key, value)
}

// ownPosition is set in positions that count in the partition's own log and not in one that partitions share: (message, segment).
const ownPosition = 1 << 62

// locate finds the message that begins at a position which was written into it.
func (s *stores) locate(at penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
	key := replica.StoreKey{Layout: penstock.LayoutCommit, Format: penstock.FormatMessage}
	if at&ownPosition != 0 {
		key.Layout = penstock.LayoutSegment
	}
	if st, ok := s.of[key].opened().(store.Locator); ok && at >= 0 {
		return st.Locate(at)
	}
	return penstock.PartitionID{}, penstock.NoOffset, fmt.Errorf("%w: no message at position %d", penstock.ErrOffsetOutOfRange, at)
}

// findKey finds the records of a topic that have a key, where the topic has an index of keys. Where it has none the error says how it gets one.
func (n *Node) findKey(topic penstock.TopicID, key string, from, to penstock.Timestamp, limit int, visit func(penstock.PartitionID, penstock.Offset) bool) error {
	t := n.meta.Image().TopicByID(topic)
	if t == nil {
		return fmt.Errorf("topic %v: %w", topic, penstock.ErrUnknownTopicID)
	}
	whose := replica.KeyOf(t)
	always := whose == replica.StoreKey{Layout: penstock.LayoutCommit, Format: penstock.FormatMessage}
	if !always && !t.Settings.IndexKeys {
		return fmt.Errorf("%w: topic %q has no index of keys: penstock topic alter %s --set penstock.index.keys=true has what is written from then on indexed; "+
			"penstock find --scan and penstock consume read the topic", penstock.ErrUnsupported, t.Name, t.Name)
	}
	f, ok := n.stores.of[whose].opened().(store.Finder)
	if !ok {
		return nil // nothing was ever written there
	}
	err := f.FindKey(topic, key, from, to, limit, visit)
	switch {
	case !errors.Is(err, penstock.ErrUnsupported):
		return err
	case always:
		return fmt.Errorf("%w: messages of the commit layout are not indexed on this node: rocket.index=true and a restart index them", penstock.ErrUnsupported)
	}
	return nil // the setting is about to reach the store
}

// sharedLog is a store whose partitions share a log.
type sharedLog interface {
	Written() penstock.Position
	Oldest() (penstock.Position, penstock.Timestamp)
}

// rocketRuntime are the figures of the node that RocketMQ's tools show.
func (n *Node) rocketRuntime() rocket.Runtime {
	r := rocket.Runtime{
		Started: penstock.Timestamp(n.began.UnixMilli()), EarliestTime: penstock.NoTimestamp, LogDir: filepath.Join(n.info.Data, "commit", "message", "log"),
	}
	if sp, err := n.disk.Space(); err == nil {
		r.DiskTotal, r.DiskFree = sp.Total, sp.Free
	}
	key := replica.StoreKey{Layout: penstock.LayoutCommit, Format: penstock.FormatMessage}
	if st, ok := n.stores.of[key].opened().(sharedLog); ok {
		r.MaxPosition = st.Written()
		r.MinPosition, r.EarliestTime = st.Oldest()
	}
	return r
}

// rocketConfigs is what RocketMQ's tools are shown of the node, by the names and in the units that they know (broker.conf).
func (n *Node) rocketConfigs() map[string]string {
	c := &n.c.Rocket
	host, port, _ := net.SplitHostPort(n.info.RocketAdvertised)
	var levels []string
	for _, d := range c.Levels {
		levels = append(levels, levelText(d))
	}
	flush := "ASYNC_FLUSH"
	if n.meta.Image().Defaults.Durability == penstock.DurabilityFsync {
		flush = "SYNC_FLUSH"
	}
	return map[string]string{
		"brokerClusterName": c.Cluster, "brokerName": c.Name, "brokerId": "0", "brokerRole": "ASYNC_MASTER", "brokerIP1": host, "listenPort": port,
		"namesrvAddr": n.info.NameServer, "autoCreateTopicEnable": strconv.FormatBool(c.Create), "defaultTopicQueueNums": strconv.Itoa(c.Queues),
		"maxMessageSize": strconv.FormatInt(c.Message, 10), "messageDelayLevel": strings.Join(levels, " "), "flushDiskType": flush,
		"mappedFileSizeCommitLog": strconv.FormatInt(n.c.CommitFile, 10), "storePathRootDir": n.info.Data,
		"storePathCommitLog": filepath.Join(n.info.Data, "commit", "message", "log"),
	}
}

// levelText is a delay as RocketMQ writes it: one number and one unit.
func levelText(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		text string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.text
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
