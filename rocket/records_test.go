package rocket

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/message"
	"penstock/meta"
	"penstock/metric"
	"penstock/record"
	"penstock/replica"
	"penstock/rocket/remoting"
)

// recordTopic creates a topic of Kafka's records.
func (h *house) recordTopic(name string, partitions int, configs map[string]string) *meta.Topic {
	h.t.Helper()
	return h.make(meta.NewTopic{Name: name, Partitions: partitions, Configs: configs})
}

// produce appends one batch of records, compressed by a codec, as Kafka's front does.
func (h *house) produce(topic *meta.Topic, partition int32, codec kgo.CompressionCodec, rs ...*kgo.Record) {
	h.t.Helper()
	var w record.Builder
	w.Begin(nil)
	for i, r := range rs {
		e := record.Entry{Offset: penstock.Offset(i), Timestamp: penstock.Timestamp(1000 + i), Key: r.Key, Value: r.Value}
		for _, hd := range r.Headers {
			e.Headers = append(e.Headers, record.Header{Key: []byte(hd.Key), Value: hd.Value})
		}
		if err := w.Add(&e); err != nil {
			h.t.Fatal(err)
		}
	}
	b := w.End()
	if codec != kgo.NoCompression() {
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil {
			h.t.Fatal(err)
		}
		c, err := kgo.DefaultCompressor(codec)
		if err != nil {
			h.t.Fatal(err)
		}
		packed, kind := c.Compress(new(bytes.Buffer), k.Records)
		k.Records, k.Attributes = bytes.Clone(packed), int16(kind)
		b = sealRecords(k.AppendTo(nil))
	}
	vb, err := record.Validate(b, record.Rules{MaxBytes: 32 << 20})
	if err != nil {
		h.t.Fatal(err)
	}
	p := h.replicas.Partition(penstock.PartitionID{Topic: topic.ID, Partition: partition})
	if res, _ := p.Append(replica.AppendRequest{Batches: []penstock.Batch{vb}, Acks: penstock.AcksLeader, Epoch: penstock.NoEpoch}, nil); res.Err != nil {
		h.t.Fatal(res.Err)
	}
}

// values are n records with the tags given by turns.
func valuesOf(n int, tags ...string) []*kgo.Record {
	var rs []*kgo.Record
	for i := range n {
		r := &kgo.Record{Value: []byte(tags[i%len(tags)] + strconv.Itoa(i))}
		if tag := tags[i%len(tags)]; tag != "" {
			r.Headers = []kgo.RecordHeader{{Key: "TAGS", Value: []byte(tag)}}
		}
		rs = append(rs, r)
	}
	return rs
}

// TestRecordsPull: a client of RocketMQ pulls a topic of records as one of messages: from any offset, by tags, so many or so large, of batches under any
// codec, and goes on where it was told. What left is counted as converted.
func TestRecordsPull(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, "", nil)
		for i, codec := range []kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		} {
			topic := h.recordTopic(fmt.Sprint("t", i), 2, nil)
			all := valuesOf(9, "a", "b", "c")
			h.produce(topic, 1, codec, all[:4]...)
			h.produce(topic, 1, codec, all[4:5]...)
			h.produce(topic, 1, codec, all[5:]...)
			c := dial(t, h.addr, kind)
			for _, test := range []struct {
				from  int64
				tags  string
				count string
				bytes string
				want  string
				next  int64
			}{
				{0, "*", "32", "", "a0 b1 c2 a3 b4 c5 a6 b7 c8", 9},
				{3, "*", "3", "", "a3 b4 c5", 6},
				{4, "a||c", "32", "", "c5 a6 c8", 9},
				{0, "a || c", "2", "", "a0 c2", 3},
				{1, "*", "32", "1", "b1", 2},
				{0, "*", "32", "300", "a0 b1", 2},
				{8, "*", "32", "", "c8", 9},
			} {
				f := pullOf(topic.Name, 1, test.from, test.tags).with("maxMsgNums", test.count)
				if test.bytes != "" {
					f = f.with("maxMsgBytes", test.bytes)
				}
				r := c.ask(11, f, nil)
				if got := r.bodies(t); r.code != codeSuccess || got != test.want || r.number(t, "nextBeginOffset") != test.next {
					t.Errorf("codec %d: %+v: %d %q, next %s", i, test, r.code, got, r.fields["nextBeginOffset"])
				}
			}
			r := c.ask(11, pullOf(topic.Name, 1, 2, "*"), nil)
			m := r.messages(t)[3]
			if m.QueueOffset != 5 || m.QueueID != 1 || string(m.Topic) != topic.Name || m.BornTime != 1000 || m.StoreTime != 1000 || property(m, "TAGS") != "c" ||
				r.number(t, "minOffset") != 0 || r.number(t, "maxOffset") != 9 {
				t.Errorf("%+v, %v", m, r.fields)
			}
			for _, l := range h.account.Lines() {
				if l.Topic == topic.Name && (l.Reason != metric.ReasonConverted.String() || l.Bytes == 0) {
					t.Errorf("%+v", l)
				}
			}
			if r := c.ask(11, pullOf(topic.Name, 1, 0, "x"), nil); r.code != codePullRetry || r.number(t, "nextBeginOffset") != 9 {
				t.Errorf("nothing matches: %+v", r)
			}
			if r := c.ask(11, pullOf(topic.Name, 1, 9, "*"), nil); r.code != codePullNotFound || r.number(t, "nextBeginOffset") != 9 {
				t.Errorf("at the end: %+v", r)
			}
			if r := c.ask(11, pullOf(topic.Name, 1, 10, "*"), nil); r.code != codePullOffsetMoved || r.number(t, "nextBeginOffset") != 9 {
				t.Errorf("behind the end: %+v", r)
			}
		}
	})
}

