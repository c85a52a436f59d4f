package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

// TestCreatePartitions: in every version partitions are added, and can be written to when the answer is there; with validate
// only nothing is added.
func TestCreatePartitions(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	count := int32(1)
	for v := int16(0); v <= 3; v++ {
		for _, only := range []bool{true, false} {
			q := kmsg.NewPtrCreatePartitionsRequest()
			q.ValidateOnly = only
			q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "t", Count: count + 2}}
			if v%2 == 1 {
				q.Topics[0].Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{0}}, {Replicas: []int32{0}}}
			}
			got := h.ask(q, v).(*kmsg.CreatePartitionsResponse).Topics
			if len(got) != 1 || got[0].Topic != "t" || got[0].ErrorCode != 0 || got[0].ErrorMessage != nil {
				t.Fatalf("version %d: %+v", v, got)
			}
			if only && len(h.meta.Image().Topic("t").Partitions) != int(count) {
				t.Fatalf("version %d: validate only added partitions", v)
			}
		}
		count += 2
		if n := len(h.meta.Image().Topic("t").Partitions); n != int(count) {
			t.Fatalf("version %d: %d partitions, want %d", v, n, count)
		}
		h.produce(h.franz(kgo.RecordPartitioner(kgo.ManualPartitioner())), "t", count-1, 3)
	}
}

// said is the text of a message, empty if there is none.
func said(message *string) string {
	if message == nil {
		return ""
	}
	return *message
}

// TestCreatePartitionsRefusals: what Kafka refuses, with its codes, and a reason each; nothing is added.
func TestCreatePartitionsRefusals(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 3, nil)
	h.topic(group.JournalTopic, 2, nil)
	one := func(name string, count int32, assigned ...[]int32) kmsg.CreatePartitionsRequestTopic {
		q := kmsg.CreatePartitionsRequestTopic{Topic: name, Count: count}
		for _, r := range assigned {
			q.Assignment = append(q.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: r})
		}
		return q
	}
	here := []int32{0}
	for _, test := range []struct {
		what string
		q    kmsg.CreatePartitionsRequestTopic
		want code
		text string
	}{
		{"as many as it has", one("t", 3), codeInvalidPartitions, "it has 3 already"},
		{"fewer", one("t", 2), codeInvalidPartitions, "2 would be fewer"},
		{"none", one("t", 0), codeInvalidPartitions, "0 would be fewer"},
		{"less than none", one("t", -1), codeInvalidPartitions, "-1 would be fewer"},
		{"too many", one("t", 100_001), codeInvalidPartitions, "at most 100000"},
		{"an unknown topic", one("none", 5), codeUnknownTopicOrPartition, "no topic"},
		{"the broker's own", one(group.JournalTopic, 5), codeInvalidTopic, "the broker's own"},
		{"too few assigned", one("t", 5, here), codeInvalidReplicaAssignment, "2 partitions are added, but 1 are assigned"},
		{"too many assigned", one("t", 4, here, here), codeInvalidReplicaAssignment, "1 partitions are added, but 2 are assigned"},
		{"a broker that does not exist", one("t", 4, []int32{7}), codeInvalidReplicaAssignment, "broker 7 does not exist"},
		{"a broker twice", one("t", 4, []int32{0, 0}), codeInvalidReplicaAssignment, "named twice"},
		{"assigned to nobody", one("t", 4, []int32{}), codeInvalidReplicaAssignment, "where the others do"},
	} {
		for _, only := range []bool{true, false} {
			q := kmsg.NewPtrCreatePartitionsRequest()
			q.ValidateOnly, q.Topics = only, []kmsg.CreatePartitionsRequestTopic{test.q}
			got := h.ask(q, 3).(*kmsg.CreatePartitionsResponse).Topics[0]
			if code(got.ErrorCode) != test.want || !strings.Contains(said(got.ErrorMessage), test.text) {
				t.Errorf("%s, validate only %v: %d %q", test.what, only, got.ErrorCode, said(got.ErrorMessage))
			}
		}
	}
	q := kmsg.NewPtrCreatePartitionsRequest()
	q.Topics = []kmsg.CreatePartitionsRequestTopic{one("t", 4), one("t", 5)}
	for _, got := range h.ask(q, 3).(*kmsg.CreatePartitionsResponse).Topics {
		if code(got.ErrorCode) != codeInvalidRequest {
			t.Errorf("named twice: %+v", got)
		}
	}
	if n := len(h.meta.Image().Topic("t").Partitions); n != 3 {
		t.Errorf("%d partitions after refusals", n)
	}
	h.engine.Fail(errors.New("gone fishing"))
	q.Topics = q.Topics[:1]
	if got := h.ask(q, 3).(*kmsg.CreatePartitionsResponse).Topics[0]; code(got.ErrorCode) != codeRequestTimedOut {
		t.Errorf("while the metadata store is away: %+v", got)
	}
	h.engine.Fail(nil)
}

// TestPartitionsByClient: a client that has the topic open sees the new partitions and goes on, in order, on the old.
func TestPartitionsByClient(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := h.franz(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.MetadataMaxAge(50*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond))
	h.produce(c, "t", 0, 5)
	h.consume(c, 5)
	adm := kadm.NewClient(h.franz())
	rs, err := adm.UpdatePartitions(h.ctx(), 4, "t", "none")
	if err != nil || rs["t"].Err != nil || !errors.Is(rs["none"].Err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("%+v %v", rs, err)
	}
	rs, err = adm.CreatePartitions(context.Background(), 1, "t")
	if err != nil || rs["t"].Err != nil {
		t.Fatalf("%+v %v", rs, err)
	}
	p := h.franz(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for part := range int32(5) {
		h.produce(p, "t", part, 2)
	}
	next := map[int32]int64{0: 5}
	for _, r := range h.consume(c, 10) {
		if r.Offset != next[r.Partition] {
			t.Errorf("partition %d: offset %d, want %d", r.Partition, r.Offset, next[r.Partition])
		}
		next[r.Partition]++
	}
	if len(next) != 5 {
		t.Errorf("records of %d partitions, want 5", len(next))
	}
}
