package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/producer"
)

// deletion asks to delete the records of partition 0 of a topic below an offset.
func deletion(topic string, partition int32, to int64) *kmsg.DeleteRecordsRequest {
	q := kmsg.NewPtrDeleteRecordsRequest()
	q.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: to}}}}
	return q
}

// deleted asks for it and returns the answer of the one partition.
func (h *house) deleted(v int16, topic string, partition int32, to int64) kmsg.DeleteRecordsResponseTopicPartition {
	h.t.Helper()
	resp := h.ask(deletion(topic, partition, to), v).(*kmsg.DeleteRecordsResponse)
	if len(resp.Topics) != 1 || resp.Topics[0].Topic != topic || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].Partition != partition {
		h.t.Fatalf("version %d: %+v", v, resp)
	}
	return resp.Topics[0].Partitions[0]
}

// TestDeleteRecords cites KIP-107: the start moves forward only, at most to the high watermark, and not in the broker's own topics.
func TestDeleteRecords(t *testing.T) {
	h := build(t, "", nil)
	if err := h.groups.Ready(h.ctx()); err != nil {
		t.Fatal(err)
	}
	h.topic("t", 1, nil)
	for v := int16(0); v <= 2; v++ {
		h.put(9, -1, batch(10, 10))
		base := int64(10 * v)
		for _, test := range []struct {
			topic     string
			partition int32
			to        int64
			want      code
			start     int64
		}{
			{"t", 0, base + 4, codeNone, base + 4},
			{"t", 0, base + 2, codeNone, base + 4},
			{"t", 0, base + 11, codeOffsetOutOfRange, -1},
			{"t", 0, -2, codeOffsetOutOfRange, -1},
			{"t", 0, -1, codeNone, base + 10},
			{"t", 0, base + 10, codeNone, base + 10},
			{"t", 1, 0, codeUnknownTopicOrPartition, -1},
			{"t", -1, 0, codeUnknownTopicOrPartition, -1},
			{"nope", 0, 0, codeUnknownTopicOrPartition, -1},
			{group.JournalTopic, 0, 0, codeInvalidTopic, -1},
		} {
			if p := h.deleted(v, test.topic, test.partition, test.to); code(p.ErrorCode) != test.want || p.LowWatermark != test.start {
				t.Errorf("version %d, %+v: %+v", v, test, p)
			}
		}
	}
	if p := h.ask(listOf(-2, 0), 5).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.Offset != 30 {
		t.Errorf("earliest: %+v", p)
	}
	if p := h.fetch(h.fetchOf(0, 1, 1<<20, 0), 11)[0]; code(p.ErrorCode) != codeOffsetOutOfRange {
		t.Errorf("fetch from what is deleted: %+v", p)
	}
}

// TestDeleteCompacted: where compaction alone keeps records none is deleted.
func TestDeleteCompacted(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	s, found := h.front.newSession(anonymous), h.front.routes.Load().names["t"]
	for policy, want := range map[string]code{"compact": codePolicyViolation, "compact,delete": codeNone, "delete": codeNone} {
		topic := *found.topic
		topic.Settings.CleanupPolicy = policy
		r := &route{name: found.name, id: found.id, topic: &topic, parts: found.parts}
		if _, why := s.cutAt(h.ctx(), r, 0, 0); why != want {
			t.Errorf("%s: %v", policy, why)
		}
	}
}

// TestDeleteRecordsOfMany: all partitions of one request are cut, each answered in its place.
func TestDeleteRecordsOfMany(t *testing.T) {
	h := build(t, "", nil)
	const n = 50
	h.topic("t", n, nil)
	topic := h.meta.Image().Topic("t")
	records := map[int32][]byte{}
	q := kmsg.NewPtrDeleteRecordsRequest()
	q.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t"}, {Topic: "nope", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 3, Offset: 1}}}}
	for i := range int32(n) {
		records[i] = batch(60, 10)
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: i, Offset: int64(i)})
	}
	h.ask(produceOf("t", topic.ID, -1, records), 9)
	resp := h.ask(q, 2).(*kmsg.DeleteRecordsResponse)
	for i, p := range resp.Topics[0].Partitions {
		if p.Partition != int32(i) || p.ErrorCode != 0 || p.LowWatermark != int64(i) {
			t.Errorf("%+v", p)
		}
	}
	if p := resp.Topics[1].Partitions; len(p) != 1 || code(p[0].ErrorCode) != codeUnknownTopicOrPartition {
		t.Errorf("%+v", p)
	}
}

