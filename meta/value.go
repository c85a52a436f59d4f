package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"penstock"
)

// Everything lies under one prefix. Values are JSON objects with the version of their form in "v".
//
//	penstock/cluster              id of the cluster
//	penstock/broker/<id>          a broker as it registered last
//	penstock/config/<scope>       configuration of brokers set while they ran; the scope is "default" or a broker's number
//	penstock/producers            the next producer id that nobody has
//	penstock/name/<folded name>   topic id; '.' is folded into '_', so that a name and its look-alike exclude each other
//	penstock/topic/<id in hex>    a topic: name, partitions, assignment, configuration
//	penstock/part/<id>/<n>        state of a partition, present only when it differs from what the topic's key implies
//	penstock/group/<name>         RocketMQ's configuration of a group of consumers
//	penstock/values/<namespace>   the pairs that RocketMQ's name server keeps; the name is escaped as in the path of a URL
//	penstock/gone/<id in hex>     a deleted topic, and the brokers that have not said yet that its files are gone
const (
	prefix       = "penstock/"
	keyCluster   = prefix + "cluster"
	keyProducers = prefix + "producers"
	prefixBroker = prefix + "broker/"
	prefixConfig = prefix + "config/"
	prefixName   = prefix + "name/"
	prefixTopic  = prefix + "topic/"
	prefixPart   = prefix + "part/"
	prefixGone   = prefix + "gone/"
	prefixGroup  = prefix + "group/"
	prefixValues = prefix + "values/"
)

const (
	// valueVersion is the form of the values written by this program.
	valueVersion = 1
	// maxValue bounds a value: etcd takes requests of 1.5 MiB.
	maxValue = 1 << 20
	// maxReplicas bounds the copies of a partition.
	maxReplicas = 64
	// maxTransaction is what one Engine.Commit takes, conditions and changes together.
	maxTransaction = 128
)

var (
	errVersion = errors.New("written by a newer version of the program")
	errBounds  = errors.New("out of bounds")
)

func brokerKey(id penstock.BrokerID) string { return prefixBroker + strconv.Itoa(int(id)) }
func topicKey(id penstock.TopicID) string   { return prefixTopic + id.Hex() }
func partPrefix(id penstock.TopicID) string { return prefixPart + id.Hex() + "/" }
func goneKey(id penstock.TopicID) string    { return prefixGone + id.Hex() }
func nameKey(name string) string            { return prefixName + foldName(name) }

func partKey(id penstock.TopicID, n int) string { return partPrefix(id) + strconv.Itoa(n) }

// foldName is the same for names that Kafka's tools and metrics cannot tell apart.
func foldName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// parsePartKey reads a key below prefixPart.
func parsePartKey(key string) (penstock.TopicID, int, error) {
	id, digits, _ := strings.Cut(strings.TrimPrefix(key, prefixPart), "/")
	t, err := parseHexID(id)
	if err != nil {
		return t, 0, fmt.Errorf("key %q: %w", key, err)
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n >= MaxPartitions || partKey(t, int(n)) != key {
		return t, 0, fmt.Errorf("key %q: partition %q: %w", key, digits, errBounds)
	}
	return t, int(n), nil
}

func parseHexID(s string) (penstock.TopicID, error) {
	t, err := penstock.ParseTopicID(s)
	if err != nil {
		return t, err
	}
	if t.Hex() != s {
		return t, fmt.Errorf("topic id %q: want 32 digits of lower-case hex", s)
	}
	return t, nil
}

// version begins every value.
type version struct {
	V int `json:"v"`
}

type clusterValue struct {
	version
	ID string `json:"id"`
}

type producersValue struct {
	version
	Next int64 `json:"next"`
}

type nameValue struct {
	version
	ID   string `json:"id"`
	Name string `json:"name"`
}

type brokerValue struct {
	version
	Epoch     int64             `json:"epoch"`
	Rack      string            `json:"rack,omitempty"`
	Endpoints map[string]string `json:"endpoints,omitempty"`
}

// topicValue is a topic and the state that all its partitions have unless a key of their own says otherwise: led by
// the first replica in epoch Epoch, all replicas in sync, version equal to the epoch.
type topicValue struct {
	version
	Name       string              `json:"name"`
	Partitions int                 `json:"partitions"`
	Replicas   []penstock.BrokerID `json:"replicas"`
	Epoch      penstock.Epoch      `json:"epoch,omitempty"`
	Format     string              `json:"format"`
	Layout     string              `json:"layout"`
	Configs    map[string]string   `json:"configs,omitempty"`
}

type partValue struct {
	version
	Leader   penstock.BrokerID   `json:"leader"`
	Epoch    penstock.Epoch      `json:"epoch"`
	Version  int32               `json:"version"`
	Replicas []penstock.BrokerID `json:"replicas"`
	InSync   []penstock.BrokerID `json:"in_sync"`
}

type goneValue struct {
	version
	Brokers []penstock.BrokerID `json:"brokers"`
}

// encode makes a value. The types above always have one.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("meta: encode %T: %v", v, err))
	}
	return b
}

