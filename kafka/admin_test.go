package kafka

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/meta"
	"penstock/metric"
)

// TestMetadata: brokers, controller, cluster and topics in every version, with the fields that each has.
func TestMetadata(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 2, nil)
	host, port := endpointOf(h.addr)
	for v := int16(0); v <= 13; v++ {
		q := kmsg.NewPtrMetadataRequest()
		q.IncludeTopicAuthorizedOperations = true
		resp := h.ask(q, v).(*kmsg.MetadataResponse)
		b := resp.Brokers[0]
		if len(resp.Brokers) != 1 || b.NodeID != 0 || b.Host != host || b.Port != port {
			t.Fatalf("version %d: %+v", v, resp.Brokers)
		}
		if v >= 2 && (resp.ClusterID == nil || *resp.ClusterID != h.meta.Image().ClusterID) || v >= 1 && resp.ControllerID != 0 {
			t.Fatalf("version %d: %+v", v, resp)
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
			t.Fatalf("version %d: %+v", v, resp.Topics)
		}
		mt := resp.Topics[0]
		if *mt.Topic != "t" || v >= 10 && mt.TopicID != [16]byte(topic.ID) || mt.IsInternal || v >= 8 && mt.AuthorizedOperations != allTopicOperations {
			t.Fatalf("version %d: %+v", v, mt)
		}
		p := mt.Partitions[1]
		if p.Partition != 1 || p.Leader != 0 || !slices.Equal(p.Replicas, []int32{0}) || !slices.Equal(p.ISR, []int32{0}) || len(p.OfflineReplicas) != 0 {
			t.Fatalf("version %d: %+v", v, p)
		}
		if v >= 7 && p.LeaderEpoch != int32(topic.Partitions[1].Epoch) {
			t.Fatalf("version %d: %+v", v, p)
		}
	}
}