// TestDeletedStaysDeleted: once it is answered the start has moved for good, whether the process is killed or the power cut.
func TestDeletedStaysDeleted(t *testing.T) {
	for _, power := range []bool{false, true} {
		h := build(t, "", nil)
		h.topic("t", 1, nil)
		h.put(9, -1, batch(20, 10))
		for to := int64(3); to < 20; to += 8 {
			if p := h.deleted(2, "t", 0, to); p.ErrorCode != 0 || p.LowWatermark != to {
				t.Fatalf("%+v", p)
			}
			h = h.again(power)
			if p := h.ask(listOf(-2, 0), 5).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.Offset != to {
				t.Errorf("power cut %v: the first offset is %d, %d was answered", power, p.Offset, to)
			}
			if p := h.ask(listOf(-1, 0), 5).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.Offset != 20 {
				t.Errorf("power cut %v: the end is %d", power, p.Offset)
			}
		}
	}
}

// TestDeleteRecordsTimesOut: what the limit leaves no time for is refused with a code that clients retry, and nothing is cut.
func TestDeleteRecordsTimesOut(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.put(9, -1, batch(5, 10))
	s := h.front.newSession(anonymous)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, why := s.cutAt(ctx, h.front.routes.Load().names["t"], 0, 3); why != codeRequestTimedOut {
		t.Error(why)
	}
	if p := h.ask(listOf(-2, 0), 5).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.Offset != 0 {
		t.Errorf("%+v", p)
	}
}

// TestDescribeCluster: brokers, controller and cluster in every version; of controllers there is nothing to describe (KIP-919).
func TestDescribeCluster(t *testing.T) {
	h := build(t, "", nil)
	host, port := endpointOf(h.addr)
	for v := int16(0); v <= 2; v++ {
		for _, authorized := range []bool{false, true} {
			q := kmsg.NewPtrDescribeClusterRequest()
			q.IncludeClusterAuthorizedOperations, q.IncludeFencedBrokers = authorized, true
			resp := h.ask(q, v).(*kmsg.DescribeClusterResponse)
			want := int32(-1 << 31)
			if authorized {
				want = allClusterOperations
			}
			if resp.ErrorCode != 0 || resp.ClusterID != h.meta.Image().ClusterID || resp.ControllerID != 0 || resp.ClusterAuthorizedOperations != want || resp.EndpointType != 1 {
				t.Errorf("version %d: %+v", v, resp)
			}
			if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 0 || resp.Brokers[0].Host != host || resp.Brokers[0].Port != port || resp.Brokers[0].Rack != nil || resp.Brokers[0].IsFenced {
				t.Errorf("version %d: %+v", v, resp.Brokers)
			}
		}
	}
	for kind, want := range map[int8]code{2: codeMismatchedEndpointType, 0: codeUnsupportedEndpointType, 3: codeUnsupportedEndpointType} {
		q := kmsg.NewPtrDescribeClusterRequest()
		q.EndpointType = kind
		if resp := h.ask(q, 2).(*kmsg.DescribeClusterResponse); code(resp.ErrorCode) != want || resp.ErrorMessage == nil || len(resp.Brokers) != 0 {
			t.Errorf("endpoint type %d: %+v", kind, resp)
		}
	}
}

// TestDescribeLogDirs: the sizes are those of the stored batches, the room is that of the volume, and only what is asked for and is
// there is told of.
func TestDescribeLogDirs(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 3, nil)
	h.topic("u", 1, nil)
	h.put(9, -1, batch(3, 100))
	size := int64(len(batch(3, 100)))
	space, err := h.store.Space()
	if err != nil || space.Total <= 0 {
		t.Fatal(space, err)
	}
	told := func(v int16, topics []kmsg.DescribeLogDirsRequestTopic) (string, kmsg.DescribeLogDirsResponseDir) {
		q := kmsg.NewPtrDescribeLogDirsRequest()
		q.Topics = topics
		resp := h.ask(q, v).(*kmsg.DescribeLogDirsResponse)
		if resp.ErrorCode != 0 || len(resp.Dirs) != 1 {
			t.Fatalf("version %d: %+v", v, resp)
		}
		text := ""
		for _, dt := range resp.Dirs[0].Topics {
			for _, p := range dt.Partitions {
				text += fmt.Sprintf("%s-%d:%d ", dt.Topic, p.Partition, p.Size)
				if p.OffsetLag != 0 || p.IsFuture {
					t.Errorf("version %d: %+v", v, p)
				}
			}
		}
		return text, resp.Dirs[0]
	}
	for v := int16(1); v <= 5; v++ {
		for _, test := range []struct {
			topics []kmsg.DescribeLogDirsRequestTopic
			want   string
		}{
			{nil, fmt.Sprintf("t-0:%d t-1:0 t-2:0 u-0:0 ", size)},
			{[]kmsg.DescribeLogDirsRequestTopic{}, ""},
			{[]kmsg.DescribeLogDirsRequestTopic{{Topic: "t", Partitions: []int32{2, 0, 0, 9, -1}}, {Topic: "nope", Partitions: []int32{0}}}, fmt.Sprintf("t-0:%d t-2:0 ", size)},
		} {
			got, dir := told(v, test.topics)
			if got != test.want {
				t.Errorf("version %d: %q, want %q", v, got, test.want)
			}
			total, usable := space.Total, int64(-1)
			if v < 4 {
				total = -1
			} else {
				now, _ := h.store.Space()
				usable = now.Free
			}
			if dir.Dir != "/data" || dir.ErrorCode != 0 || dir.TotalBytes != total || dir.UsableBytes != usable || dir.IsCordoned {
				t.Errorf("version %d: %+v", v, dir)
			}
		}
	}
}

