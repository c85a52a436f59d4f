package convert_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/record"
)

// props is properties in the stored form, of names and values by turns.
func props(kv ...string) []byte {
	var b []byte
	for i := 0; i < len(kv); i += 2 {
		b = append(b, kv[i]+"\x01"+kv[i+1]+"\x02"...)
	}
	return b
}

// shown is properties as text.
func shown(p []byte) string {
	return strings.NewReplacer("\x01", "=", "\x02", ";").Replace(string(p))
}

// entry is a record by names: the key, the value, and headers by turns; "<nil>" is null.
func entry(key, value string, headers ...string) record.Entry {
	bytesOf := func(s string) []byte {
		if s == "<nil>" {
			return nil
		}
		return []byte(s)
	}
	e := record.Entry{Offset: 5, Timestamp: 1234, Key: bytesOf(key), Value: bytesOf(value)}
	for i := 0; i < len(headers); i += 2 {
		e.Headers = append(e.Headers, record.Header{Key: []byte(headers[i]), Value: bytesOf(headers[i+1])})
	}
	return e
}

// text is a record on one line.
func text(e *record.Entry) string {
	null := func(p []byte) string {
		if p == nil {
			return "<nil>"
		}
		return fmt.Sprintf("%q", p)
	}
	s := fmt.Sprintf("%d @%d %s: %s", e.Offset, e.Timestamp, null(e.Key), null(e.Value))
	for _, h := range e.Headers {
		s += fmt.Sprintf(" %q=%s", h.Key, null(h.Value))
	}
	return s
}

var (
	born  = netip.MustParseAddrPort("10.1.2.3:4567")
	store = netip.MustParseAddrPort("[2001:db8::1]:10911")
	place = convert.Place{
		Topic: []byte("orders"), Queue: 3, Offset: 5, Position: 99, StoreTime: 2000, BornHost: born, StoreHost: store, RecordCRC: true,
	}
)

// toMessage makes a stored message of a record, by the way of a batch.
func toMessage(t testing.TB, u *convert.Unpacker, e record.Entry) (message.Message, error) {
	t.Helper()
	var w record.Builder
	w.Begin(nil)
	if err := w.Add(&e); err != nil {
		t.Fatal(err)
	}
	var out message.Message
	err := record.Each(w.End(), record.Limits{}, func(r *record.Record) error {
		at := place
		at.Offset = r.Offset
		b, err := u.Append(nil, r, &at)
		if err != nil {
			return err
		}
		if err := (message.Format{}).Verify(b); err != nil {
			t.Error(err)
		}
		out, err = message.Parse(b)
		return err
	})
	return out, err
}

