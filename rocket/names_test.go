package rocket

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/rocket/remoting"
)

// parsed is an answer's body in JSON.
func (r *reply) parsed(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("%q: %v", r.body, err)
	}
	return m
}

// TestRoute: the route of a topic tells this broker, how many queues there are to read and to write, and what may be done; of an ordered one the order of
// queues besides. Default topics have one, what is not there has none, and neither has what is the broker's own or Kafka's alone.
func TestRoute(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, "", nil)
		h.topic("t", 6, map[string]string{"rocketmq.read.queues": "5", "rocketmq.write.queues": "3", "rocketmq.perm": "4"})
		h.topic("ordered", 2, map[string]string{"rocketmq.order": "true"})
		h.topic("%RETRY%g|1", 1, nil)
		h.make(meta.NewTopic{Name: "records", Partitions: 3})
		h.make(meta.NewTopic{Name: "kafka.only", Partitions: 3})
		c := dial(t, h.names, kind)
		for _, test := range []struct {
			topic             string
			read, write, perm float64
			order             any
		}{
			{"t", 5, 3, 4, nil}, {"ordered", 2, 2, 6, "broker-a:2"}, {"%RETRY%g|1", 1, 1, 6, nil}, {"records", 3, 3, 6, nil},
			{templateTopic, 8, 8, 7, nil}, {"DefaultCluster", 16, 16, 7, nil}, {"broker-a", 1, 1, 7, nil},
		} {
			got := c.ask(105, fields{"topic": test.topic, "acceptStandardJsonOnly": "true"}, nil).parsed(t)
			queues := []any{map[string]any{
				"brokerName": "broker-a", "perm": test.perm, "readQueueNums": test.read, "writeQueueNums": test.write, "topicSysFlag": 0.0,
			}}
			brokers := []any{map[string]any{
				"brokerAddrs": map[string]any{"0": h.addr}, "brokerName": "broker-a", "cluster": "DefaultCluster", "enableActingMaster": false,
			}}
			if !reflect.DeepEqual(got["queueDatas"], any(queues)) || !reflect.DeepEqual(got["brokerDatas"], any(brokers)) || got["orderTopicConf"] != test.order {
				t.Errorf("%s: %v", test.topic, got)
			}
		}
		for _, name := range []string{"none", "kafka.only", group.JournalTopic, ""} {
			if r := c.ask(105, fields{"topic": name}, nil); r.code != codeTopicNotExist || !strings.Contains(r.remark, "No topic route info") {
				t.Errorf("%q: %+v", name, r)
			}
		}
		if r := c.ask(105, nil, nil); r.code != codeSystemError {
			t.Errorf("no topic: %+v", r)
		}
	})
}

// TestTopicGone: a topic that is deleted has no route any more, and one made again under its name has its own.
func TestTopicGone(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.put("t", "a")
	if err := h.meta.DeleteTopic(h.ctx(), topic.ID); err != nil {
		t.Fatal(err)
	}
	if r := c.ask(11, pullOf("t", 0, 0, "*"), nil); r.code != codeTopicNotExist {
		t.Errorf("%+v", r)
	}
	h.topic("t", 3, nil)
	if r := c.ask(11, pullOf("t", 2, 0, "*"), nil); r.code != codePullNotFound {
		t.Errorf("%+v", r)
	}
}