// TestDescribeLogDirsTrouble: of a directory that is offline only that is told; where the system does not say how much room there is
// it is not made up; and without a directory the API is not there.
func TestDescribeLogDirsTrouble(t *testing.T) {
	dir := &LogDir{Path: "/d", Err: func() error { return penstock.ErrOffline }, Space: func() (int64, int64, error) { return 0, 0, errors.New("no answer") }}
	h := build(t, "", func(o *Options) { o.LogDir = dir })
	h.topic("t", 1, nil)
	q := kmsg.NewPtrDescribeLogDirsRequest()
	if d := h.ask(q, 4).(*kmsg.DescribeLogDirsResponse).Dirs[0]; code(d.ErrorCode) != codeStorageError || d.Dir != "/d" || len(d.Topics) != 0 || d.TotalBytes != -1 {
		t.Errorf("%+v", d)
	}
	other := *dir
	other.Err = func() error { return nil }
	h = build(t, "", func(o *Options) { o.LogDir = &other })
	h.topic("t", 1, nil)
	if d := h.ask(q, 4).(*kmsg.DescribeLogDirsResponse).Dirs[0]; d.ErrorCode != 0 || len(d.Topics) != 1 || d.TotalBytes != -1 || d.UsableBytes != -1 {
		t.Errorf("%+v", d)
	}
	h = build(t, "", func(o *Options) { o.LogDir = nil })
	if h.front.apis.find(keyDescribeLogDirs) != nil {
		t.Error("it is served without a directory")
	}
}

// pages asks for topics a page at a time and returns what each page held and how it ended.
func (h *house) pages(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) (pages []string) {
	h.t.Helper()
	for range 100 {
		q := kmsg.NewPtrDescribeTopicPartitionsRequest()
		q.ResponsePartitionLimit, q.Cursor = limit, cursor
		for _, name := range topics {
			q.Topics = append(q.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		resp := h.ask(q, 0).(*kmsg.DescribeTopicPartitionsResponse)
		page := ""
		for _, rt := range resp.Topics {
			page += *rt.Topic
			if rt.ErrorCode != 0 {
				page += "!" + code(rt.ErrorCode).String()
			}
			for _, p := range rt.Partitions {
				page += fmt.Sprint(" ", p.Partition)
			}
			page += "; "
		}
		pages = append(pages, page)
		if resp.NextCursor == nil || limit <= 0 {
			return pages
		}
		cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
		if left := len(topics); left > 0 { // as the Java client does: what is behind is not asked for again
			topics = slices.DeleteFunc(slices.Clone(topics), func(n string) bool { return n < cursor.Topic })
		}
	}
	h.t.Fatal("the pages do not end")
	return nil
}

// TestDescribeTopicPartitions cites KIP-966: topics by name, partitions up to the limit, and a cursor that goes on where the page
// ended. Each partition is told of once.
func TestDescribeTopicPartitions(t *testing.T) {
	h := build(t, "", nil)
	h.topic("b", 3, nil)
	h.topic("a", 2, nil)
	h.topic("c", 1, nil)
	at := func(topic string, n int32) *kmsg.DescribeTopicPartitionsRequestCursor {
		return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: n}
	}
	for _, test := range []struct {
		limit  int32
		cursor *kmsg.DescribeTopicPartitionsRequestCursor
		topics []string
		want   []string
	}{
		{2000, nil, nil, []string{"a 0 1; b 0 1 2; c 0; "}},
		{2, nil, nil, []string{"a 0 1; ", "b 0 1; ", "b 2; c 0; "}},
		{4, nil, nil, []string{"a 0 1; b 0 1; ", "b 2; c 0; "}},
		{5, nil, nil, []string{"a 0 1; b 0 1 2; ", "c 0; "}},
		{1, nil, []string{"c", "a", "a"}, []string{"a 0; ", "a 1; ", "c 0; "}},
		{2000, nil, []string{"c", "no", "b", "bad name"}, []string{"b 0 1 2; bad name!INVALID_TOPIC_EXCEPTION; c 0; no!UNKNOWN_TOPIC_OR_PARTITION; "}},
		{2000, at("b", 1), nil, []string{"b 1 2; c 0; "}},
		{2000, at("b", 7), nil, []string{"b; c 0; "}},
		{2000, at("bb", 1), nil, []string{"c 0; "}},
		{2000, at("b", 1), []string{"a", "b"}, []string{"b 1 2; "}},
		{2000, at("bb", 1), []string{"a", "c"}, []string{"a!INVALID_REQUEST; c!INVALID_REQUEST; "}},
		{2000, at("b", -1), []string{"b"}, []string{"b!INVALID_REQUEST; "}},
		{0, nil, nil, []string{""}},
		{-5, nil, nil, []string{""}},
	} {
		if got := h.pages(test.limit, test.cursor, test.topics...); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %q", test, got)
		}
	}
	q := kmsg.NewPtrDescribeTopicPartitionsRequest()
	q.ResponsePartitionLimit = 1 << 30
	resp := h.ask(q, 0).(*kmsg.DescribeTopicPartitionsResponse)
	topic, rt := h.meta.Image().Topic("a"), resp.Topics[0]
	p := rt.Partitions[1]
	if rt.TopicID != [16]byte(topic.ID) || rt.IsInternal || rt.AuthorizedOperations != allTopicOperations || p.LeaderID != 0 || p.LeaderEpoch != int32(topic.Partitions[1].Epoch) ||
		!slices.Equal(p.Replicas, []int32{0}) || !slices.Equal(p.ISR, []int32{0}) || len(p.OfflineReplicas) != 0 || p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
		t.Errorf("%+v", rt)
	}
}

