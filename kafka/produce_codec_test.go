package kafka

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
)

// tableOf makes a route table with topics of three partitions led by broker 7 in epoch 5, by name and by id.
func tableOf(names map[string]penstock.TopicID) *routes {
	t := &routes{names: map[string]*route{}, ids: map[penstock.TopicID]*route{}}
	for name, id := range names {
		r := &route{name: name, id: id, topic: &meta.Topic{Name: name, ID: id}, parts: make([]partRoute, 3), out: &metric.Tally{}}
		for i := range r.parts {
			r.parts[i].leader, r.parts[i].epoch = 7, 5
		}
		t.names[name], t.ids[id] = r, r
	}
	return t
}

// offline is a front without rooms below, for the codecs.
func offline() *Front {
	o := Options{}.withDefaults()
	f := &Front{o: o}
	f.build()
	return f
}

// body encodes q in a version.
func body(q kmsg.Request, version int16) []byte {
	q.SetVersion(version)
	return q.AppendTo(nil)
}

func newProduceCall(f *Front, version int16, body []byte) *produceCall {
	a := f.apis.find(keyProduce)
	return &produceCall{front: f, request: request{header: header{key: keyProduce, version: version}, api: a, body: body}}
}

// TestParseProduce: what kmsg writes, with no field left zero, is what the decoder by hand finds, in every version.
func TestParseProduce(t *testing.T) {
	for v := firstProduce; v <= 13; v++ {
		rng := newRand(uint64(v))
		for range 50 {
			q := kmsg.NewPtrProduceRequest()
			fill(rng, reflect.ValueOf(q).Elem())
			known := map[string]penstock.TopicID{q.Topics[0].Topic: q.Topics[0].TopicID}
			table := tableOf(known)
			c := newProduceCall(offline(), v, body(q, v))
			if !c.parse(table) {
				t.Fatalf("version %d: refused", v)
			}
			if c.acks != penstock.Acks(q.Acks) || c.txn != (v >= 3 && q.TransactionID != nil) || len(c.topics) != len(q.Topics) {
				t.Fatalf("version %d: %+v", v, c)
			}
			parts := c.parts
			for i, want := range q.Topics {
				got := c.topics[i]
				name := got.name
				if got.route != nil {
					name = got.route.name
				}
				if v < firstProduceID && name != want.Topic || v >= firstProduceID && got.id != want.TopicID || got.parts != len(want.Partitions) {
					t.Fatalf("version %d: topic %+v, want %+v", v, got, want)
				}
				for j, wp := range want.Partitions {
					if p := parts[j]; p.index != wp.Partition || !bytes.Equal(p.records, wp.Records) || p.route != got.route {
						t.Fatalf("version %d: partition %+v, want %+v", v, p, wp)
					}
				}
				parts = parts[got.parts:]
			}
		}
	}
}

// TestParseProduceWhole: neither a shorter nor a longer body is taken.
func TestParseProduceWhole(t *testing.T) {
	for _, v := range []int16{3, 9, 13} {
		q := kmsg.NewPtrProduceRequest()
		fill(newRand(3), reflect.ValueOf(q).Elem())
		b := body(q, v)
		for n := range b {
			if newProduceCall(offline(), v, b[:n]).parse(&routes{}) {
				t.Fatalf("version %d: %d of %d bytes pass", v, n, len(b))
			}
		}
		if newProduceCall(offline(), v, append(b, 0)).parse(&routes{}) {
			t.Fatalf("version %d: a byte too many passes", v)
		}
	}
}

// TestParseProduceBounded: a request that names many partitions without a batch is refused before it takes memory.
func TestParseProduceBounded(t *testing.T) {
	q := kmsg.NewPtrProduceRequest()
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: make([]kmsg.ProduceRequestTopicPartition, 100_000)}}
	b := body(q, 9)
	if got := allocated(func() {
		if newProduceCall(offline(), 9, b).parse(&routes{}) {
			t.Error("taken")
		}
	}); got > bound(len(b)) {
		t.Errorf("%d bytes allocated for %d", got, len(b))
	}
}

