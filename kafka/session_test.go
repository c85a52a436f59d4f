package kafka

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
	"penstock/replica"
	"penstock/wire"
)

func (f *fixedImage) Subscribe(fn func(old, new *meta.Image)) { fn(nil, f.img) }

// nowhere leads nothing.
type nowhere struct{}

func (nowhere) Partition(penstock.PartitionID) *replica.Partition { return nil }

// empty is a front of a cluster without topics.
func empty() *Front {
	dir := &LogDir{Err: func() error { return nil }, Space: func() (int64, int64, error) { return 2, 1, nil }}
	return New(Options{Topics: &fixedImage{img: &meta.Image{ClusterID: "c"}}, Partitions: nowhere{}, LogDir: dir})
}

// frame is a request as kmsg frames it.
func frame(q kmsg.Request, version int16, correlation int32) []byte {
	q.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, q, correlation)
}

// answer reads the next answer, of a request of version v with the given correlation id, into resp.
func (c client) answer(correlation int32, resp kmsg.Response, v int16) {
	c.t.Helper()
	b := c.receive()
	if b == nil {
		c.t.Fatalf("%T %d: the connection was closed", resp, v)
	}
	resp.SetVersion(v)
	r := reader{b: b, flex: resp.IsFlexible() && resp.Key() != keyAPIVersions}
	if got := r.int32(); got != correlation {
		c.t.Fatalf("%T %d: correlation %d, want %d", resp, v, got, correlation)
	}
	r.skipTags()
	if err := resp.ReadFrom(r.b); err != nil || r.bad {
		c.t.Fatalf("%T %d: %v in %x", resp, v, err, b)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, r.b) {
		c.t.Fatalf("%T %d: not all of the answer was read:\n%x\n%x", resp, v, r.b, again)
	}
}

// TestApiVersions: each version is answered with the table, and nothing that is not in it; Produce is shown from 0 (KAFKA-18659).
func TestApiVersions(t *testing.T) {
	f := empty()
	addr, _ := serve(t, f, wire.Options{})
	c := dial(t, addr)
	for v := int16(0); v <= 4; v++ {
		q := kmsg.NewPtrApiVersionsRequest()
		q.ClientSoftwareName, q.ClientSoftwareVersion = "a-client", "1.2.3"
		c.send(frame(q, v, 100+int32(v)))
		resp := kmsg.NewPtrApiVersionsResponse()
		c.answer(100+int32(v), resp, v)
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != len(f.apis.list) {
			t.Fatalf("version %d: %+v", v, resp)
		}
		for _, k := range resp.ApiKeys {
			a := f.apis.find(k.ApiKey)
			if a == nil || k.MinVersion != a.shown || k.MaxVersion != a.max {
				t.Errorf("version %d: %+v", v, k)
			}
			if k.ApiKey == keyProduce && k.MinVersion != 0 {
				t.Error("Produce is not shown from version 0")
			}
		}
		if len(resp.SupportedFeatures)+len(resp.FinalizedFeatures) != 0 || resp.FinalizedFeaturesEpoch != -1 || resp.ZkMigrationReady {
			t.Errorf("version %d shows features: %+v", v, resp)
		}
	}
}