// TestPageIsBounded: however many partitions a client asks for, a page holds no more than the limit.
func TestPageIsBounded(t *testing.T) {
	h := build(t, "", nil)
	b := meta.Topic{Name: "t", Partitions: make([]meta.Partition, maxPagePartitions+5)}
	s := h.front.newSession(anonymous)
	if n := len(s.topicPage(request{}, &b, 0, maxPagePartitions).Partitions); n != maxPagePartitions {
		t.Error(n)
	}
	if n := len(s.topicPage(request{}, &b, maxPagePartitions, maxPagePartitions).Partitions); n != 5 {
		t.Error(n)
	}
}

// TestDescribeProducers cites KIP-664: the producers that wrote to a partition, with their last sequence and time.
func TestDescribeProducers(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.put(9, -1, sequenced(7, 1, 0))
	h.put(9, -1, sequenced(9, 4, 0))
	h.put(9, -1, sequenced(7, 1, 1))
	h.put(9, -1, batch(1, 10)) // of nobody
	q := kmsg.NewPtrDescribeProducersRequest()
	q.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}, {Topic: "nope", Partitions: []int32{0}}}
	resp := h.ask(q, 0).(*kmsg.DescribeProducersResponse)
	all := resp.Topics[0].Partitions[0].ActiveProducers
	if resp.Topics[0].Partitions[0].ErrorCode != 0 || len(all) != 2 {
		t.Fatalf("%+v", resp)
	}
	when := plainBatch(1, 10).MaxTimestamp
	for i, want := range []producer.Info{{ID: 9, Epoch: 4}, {ID: 7, Epoch: 1, LastSequence: 1}} {
		p := all[i]
		if p.ProducerID != int64(want.ID) || p.ProducerEpoch != int32(want.Epoch) || p.LastSequence != want.LastSequence ||
			p.LastTimestamp < when-3600_000 || p.CoordinatorEpoch != -1 || p.CurrentTxnStartOffset != -1 {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
	for _, p := range []kmsg.DescribeProducersResponseTopicPartition{resp.Topics[0].Partitions[1], resp.Topics[1].Partitions[0]} {
		if code(p.ErrorCode) != codeUnknownTopicOrPartition || p.ErrorMessage == nil || len(p.ActiveProducers) != 0 {
			t.Errorf("%+v", p)
		}
	}
	s := h.front.newSession(anonymous)
	var out kmsg.DescribeProducersResponseTopicPartition
	if why, _ := s.producersOf(h.front.routes.Load().names["t"], 0, 1, &out); why != codeInvalidRequest || len(out.ActiveProducers) != 0 {
		t.Error("an answer beyond the bound:", why, out)
	}
}

// TestListPartitionReassignments: nothing is being moved, whatever is asked for.
func TestListPartitionReassignments(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	for _, topics := range [][]kmsg.ListPartitionReassignmentsRequestTopic{nil, {{Topic: "t", Partitions: []int32{0}}, {Topic: "nope", Partitions: []int32{3}}}} {
		q := kmsg.NewPtrListPartitionReassignmentsRequest()
		q.Topics = topics
		if resp := h.ask(q, 0).(*kmsg.ListPartitionReassignmentsResponse); resp.ErrorCode != 0 || resp.ErrorMessage != nil || len(resp.Topics) != 0 {
			t.Errorf("%+v", resp)
		}
	}
}

// TestElectLeaders cites KIP-460: partitions that are led as they should be need no election; where all are asked for they are left
// out.
func TestElectLeaders(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 2, nil)
	for v := int16(0); v <= 2; v++ {
		for kind := range int8(2) {
			q := kmsg.NewPtrElectLeadersRequest()
			q.ElectionType = kind
			q.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{1, 2, -1}}, {Topic: "nope", Partitions: []int32{0}}}
			resp := h.ask(q, v).(*kmsg.ElectLeadersResponse)
			got := ""
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					got += fmt.Sprintf("%s %d %v; ", rt.Topic, p.Partition, code(p.ErrorCode))
					if p.ErrorMessage == nil || *p.ErrorMessage == "" {
						t.Errorf("version %d: %+v says nothing", v, p)
					}
				}
			}
			if want := "t 1 ELECTION_NOT_NEEDED; t 2 UNKNOWN_TOPIC_OR_PARTITION; t -1 UNKNOWN_TOPIC_OR_PARTITION; nope 0 UNKNOWN_TOPIC_OR_PARTITION; "; got != want || resp.ErrorCode != 0 {
				t.Errorf("version %d, type %d: %s", v, kind, got)
			}
			if q.Topics = nil; len(h.ask(q, v).(*kmsg.ElectLeadersResponse).Topics) != 0 {
				t.Errorf("version %d: elections among all", v)
			}
		}
	}
	q := kmsg.NewPtrElectLeadersRequest()
	q.ElectionType = 2
	if resp := h.ask(q, 2).(*kmsg.ElectLeadersResponse); code(resp.ErrorCode) != codeInvalidRequest {
		t.Errorf("%+v", resp)
	}
}