// toEntries makes records of stored messages, by the way of batches.
func toEntries(t testing.TB, p *convert.Packer, o convert.PackOptions, stored ...[]byte) []record.Entry {
	t.Helper()
	p.Begin([]byte("xx"), o)
	for _, b := range stored {
		if _, err := p.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	out := p.End()
	if !bytes.HasPrefix(out, []byte("xx")) {
		t.Fatal("what was there has changed")
	}
	var es []record.Entry
	for out = out[2:]; len(out) > 0; {
		h, err := record.Format{}.Header(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := (record.Format{}).Verify(out[:h.Size]); err != nil {
			t.Fatal(err)
		}
		if err := record.Each(out[:h.Size], record.Limits{}, func(r *record.Record) error {
			e := record.Entry{Offset: r.Offset, Timestamp: r.Timestamp, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
			r.EachHeader(func(k, v []byte) bool {
				e.Headers = append(e.Headers, record.Header{Key: bytes.Clone(k), Value: bytes.Clone(v)})
				return true
			})
			es = append(es, e)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		out = out[h.Size:]
	}
	return es
}

func stored(t testing.TB, m message.Message) []byte {
	t.Helper()
	b, err := message.Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecordGolden are the examples of docs/protocol/mapping.md, from Kafka's side: what a record becomes, and that it comes back as it was.
func TestRecordGolden(t *testing.T) {
	for _, c := range []struct {
		e     record.Entry
		body  string
		props string
		check func(m *message.Message) bool
	}{
		{e: entry("<nil>", "v"), body: "v"},
		{e: entry("order-7", "v", "TAGS", "paid", "trace", "äöü"), body: "v", props: "KEYS=order-7;TAGS=paid;trace=äöü;"},
		{e: entry("<nil>", "<nil>"), props: "kafka.value=null;"},
		{e: entry("k", "<nil>"), props: "kafka.value=null;KEYS=k;"},
		{e: entry("k", ""), props: "KEYS=k;"},
		{e: entry("", "v"), body: "v", props: "kafka.key=%;"},
		{e: entry("\x00\x01\xff=a", "v"), body: "v", props: "kafka.key=%00%01%FF%3Da;"},
		{e: entry("<nil>", "v", "h", "1", "h", "2", "n", "<nil>", "", "x", "", "<nil>", "b", "\xff %", "e", ""), body: "v",
			props: "h=1;kafka.header.1=h=2;kafka.header.2=n;kafka.header.3=%=x;kafka.header.4=%;kafka.header.5=b=%FF%20%25;e=;"},
		{e: entry("<nil>", "v", "KEYS", "a", "kafka.key", "b", "__CRC32#", "c", "a\x02b", "d"), body: "v",
			props: "kafka.header.0=KEYS=a;kafka.header.1=kafka.key=b;kafka.header.2=__CRC32#=c;kafka.header.3=a%02b=d;"},
		{e: entry("<nil>", "v", "rocketmq.flag", "-9", "rocketmq.sysflag", "2", "rocketmq.reconsumed", "4"), body: "v",
			check: func(m *message.Message) bool {
				return m.Flag == -9 && m.SysFlag&0xFF == message.FlagMultiTags|message.FlagStoreHostV6 && m.Reconsumed == 4
			}},
		{e: entry("<nil>", "v", "rocketmq.flag", "07", "rocketmq.sysflag", "4", "rocketmq.reconsumed", "4294967296"), body: "v",
			props: "kafka.header.0=rocketmq.flag=07;kafka.header.1=rocketmq.sysflag=4;kafka.header.2=rocketmq.reconsumed=4294967296;",
			check: func(m *message.Message) bool { return m.Flag == 0 && m.SysFlag&0xF == 0 && m.Reconsumed == 0 }},
	} {
		var u convert.Unpacker
		m, err := toMessage(t, &u, c.e)
		if err != nil {
			t.Errorf("%s: %v", text(&c.e), err)
			continue
		}
		got := shown(message.DropProperty(m.Properties, "__CRC32#"))
		if string(m.Body) != c.body || got != c.props {
			t.Errorf("%s\nbody %q\ngot  %s\nwant %s", text(&c.e), m.Body, got, c.props)
		}
		if c.check != nil && !c.check(&m) {
			t.Errorf("%s: %+v", text(&c.e), m)
		}
		if string(m.Topic) != "orders" || m.QueueID != 3 || m.QueueOffset != 5 || m.Position != 99 || m.BornTime != 1234 || m.StoreTime != 2000 ||
			m.BornHost != born || m.StoreHost != store || !m.WithRecordCRC {
			t.Errorf("%+v", m)
		}
		var p convert.Packer
		back := toEntries(t, &p, convert.PackOptions{}, stored(t, m))
		headersLast(&c.e)
		if len(back) != 1 || text(&back[0]) != text(&c.e) {
			t.Errorf("back %s\nwant %s", text(&back[0]), text(&c.e))
		}
	}
}

// headersLast puts the headers that are fields of the head where they come back: behind the others, in their order.
func headersLast(e *record.Entry) {
	var first, last []record.Header
	for _, name := range []string{"rocketmq.flag", "rocketmq.sysflag", "rocketmq.reconsumed"} {
		for _, h := range e.Headers {
			if string(h.Key) == name && len(h.Value) < 3 && string(h.Value) != "07" && (name != "rocketmq.sysflag" || string(h.Value) == "2") {
				last = append(last, h)
				break
			}
		}
	}
	for _, h := range e.Headers {
		taken := false
		for i := range last {
			taken = taken || string(last[i].Key) == string(h.Key) && string(last[i].Value) == string(h.Value)
		}
		if !taken {
			first = append(first, h)
		}
	}
	e.Headers = append(first, last...)
}

// TestMessageGolden are the examples of docs/protocol/mapping.md, from RocketMQ's side.
func TestMessageGolden(t *testing.T) {
	zipped := new(bytes.Buffer)
	z := zlib.NewWriter(zipped)
	z.Write([]byte("a long body"))
	z.Close()
	for _, c := range []struct {
		m    message.Message
		want string
	}{
		{message.Message{Body: []byte("b")}, `0 @7 <nil>: "b"`},
		{message.Message{Body: []byte("b"), Properties: props("TAGS", "t", "KEYS", "k1 k2", "UNIQ_KEY", "7F000001", "WAIT", "true", "color", "red")},
			`0 @7 "k1 k2": "b" "TAGS"="t" "UNIQ_KEY"="7F000001" "WAIT"="true" "color"="red"`},
		{message.Message{Body: []byte("b"), Properties: props("a", "1"), WithRecordCRC: true}, `0 @7 <nil>: "b" "a"="1"`},
		{message.Message{Properties: props("KEYS", "")}, `0 @7 <nil>: ""`},
		{message.Message{Properties: props("kafka.value", "null", "kafka.key", "%FF")}, `0 @7 "\xff": <nil>`},
		{message.Message{Body: []byte("b"), Properties: props("kafka.value", "null")}, `0 @7 <nil>: "b"`},
		{message.Message{Body: []byte("b"), Flag: 12, Reconsumed: 3, SysFlag: message.FlagMultiTags | message.FlagCommit, BornHost: store},
			`0 @7 <nil>: "b" "rocketmq.flag"="12" "rocketmq.sysflag"="2" "rocketmq.reconsumed"="3"`},
		{message.Message{Body: zipped.Bytes(), SysFlag: message.FlagCompressed, Properties: props("a", "1")}, `0 @7 <nil>: "a long body" "a"="1"`},
		{message.Message{Body: []byte("no zlib"), SysFlag: message.FlagCompressed}, `0 @7 <nil>: "no zlib" "rocketmq.sysflag"="1"`},
		{message.Message{Body: []byte("?"), SysFlag: message.FlagCompressed | 0x500}, `0 @7 <nil>: "?" "rocketmq.sysflag"="1281"`},
		// What only looks like what this room writes stays what it is.
		{message.Message{Body: []byte("b"), Properties: props("kafka.header.0", "a%0", "kafka.key", "%ZZ", "kafka.other", "x")},
			`0 @7 <nil>: "b" "kafka.header.0"="a%0" "kafka.key"="%ZZ" "kafka.other"="x"`},
	} {
		c.m.Topic, c.m.BornTime, c.m.StoreTime = []byte("t"), 7, 8
		var p convert.Packer
		if got := toEntries(t, &p, convert.PackOptions{}, stored(t, c.m)); len(got) != 1 || text(&got[0]) != c.want {
			t.Errorf("got  %s\nwant %s", text(&got[0]), c.want)
		}
	}
	var p convert.Packer
	if got := toEntries(t, &p, convert.PackOptions{StoreTime: true}, stored(t, message.Message{BornTime: 7, StoreTime: 8})); got[0].Timestamp != 8 {
		t.Errorf("%+v", got)
	}
}

// TestBodies: bodies of every kind of compression are delivered readable; what becomes too large stays as it is, with the flags that say how it is
// packed, and the next body is not harmed.
func TestBodies(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789"), 1000)
	pack := func(flags message.SysFlag, body []byte) []byte {
		var out bytes.Buffer
		switch flags & 0x700 {
		case 0x100:
			w := lz4.NewWriter(&out)
			w.Write(body)
			w.Close()
		case 0x200:
			w, _ := zstd.NewWriter(&out)
			w.Write(body)
			w.Close()
		default:
			w := zlib.NewWriter(&out)
			w.Write(body)
			w.Close()
		}
		return stored(t, message.Message{Body: out.Bytes(), SysFlag: flags | message.FlagCompressed})
	}
	var p convert.Packer
	for _, flags := range []message.SysFlag{0, 0x100, 0x200, 0x300} {
		got := toEntries(t, &p, convert.PackOptions{}, pack(flags, long))
		if !bytes.Equal(got[0].Value, long) || len(got[0].Headers) != 0 {
			t.Errorf("flags %#x: %d bytes, headers %v", flags, len(got[0].Value), got[0].Headers)
		}
		bomb := pack(flags, make([]byte, 9<<20))
		for _, o := range []convert.PackOptions{{}, {BodyBytes: 8 << 20}} {
			got = toEntries(t, &p, o, bomb)
			refused := len(got[0].Headers) == 1 && string(got[0].Headers[0].Key) == "rocketmq.sysflag"
			// 9 MiB of zeros are more than the ratio allows only where the codec packs them tighter than zlib can.
			if want := o.BodyBytes > 0 || len(bomb) < 4000; refused != want {
				t.Errorf("flags %#x, %+v: a body of %d bytes refused: %v", flags, o, len(bomb), refused)
			}
		}
		if got := toEntries(t, &p, convert.PackOptions{}, pack(flags, []byte("small"))); string(got[0].Value) != "small" {
			t.Errorf("flags %#x: %q", flags, got[0].Value)
		}
	}
}

// randomRecord is a record of any shape, with names that mean something among them.
func randomRecord(rng *rand.Rand) record.Entry {
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	blob := func() []byte {
		switch rng.IntN(6) {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2:
			b := make([]byte, rng.IntN(40))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			return b
		case 3:
			return []byte(pick("7", "-7", "0", "2", "07", "null", "%", "a=b", "%41", "2147483648"))
		}
		return []byte(pick("plain", "with space", "grün", "a\x01b", "a\x02b", "\xff\xfe"))
	}
	e := record.Entry{Timestamp: penstock.Timestamp(rng.Int64N(1<<41) - 1), Key: blob(), Value: blob()}
	for range rng.IntN(14) {
		name := []byte(pick("a", "b", "c", "d", "TAGS", "KEYS", "UNIQ_KEY", "kafka.key", "kafka.value", "kafka.header.0", "kafka.", "kafka.other",
			"rocketmq.flag", "rocketmq.sysflag", "rocketmq.reconsumed", "__CRC32#", "", "é"))
		if rng.IntN(4) == 0 {
			name = append([]byte{}, blob()...)
		}
		e.Headers = append(e.Headers, record.Header{Key: name, Value: blob()})
	}
	return e
}

// TestRecordRoundTrip: whatever a record holds comes back from the message that it became; headers that are fields of the head come last.
func TestRecordRoundTrip(t *testing.T) {
	var u convert.Unpacker
	var p convert.Packer
	for seed := range uint64(3000) {
		e := randomRecord(rand.New(rand.NewPCG(seed, 5)))
		m, err := toMessage(t, &u, e)
		if err != nil {
			t.Fatal(seed, err)
		}
		seen := map[string]bool{}
		message.Properties(m.Properties, func(k, v []byte) bool {
			if seen[string(k)] || len(k) == 0 || !validText(k) || !validText(v) {
				t.Errorf("seed %d: property %q=%q", seed, k, v)
			}
			seen[string(k)] = true
			return true
		})
		got := toEntries(t, &p, convert.PackOptions{}, stored(t, m))[0]
		got.Offset = e.Offset
		var head, want []record.Header
		for _, h := range e.Headers {
			if v, ok := field(&m, &h, head); ok && v {
				head = append(head, h)
			} else {
				want = append(want, h)
			}
		}
		for _, name := range []string{"rocketmq.flag", "rocketmq.sysflag", "rocketmq.reconsumed"} {
			for _, h := range head {
				if string(h.Key) == name {
					want = append(want, h)
				}
			}
		}
		e.Headers = want
		if text(&got) != text(&e) {
			t.Fatalf("seed %d\ngot  %s\nwant %s\nby   %s", seed, text(&got), text(&e), shown(m.Properties))
		}
	}
}

func validText(p []byte) bool {
	return strings.ToValidUTF8(string(p), "") == string(p) && !bytes.ContainsAny(p, "\x01\x02")
}

// field reports whether the message's head has taken a header, the first of its name that is a number.
func field(m *message.Message, h *record.Header, before []record.Header) (bool, bool) {
	for i := range before {
		if string(before[i].Key) == string(h.Key) {
			return false, true
		}
	}
	switch string(h.Key) {
	case "rocketmq.flag":
		return m.Flag != 0 && fmt.Sprint(m.Flag) == string(h.Value), true
	case "rocketmq.sysflag":
		return m.SysFlag&message.FlagMultiTags != 0 && string(h.Value) == "2", true
	case "rocketmq.reconsumed":
		return m.Reconsumed != 0 && fmt.Sprint(m.Reconsumed) == string(h.Value), true
	}
	return false, false
}

// TestMessageRoundTrip: a message comes back from the record that it became with body, flags, times and properties, KEYS first.
func TestMessageRoundTrip(t *testing.T) {
	var u convert.Unpacker
	var p convert.Packer
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 6))
		m := message.Message{
			Flag: int32(rng.Uint32()) * int32(rng.IntN(2)), Reconsumed: rng.Int32N(3), BornTime: penstock.Timestamp(rng.Int64N(1 << 41)),
			QueueOffset: 5, SysFlag: []message.SysFlag{0, message.FlagMultiTags}[rng.IntN(2)], Body: make([]byte, rng.IntN(50)), WithRecordCRC: rng.IntN(2) == 0,
		}
		var first, rest []byte
		names := []string{"TAGS", "UNIQ_KEY", "WAIT", "x", "y", "z", "KEYS", "__TypeId__", "grün", "rocketmq.other", "DELAY", "REAL_TOPIC", "q", "r", "s"}
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, n := range names[:rng.IntN(len(names))] {
			one := props(n, []string{"v", "value with space", "=%", "ünï"}[rng.IntN(4)])
			m.Properties = append(m.Properties, one...)
			if n == "KEYS" {
				first = one
			} else {
				rest = append(rest, one...)
			}
		}
		want := append(first, rest...)
		e := toEntries(t, &p, convert.PackOptions{}, stored(t, m))[0]
		back, err := toMessage(t, &u, e)
		if err != nil {
			t.Fatal(seed, err)
		}
		got := message.DropProperty(back.Properties, "__CRC32#")
		if !bytes.Equal(got, want) || !bytes.Equal(back.Body, m.Body) || back.Flag != m.Flag || back.Reconsumed != m.Reconsumed || back.BornTime != m.BornTime ||
			back.SysFlag&message.FlagMultiTags != m.SysFlag {
			t.Fatalf("seed %d\ngot  %+v %s\nwant %+v %s", seed, back, shown(got), m, shown(want))
		}
	}
}

// TestLimits: properties have no more than 32,767 bytes, the checksum's included. One byte fewer goes through.
func TestLimits(t *testing.T) {
	var u convert.Unpacker
	room := message.MaxProperties - 20
	at := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct {
		e  record.Entry
		ok bool
	}{
		{entry(at(room-6), "v"), true},
		{entry(at(room-5), "v"), false},
		{entry("<nil>", "v", "h", at(room-3)), true},
		{entry("<nil>", "v", "h", at(room-2)), false},
		{entry("<nil>", "v", at(room), "h"), false},
		{entry("\xff"+at(20<<20), "v"), false},
		{entry("<nil>", "v", "\xff"+at(20<<20), "<nil>"), false},
		{entry("<nil>", "v", "h", "\xff"+at(20<<20)), false},
		{entry("<nil>", "v", "h", strings.Repeat("\xff", 12_000)), false},
		{entry("<nil>", "v", "h", strings.Repeat("\xff", 10_000)), true},
	} {
		_, err := toMessage(t, &u, c.e)
		if c.ok && err != nil || !c.ok && !errors.Is(err, penstock.ErrInvalidRecord) {
			t.Errorf("key of %d, headers %d: %v", len(c.e.Key), len(c.e.Headers), err)
		}
	}
	if _, err := toMessage(t, &u, entry("k", at(message.MaxBytes))); !errors.Is(err, penstock.ErrTooLarge) {
		t.Errorf("a value of %d bytes: %v", message.MaxBytes, err)
	}
	many := entry("k", "v")
	for i := range 3000 {
		many.Headers = append(many.Headers, record.Header{Key: fmt.Appendf(nil, "%d", i%2999), Value: []byte("v")})
	}
	m, err := toMessage(t, &u, many)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := message.Property(m.Properties, "kafka.header.2999"); !ok || string(v) != "0=v" {
		t.Errorf("the second of a name among many: %q", v)
	}
}

// TestPack: batches end where they are large enough, the packing where there is enough, offsets keep their gaps, and those out of order are
// refused without harm to what is packed.
func TestPack(t *testing.T) {
	one := func(off int) []byte {
		return stored(t, message.Message{QueueOffset: penstock.Offset(off), Body: make([]byte, 1000)})
	}
	var p convert.Packer
	p.Begin(nil, convert.PackOptions{BatchBytes: 2500, Bytes: 7500})
	n := 0
	for more := true; more; n++ {
		var err error
		if more, err = p.Add(one(10 * n)); err != nil {
			t.Fatal(err)
		}
		if n == 4 {
			if _, err := p.Add(one(40)); !errors.Is(err, penstock.ErrInvalidRecord) {
				t.Fatal(err)
			}
		}
	}
	out := p.End()
	if len(out) < 7500 || len(out) > 8700 {
		t.Errorf("%d bytes of %d messages", len(out), n)
	}
	var sizes []int
	last := penstock.NoOffset
	for rest := out; len(rest) > 0; {
		h, err := record.Format{}.Header(rest)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, int(h.Records))
		last = h.LastOffset()
		rest = rest[h.Size:]
	}
	if fmt.Sprint(sizes) != "[3 3 2]" || last != 70 {
		t.Errorf("records of the batches: %v, last offset %d", sizes, last)
	}
	p.Begin(nil, convert.PackOptions{})
	if _, err := p.Add(out); !errors.Is(err, penstock.ErrCorrupt) || len(p.End()) != 0 {
		t.Errorf("a record batch as a message: %v", err)
	}
}

// TestEach: whole messages are visited, and what is left is the beginning of one, however short.
func TestEach(t *testing.T) {
	var b []byte
	for i := range 3 {
		b = append(b, stored(t, message.Message{QueueOffset: penstock.Offset(i), Body: make([]byte, 100*i)})...)
	}
	for cut := range b {
		var seen []penstock.Offset
		whole, err := convert.Each(b[:cut], func(p []byte) error {
			m, err := message.Parse(p)
			seen = append(seen, m.QueueOffset)
			return err
		})
		if err != nil || whole > cut || len(seen) > 2 || len(seen) > 0 && seen[len(seen)-1] != penstock.Offset(len(seen)-1) {
			t.Fatal(cut, whole, seen, err)
		}
	}
	if _, err := convert.Each(make([]byte, 200), func([]byte) error { return nil }); !errors.Is(err, penstock.ErrCorrupt) {
		t.Error(err)
	}
}

// TestAllocations: once it has its memory, packing takes none but for what is decompressed, nor does unpacking for headers that are text.
func TestAllocations(t *testing.T) {
	b := stored(t, message.Message{Body: make([]byte, 500), Flag: math.MinInt32, Properties: props("KEYS", "k", "TAGS", "t", "a", "b")})
	var p convert.Packer
	buf := make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() {
		p.Begin(buf, convert.PackOptions{})
		if _, err := p.Add(b); err != nil {
			t.Fatal(err)
		}
		p.End()
	}); n > 1 { // the name of a header for the flag
		t.Errorf("packing: %v allocations", n)
	}
	var w record.Builder
	w.Begin(nil)
	e := entry("key", "value", "TAGS", "t", "trace", "12345")
	if err := w.Add(&e); err != nil {
		t.Fatal(err)
	}
	walk := record.Walk(w.End())
	var r record.Record
	if !walk.Next(&r) {
		t.Fatal(walk.Err())
	}
	var u convert.Unpacker
	if n := testing.AllocsPerRun(100, func() {
		if _, err := u.Append(buf, &r, &place); err != nil {
			t.Fatal(err)
		}
	}); n > 2 { // the visitor, and the addresses of hosts
		t.Errorf("unpacking: %v allocations", n)
	}
}

// FuzzMessage: no stored bytes make packing panic, and what is packed is a batch. Checksums are not looked at, so that the rest is.
func FuzzMessage(f *testing.F) {
	f.Add(stored(f, message.Message{Body: []byte("b"), Properties: props("KEYS", "k", "kafka.header.1", "a=%00")}))
	f.Add(stored(f, message.Message{Body: []byte("b"), SysFlag: message.FlagCompressed, WithRecordCRC: true}))
	var p convert.Packer
	f.Fuzz(func(t *testing.T, b []byte) {
		p.Begin(nil, convert.PackOptions{BodyBytes: 1 << 20})
		_, err := p.Add(b)
		out := p.End()
		if err != nil && len(out) != 0 {
			t.Fatalf("%v and %d bytes", err, len(out))
		}
		m, err := message.Parse(b)
		if err != nil {
			return
		}
		var w record.Builder
		w.Begin(nil)
		e := p.Entry(&m)
		if err := w.Add(&e); err != nil {
			return
		}
		if err := (record.Format{}).Verify(w.End()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRecord: whatever key, value and header a record has, it comes back or is refused.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), []byte("TAGS"), []byte("t"), uint8(0))
	f.Add([]byte{}, []byte{}, []byte("kafka.header.0"), []byte("%="), uint8(7))
	var u convert.Unpacker
	var p convert.Packer
	f.Fuzz(func(t *testing.T, key, value, name, text1 []byte, nulls uint8) {
		e := record.Entry{Key: key, Value: value, Headers: []record.Header{{Key: name, Value: text1}}}
		if nulls&1 != 0 {
			e.Key = nil
		}
		if nulls&2 != 0 {
			e.Value = nil
		}
		if nulls&4 != 0 {
			e.Headers[0].Value = nil
		}
		m, err := toMessage(t, &u, e)
		if errors.Is(err, penstock.ErrInvalidRecord) || errors.Is(err, penstock.ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := toEntries(t, &p, convert.PackOptions{}, stored(t, m)); text(&got[0]) != text(&e) {
			t.Fatalf("got %s\nwant %s", text(&got[0]), text(&e))
		}
	})
}
