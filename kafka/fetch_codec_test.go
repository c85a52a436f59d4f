package kafka

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
	"penstock/replica"
	"penstock/store"
)

func newFetchCall(f *Front, version int16, body []byte) *fetchCall {
	a := f.apis.find(keyFetch)
	return &fetchCall{front: f, request: request{header: header{key: keyFetch, version: version}, api: a, body: body}}
}

// wantParts are the partitions of a kmsg request as the decoder by hand must find them.
func wantParts(q *kmsg.FetchRequest, v int16, t *routes) []fetchPart {
	var out []fetchPart
	for _, topic := range q.Topics {
		for _, p := range topic.Partitions {
			a := fetchAsk{index: p.Partition, from: penstock.Offset(p.FetchOffset), max: int64(p.PartitionMaxBytes), epoch: -1, last: -1}
			if v >= 13 {
				a.id = topic.TopicID
				a.route = t.ids[topic.TopicID]
			} else if a.route = t.names[topic.Topic]; a.route == nil {
				a.name = topic.Topic
			}
			if v >= 9 {
				a.epoch = penstock.Epoch(p.CurrentLeaderEpoch)
			}
			if v >= 12 {
				a.last = penstock.Epoch(p.LastFetchedEpoch)
			}
			out = append(out, fetchPart{fetchAsk: a})
		}
	}
	return out
}

func wantForgotten(q *kmsg.FetchRequest, v int16) []fetchKey {
	var out []fetchKey
	for _, topic := range q.ForgottenTopics {
		for _, p := range topic.Partitions {
			k := fetchKey{name: topic.Topic, index: p}
			if v >= 13 {
				k = fetchKey{id: topic.TopicID, index: p}
			}
			out = append(out, k)
		}
	}
	return out
}

// TestParseFetch: what kmsg writes, with no field left zero, is what the decoder by hand finds, in every version.
func TestParseFetch(t *testing.T) {
	for v := int16(4); v <= 18; v++ {
		rng := newRand(uint64(v))
		for range 50 {
			q := kmsg.NewPtrFetchRequest()
			fill(rng, reflect.ValueOf(q).Elem())
			q.IsolationLevel = int8(rng.IntN(2))
			q.ReplicaID, q.ReplicaState.ID = int32(rng.IntN(2))-1, int32(rng.IntN(2))-1
			table := tableOf(map[string]penstock.TopicID{q.Topics[0].Topic: q.Topics[0].TopicID})
			c := newFetchCall(offline(), v, body(q, v))
			if !c.parse(table) {
				t.Fatalf("version %d: refused", v)
			}
			want := fetchHead{
				wait: time.Duration(q.MaxWaitMillis) * time.Millisecond, minBytes: int64(q.MinBytes), maxBytes: int64(q.MaxBytes),
				isolation: replica.Isolation(q.IsolationLevel), sessionID: q.SessionID, sessionEpoch: q.SessionEpoch,
				follower: v <= 14 && q.ReplicaID >= 0 || v >= 15 && q.ReplicaState.ID >= 0,
			}
			if v < 7 {
				want.sessionID, want.sessionEpoch, q.ForgottenTopics = 0, -1, nil
			}
			if c.fetchHead != want {
				t.Fatalf("version %d:\ngot  %+v\nwant %+v", v, c.fetchHead, want)
			}
			if !slices.Equal(c.parts, wantParts(q, v, table)) {
				t.Fatalf("version %d:\ngot  %+v\nwant %+v", v, c.parts, wantParts(q, v, table))
			}
			if !slices.Equal(c.forgotten, wantForgotten(q, v)) {
				t.Fatalf("version %d: forgotten %+v, want %+v", v, c.forgotten, wantForgotten(q, v))
			}
		}
	}
}

// TestParseFetchWhole: neither a shorter nor a longer body is taken, nor an isolation that does not exist.
func TestParseFetchWhole(t *testing.T) {
	for _, v := range []int16{4, 7, 12, 18} {
		q := kmsg.NewPtrFetchRequest()
		fill(newRand(3), reflect.ValueOf(q).Elem())
		q.IsolationLevel = 1
		b := body(q, v)
		for n := range b {
			if newFetchCall(offline(), v, b[:n]).parse(&routes{}) {
				t.Fatalf("version %d: %d of %d bytes pass", v, n, len(b))
			}
		}
		if newFetchCall(offline(), v, append(b, 0)).parse(&routes{}) {
			t.Fatalf("version %d: a byte too many passes", v)
		}
		q.IsolationLevel = 2
		if newFetchCall(offline(), v, body(q, v)).parse(&routes{}) {
			t.Fatalf("version %d: isolation 2 passes", v)
		}
	}
}