// TestEncodeProduce: what the encoder by hand writes is what kmsg reads, in every version, with results, errors and
// partitions led elsewhere.
func TestEncodeProduce(t *testing.T) {
	idA, idB := penstock.TopicID{1, 2}, penstock.TopicID{9}
	table := tableOf(map[string]penstock.TopicID{"topic-a": idA})
	for v := firstProduce; v <= 13; v++ {
		q := kmsg.NewPtrProduceRequest()
		q.Acks = -1
		q.Topics = []kmsg.ProduceRequestTopic{
			{Topic: "topic-a", TopicID: idA, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 1}, {Partition: 2}}},
			{Topic: "topic-b", TopicID: idB, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 3}}},
		}
		c := newProduceCall(offline(), v, body(q, v))
		c.front.o.Topics = &fixedImage{img: &meta.Image{Brokers: map[penstock.BrokerID]*meta.Broker{
			7: {ID: 7, Rack: "r1", Endpoints: map[string]string{"": "host7:9092"}},
		}}}
		if !c.parse(table) {
			t.Fatal("refused")
		}
		c.parts[0].res = replica.AppendResult{First: 1001, Time: 1002, Start: 1003}
		c.parts[1].code, c.parts[1].message = codeNotLeaderOrFollower, "elsewhere"
		c.parts[2].code, c.parts[2].message = codeUnknownTopicOrPartition, "none"

		got := kmsg.NewPtrProduceResponse()
		got.SetVersion(v)
		b := c.encode(nil)
		if err := got.ReadFrom(b); err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		if again := got.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("version %d:\n%x, kmsg writes\n%x", v, b, again)
		}
		want := wantProduce(v, idA, idB)
		if want.SetVersion(v); !reflect.DeepEqual(got, want) {
			t.Errorf("version %d:\ngot  %+v\nwant %+v", v, got, want)
		}
	}
}

// wantProduce is the answer of TestEncodeProduce by its version, field by field.
func wantProduce(v int16, idA, idB penstock.TopicID) *kmsg.ProduceResponse {
	part := func(index int32, e int16, first, at, start int64, message string) kmsg.ProduceResponseTopicPartition {
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.ErrorCode, p.BaseOffset, p.LogAppendTime, p.LogStartOffset = index, e, first, -1, -1
		if v >= 2 {
			p.LogAppendTime = at
		}
		if v >= 5 {
			p.LogStartOffset = start
		}
		if v >= 8 {
			p.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord(nil)
			if message != "" {
				p.ErrorMessage = &message
			}
		}
		return p
	}
	topic := func(name string, id penstock.TopicID, parts ...kmsg.ProduceResponseTopicPartition) kmsg.ProduceResponseTopic {
		t := kmsg.NewProduceResponseTopic()
		if t.Topic = name; v >= 13 {
			t.Topic, t.TopicID = "", id
		}
		t.Partitions = parts
		return t
	}
	away := part(2, 6, -1, -1, -1, "elsewhere")
	resp := kmsg.NewPtrProduceResponse()
	if v >= 10 {
		away.CurrentLeader.LeaderID, away.CurrentLeader.LeaderEpoch = 7, 5
		b := kmsg.NewProduceResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = 7, "host7", 9092, kmsg.StringPtr("r1")
		resp.Brokers = []kmsg.ProduceResponseBroker{b}
	}
	resp.Topics = []kmsg.ProduceResponseTopic{
		topic("topic-a", idA, part(1, 0, 1001, 1002, 1003, ""), away),
		topic("topic-b", idB, part(3, 3, -1, -1, -1, "none")),
	}
	return resp
}

// fixedImage is metadata that never changes, and that is all it can.
type fixedImage struct {
	Topics
	img *meta.Image
}

func (f *fixedImage) Image() *meta.Image { return f.img }

// TestParseProduceAllocates: parsing, in a call used before, allocates nothing at all.
func TestParseProduceAllocates(t *testing.T) {
	id := penstock.TopicID{4}
	table := tableOf(map[string]penstock.TopicID{"a-topic": id})
	for _, v := range []int16{3, 9, 13} {
		q := kmsg.NewPtrProduceRequest()
		tp := kmsg.ProduceRequestTopic{Topic: "a-topic", TopicID: id}
		for i := range 64 {
			tp.Partitions = append(tp.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: make([]byte, 100)})
		}
		q.Topics = append(q.Topics, tp)
		c := newProduceCall(offline(), v, body(q, v))
		c.front.produces.New = func() any { return c }
		if n := testing.AllocsPerRun(100, func() {
			if !c.parse(table) {
				t.Fatal("refused")
			}
			c.parts, c.topics = c.parts[:0], c.topics[:0]
		}); n != 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}

// FuzzProduce: any body in any version is parsed without panic, the parts lie in the frame, and memory stays bounded.
func FuzzProduce(f *testing.F) {
	for _, v := range []int16{0, 3, 9, 13} {
		q := kmsg.NewPtrProduceRequest()
		fill(newRand(uint64(v)), reflect.ValueOf(q).Elem())
		f.Add(v, body(q, v))
	}
	table := tableOf(map[string]penstock.TopicID{"a-topic": {1}})
	front := offline()
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		if version < 0 || version > 13 {
			return
		}
		c := newProduceCall(front, version, b)
		var ok bool
		if got := allocated(func() { ok = c.parse(table) }); got > bound(len(b)) {
			t.Fatalf("%d bytes allocated for %d", got, len(b))
		}
		if !ok {
			return
		}
		n := 0
		for _, topic := range c.topics {
			n += topic.parts
		}
		if n != len(c.parts) {
			t.Fatalf("%d parts, topics have %d", len(c.parts), n)
		}
		c.encode(nil)
	})
}