// TestApiVersionsUnknownVersion: a version not served is answered in version 0 with error 35 and the API's own range (KIP-511).
func TestApiVersionsUnknownVersion(t *testing.T) {
	addr, _ := serve(t, empty(), wire.Options{})
	c := dial(t, addr)
	for _, v := range []int16{5, 99, -1} {
		b := []byte{0, 0, 0, 12, 0, 18, byte(v >> 8), byte(v), 0, 0, 0, 7, 9, 9, 9, 9}
		c.send(b)
		resp := kmsg.NewPtrApiVersionsResponse()
		c.answer(7, resp, 0)
		if resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 4 {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
}

// TestSoftwareNames cites KIP-511: names must match [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?.
func TestSoftwareNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "apache-kafka-java": true, "1.2.3": true, "A9": true,
		"": false, "-a": false, "a-": false, ".": false, "a b": false, "a_b": false, "ä": false, "a\x00": false, "@": false, "[": false, "`": false, "{": false,
	} {
		if plainName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	addr, _ := serve(t, empty(), wire.Options{})
	c := dial(t, addr)
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "a client", "1"
	c.send(frame(q, 3, 1))
	resp := kmsg.NewPtrApiVersionsResponse()
	if c.answer(1, resp, 3); resp.ErrorCode != 42 || len(resp.ApiKeys) != 0 {
		t.Errorf("%+v", resp)
	}
}

// TestClosed: what cannot be answered closes the connection, as Kafka does: an API or a version not served, a
// header or a body that is not whole, a frame larger than its API's limit.
func TestClosed(t *testing.T) {
	f := empty()
	addr, _ := serve(t, f, wire.Options{})
	raw := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	cases := map[string][]byte{
		"an API that is not served":    frame(kmsg.NewPtrFindCoordinatorRequest(), 3, 1),
		"an API that does not exist":   raw(0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"a negative API":               raw(0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"a version too high":           frame(kmsg.NewPtrMetadataRequest(), 14, 1),
		"a version too low":            frame(kmsg.NewPtrFetchRequest(), 3, 1),
		"no header":                    raw(0, 3, 0),
		"half a header":                raw(0, 3, 0, 1, 0, 0, 0, 1, 0, 9, 'x'),
		"half a body":                  raw(0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 9),
		"half a Produce":               raw(0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0, 0),
		"half a Fetch":                 raw(0, 1, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0, 0),
		"an ApiVersions of a megabyte": append([]byte{0, 16, 0, 0, 0, 18, 0, 0, 0, 0, 0, 1}, make([]byte, 1<<12)...),
	}
	for _, a := range f.apis.list {
		cases["a "+a.name+" larger than its limit"] = append(binary.BigEndian.AppendUint32(nil, uint32(a.after)+1), 0, byte(a.key), 0, byte(a.max), 0, 0, 0, 1)
	}
	for name, b := range cases {
		c := dial(t, addr)
		c.send(b)
		if got := c.receive(); got != nil {
			t.Errorf("%s is answered with %x", name, got)
		}
	}
}

// early is a listener that asks for authentication, before it took place.
type early struct{ *Front }

func (e early) Open(*wire.Conn) wire.Session { return e.newSession(nobody) }

// TestBeforeAuthentication: only ApiVersions is answered, whatever is sent takes little memory, and no API has a frame limit
// above 64 KiB.
func TestBeforeAuthentication(t *testing.T) {
	f := empty()
	addr, _ := serve(t, early{f}, wire.Options{})
	for _, a := range f.apis.list {
		if a.before > smallFrame {
			t.Errorf("%s: %d bytes before authentication", a.name, a.before)
		}
		q := kmsg.RequestForKey(a.key)
		if v, ok := q.(*kmsg.ApiVersionsRequest); ok {
			v.ClientSoftwareName, v.ClientSoftwareVersion = "x", "1"
		}
		c := dial(t, addr)
		c.send(frame(q, a.max, 5))
		if got := c.receive(); (got != nil) != (a.key == keyAPIVersions) {
			t.Errorf("%s: %x", a.name, got)
		}
		for v := a.min; v <= a.max; v++ {
			s := f.newSession(nobody)
			limit := s.FrameLimit([]byte{0, byte(a.key), 0, byte(v)})
			for _, b := range hostile(limit - 8) {
				b = append([]byte{0, 0, 0, 0, 0, byte(a.key), 0, byte(v), 0, 0, 0, 1}, b...)
				binary.BigEndian.PutUint32(b, uint32(len(b)-4))
				if got := allocated(func() { serveRaw(s, b[4:]) }); got > bound(limit) {
					t.Fatalf("%s %d: %d bytes allocated for %d", a.name, v, got, limit)
				}
			}
		}
	}
}

// serveRaw does what Serve does with a frame up to its handler, for measuring: a wire.Request cannot be made here.
func serveRaw(s *session, b []byte) {
	h, rest, ok := splitHeader(b)
	if !ok {
		return
	}
	a := s.front.apis.find(h.key)
	if a == nil || a.before == refuse {
		return
	}
	if body, ok := h.finish(rest, h.version >= a.flexible); ok {
		_ = decodeGuarded(a, h.version, body)
	}
}

// TestProduceOldVersions: a request of versions 0-2, which are shown, closes the connection, as Kafka 4 does it; nothing is appended and
// nothing behind it is served.
func TestProduceOldVersions(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	for v := range firstProduce {
		for _, acks := range []int16{-1, 0, 1} {
			for _, b := range [][]byte{batch(1, 10), []byte("old"), nil} {
				c := dial(t, h.addr)
				q := kmsg.NewPtrProduceRequest()
				q.Acks = acks
				q.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b}}}}
				c.send(append(frame(q, v, 9), frame(kmsg.NewPtrMetadataRequest(), 12, 10)...)) // in one: the broker may close at once
				if got := c.receive(); got != nil {
					t.Errorf("version %d, acks %d: answered with %d bytes", v, acks, len(got))
				}
			}
		}
	}
	if p := h.put(9, 1, batch(1, 10)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("something was appended: %+v", p)
	}
}

