package rocket

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/message"
	"penstock/rocket/remoting"
)

// client is a connection that speaks remoting by the codec of this project.
type client struct {
	t testing.TB
	net.Conn
	kind   remoting.Kind
	opaque int32
}

// fields are those of a command.
type fields map[string]string

// reply is an answer, copied out of its frame.
type reply struct {
	code   code
	opaque int32
	flag   int32
	kind   remoting.Kind
	remark string
	fields fields
	body   []byte
}

// dial connects to an address with headers of one kind.
func dial(t testing.TB, addr string, kind remoting.Kind) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: c, kind: kind}
}

// frame is a request with its length in front.
func (c *client) frame(code, flag int32, f fields, body []byte) []byte {
	c.opaque++
	b := make([]byte, 4)
	w := remoting.Begin(b, remoting.Head{Kind: c.kind, Code: code, Opaque: c.opaque, Flag: flag})
	for k, v := range f {
		w.Text(k, v)
	}
	b = append(w.End(), body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// send writes frames.
func (c *client) send(frames ...[]byte) {
	c.t.Helper()
	var all []byte
	for _, f := range frames {
		all = append(all, f...)
	}
	if _, err := c.Write(all); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads one answer; nil means that the broker closed the connection.
func (c *client) receive() *reply {
	c.t.Helper()
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Fatal("no answer")
		}
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	var m remoting.Command
	if err := m.Parse(b); err != nil {
		c.t.Fatal(err)
	}
	r := &reply{code: code(m.Code), opaque: m.Opaque, flag: m.Flag, kind: m.Kind, remark: string(m.Remark), fields: fields{}, body: m.Body}
	for _, f := range m.Fields {
		r.fields[string(f.Key)] = string(f.Value)
	}
	return r
}

// ask sends a request and reads its answer.
func (c *client) ask(code int32, f fields, body []byte) *reply {
	c.t.Helper()
	c.send(c.frame(code, 0, f, body))
	r := c.receive()
	switch {
	case r == nil:
		c.t.Fatalf("request %d: the connection was closed", code)
	case r.opaque != c.opaque || r.flag != remoting.FlagResponse || r.kind != c.kind:
		c.t.Fatalf("request %d, number %d: %+v", code, c.opaque, r)
	}
	return r
}

// number is a field of the answer.
func (r *reply) number(t testing.TB, key string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(r.fields[key], 10, 64)
	if err != nil {
		t.Fatalf("field %s of %+v: %v", key, r, err)
	}
	return n
}

// sendV2 is the head of a message for SEND_MESSAGE_V2.
func sendV2(topic string, queue int, props string) fields {
	return fields{
		"a": "producers", "b": topic, "c": templateTopic, "d": "4", "e": strconv.Itoa(queue), "f": "0", "g": "1700000000000", "h": "7", "i": props,
		"j": "0", "k": "false", "m": "false",
	}
}

// with is f with some fields changed; an empty one is left out.
func (f fields) with(pairs ...string) fields {
	out := fields{}
	for k, v := range f {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if out[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(out, pairs[i])
		}
	}
	return out
}

// props are properties as clients write them.
func props(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(pairs[i] + "\x01" + pairs[i+1] + "\x02")
	}
	return b.String()
}

// pullOf is the head of a pull.
func pullOf(topic string, queue int, from int64, tags string) fields {
	return fields{
		"consumerGroup": "readers", "topic": topic, "queueId": strconv.Itoa(queue), "queueOffset": strconv.FormatInt(from, 10), "maxMsgNums": "32",
		"sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "15000", "subscription": tags, "subVersion": "1", "expressionType": "TAG",
	}
}

// messages takes an answer's body apart, and verifies each message.
func (r *reply) messages(t testing.TB) []message.Message {
	t.Helper()
	var out []message.Message
	for b := r.body; len(b) > 0; {
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b) {
			t.Fatalf("message of %d bytes, %d are left", n, len(b))
		}
		if err := (message.Format{}).Verify(b[:n]); err != nil {
			t.Fatal(err)
		}
		m, err := message.Parse(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
		b = b[n:]
	}
	return out
}

// property is one property of a message.
func property(m message.Message, key string) string {
	v, _ := message.Property(m.Properties, key)
	return string(v)
}

// both runs a test with either kind of header.
func both(t *testing.T, f func(t *testing.T, kind remoting.Kind)) {
	t.Run("JSON", func(t *testing.T) { f(t, remoting.JSON) })
	t.Run("binary", func(t *testing.T) { f(t, remoting.Binary) })
}