// TestParseFetchBounded: a request that names more partitions than any client reads is refused.
func TestParseFetchBounded(t *testing.T) {
	for _, extra := range []int{0, 1} {
		q := kmsg.NewPtrFetchRequest()
		q.Topics = []kmsg.FetchRequestTopic{{Topic: "t", Partitions: make([]kmsg.FetchRequestTopicPartition, maxParts+extra)}}
		if ok := newFetchCall(offline(), 4, body(q, 4)).parse(&routes{}); ok != (extra == 0) {
			t.Errorf("%d partitions: %v", maxParts+extra, ok)
		}
	}
}

// TestParseFetchAllocates: parsing, in a call used before, allocates nothing at all.
func TestParseFetchAllocates(t *testing.T) {
	id := penstock.TopicID{4}
	table := tableOf(map[string]penstock.TopicID{"a-topic": id})
	for _, v := range []int16{4, 12, 18} {
		q := kmsg.NewPtrFetchRequest()
		q.Topics = []kmsg.FetchRequestTopic{{Topic: "a-topic", TopicID: id, Partitions: make([]kmsg.FetchRequestTopicPartition, 64)}}
		q.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "a-topic", TopicID: id, Partitions: []int32{1, 2}}}
		c := newFetchCall(offline(), v, body(q, v))
		if n := testing.AllocsPerRun(100, func() {
			if !c.parse(table) {
				t.Fatal("refused")
			}
			c.parts, c.forgotten = c.parts[:0], c.forgotten[:0]
		}); n != 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}

// FuzzFetch: any body in any version is parsed without panic, and never into more parts than its bytes could hold.
func FuzzFetch(f *testing.F) {
	for _, v := range []int16{4, 7, 12, 18} {
		q := kmsg.NewPtrFetchRequest()
		fill(newRand(uint64(v)), reflect.ValueOf(q).Elem())
		q.IsolationLevel = 1
		f.Add(v, body(q, v))
	}
	table := tableOf(map[string]penstock.TopicID{"a-topic": {1}})
	front := offline()
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		if version < 4 || version > 18 {
			return
		}
		c := newFetchCall(front, version, b)
		if !c.parse(table) {
			return
		}
		if len(c.parts)*16 > len(b) || len(c.forgotten)*4 > len(b) {
			t.Fatalf("%d parts and %d forgotten in %d bytes", len(c.parts), len(c.forgotten), len(b))
		}
		for i := range c.parts {
			c.parts[i].told = i%3 != 0
		}
		for i, n := c.nextTold(0), c.runs(); i < len(c.parts); n-- {
			end, told := c.run(i)
			if told == 0 || n == 0 || end <= i {
				t.Fatalf("a topic of %d partitions, %d more topics", told, n)
			}
			i = c.nextTold(end)
		}
	})
}

// encodedFetch is a call with every kind of partition in its answer, and the stored bytes around which it is made.
func encodedFetch(v int16) (*fetchCall, *memoryFile) {
	idA, idB := penstock.TopicID{1, 2}, penstock.TopicID{9}
	table := tableOf(map[string]penstock.TopicID{"topic-a": idA})
	file := &memoryFile{data: []byte("0123456789abcdef")}
	c := newFetchCall(offline(), v, nil)
	c.front.o.Topics = &fixedImage{img: &meta.Image{Brokers: map[penstock.BrokerID]*meta.Broker{
		7: {ID: 7, Rack: "r1", Endpoints: map[string]string{"": "host7:9092"}},
	}}}
	a := fetchAsk{route: table.ids[idA], id: idA}
	b := fetchAsk{name: "topic-b", id: idB}
	at := func(ask fetchAsk, index int32, p fetchPart) {
		ask.index = index
		p.fetchAsk, p.told = ask, true
		c.parts = append(c.parts, p)
	}
	at(a, 0, fetchPart{res: replica.ReadResult{HighWatermark: 1001, LastStable: 1002, Start: 1003}, lo: 0, hi: 2, size: 5})
	c.parts = append(c.parts, fetchPart{fetchAsk: b}) // not in the answer
	at(a, 1, fetchPart{res: replica.ReadResult{HighWatermark: 11, LastStable: 12, Start: 13, Diverging: &store.EpochStart{Epoch: 3, Start: 99}}, lo: 2, hi: 2})
	at(a, 2, fetchPart{code: codeNotLeaderOrFollower, lo: 2, hi: 2})
	at(b, 0, fetchPart{code: codeUnknownTopicOrPartition, lo: 2, hi: 2})
	at(a, 2, fetchPart{res: replica.ReadResult{HighWatermark: 21, LastStable: 22, Start: 23}, lo: 2, hi: 3, size: 4})
	c.extents = []penstock.Extent{file.extent(1, 3), file.extent(8, 2), file.extent(12, 4)}
	c.isolation, c.sessionID, c.whole = replica.ReadCommitted, 4711, codeOffsetOutOfRange
	return c, file
}