// TestMetadataTopics: from version 1 null is all and empty is none; ids are asked for from version 12 (KIP-516, KAFKA-10774).
func TestMetadataTopics(t *testing.T) {
	h := build(t, "", func(o *Options) { o.AutoCreate = false })
	topic := h.topic("t", 1, nil)
	ask := func(v int16, topics ...kmsg.MetadataRequestTopic) []kmsg.MetadataResponseTopic {
		q := kmsg.NewPtrMetadataRequest()
		q.Topics = append([]kmsg.MetadataRequestTopic{}, topics...)
		return h.ask(q, v).(*kmsg.MetadataResponse).Topics
	}
	if len(ask(0)) != 1 || len(ask(1)) != 0 || len(ask(13)) != 0 {
		t.Error("an empty list is all topics in version 0, and none from version 1")
	}
	byID, unknown := kmsg.MetadataRequestTopic{TopicID: topic.ID}, kmsg.MetadataRequestTopic{TopicID: [16]byte{9}}
	for _, test := range []struct {
		version int16
		q       kmsg.MetadataRequestTopic
		want    code
	}{
		{12, byID, codeNone}, {13, byID, codeNone}, {10, byID, codeInvalidRequest}, {11, byID, codeInvalidRequest},
		{12, unknown, codeUnknownTopicID}, {12, kmsg.MetadataRequestTopic{}, codeInvalidRequest},
		{9, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("nope")}, codeUnknownTopicOrPartition},
	} {
		got := ask(test.version, test.q)
		if len(got) != 1 || code(got[0].ErrorCode) != test.want || test.want == codeNone && *got[0].Topic != "t" {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

// listOf asks for one offset of partition 0 of topic t.
func listOf(at int64, iso int8) *kmsg.ListOffsetsRequest {
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID, q.IsolationLevel = -1, iso
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = at, -1
	q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return q
}

// TestListOffsets: what may stand in place of a time, and from which version on; times; and epochs (KIP-320).
func TestListOffsets(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	base := plainBatch(1, 1).FirstTimestamp - 1000
	for i := range int64(4) {
		b := plainBatch(5, 10)
		b.FirstTimestamp, b.MaxTimestamp = base+100*i, base+100*i
		h.put(9, -1, seal(b))
		if i == 1 {
			if err := h.meta.Elect(h.ctx(), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	epoch := int32(h.meta.Image().Topic("t").Partitions[0].Epoch)
	for _, test := range []struct {
		what     string
		at       int64
		from     int16 // first version
		offset   int64
		time     int64
		epoch    int32
		uncommit bool
	}{
		{"latest", -1, 1, 20, -1, epoch, false},
		{"earliest", -2, 1, 0, -1, epoch - 1, false},
		{"largest time", -3, 7, 15, base + 300, epoch, false},
		{"earliest local", -4, 8, 0, -1, epoch - 1, false},
		{"latest tiered", -5, 9, -1, -1, -1, false},
		{"earliest pending upload", -6, 11, -1, -1, -1, false},
		{"a time that is there", base + 100, 1, 5, base + 100, epoch - 1, false},
		{"a time between", base + 101, 1, 10, base + 200, epoch, false},
		{"a time before all", 0, 1, 0, base, epoch - 1, false},
		{"a time after all", base + 301, 1, -1, -1, -1, false},
	} {
		for v := int16(1); v <= 11; v++ {
			p := h.ask(listOf(test.at, int8(v%2)), v).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
			if v < test.from {
				if code(p.ErrorCode) != codeUnsupportedVersion {
					t.Errorf("%s, version %d: %+v", test.what, v, p)
				}
				continue
			}
			if p.ErrorCode != 0 || p.Offset != test.offset || p.Timestamp != test.time || v >= 4 && p.LeaderEpoch != test.epoch {
				t.Errorf("%s, version %d: %+v", test.what, v, p)
			}
		}
	}
	for at, want := range map[int64]code{-7: codeUnsupportedVersion, -1 << 63: codeUnsupportedVersion} {
		if p := h.ask(listOf(at, 0), 11).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; code(p.ErrorCode) != want {
			t.Errorf("%d: %+v", at, p)
		}
	}
	for believed, want := range map[int32]code{epoch: codeNone, epoch - 1: codeFencedLeaderEpoch, epoch + 1: codeUnknownLeaderEpoch} {
		q := listOf(-1, 0)
		q.Topics[0].Partitions[0].CurrentLeaderEpoch = believed
		if p := h.ask(q, 4).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; code(p.ErrorCode) != want {
			t.Errorf("epoch %d: %+v", believed, p)
		}
	}
}

// TestEarliestEpoch: an epoch that ended before it wrote anything is not that of the first record.
func TestEarliestEpoch(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	if err := h.meta.Elect(h.ctx(), 0); err != nil {
		t.Fatal(err)
	}
	h.put(9, -1, batch(5, 10))
	epoch := int32(h.meta.Image().Topic("t").Partitions[0].Epoch)
	if p := h.ask(listOf(-2, 0), 5).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.Offset != 0 || p.LeaderEpoch != epoch {
		t.Errorf("%+v, want epoch %d", p, epoch)
	}
}

// TestOffsetForLeaderEpoch: where each epoch ended (KIP-101, KIP-320).
func TestOffsetForLeaderEpoch(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.put(9, -1, batch(5, 10))
	if err := h.meta.Elect(h.ctx(), 0); err != nil {
		t.Fatal(err)
	}
	h.put(9, -1, batch(5, 10))
	epoch := int32(h.meta.Image().Topic("t").Partitions[0].Epoch)
	for v := int16(2); v <= 4; v++ {
		for _, test := range []struct {
			asked, believed int32
			want            code
			epoch           int32
			end             int64
		}{
			{epoch - 1, -1, codeNone, epoch - 1, 5},
			{epoch, epoch, codeNone, epoch, 10},
			{epoch + 1, -1, codeNone, -1, -1},
			{epoch, epoch - 1, codeFencedLeaderEpoch, -1, -1},
			{epoch, epoch + 1, codeUnknownLeaderEpoch, -1, -1},
		} {
			q := kmsg.NewPtrOffsetForLeaderEpochRequest()
			q.ReplicaID = -1
			q.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
				{LeaderEpoch: test.asked, CurrentLeaderEpoch: test.believed}}}}
			p := h.ask(q, v).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
			if code(p.ErrorCode) != test.want || p.LeaderEpoch != test.epoch || p.EndOffset != test.end {
				t.Errorf("version %d, %+v: %+v", v, test, p)
			}
		}
	}
}

// TestInitProducerID: every producer gets another id; transactions are refused for good; half an identity is malformed.
func TestInitProducerID(t *testing.T) {
	h := build(t, "", nil)
	seen := map[int64]bool{}
	ask := func(v int16, change func(q *kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
		q := kmsg.NewPtrInitProducerIDRequest()
		q.ProducerID, q.ProducerEpoch = -1, -1
		change(q)
		return h.ask(q, v).(*kmsg.InitProducerIDResponse)
	}
	for v := int16(0); v <= 5; v++ {
		for range 5 {
			resp := ask(v, func(*kmsg.InitProducerIDRequest) {})
			if resp.ErrorCode != 0 || resp.ProducerID < 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
				t.Fatalf("version %d: %+v", v, resp)
			}
			seen[resp.ProducerID] = true
		}
		if resp := ask(v, func(q *kmsg.InitProducerIDRequest) { q.TransactionalID = kmsg.StringPtr("x") }); code(resp.ErrorCode) != codeUnsupportedVersion || resp.ProducerID != -1 {
			t.Errorf("version %d, a transactional id: %+v", v, resp)
		}
		if resp := ask(v, func(q *kmsg.InitProducerIDRequest) { q.TransactionalID = kmsg.StringPtr("") }); code(resp.ErrorCode) != codeInvalidRequest {
			t.Errorf("version %d, an empty transactional id: %+v", v, resp)
		}
	}
	if resp := ask(3, func(q *kmsg.InitProducerIDRequest) { q.ProducerID = 5 }); code(resp.ErrorCode) != codeInvalidRequest {
		t.Errorf("an id without an epoch: %+v", resp)
	}
	if resp := ask(3, func(q *kmsg.InitProducerIDRequest) { q.ProducerID, q.ProducerEpoch = 5, 1 }); resp.ErrorCode != 0 || seen[resp.ProducerID] {
		t.Errorf("an id with an epoch: %+v", resp)
	}
	// A new process over the same metadata goes on with another block.
	other := New(Options{Listener: "other", Topics: h.meta, Partitions: h.replicas})
	if id, err := other.ids.next(h.ctx(), h.meta); err != nil || seen[int64(id)] {
		t.Errorf("%d is given twice, or %v", id, err)
	}
}

// TestCreateTopics: what a client may leave open, what it may not ask for, and what it is told of the topic.
func TestCreateTopics(t *testing.T) {
	h := build(t, "", func(o *Options) { o.DefaultPartitions = 3; o.TopicDefaults = map[string]string{"retention.ms": "1000"} })
	create := func(v int16, topics ...kmsg.CreateTopicsRequestTopic) []kmsg.CreateTopicsResponseTopic {
		q := kmsg.NewPtrCreateTopicsRequest()
		q.Topics = topics
		return h.ask(q, v).(*kmsg.CreateTopicsResponse).Topics
	}
	one := func(name string, change func(q *kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
		q := kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: 1, ReplicationFactor: 1}
		change(&q)
		return q
	}
	same := func(*kmsg.CreateTopicsRequestTopic) {}
	for v := int16(2); v <= 7; v++ {
		name := string('a' + rune(v))
		got := create(v, one(name, func(q *kmsg.CreateTopicsRequestTopic) {
			q.NumPartitions, q.ReplicationFactor = -1, -1
			q.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "segment.bytes", Value: kmsg.StringPtr("1048576")}}
		}))[0]
		made := h.meta.Image().Topic(name)
		if got.ErrorCode != 0 || made == nil || len(made.Partitions) != 3 || made.Settings.SegmentBytes != 1<<20 {
			t.Fatalf("version %d: %+v", v, got)
		}
		if v >= 7 && got.TopicID != [16]byte(made.ID) || v >= 5 && (got.NumPartitions != 3 || got.ReplicationFactor != 1) {
			t.Errorf("version %d: %+v", v, got)
		}
		sources := map[string]int8{}
		for _, c := range got.Configs {
			sources[c.Name] = c.Source
		}
		if v >= 5 && (sources["segment.bytes"] != 1 || sources["retention.ms"] != 4 || sources["cleanup.policy"] != 5) {
			t.Errorf("version %d: sources %v", v, sources)
		}
	}
	assign := func(parts ...[]int32) func(q *kmsg.CreateTopicsRequestTopic) {
		return func(q *kmsg.CreateTopicsRequestTopic) {
			q.NumPartitions, q.ReplicationFactor = -1, -1
			for i, r := range parts {
				q.ReplicaAssignment = append(q.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
			}
		}
	}
	config := func(name string, value *string) func(q *kmsg.CreateTopicsRequestTopic) {
		return func(q *kmsg.CreateTopicsRequestTopic) {
			q.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: name, Value: value}}
		}
	}
	for _, test := range []struct {
		what string
		q    kmsg.CreateTopicsRequestTopic
		want code
	}{
		{"a name taken", one("d", same), codeTopicExists},
		{"no name", one("", same), codeInvalidTopic},
		{"a bad name", one("a/b", same), codeInvalidTopic},
		{"no partitions", one("x", func(q *kmsg.CreateTopicsRequestTopic) { q.NumPartitions = 0 }), codeInvalidPartitions},
		{"-2 partitions", one("x", func(q *kmsg.CreateTopicsRequestTopic) { q.NumPartitions = -2 }), codeInvalidPartitions},
		{"two replicas", one("x", func(q *kmsg.CreateTopicsRequestTopic) { q.ReplicationFactor = 2 }), codeInvalidReplicationFactor},
		{"no replicas", one("x", func(q *kmsg.CreateTopicsRequestTopic) { q.ReplicationFactor = 0 }), codeInvalidReplicationFactor},
		{"an unknown setting", one("x", config("segment.bites", kmsg.StringPtr("1"))), codeInvalidConfig},
		{"a bad value", one("x", config("segment.bytes", kmsg.StringPtr("many"))), codeInvalidConfig},
		{"a null value", one("x", config("segment.bytes", nil)), codeInvalidConfig},
		{"an assignment", one("assigned", assign([]int32{0}, []int32{0})), codeNone},
		{"an assignment and a number", one("x", func(q *kmsg.CreateTopicsRequestTopic) {
			assign([]int32{0})(q)
			q.NumPartitions = 1
		}), codeInvalidRequest},
		{"a broker that does not exist", one("x", assign([]int32{5})), codeInvalidReplicaAssignment},
		{"a broker twice", one("x", assign([]int32{0, 0})), codeInvalidReplicaAssignment},
		{"an assignment to nobody", one("x", assign([]int32{})), codeInvalidReplicaAssignment},
		{"a gap", one("x", func(q *kmsg.CreateTopicsRequestTopic) {
			assign([]int32{0})(q)
			q.ReplicaAssignment[0].Partition = 1
		}), codeInvalidReplicaAssignment},
	} {
		got := create(7, test.q)[0]
		if code(got.ErrorCode) != test.want || (got.ErrorMessage == nil) != (test.want == codeNone) {
			t.Errorf("%s: %+v", test.what, got)
		}
		if test.want == codeInvalidConfig && test.what == "an unknown setting" && !strings.Contains(*got.ErrorMessage, "segment.bytes") {
			t.Errorf("no help: %s", *got.ErrorMessage)
		}
	}
	if h.meta.Image().Topic("x") != nil || len(h.meta.Image().Topic("assigned").Partitions) != 2 {
		t.Error("a refused topic was made, or the assigned one was not made so")
	}
	twice := create(7, one("y", same), one("y", same))
	if code(twice[0].ErrorCode) != codeInvalidRequest || code(twice[1].ErrorCode) != codeInvalidRequest || h.meta.Image().Topic("y") != nil {
		t.Errorf("named twice: %+v", twice)
	}
}