// TestCluster: brokers and clusters, and lists of topics.
func TestCluster(t *testing.T) {
	h := build(t, "", nil)
	h.topic("b", 1, nil)
	h.topic("a", 1, nil)
	h.make(meta.NewTopic{Name: "kafka.only", Partitions: 3})
	c := dial(t, h.names, remoting.JSON)
	info := c.ask(106, nil, nil).parsed(t)
	broker := map[string]any{"brokerAddrs": map[string]any{"0": h.addr}, "brokerName": "broker-a", "cluster": "DefaultCluster", "enableActingMaster": false}
	if want := any(map[string]any{"broker-a": broker}); !reflect.DeepEqual(info["brokerAddrTable"], want) {
		t.Errorf("%v", info)
	}
	if want := any(map[string]any{"DefaultCluster": []any{"broker-a"}}); !reflect.DeepEqual(info["clusterAddrTable"], want) {
		t.Errorf("%v", info)
	}
	all := []any{"DefaultCluster", "TBW102", "a", "b", "broker-a"}
	for _, test := range []struct {
		code int32
		f    fields
		want []any
	}{
		{206, nil, all}, {224, fields{"cluster": "DefaultCluster"}, all}, {304, nil, []any{"DefaultCluster", "broker-a"}},
		{311, nil, []any{}}, {312, nil, []any{}}, {313, nil, []any{}},
	} {
		got := c.ask(test.code, test.f, nil).parsed(t)
		if !reflect.DeepEqual(got["topicList"], any(test.want)) {
			t.Errorf("%d: %v, want %v", test.code, got, test.want)
		}
	}
	if r := c.ask(224, fields{"cluster": "other"}, nil); r.code != codeInvalidParameter {
		t.Errorf("another cluster: %+v", r)
	}
	if r := c.ask(216, fields{"topic": "a"}, nil); r.code != codeSuccess {
		t.Errorf("%+v", r)
	}
	if r := c.ask(216, nil, nil); r.code != codeSystemError {
		t.Errorf("%+v", r)
	}
}

// TestSides: a name server serves nothing of a broker's, and the reverse.
func TestSides(t *testing.T) {
	h := build(t, "", nil)
	if r := dial(t, h.names, remoting.JSON).ask(310, sendV2("t", 0, ""), []byte("x")); r.code != codeNotSupported || !strings.Contains(r.remark, "name server") {
		t.Errorf("%+v", r)
	}
	if r := dial(t, h.addr, remoting.Binary).ask(105, fields{"topic": "t"}, nil); r.code != codeNotSupported || !strings.Contains(r.remark, "broker") {
		t.Errorf("%+v", r)
	}
}

// TestValues: pairs are kept by namespace, replaced and deleted, and an ordered topic's route tells its own; faults of the metadata store are told.
func TestValues(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := dial(t, h.names, remoting.JSON)
	pair := fields{"namespace": orderNamespace, "key": "t", "value": "broker-a:1"}
	if r := c.ask(101, pair, nil); r.code != codeQueryNotFound {
		t.Errorf("%+v", r)
	}
	if r := c.ask(219, pair, nil); r.code != codeQueryNotFound {
		t.Errorf("%+v", r)
	}
	for _, v := range []string{"broker-a:1", "broker-a:2"} {
		if r := c.ask(100, pair.with("value", v), nil); r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
		if r := c.ask(101, pair, nil); r.fields["value"] != v {
			t.Errorf("%+v", r)
		}
	}
	if got := c.ask(219, pair, nil).parsed(t); !reflect.DeepEqual(got, map[string]any{"table": map[string]any{"t": "broker-a:2"}}) {
		t.Errorf("%v", got)
	}
	if got := c.ask(105, fields{"topic": "t"}, nil).parsed(t); got["orderTopicConf"] != "broker-a:2" {
		t.Errorf("%v", got)
	}
	if r := c.ask(102, pair, nil); r.code != codeSuccess {
		t.Errorf("%+v", r)
	}
	if r := c.ask(101, pair, nil); r.code != codeQueryNotFound {
		t.Errorf("%+v", r)
	}
	for _, code := range []int32{100, 101, 102, 219} {
		if r := c.ask(code, nil, nil); r.code != codeSystemError {
			t.Errorf("%d: %+v", code, r)
		}
	}
	h.engine.Fail(errors.New("gone fishing"))
	defer h.engine.Fail(nil)
	if r := c.ask(100, pair, nil); r.code != codeSystemBusy {
		t.Errorf("%+v", r)
	}
	if r := dial(t, h.addr, remoting.JSON).ask(310, sendV2("new", 0, ""), []byte("x")); r.code != codeSystemBusy {
		t.Errorf("a topic cannot be created: %+v", r)
	}
}