// wantFetch is the answer of encodedFetch by its version, field by field.
func wantFetch(v int16) *kmsg.FetchResponse {
	part := func(index int32, e int16, high, stable, start int64, records string) kmsg.FetchResponseTopicPartition {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.ErrorCode, p.HighWatermark, p.LastStableOffset, p.LogStartOffset = index, e, high, stable, -1
		p.AbortedTransactions, p.RecordBatches = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}, []byte(records)
		if v >= 5 {
			p.LogStartOffset = start
		}
		return p
	}
	topic := func(name string, id penstock.TopicID, parts ...kmsg.FetchResponseTopicPartition) kmsg.FetchResponseTopic {
		t := kmsg.NewFetchResponseTopic()
		if t.Topic = name; v >= 13 {
			t.Topic, t.TopicID = "", id
		}
		t.Partitions = parts
		return t
	}
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(v)
	if v >= 7 {
		resp.ErrorCode, resp.SessionID = 1, 4711
	}
	diverging, away := part(1, 0, 11, 12, 13, ""), part(2, 6, -1, -1, -1, "")
	if v >= 12 {
		diverging.DivergingEpoch.Epoch, diverging.DivergingEpoch.EndOffset = 3, 99
		away.CurrentLeader.LeaderID, away.CurrentLeader.LeaderEpoch = 7, 5
	}
	if v >= 16 {
		b := kmsg.NewFetchResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = 7, "host7", 9092, kmsg.StringPtr("r1")
		resp.Brokers = []kmsg.FetchResponseBroker{b}
	}
	resp.Topics = []kmsg.FetchResponseTopic{
		topic("topic-a", penstock.TopicID{1, 2}, part(0, 0, 1001, 1002, 1003, "12389"), diverging, away),
		topic("topic-b", penstock.TopicID{9}, part(0, 3, -1, -1, -1, "")),
		topic("topic-a", penstock.TopicID{1, 2}, part(2, 0, 21, 22, 23, "cdef")),
	}
	return resp
}

// TestEncodeFetch: what the encoder by hand writes around stored bytes is what kmsg reads, in every version, with data, an
// error, a divergence and a partition led elsewhere; parts that are not told are left out.
func TestEncodeFetch(t *testing.T) {
	for v := int16(4); v <= 18; v++ {
		c, file := encodedFetch(v)
		b := bytesOf(t, c.encode)
		got, want := kmsg.NewPtrFetchResponse(), wantFetch(v)
		got.SetVersion(v)
		if err := got.ReadFrom(b); err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		if again := got.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("version %d:\n%x, kmsg writes\n%x", v, b, again)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("version %d:\ngot  %+v\nwant %+v", v, got, want)
		}
		if file.refs != 0 {
			t.Errorf("version %d: %d extents not released", v, file.refs)
		}
	}
}

// TestEncodeFetchIsolation: who reads uncommitted records gets null aborted transactions, who reads committed ones an empty
// list.
func TestEncodeFetchIsolation(t *testing.T) {
	for iso, null := range map[replica.Isolation]bool{replica.ReadUncommitted: true, replica.ReadCommitted: false} {
		for _, v := range []int16{4, 12} {
			c, _ := encodedFetch(v)
			c.isolation = iso
			got := kmsg.NewPtrFetchResponse()
			got.SetVersion(v)
			if err := got.ReadFrom(bytesOf(t, c.encode)); err != nil {
				t.Fatal(err)
			}
			if (got.Topics[0].Partitions[0].AbortedTransactions == nil) != null {
				t.Errorf("isolation %d, version %d", iso, v)
			}
		}
	}
}