// TestProduceRefusals: acks that do not exist, transactions, and topics that do not exist; with acks=0 a refusal closes.
func TestProduceRefusals(t *testing.T) {
	addr, _ := serve(t, empty(), wire.Options{})
	part := []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 61)}}
	for _, test := range []struct {
		what    string
		version int16
		change  func(q *kmsg.ProduceRequest)
		want    code
	}{
		{"acks 2", 9, func(q *kmsg.ProduceRequest) { q.Acks = 2 }, codeInvalidRequiredAcks},
		{"acks -2", 9, func(q *kmsg.ProduceRequest) { q.Acks = -2 }, codeInvalidRequiredAcks},
		{"a transactional id", 9, func(q *kmsg.ProduceRequest) { q.TransactionID = kmsg.StringPtr("x") }, codeUnsupportedVersion},
		{"no such topic", 9, func(q *kmsg.ProduceRequest) {}, codeUnknownTopicOrPartition},
		{"no such topic id", 13, func(q *kmsg.ProduceRequest) {}, codeUnknownTopicID},
	} {
		c := dial(t, addr)
		q := kmsg.NewPtrProduceRequest()
		q.Acks = 1
		q.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", TopicID: [16]byte{1}, Partitions: part}}
		test.change(q)
		c.send(frame(q, test.version, 9))
		resp := kmsg.NewPtrProduceResponse()
		c.answer(9, resp, test.version)
		p := resp.Topics[0].Partitions[0]
		if code(p.ErrorCode) != test.want || p.ErrorMessage == nil || *p.ErrorMessage == "" || p.BaseOffset != -1 {
			t.Errorf("%s: %+v", test.what, p)
		}
		q.Acks = 0
		c.send(frame(q, test.version, 10))
		if b := c.receive(); b != nil {
			t.Errorf("%s with acks=0 is answered with %x", test.what, b)
		}
	}
}