// TestCreateTopicsCheck: with validate only nothing is made.
func TestCreateTopicsCheck(t *testing.T) {
	h := build(t, "", nil)
	q := kmsg.NewPtrCreateTopicsRequest()
	q.ValidateOnly = true
	q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "t", NumPartitions: 2, ReplicationFactor: 1}, {Topic: "t2", NumPartitions: 0, ReplicationFactor: 1}}
	got := h.ask(q, 7).(*kmsg.CreateTopicsResponse).Topics
	if got[0].ErrorCode != 0 || got[0].NumPartitions != 2 || code(got[1].ErrorCode) != codeInvalidPartitions || h.meta.Image().Len() != 0 {
		t.Errorf("%+v", got)
	}
}

// TestDeleteTopics in every version, by name and by id.
func TestDeleteTopics(t *testing.T) {
	h := build(t, "", nil)
	for v := int16(1); v <= 6; v++ {
		h.topic("t", 1, nil)
		q := kmsg.NewPtrDeleteTopicsRequest()
		q.TopicNames = []string{"t", "none"}
		for _, name := range q.TopicNames {
			q.Topics = append(q.Topics, kmsg.DeleteTopicsRequestTopic{Topic: kmsg.StringPtr(name)})
		}
		q.Topics = append(q.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{9}}, kmsg.DeleteTopicsRequestTopic{}, kmsg.DeleteTopicsRequestTopic{Topic: kmsg.StringPtr("t"), TopicID: [16]byte{9}})
		got := h.ask(q, v).(*kmsg.DeleteTopicsResponse).Topics
		if got[0].ErrorCode != 0 || *got[0].Topic != "t" || code(got[1].ErrorCode) != codeUnknownTopicOrPartition || h.meta.Image().Len() != 0 {
			t.Errorf("version %d: %+v", v, got)
		}
		if v == 6 && (code(got[2].ErrorCode) != codeUnknownTopicID || code(got[3].ErrorCode) != codeInvalidRequest || code(got[4].ErrorCode) != codeInvalidRequest) {
			t.Errorf("version %d: %+v", v, got)
		}
	}
}