// TestRecordsPullWaits: a pull at the end of a topic of records waits for the next that matches.
func TestRecordsPullWaits(t *testing.T) {
	h := build(t, "", nil)
	topic := h.recordTopic("t", 1, nil)
	h.produce(topic, 0, kgo.NoCompression(), valuesOf(1, "a")...)
	c := dial(t, h.addr, remoting.JSON)
	c.send(c.frame(11, 0, pullOf("t", 0, 1, "b").with("sysFlag", "6", "suspendTimeoutMillis", "60000"), nil))
	h.until("the pull waits", func() bool { return h.front.waiting.Value() == 1 })
	h.produce(topic, 0, kgo.ZstdCompression(), valuesOf(2, "a", "b")...)
	if r := c.receive(); r == nil || r.bodies(t) != "b1" || r.number(t, "nextBeginOffset") != 3 {
		t.Errorf("%+v", r)
	}
}

// TestRecordsFarApart: a pull goes over many batches that do not match, piece by piece, and over a batch larger than a piece.
func TestRecordsFarApart(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.PullScan = 5000 })
	topic := h.recordTopic("t", 1, map[string]string{"max.message.bytes": "8000000"})
	for range 40 {
		h.produce(topic, 0, kgo.NoCompression(), valuesOf(100, "a")...)
	}
	large := valuesOf(1, "b")
	large[0].Value = bytes.Repeat([]byte("L"), 3<<20)
	h.produce(topic, 0, kgo.NoCompression(), large...)
	for range 40 {
		h.produce(topic, 0, kgo.NoCompression(), valuesOf(100, "c")...)
	}
	c := dial(t, h.addr, remoting.JSON)
	r := c.ask(11, pullOf("t", 0, 0, "b"), nil)
	if ms := r.messages(t); len(ms) != 1 || len(ms[0].Body) != 3<<20 || r.number(t, "nextBeginOffset") != 5000 {
		t.Errorf("%d messages, next %s", len(ms), r.fields["nextBeginOffset"])
	}
	if r := c.ask(11, pullOf("t", 0, 0, "none"), nil); r.code != codePullRetry || r.number(t, "nextBeginOffset") != 5000 {
		t.Errorf("%+v", r)
	}
	if r := c.ask(11, pullOf("t", 0, 5000, "c").with("maxMsgNums", "1000"), nil); r.code != codeSuccess || r.number(t, "nextBeginOffset") != 6000 {
		t.Errorf("%d, next %s", r.code, r.fields["nextBeginOffset"])
	}
}