// decode reads a value into v and says which version it has.
func decode(b []byte, v any) error {
	if len(b) > maxValue {
		return fmt.Errorf("value of %d bytes: %w", len(b), errBounds)
	}
	var head version
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if head.V > valueVersion {
		return fmt.Errorf("version %d: %w", head.V, errVersion)
	}
	if head.V < 1 {
		return fmt.Errorf("version %d: %w", head.V, errBounds)
	}
	return json.Unmarshal(b, v)
}

func decodeCluster(b []byte) (string, error) {
	var v clusterValue
	if err := decode(b, &v); err != nil {
		return "", err
	}
	if v.ID == "" {
		return "", fmt.Errorf("cluster id: %w", errBounds)
	}
	return v.ID, nil
}

func decodeProducers(b []byte) (penstock.ProducerID, error) {
	var v producersValue
	if err := decode(b, &v); err != nil {
		return 0, err
	}
	if v.Next < 0 {
		return 0, fmt.Errorf("producer id %d: %w", v.Next, errBounds)
	}
	return penstock.ProducerID(v.Next), nil
}

func decodeName(b []byte) (penstock.TopicID, string, error) {
	var v nameValue
	if err := decode(b, &v); err != nil {
		return penstock.TopicID{}, "", err
	}
	id, err := parseHexID(v.ID)
	return id, v.Name, err
}

func decodeGone(b []byte) ([]penstock.BrokerID, error) {
	var v goneValue
	if err := decode(b, &v); err != nil {
		return nil, err
	}
	return v.Brokers, checkReplicas(v.Brokers)
}

func parseBrokerKey(key string) (penstock.BrokerID, error) {
	id, err := strconv.ParseUint(strings.TrimPrefix(key, prefixBroker), 10, 31)
	if err != nil || brokerKey(penstock.BrokerID(id)) != key {
		return 0, fmt.Errorf("key %q: broker id: %w", key, errBounds)
	}
	return penstock.BrokerID(id), nil
}

func decodeBroker(key string, b []byte) (*Broker, error) {
	id, err := parseBrokerKey(key)
	if err != nil {
		return nil, err
	}
	var v brokerValue
	if err := decode(b, &v); err != nil {
		return nil, err
	}
	if v.Epoch < 0 {
		return nil, fmt.Errorf("epoch %d: %w", v.Epoch, errBounds)
	}
	return &Broker{ID: id, Epoch: v.Epoch, Rack: v.Rack, Endpoints: v.Endpoints}, nil
}