// TestDescribeConfigs: a topic's values with where they come from, the broker's, and what is asked for by name only.
func TestDescribeConfigs(t *testing.T) {
	h := build(t, "", func(o *Options) {
		o.TopicDefaults = map[string]string{"retention.ms": "1000", "segment.bytes": "2097152"}
		o.BrokerConfigs = map[string]string{"log.dirs": "/data"}
	})
	h.topic("t", 1, map[string]string{"segment.bytes": "1048576"})
	type resource = kmsg.DescribeConfigsRequestResource
	describe := func(v int16, r resource) kmsg.DescribeConfigsResponseResource {
		q := kmsg.NewPtrDescribeConfigsRequest()
		q.IncludeSynonyms, q.IncludeDocumentation = true, true
		q.Resources = []resource{r}
		return h.ask(q, v).(*kmsg.DescribeConfigsResponse).Resources[0]
	}
	find := func(r kmsg.DescribeConfigsResponseResource, name string) kmsg.DescribeConfigsResponseResourceConfig {
		for _, c := range r.Configs {
			if c.Name == name {
				return c
			}
		}
		t.Errorf("no %s among %d", name, len(r.Configs))
		return kmsg.DescribeConfigsResponseResourceConfig{Value: kmsg.StringPtr("")}
	}
	for v := int16(1); v <= 4; v++ {
		got := describe(v, resource{ResourceType: 2, ResourceName: "t"})
		if got.ErrorCode != 0 || len(got.Configs) != len(meta.Catalog()) {
			t.Fatalf("version %d: %d configs, %d", v, len(got.Configs), got.ErrorCode)
		}
		for name, want := range map[string]struct {
			value  string
			source kmsg.ConfigSource
			names  []string
		}{
			"segment.bytes":  {"1048576", 1, []string{"segment.bytes", "log.segment.bytes", "log.segment.bytes"}},
			"retention.ms":   {"1000", 4, []string{"log.retention.ms", "log.retention.ms"}},
			"cleanup.policy": {"delete", 5, []string{"log.cleanup.policy"}},
		} {
			c := find(got, name)
			var names []string
			for _, s := range c.ConfigSynonyms {
				names = append(names, s.Name)
			}
			if *c.Value != want.value || c.Source != want.source || !reflect.DeepEqual(names, want.names) || v >= 3 && (c.Documentation == nil || c.ConfigType == 0) {
				t.Errorf("version %d, %s: %+v, synonyms %v", v, name, c, names)
			}
		}
		if some := describe(v, resource{ResourceType: 2, ResourceName: "t", ConfigNames: []string{"retention.ms", "none"}}); len(some.Configs) != 1 || some.Configs[0].Name != "retention.ms" {
			t.Errorf("version %d, by name: %+v", v, some)
		}
		broker := describe(v, resource{ResourceType: 4, ResourceName: "0"})
		if c := find(broker, "log.dirs"); *c.Value != "/data" || c.Source != 4 || !c.ReadOnly {
			t.Errorf("version %d: %+v", v, c)
		}
		if c := find(broker, "log.segment.bytes"); *c.Value != "2097152" || c.Source != 4 {
			t.Errorf("version %d: %+v", v, c)
		}
		if c := find(broker, "auto.create.topics.enable"); *c.Value != "true" {
			t.Errorf("version %d: %+v", v, c)
		}
		for r, want := range map[*resource]code{
			{ResourceType: 2, ResourceName: "none"}: codeUnknownTopicOrPartition,
			{ResourceType: 4, ResourceName: "7"}:    codeInvalidRequest,
			{ResourceType: 8, ResourceName: "0"}:    codeInvalidRequest,
		} {
			if got := describe(v, *r); code(got.ErrorCode) != want || got.ErrorMessage == nil || len(got.Configs) != 0 {
				t.Errorf("version %d, %+v: %+v", v, r, got)
			}
		}
	}
}