// TestRecordsUnsuited: a record whose headers or value no message can hold is delivered without them, and says so: a consumer gets past it.
func TestRecordsUnsuited(t *testing.T) {
	h := build(t, "", nil)
	topic := h.recordTopic("t", 1, map[string]string{"max.message.bytes": "30000000"})
	rs := valuesOf(3, "a")
	rs[1].Headers = []kgo.RecordHeader{{Key: "h", Value: make([]byte, 40_000)}}
	rs[1].Key = []byte("kept")
	h.produce(topic, 0, kgo.NoCompression(), rs...)
	h.produce(topic, 0, kgo.ZstdCompression(), &kgo.Record{Key: make([]byte, 40_000), Value: bytes.Repeat([]byte("0123456789abcdef"), 1<<20)})
	h.produce(topic, 0, kgo.ZstdCompression(), valuesOf(1, "b")[0], &kgo.Record{Value: make([]byte, 70<<20)}, valuesOf(1, "c")[0])
	h.produce(topic, 0, kgo.ZstdCompression(), &kgo.Record{Value: make([]byte, 70<<20)}, valuesOf(1, "c")[0])
	h.produce(topic, 0, kgo.NoCompression(), valuesOf(1, "end")...)
	c := dial(t, h.addr, remoting.JSON)
	ms := c.ask(11, pullOf("t", 0, 0, "*"), nil).messages(t)
	if len(ms) != 8 || property(ms[1], "penstock.omitted") != "headers" || property(ms[1], "KEYS") != "kept" || string(ms[1].Body) != "a1" ||
		property(ms[2], "TAGS") != "a" || property(ms[3], "penstock.omitted") != "headers,key,value" || len(ms[3].Body) != 0 ||
		string(ms[4].Body) != "b0" || property(ms[5], "penstock.omitted") != "records 5 to 6" || property(ms[6], "penstock.omitted") != "records 7 to 8" ||
		ms[7].QueueOffset != 9 || string(ms[7].Body) != "end0" {
		t.Errorf("%d messages: %.300q", len(ms), fmt.Sprint(ms))
	}
}

// TestRecordsSend: a message sent to a topic of records is a record there, one of a batch in the same batch, and comes back as it was sent; what the
// topic demands of Kafka's producers is demanded here.
func TestRecordsSend(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, "", func(o *Options) {
			o.Locate = func(penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
				return penstock.PartitionID{}, 0, penstock.ErrOffsetOutOfRange
			}
		})
		topic := h.recordTopic("t", 2, map[string]string{"max.message.bytes": "2000"})
		c := dial(t, h.addr, kind)
		p := props("KEYS", "order 7", "TAGS", "paid", "UNIQ_KEY", "ID1", "color", "red")
		r := c.ask(310, sendV2("t", 1, p), []byte("one"))
		if r.code != codeSuccess || r.number(t, "queueOffset") != 0 || r.number(t, "queueId") != 1 || len(r.fields["msgId"]) != 32 {
			t.Fatalf("%+v", r)
		}
		r = c.ask(320, sendV2("t", 1, "").with("m", "true"), append(item("two", props("TAGS", "x")), item("three", "")...))
		ids := strings.Split(r.fields["msgId"], ",")
		if r.code != codeSuccess || r.number(t, "queueOffset") != 1 || len(ids) != 2 {
			t.Fatalf("%+v", r)
		}
		// Sends that come in one read are stored together, and each is told its own offset.
		c.send(c.frame(310, 0, sendV2("t", 1, ""), []byte("four")), c.frame(310, 0, sendV2("t", 1, ""), []byte("five")))
		for i := range 2 {
			if r := c.receive(); r == nil || r.number(t, "queueOffset") != int64(3+i) {
				t.Fatalf("%+v", r)
			}
		}
		for _, test := range []struct {
			topic string
			body  string
			want  code
		}{{"t", strings.Repeat("x", 3000), codeMessageIllegal}} {
			if r := c.ask(310, sendV2(test.topic, 0, ""), []byte(test.body)); r.code != test.want || !strings.Contains(r.remark, "Kafka's records") {
				t.Errorf("%s: %+v", test.topic, r)
			}
		}
		got := h.records(topic, 1)
		want := []string{
			`0 @1700000000000 "order 7": "one" TAGS=paid UNIQ_KEY=ID1 color=red rocketmq.flag=7`,
			`1 @1700000000000 "": "two" TAGS=x rocketmq.flag=3`, `2 @1700000000000 "": "three" rocketmq.flag=3`,
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got  %s\nwant %s", got[i], want[i])
			}
		}
		back := c.ask(11, pullOf("t", 1, 0, "*"), nil)
		if got := back.bodies(t); got != "one two three four five" {
			t.Errorf("%q", got)
		}
		m := back.messages(t)[0]
		if property(m, "KEYS") != "order 7" || property(m, "color") != "red" || property(m, "UNIQ_KEY") != "ID1" || m.Flag != 7 || m.BornTime != 1700000000000 {
			t.Errorf("%+v", m)
		}
		// The ids told to the producer name the records.
		_, at, err := message.ParseOffsetID(ids[1])
		if err != nil || at != back.messages(t)[2].Position {
			t.Errorf("id %s: position %d, %v", ids[1], at, err)
		}
		view := c.ask(33, fields{"offset": strconv.FormatInt(int64(at), 10), "topic": "t"}, nil)
		if view.code != codeSuccess || view.bodies(t) != "three" {
			t.Errorf("%+v", view)
		}
		for _, wrong := range []penstock.Position{at + 100, at + 1<<recordOffBits*5, recordPosition(topic.ID, 0, 0), recordPosition(topic.ID, 1, 1<<50)} {
			if r := c.ask(33, fields{"offset": strconv.FormatInt(int64(wrong), 10)}, nil); r.code != codeSystemError {
				t.Errorf("position %d: %+v", wrong, r)
			}
		}
	})
}