// decodeTopic reads a topic's value. Its partitions are in the state that the value implies; its settings are not parsed.
func decodeTopic(key string, b []byte) (*Topic, error) {
	id, err := parseHexID(strings.TrimPrefix(key, prefixTopic))
	if err != nil || topicKey(id) != key {
		return nil, fmt.Errorf("key %q: topic id: %w", key, errBounds)
	}
	var v topicValue
	if err := decode(b, &v); err != nil {
		return nil, err
	}
	t := &Topic{ID: id, Name: v.Name, Configs: v.Configs, epoch: v.Epoch, replicas: v.Replicas}
	if v.Partitions < 1 || v.Partitions > MaxPartitions || v.Epoch < 0 {
		return nil, fmt.Errorf("%d partitions, epoch %d: %w", v.Partitions, v.Epoch, errBounds)
	}
	if err := checkReplicas(v.Replicas); err != nil {
		return nil, err
	}
	switch v.Format {
	case penstock.FormatRecord.String():
	case penstock.FormatMessage.String():
		t.Format = penstock.FormatMessage
	default:
		return nil, fmt.Errorf("format %q: %w", v.Format, errBounds)
	}
	switch v.Layout {
	case penstock.LayoutSegment.String():
	case penstock.LayoutCommit.String():
		t.Layout = penstock.LayoutCommit
	default:
		return nil, fmt.Errorf("layout %q: %w", v.Layout, errBounds)
	}
	if err := CheckNameOf(v.Name, t.Format); err != nil {
		return nil, err
	}
	t.Partitions = make([]Partition, v.Partitions)
	for i := range t.Partitions {
		t.Partitions[i] = t.implied()
	}
	return t, nil
}

// value is what a topic is stored as.
func (t *Topic) value() topicValue {
	return topicValue{
		version: version{valueVersion}, Name: t.Name, Partitions: len(t.Partitions), Replicas: t.replicas, Epoch: t.epoch,
		Format: t.Format.String(), Layout: t.Layout.String(), Configs: t.Configs,
	}
}

// implied is the state of a partition that has no key of its own.
func (t *Topic) implied() Partition {
	return Partition{Leader: t.replicas[0], Epoch: t.epoch, Version: int32(t.epoch), Replicas: t.replicas, InSync: t.replicas}
}

func decodePart(b []byte) (Partition, error) {
	var v partValue
	if err := decode(b, &v); err != nil {
		return Partition{}, err
	}
	if v.Leader < penstock.NoBroker || v.Epoch < 0 || v.Version < 0 {
		return Partition{}, fmt.Errorf("leader %d, epoch %d, version %d: %w", v.Leader, v.Epoch, v.Version, errBounds)
	}
	if err := checkReplicas(v.Replicas); err != nil {
		return Partition{}, err
	}
	if len(v.InSync) > 0 {
		if err := checkReplicas(v.InSync); err != nil {
			return Partition{}, err
		}
	}
	return Partition{Leader: v.Leader, Epoch: v.Epoch, Version: v.Version, Replicas: v.Replicas, InSync: v.InSync}, nil
}

// value is what a partition's own state is stored as.
func (p *Partition) value() partValue {
	return partValue{
		version: version{valueVersion}, Leader: p.Leader, Epoch: p.Epoch, Version: p.Version,
		Replicas: p.Replicas, InSync: p.InSync,
	}
}

// raised is the state after the leader's next reign began.
func (p Partition) raised() (Partition, error) {
	if p.Epoch == math.MaxInt32 || p.Version == math.MaxInt32 {
		return p, fmt.Errorf("epoch %d, version %d: %w", p.Epoch, p.Version, errBounds)
	}
	p.Epoch++
	p.Version++
	return p, nil
}

func checkReplicas(rs []penstock.BrokerID) error {
	if len(rs) == 0 || len(rs) > maxReplicas {
		return fmt.Errorf("%d replicas: %w", len(rs), errBounds)
	}
	for i, r := range rs {
		if r < 0 {
			return fmt.Errorf("replica %d: %w", r, errBounds)
		}
		for _, other := range rs[:i] {
			if r == other {
				return fmt.Errorf("replica %d is named twice: %w", r, errBounds)
			}
		}
	}
	return nil
}