// TestMetadataAway: while the metadata store does not answer, changes are refused with codes that clients retry, and
// produce and fetch go on.
func TestMetadataAway(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.engine.Fail(errors.New("gone fishing"))
	defer h.engine.Fail(nil)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "x", NumPartitions: 1, ReplicationFactor: 1}}
	if got := h.ask(create, 7).(*kmsg.CreateTopicsResponse).Topics[0]; code(got.ErrorCode) != codeRequestTimedOut {
		t.Errorf("create: %+v", got)
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("t")}}
	if got := h.ask(remove, 6).(*kmsg.DeleteTopicsResponse).Topics[0]; code(got.ErrorCode) != codeRequestTimedOut {
		t.Errorf("delete: %+v", got)
	}
	id := kmsg.NewPtrInitProducerIDRequest()
	id.ProducerID, id.ProducerEpoch = -1, -1
	if got := h.ask(id, 5).(*kmsg.InitProducerIDResponse); code(got.ErrorCode) != codeCoordinatorLoading {
		t.Errorf("producer id: %+v", got)
	}
	b := batch(1, 10)
	if p := h.put(9, -1, b); p.ErrorCode != 0 {
		t.Errorf("produce: %+v", p)
	}
	if p := h.fetch(h.fetchOf(0, 1, 1<<20, 0), 11)[0]; !stored(b, p) {
		t.Errorf("fetch: %+v", p)
	}
}