// TestRecordPositions: a position finds the record again in each partition, tells two topics of one sum apart by name, and is refused without.
func TestRecordPositions(t *testing.T) {
	h := build(t, "", nil)
	a, b := h.recordTopic("a", 3, nil), h.recordTopic("b", 2, nil)
	h.topic("m", 3, nil)
	for _, topic := range []*meta.Topic{a, b} {
		for i := range topic.Partitions {
			for _, off := range []penstock.Offset{0, 1, 1 << 39, recordOffMask - 1} {
				at := recordPosition(topic.ID, int32(i), off)
				r, part, got, err := h.front.locateRecord(at, topic.Name)
				if err != nil || r.id != topic.ID || part != int32(i) || got != off || at < 0 || !ofRecord(at) {
					t.Fatalf("%s-%d offset %d, position %d: %v %d %d %v", topic.Name, i, off, at, r, part, got, err)
				}
			}
		}
	}
	for _, at := range []penstock.Position{0, 1 << 40, 1 << 60, 1 << 62, 1<<62 + 5} {
		if ofRecord(at) {
			t.Errorf("%d is taken for a record's", at)
		}
	}
	// A topic whose id has the same hash, of all that begin with one byte.
	other := a.ID
	for n := 0; topicHash(other)&recordPartMask != topicHash(a.ID)&recordPartMask || other == a.ID; n++ {
		other[0], other[1], other[2], other[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	twin := h.make(meta.NewTopic{Name: "twin", Partitions: 1, ID: other})
	at := recordPosition(a.ID, 0, 7)
	if _, _, _, err := h.front.locateRecord(at, ""); !errors.Is(err, penstock.ErrOffsetOutOfRange) || !strings.Contains(err.Error(), "name the topic") {
		t.Errorf("two topics of one sum: %v", err)
	}
	for _, topic := range []*meta.Topic{a, twin} {
		if r, _, off, err := h.front.locateRecord(at, topic.Name); err != nil || r.id != topic.ID || off != 7 {
			t.Errorf("%s: %v, %v", topic.Name, r, err)
		}
	}
}

// TestRecordsDamaged: a record whose bytes have changed is not vouched for by a message's checksum: what is before it comes, and then an error.
func TestRecordsDamaged(t *testing.T) {
	dir := t.TempDir()
	h := build(t, dir, nil)
	topic := h.recordTopic("t", 1, nil)
	for range 3 {
		h.produce(topic, 0, kgo.NoCompression(), &kgo.Record{Value: []byte("find me here")})
	}
	damage(t, dir, []byte("find me here"), 1)
	c := dial(t, h.addr, remoting.JSON)
	if r := c.ask(11, pullOf("t", 0, 0, "*"), nil); r.code != codeSuccess || len(r.messages(t)) != 1 {
		t.Errorf("%+v", r)
	}
	if r := c.ask(11, pullOf("t", 0, 1, "*"), nil); r.code != codeSystemError || len(r.body) != 0 {
		t.Errorf("%+v", r)
	}
}

// TestRecordsSendBack: a record that a consumer sends back comes to the group's retry topic as a message, with what it had.
func TestRecordsSendBack(t *testing.T) {
	h := build(t, "", nil)
	topic := h.recordTopic("T", 2, nil)
	h.produce(topic, 1, kgo.GzipCompression(), valuesOf(3, "a", "b", "c")...)
	c := dial(t, h.addr, remoting.JSON)
	m := c.ask(11, pullOf("T", 1, 0, "b"), nil).messages(t)[0]
	c.body(36, back(m, 0), "")
	waiting := h.all(delayTopic, 2)
	if len(waiting) != 1 {
		t.Fatalf("%d messages wait", len(waiting))
	}
	if w := waiting[0]; string(w.Body) != "b1" || property(w, "TAGS") != "b" || property(w, "RETRY_TOPIC") != "T" || w.Reconsumed != 1 ||
		property(w, "ORIGIN_MESSAGE_ID") != message.OffsetID(m.StoreHost, m.Position) {
		t.Errorf("%+v", w)
	}
	m.Position += 100
	if r := c.ask(36, back(m, 0), nil); r.code != codeSystemError {
		t.Errorf("sent back from behind the end: %+v", r)
	}
}