// TestElection: what comes of an election, by who leads and who should.
func TestElection(t *testing.T) {
	for _, test := range []struct {
		leader penstock.BrokerID
		kind   int8
		want   code
	}{
		{1, electPreferred, codeElectionNotNeeded}, {2, electPreferred, codePreferredLeaderNotAvailable}, {penstock.NoBroker, electPreferred, codePreferredLeaderNotAvailable},
		{1, electUnclean, codeElectionNotNeeded}, {2, electUnclean, codeElectionNotNeeded}, {penstock.NoBroker, electUnclean, codeEligibleLeadersNotAvailable},
	} {
		p := &meta.Partition{Leader: test.leader, Replicas: []penstock.BrokerID{1, 2}}
		if got := election(p, test.kind); got != test.want || electionMessages[got] == "" {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// TestDescribeACLs: without users there are no rights to list, and the answer says so as Kafka's does.
func TestDescribeACLs(t *testing.T) {
	h := build(t, "", nil)
	for v := int16(1); v <= 3; v++ {
		q := kmsg.NewPtrDescribeACLsRequest()
		q.ResourceType, q.Operation, q.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		if resp := h.ask(q, v).(*kmsg.DescribeACLsResponse); code(resp.ErrorCode) != codeSecurityDisabled || resp.ErrorMessage == nil || len(resp.Resources) != 0 {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
}

// TestOldFormatsAreRefused: messages of magic 0 and 1 are refused in every version of Produce, however short they are, and nothing
// of them is appended.
func TestOldFormatsAreRefused(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	for magic := range byte(2) {
		for _, size := range []int{26, 34, 60, 61, 200} {
			old := make([]byte, size)
			old[11], old[16] = byte(size-12), magic
			for v := firstProduce; v <= 13; v++ {
				for _, acks := range []int16{-1, 1} {
					if p := h.put(v, acks, old); code(p.ErrorCode) != codeInvalidRecord || p.BaseOffset != -1 {
						t.Errorf("magic %d, %d bytes, version %d: %+v", magic, size, v, p)
					}
				}
			}
		}
	}
	if p := h.put(9, 1, batch(1, 10)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("something was appended: %+v", p)
	}
}