// TestErrorsAreCounted: answers and their codes stand in the registry.
func TestErrorsAreCounted(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.put(9, -1, batch(3, 10))
	h.put(9, -1, []byte{})
	h.stop()
	values := map[string]int64{}
	h.metrics.Walk(func(s metric.Sample) {
		key := s.Name
		for _, l := range s.Labels {
			if l.Name != "listener" {
				key += " " + l.Value
			}
		}
		values[key] = s.Value
	})
	for key, want := range map[string]int64{
		"kafka_requests_total Produce": 2, "kafka_errors_total Produce INVALID_RECORD": 1, "kafka_produced_records_total t": 3,
		"kafka_produced_batches_total t": 1, "kafka_produced_bytes_total t": int64(len(batch(3, 10))), "kafka_fetch_sessions": 0,
	} {
		if values[key] != want {
			t.Errorf("%s = %d, want %d", key, values[key], want)
		}
	}
	if err := h.meta.DeleteTopic(h.ctx(), h.meta.Image().Topic("t").ID); err != nil {
		t.Fatal(err)
	}
	h.metrics.Walk(func(s metric.Sample) {
		if strings.HasPrefix(s.Name, "kafka_produced") {
			t.Errorf("%s %v is left of a deleted topic", s.Name, s.Labels)
		}
	})
}