// TestFetchRefusals: an unknown topic is told at once however long the client would wait; who calls itself a replica is refused as a
// whole, or in old versions for each partition.
func TestFetchRefusals(t *testing.T) {
	addr, _ := serve(t, empty(), wire.Options{})
	c := dial(t, addr)
	for v := int16(4); v <= 18; v++ {
		q := kmsg.NewPtrFetchRequest()
		q.MaxWaitMillis, q.MinBytes, q.MaxBytes = 600_000, 1, 1<<20
		q.Topics = []kmsg.FetchRequestTopic{{Topic: "t", TopicID: [16]byte{1}, Partitions: []kmsg.FetchRequestTopicPartition{{Partition: 3}}}}
		c.send(frame(q, v, 1))
		resp := kmsg.NewPtrFetchResponse()
		c.answer(1, resp, v)
		want := codeUnknownTopicOrPartition
		if v >= 13 {
			want = codeUnknownTopicID
		}
		if p := resp.Topics[0].Partitions[0]; code(p.ErrorCode) != want || p.Partition != 3 || p.HighWatermark != -1 {
			t.Errorf("version %d: %+v", v, resp)
		}
		q.ReplicaID, q.ReplicaState.ID = 2, 2
		c.send(frame(q, v, 2))
		c.answer(2, resp, v)
		got := code(resp.ErrorCode)
		if v < 7 {
			got = code(resp.Topics[0].Partitions[0].ErrorCode)
		}
		if got != codeClusterAuthorization || v >= 7 && len(resp.Topics) != 0 {
			t.Errorf("version %d, a replica: %+v", v, resp)
		}
	}
}

// TestAnswersOfEveryVersion: a request with all its fields set, of every API and version, is answered in that version; what
// it names does not exist, so no rooms are needed below.
func TestAnswersOfEveryVersion(t *testing.T) {
	addr, _ := serve(t, empty(), wire.Options{})
	for _, a := range newDispatcher(Limits{}.withDefaults()).list {
		if a.key == keyCreateTopics || a.key == keyInitProducerID || slices.Contains(groupAPIs[:], a.key) {
			continue // they change metadata or need a coordinator: see the tests with real rooms
		}
		c := dial(t, addr)
		for v := a.min; v <= a.max; v++ {
			q := kmsg.RequestForKey(a.key)
			fill(newRand(uint64(v)), reflect.ValueOf(q).Elem())
			switch q := q.(type) {
			case *kmsg.FetchRequest:
				q.IsolationLevel, q.SessionID, q.SessionEpoch = 1, 0, -1
			case *kmsg.ProduceRequest:
				q.Acks = 1
			case *kmsg.DescribeConfigsRequest:
				q.Resources[0].ResourceType = kmsg.ConfigResourceTypeGroupConfig
			}
			c.send(frame(q, v, 3))
			c.answer(3, kmsg.ResponseForKey(a.key), v)
		}
	}
}

// TestPipelined: answers leave in the order of their requests, although some come from other goroutines.
func TestPipelined(t *testing.T) {
	addr, _ := serve(t, empty(), wire.Options{})
	c := dial(t, addr)
	list := kmsg.NewPtrListOffsetsRequest()
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: 5}}}}
	for i := range int32(20) {
		c.send(frame(list, 7, 2*i), frame(kmsg.NewPtrMetadataRequest(), 9, 2*i+1))
	}
	for i := range int32(20) {
		c.answer(2*i, kmsg.NewPtrListOffsetsResponse(), 7)
		c.answer(2*i+1, kmsg.NewPtrMetadataResponse(), 9)
	}
}

func TestSameEndpoint(t *testing.T) {
	for _, c := range []struct {
		local, host string
		port        int32
		want        bool
	}{
		{"10.0.0.1:9092", "10.0.0.1", 9092, true},
		{"[::1]:9092", "::1", 9092, true},
		{"10.0.0.1:9092", "broker.example", 9092, true},
		{"10.0.0.1:9092", "10.0.0.2", 9092, false},
		{"10.0.0.1:9092", "10.0.0.1", 9093, false},
		{"@", "10.0.0.1", 9093, true}, // a unix socket says nothing
	} {
		if got := sameEndpoint(c.local, c.host, c.port); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestClosedSessionEnds: the context of a session ends with its connection.
func TestClosedSessionEnds(t *testing.T) {
	s := empty().newSession(anonymous)
	s.Close(nil)
	select {
	case <-s.ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the context goes on")
	}
	if s.enter(&poll{}) == nil {
		t.Error("a poll began on a closed connection")
	}
	if n := len(s.front.open); n != 0 {
		t.Errorf("%d sessions open", n)
	}
}