// TestMalformed: what is no command closes the connection, as does a frame that is larger than its request may be; a header that is too long is
// refused before it is read.
func TestMalformed(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.MessageBytes = 10_000 })
	large := func(head []byte, n int) []byte {
		return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, head...)
	}
	for what, b := range map[string][]byte{
		"an unknown kind of header":      {0, 0, 0, 4, 7, 0, 0, 0},
		"a header longer than its frame": {0, 0, 0, 4, 0, 0, 0, 9},
		"no header":                      {0, 0, 0, 4, 0, 0, 0, 0},
		"less than a word":               {0, 0, 0, 2, 0, 0},
		"a header that is too long":      large([]byte{0, 0x10, 0, 0, '{', '"', 'c', 'o'}, 2<<20),
		"a frame that is too long":       large([]byte{0, 0, 1, 0, '{', '"', 'c', 'o'}, 1<<30),
		"a pull with a long body":        large([]byte{1, 0, 1, 0, 0, 11, 0, 0}, 1<<20),
	} {
		c := dial(t, h.addr, remoting.JSON)
		c.send(b)
		if r := c.receive(); r != nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	c := dial(t, h.addr, remoting.JSON)
	c.send(c.frame(11, 0, pullOf("t", 0, 0, "*"), make([]byte, 269_000))) // within what a send may have
	if r := c.receive(); r != nil {
		t.Errorf("%+v", r)
	}
	c = dial(t, h.addr, remoting.JSON)
	c.send(c.frame(310, remoting.FlagResponse, nil, nil))
	if r := c.ask(9999, nil, nil); r.code != codeNotSupported {
		t.Errorf("after an answer to nothing: %+v", r)
	}
}

// TestStoreHost: messages name the broker by the advertised address or, if that is a name, by where the client reached it.
func TestStoreHost(t *testing.T) {
	for _, test := range []struct{ host, want string }{{"10.1.2.3", "10.1.2.3:77"}, {"broker.example.org", "127.0.0.1:77"}, {"::1", "[::1]:77"}} {
		h := build(t, "", func(o *Options) { o.Advertised = func() (string, int32) { return test.host, 77 } })
		h.topic("t", 1, nil)
		c := dial(t, h.addr, remoting.JSON)
		c.put("t", "a")
		m := c.ask(11, pullOf("t", 0, 0, "*"), nil).messages(t)[0]
		if m.StoreHost.String() != test.want {
			t.Errorf("%s: %v, want %s", test.host, m.StoreHost, test.want)
		}
		got := dial(t, h.names, remoting.JSON).ask(106, nil, nil).parsed(t)
		addr := got["brokerAddrTable"].(map[string]any)["broker-a"].(map[string]any)["brokerAddrs"].(map[string]any)["0"]
		if host, port, err := net.SplitHostPort(addr.(string)); err != nil || host != test.host || port != "77" {
			t.Errorf("%s: advertised %v", test.host, addr)
		}
	}
}

// TestCodes: every error of the vocabulary has its code, and what is none is SYSTEM_ERROR.
func TestCodes(t *testing.T) {
	for err, want := range map[error]code{
		nil: codeSuccess, errors.New("x"): codeSystemError, penstock.ErrCorrupt: codeSystemError, penstock.ErrDiskFull: codeServiceNotAvailable,
		penstock.ErrTooLarge: codeMessageIllegal, context.DeadlineExceeded: codeSystemBusy, penstock.ErrOffline: codeServiceNotAvailable,
		group.ErrLoading: codeSystemBusy, penstock.ErrUnknownTopic: codeTopicNotExist,
	} {
		if got := codeOf(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if codeSystemBusy.String() != "SYSTEM_BUSY" || code(77).String() != "77" {
		t.Error("names of codes")
	}
}
