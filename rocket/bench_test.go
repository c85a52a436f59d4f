package rocket

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"penstock/rocket/remoting"
)

// pipeline sends the same frame n times and reads n answers, at most deep under way, without allocating.
func (c *client) pipeline(request []byte, n, deep int, buf []byte) {
	c.t.Helper()
	sent := 0
	for got := range n {
		for ; sent < n && sent < got+deep; sent++ {
			if _, err := c.Write(request); err != nil {
				c.t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(c.Conn, buf[:4]); err != nil {
			c.t.Fatal(err)
		}
		if _, err := io.ReadFull(c.Conn, buf[4:4+binary.BigEndian.Uint32(buf)]); err != nil {
			c.t.Fatal(err)
		}
	}
}

// relaxed is the durability that RocketMQ has by default.
var relaxed = map[string]string{"penstock.durability": "relaxed"}

// mallocs is how many allocations the whole process makes for each of n requests.
func (c *client) mallocs(request []byte, n, deep int) float64 {
	buf := make([]byte, 16<<20)
	c.pipeline(request, 500, deep, buf) // pools and buffers fill
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.pipeline(request, n, deep, buf)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// TestAllocations: a message sent, alone or among others, and messages pulled cost a constant few allocations, however many messages there are. Those of a send are
// the commit layout's, for an append.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, t.TempDir(), nil)
		h.topic("t", 1, relaxed)
		c := dial(t, h.addr, kind)
		send := c.frame(310, 0, sendV2("t", 0, props("UNIQ_KEY", "0A01", "TAGS", "a")), []byte(strings.Repeat("x", 1000)))
		pull := c.frame(11, 0, pullOf("t", 0, 0, "*"), nil)
		one := c.frame(11, 0, pullOf("t", 0, 0, "*").with("maxMsgNums", "1"), nil)
		for _, test := range []struct {
			what    string
			request []byte
			deep    int
			most    float64
		}{{"a send", send, 1, 10}, {"one of many sends", send, 32, 4}, {"a pull of one", one, 1, 6}, {"a pull of 32", pull, 1, 6}} {
			if n := c.mallocs(test.request, 2000, test.deep); n > test.most {
				t.Errorf("%s: %.2f allocations, at most %v", test.what, n, test.most)
			}
		}
	})
}

// BenchmarkSend measures sends of 1 KiB over a connection, the client's part included: one at a time and many under way.
func BenchmarkSend(b *testing.B) {
	for _, deep := range []int{1, 32} {
		b.Run(fmt.Sprint("deep=", deep), func(b *testing.B) {
			h := build(b, b.TempDir(), nil)
			h.topic("t", 1, relaxed)
			c := dial(b, h.addr, remoting.JSON)
			request := c.frame(310, 0, sendV2("t", 0, props("UNIQ_KEY", "0A01", "TAGS", "a", "WAIT", "true")), []byte(strings.Repeat("x", 1024)))
			buf := make([]byte, 1<<20)
			c.pipeline(request, 100, deep, buf)
			b.ReportAllocs()
			b.ResetTimer()
			c.pipeline(request, b.N, deep, buf)
		})
	}
}

// BenchmarkPull measures pulls of 32 messages of 1 KiB.
func BenchmarkPull(b *testing.B) {
	h := build(b, b.TempDir(), nil)
	h.topic("t", 1, relaxed)
	c := dial(b, h.addr, remoting.JSON)
	buf := make([]byte, 1<<20)
	c.pipeline(c.frame(310, 0, sendV2("t", 0, props("UNIQ_KEY", "0A01", "TAGS", "a")), []byte(strings.Repeat("x", 1024))), 100, 32, buf)
	request := c.frame(11, 0, pullOf("t", 0, 0, "*"), nil)
	b.ReportAllocs()
	b.ResetTimer()
	c.pipeline(request, b.N, 1, buf)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/message")
}

// BenchmarkParseSend measures reading the head of a message sent.
func BenchmarkParseSend(b *testing.B) {
	c := &client{t: b}
	for _, kind := range []remoting.Kind{remoting.JSON, remoting.Binary} {
		c.kind = kind
		frame := c.frame(310, 0, sendV2("t", 0, props("UNIQ_KEY", "0A01", "TAGS", "a", "WAIT", "true")), []byte(strings.Repeat("x", 1024)))[4:]
		b.Run(fmt.Sprint("kind=", kind), func(b *testing.B) {
			var m remoting.Command
			var h remoting.SendHead
			scratch := make([]byte, len(frame))
			b.ReportAllocs()
			for range b.N {
				copy(scratch, frame)
				if err := m.Parse(scratch); err != nil {
					b.Fatal(err)
				}
				if err := m.Send(&h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
