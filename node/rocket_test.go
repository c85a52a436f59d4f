package node_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/node"
)

// remote is a connection that speaks RocketMQ's remoting protocol, with headers in JSON.
type remote struct {
	t    testing.TB
	conn net.Conn
	next int
}

// answered is the header of an answer.
type answered struct {
	Code      int               `json:"code"`
	Opaque    int               `json:"opaque"`
	Remark    string            `json:"remark"`
	ExtFields map[string]string `json:"extFields"`
	body      []byte
}

func dial(t testing.TB, addr string) *remote {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &remote{t: t, conn: c}
}

// send sends a request: names and values of its header in turn.
func (r *remote) send(code int, body string, fields ...string) {
	r.t.Helper()
	ext := map[string]string{}
	for i := 0; i < len(fields); i += 2 {
		ext[fields[i]] = fields[i+1]
	}
	r.next++
	head, err := json.Marshal(map[string]any{
		"code": code, "language": "JAVA", "version": 493, "opaque": r.next, "flag": 0, "extFields": ext, "serializeTypeCurrentRPC": "JSON",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	if _, err := r.conn.Write(append(append(b, head...), body...)); err != nil {
		r.t.Fatal(err)
	}
}

// receive reads the answer to the last request.
func (r *remote) receive() (a answered, err error) {
	var size [4]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		return a, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r.conn, b); err != nil {
		return a, err
	}
	n := binary.BigEndian.Uint32(b) & 0xffffff
	a.body = b[4+n:]
	return a, json.Unmarshal(b[4:4+n], &a)
}

// ask sends a request and demands the answer with the code wanted.
func (r *remote) ask(want, code int, body string, fields ...string) answered {
	r.t.Helper()
	r.send(code, body, fields...)
	a, err := r.receive()
	if err != nil || a.Code != want || a.Opaque != r.next {
		r.t.Fatalf("request %d is answered with %d %q, %v; want %d", code, a.Code, a.Remark, err, want)
	}
	return a
}

// put sends a message to queue 0 of a topic, which is made if it does not exist.
func (r *remote) put(topic, body string) (queueOffset string) {
	r.t.Helper()
	return r.ask(0, 10, body, "producerGroup", "p", "topic", topic, "defaultTopic", "TBW102", "defaultTopicQueueNums", "4", "queueId", "0", "sysFlag", "0",
		"bornTimestamp", strconv.FormatInt(time.Now().UnixMilli(), 10), "flag", "0", "properties", "KEYS\x01k1\x02TAGS\x01a", "reconsumeTimes", "0",
		"unitMode", "false", "batch", "false").ExtFields["queueOffset"]
}

// pull asks for messages of queue 0 from an offset on, and waits up to a time for the first.
func pull(topic string, from int, wait time.Duration) []string {
	return []string{"consumerGroup", "g", "topic", topic, "queueId", "0", "queueOffset", strconv.Itoa(from), "maxMsgNums", "32", "sysFlag", "6", "commitOffset", "0",
		"suspendTimeoutMillis", strconv.FormatInt(wait.Milliseconds(), 10), "subscription", "*", "subVersion", "0", "expressionType", "TAG"}
}

// TestRocket: the name server names the broker, the broker and its twin take messages and give them out, over a restart; metrics, the copy account and
// the file of endpoints know the listeners.
func TestRocket(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, map[string]string{"commit.file.bytes": "4MiB", "rocket.vip.listen": "127.0.0.1:0", "rocket.broker.name": "b-1", "rocket.cluster": "c-1"})
	i := n.Info()
	if dial(t, i.Rocket).put("orders", "first") != "0" || dial(t, i.VIP).put("orders", "second") != "1" {
		t.Error("messages have other offsets than 0 and 1")
	}
	route := dial(t, i.NameServer).ask(0, 105, "", "topic", "orders").body
	for _, want := range []string{`"brokerName":"b-1"`, `"cluster":"c-1"`, i.RocketAdvertised} {
		if !strings.Contains(string(route), want) {
			t.Errorf("the route %s has no %s", route, want)
		}
	}
	check := func(n *node.Node, count int) {
		t.Helper()
		a := dial(t, n.Info().Rocket).ask(0, 11, "", pull("orders", 0, 0)...)
		if body := string(a.body); a.ExtFields["nextBeginOffset"] != strconv.Itoa(count) || !strings.Contains(body, "first") || !strings.Contains(body, "second") {
			t.Errorf("a pull gives %q, %v", body, a.ExtFields)
		}
	}
	check(n, 2)
	_, metrics := get(t, n, "/metrics")
	for _, want := range []string{
		`penstock_connections_accepted_total{listener="rocket"}`, `penstock_connections_accepted_total{listener="rocket.vip"} 1`,
		`penstock_connections_accepted_total{listener="rocket.namesrv"} 1`, `penstock_copy_bytes_total{listener="rocket"`, "penstock_rocket_requests_total",
		`kafka_topic_partition_current_offset{partition="0",topic="orders"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	if _, copies := get(t, n, "/api/copies"); !strings.Contains(copies, `"listener":"rocket","topic":"orders"`) && !strings.Contains(copies, `"Listener":"rocket"`) {
		t.Errorf("the copy account does not know what was pulled: %s", copies)
	}
	b, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	var e map[string]any
	if err != nil || json.Unmarshal(b, &e) != nil || e["rocket"] != i.Rocket || e["rocket_namesrv"] != i.NameServer || e["rocket_vip"] != i.VIP {
		t.Errorf("%s: %v", b, err)
	}
	stop(t, n)
	n = start(t, dir, map[string]string{"commit.file.bytes": "4MiB"})
	if !n.Info().Clean || n.Info().VIP != "" {
		t.Errorf("%+v", n.Info())
	}
	check(n, 2)
	dial(t, n.Info().Rocket).put("orders", "third")
	check(n, 3)
}

// TestRocketManyPulls: a client that waits on many queues by one connection is served besides.
func TestRocketManyPulls(t *testing.T) {
	i := start(t, t.TempDir(), map[string]string{"commit.file.bytes": "4MiB"}).Info()
	r := dial(t, i.Rocket)
	r.put("orders", "first")
	const pulls = 2000
	for range pulls {
		r.send(11, "", pull("orders", 1, 5*time.Minute)...)
	}
	r.ask(0, 30, "", "topic", "orders", "queueId", "0")
	dial(t, i.Rocket).put("orders", "second")
	for range pulls {
		if a, err := r.receive(); err != nil || a.Code != 0 || !strings.Contains(string(a.body), "second") {
			t.Fatalf("a pull that waited is answered with %d %q, %v", a.Code, a.Remark, err)
		}
	}
}

// TestRocketFinds: a message is found by the position that its id holds, and by its key, in both layouts.
func TestRocketFinds(t *testing.T) {
	for _, layout := range []string{"commit", "segment"} {
		n := start(t, t.TempDir(), map[string]string{"commit.file.bytes": "4MiB", "rocket.layout": layout})
		r := dial(t, n.Info().Rocket)
		for i := range 3 {
			r.put("orders", fmt.Sprint("message ", i))
		}
		for _, m := range messages(t, r.ask(0, 11, "", pull("orders", 0, 0)...).body) {
			got := r.ask(0, 33, "", "topic", "orders", "offset", strconv.FormatUint(m.position, 10))
			if !strings.Contains(string(got.body), m.body) {
				t.Errorf("%s: at position %d is %q, not %q", layout, m.position, got.body, m.body)
			}
		}
		if layout == "commit" {
			got := r.ask(0, 12, "", "topic", "orders", "key", "k1", "maxNum", "10", "beginTimestamp", "0", "endTimestamp", strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10))
			if found := messages(t, got.body); len(found) != 3 {
				t.Errorf("%d messages have the key, want 3", len(found))
			}
		}
	}
}

// seen is what of a stored message a test looks at.
type seen struct {
	position uint64
	body     string
}

// messages takes stored messages apart as far as their bodies.
func messages(t testing.TB, b []byte) (out []seen) {
	t.Helper()
	for len(b) > 88 {
		size := binary.BigEndian.Uint32(b)
		n := binary.BigEndian.Uint32(b[84:])
		if int(size) > len(b) || n > size {
			t.Fatalf("a message of %d bytes and a body of %d in %d", size, n, len(b))
		}
		out = append(out, seen{binary.BigEndian.Uint64(b[28:]), string(b[88 : 88+n])})
		b = b[size:]
	}
	return out
}

// TestRocketStopIsQuick: a stop answers a pull that waits for messages, and does not wait for it.
func TestRocketStopIsQuick(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"stop.time": "30s", "commit.file.bytes": "4MiB"})
	r := dial(t, n.Info().Rocket)
	r.put("orders", "first")
	r.send(11, "", pull("orders", 1, 25*time.Second)...)
	r.put("other", "answered although it came after the pull, which waits by now")
	began := time.Now()
	stop(t, n)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if a, err := r.receive(); err != nil || a.Code == 0 {
		t.Errorf("the pull that waited is answered with %+v, %v", a, err)
	}
}

// TestRocketOff: without its address RocketMQ is not served at all, and nothing is said of it.
func TestRocketOff(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"rocket.listen": ""})
	if i := n.Info(); i.Rocket != "" || i.NameServer != "" || i.VIP != "" || i.RocketAdvertised != "" {
		t.Errorf("%+v", i)
	}
	if _, metrics := get(t, n, "/metrics"); strings.Contains(metrics, "rocket") {
		t.Error("metrics speak of RocketMQ")
	}
}
