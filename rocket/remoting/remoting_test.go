package remoting

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// golden are the frames of testdata, by client and code.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		client, rest, _ := strings.Cut(s.Text(), " ")
		code, digits, ok := strings.Cut(rest, " ")
		if client == "#" || !ok {
			continue
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		out[client+" "+code] = b
	}
	if len(out) != 18 {
		t.Fatalf("%d frames", len(out))
	}
	return out
}

// TestGolden reads what RocketMQ's own clients sent, of two generations and with both kinds of header.
func TestGolden(t *testing.T) {
	for name, frame := range golden(t) {
		client, digits, _ := strings.Cut(name, " ")
		code, _ := strconv.Atoi(digits)
		want := Command{Kind: JSON, Code: int32(code), Version: 513, Language: []byte("JAVA"), LanguageCode: -1}
		switch client {
		case "java-5.5.0-binary":
			want.Kind, want.Language, want.LanguageCode = Binary, nil, 0
		case "java-4.9.8-json":
			want.Version = 409
		}
		peeked, ok := PeekCode(want.Kind, frame)
		if !ok || int(peeked) != code {
			t.Errorf("%s: peeked %d %v", name, peeked, ok)
		}
		var c Command
		if err := c.Parse(bytes.Clone(frame)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want.Opaque, want.Fields, want.Body, want.Remark = c.Opaque, c.Fields, c.Body, c.Remark
		if len(c.Remark) > 0 || !reflect.DeepEqual(c, want) || c.Text("topic")+c.Text("b") != "Captured" {
			t.Errorf("%s: %+v", name, c)
		}
		checkHead(t, name, &c)
	}
}

// checkHead checks the heads that are read by hand.
func checkHead(t *testing.T, name string, c *Command) {
	t.Helper()
	const quote = "quote\x01say \"hi\" \\ \né中😀<&>\x02KEYS\x01k1 k2\x02UNIQ_KEY\x01"
	switch c.Code {
	case 310, 320:
		var h SendHead
		if err := c.Send(&h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if string(h.Group) != "capture_p" || string(h.Topic) != "Captured" || string(h.DefaultTopic) != "TBW102" || h.DefaultQueues != 4 ||
			h.BornTime < 1795276348079 || h.Batch != (c.Code == 320) || h.MaxReconsume != -1 {
			t.Errorf("%s: %+v", name, h)
		}
		if c.Code == 310 && (!strings.HasPrefix(string(h.Properties), quote) || string(c.Body) != "hello") {
			t.Errorf("%s: properties %q, body %q", name, h.Properties, c.Body)
		}
	case 11:
		var h PullHead
		if err := c.Pull(&h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := PullHead{
			Group: []byte("capture_c"), Topic: []byte("Captured"), Queue: 1, Count: 32, SysFlag: 4, Suspend: 20000, Subscription: []byte("tagA || tagB"),
			Expression: []byte("TAG"),
		}
		if h.Bytes = 0; !reflect.DeepEqual(h, want) {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// write makes a frame by Writer.
func write(h Head, fields []Field, body []byte) []byte {
	w := Begin([]byte("before"), h)
	for _, f := range fields {
		w.Bytes(string(f.Key), f.Value)
	}
	return append(w.End(), body...)[len("before"):]
}

// TestRoundTrip: what Writer writes Parse reads, in both kinds, whatever is in strings; and JSON is read as encoding/json does.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Head{
			Kind: Kind(rapid.IntRange(0, 1).Draw(t, "kind")), Code: rapid.Int32Range(0, 3000).Draw(t, "code"), Opaque: rapid.Int32().Draw(t, "opaque"),
			Flag: rapid.Int32Range(0, 3).Draw(t, "flag"), Remark: rapid.String().Draw(t, "remark"),
		}
		var fields []Field
		for i := range rapid.IntRange(0, 20).Draw(t, "fields") {
			fields = append(fields, Field{fmt.Append(nil, "k", i), []byte(rapid.String().Draw(t, "value"))})
		}
		body := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "body")
		frame := write(h, fields, body)
		var c Command
		if err := c.Parse(bytes.Clone(frame)); err != nil {
			t.Fatal(err)
		}
		if c.Kind != h.Kind || c.Code != h.Code || c.Opaque != h.Opaque || c.Flag != h.Flag || c.Version != Version || string(c.Remark) != h.Remark ||
			!bytes.Equal(c.Body, body) || len(c.Fields) != len(fields) {
			t.Fatalf("%+v, want %+v", c, h)
		}
		for i, f := range fields {
			if v, ok := c.Get(string(f.Key)); !ok || string(v) != string(f.Value) {
				t.Fatalf("field %d: %q, want %q", i, v, f.Value)
			}
		}
		if h.Kind == JSON {
			asJSON(t, frame, &c)
		}
	})
}

// asJSON compares with what encoding/json reads.
func asJSON(t *rapid.T, frame []byte, c *Command) {
	_, n, _ := Split(frame)
	var m struct {
		Code, Flag, Opaque, Version int32
		Remark                      string
		ExtFields                   map[string]string
	}
	if err := json.Unmarshal(frame[headBytes:headBytes+n], &m); err != nil {
		t.Fatal(err)
	}
	if m.Code != c.Code || m.Flag != c.Flag || m.Opaque != c.Opaque || m.Remark != string(c.Remark) || len(m.ExtFields) != len(c.Fields) {
		t.Fatalf("%+v, want %+v", m, c)
	}
	for k, v := range m.ExtFields {
		if c.Text(k) != v {
			t.Fatalf("field %s: %q, want %q", k, c.Text(k), v)
		}
	}
}

// TestReadJSON: what encoding/json writes of any string Parse reads as the same, since clients write by all kinds of encoders.
func TestReadJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		text, err := json.Marshal(map[string]any{"extFields": map[string]any{"k": s, "n": 7, "b": true, "z": nil}, "code": 5, "other": []any{map[string]any{"a": []any{}}, s, 1.5e3, nil}})
		if err != nil {
			t.Fatal(err)
		}
		var c Command
		if err := c.Parse(frameOf(JSON, string(text))); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, null := c.Get("z"); c.Code != 5 || c.Text("k") != s || c.Text("n") != "7" || c.Text("b") != "true" || null {
			t.Fatalf("%s: %+v", text, c)
		}
	})
}

// frameOf is a frame of a header as it is.
func frameOf(k Kind, header string) []byte {
	return append([]byte{byte(k), byte(len(header) >> 16), byte(len(header) >> 8), byte(len(header))}, header...)
}

// TestEscapes: every escape of JSON, halves of pairs too.
func TestEscapes(t *testing.T) {
	var c Command
	in := `{"remark":"\"\\\/\b\f\n\r\t\u00e9\u4E2D\ud83d\ude00 \ud83d \ud83d\u0041 \ude00"}`
	if err := c.Parse(frameOf(JSON, in)); err != nil {
		t.Fatal(err)
	}
	if want := "\"\\/\b\f\n\r\té中😀 \uFFFD \uFFFDA \uFFFD"; string(c.Remark) != want {
		t.Errorf("%q, want %q", c.Remark, want)
	}
}

// many is n fields in JSON.
func many(n int) string {
	var b strings.Builder
	b.WriteString(`{"extFields":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%d":"v"`, i)
	}
	return b.String() + "}}"
}

// TestMalformed: what is no command is refused, with an error that says so.
func TestMalformed(t *testing.T) {
	be := binary.BigEndian
	head := func(remark, fields int32, rest string) []byte {
		b := make([]byte, binaryHead)
		b = be.AppendUint32(b, uint32(remark))
		b = be.AppendUint32(b, uint32(fields))
		return frameOf(Binary, string(b)+rest)
	}
	for what, frame := range map[string][]byte{
		"nothing": nil, "half a word": {0, 0}, "another kind": {2, 0, 0, 0}, "a long header": {0, 4, 0, 1}, "a header that is not there": {0, 0, 0, 1},
		"no JSON": frameOf(JSON, "x"), "empty": frameOf(JSON, ""), "not closed": frameOf(JSON, `{"code":1`), "no colon": frameOf(JSON, `{"code" 1}`),
		"no value": frameOf(JSON, `{"code":}`), "no number": frameOf(JSON, `{"code":"x"}`), "a large number": frameOf(JSON, `{"code":4294967296}`),
		"something behind": frameOf(JSON, `{} {}`), "an open string": frameOf(JSON, `{"remark":"`), "an open escape": frameOf(JSON, `{"remark":"\`),
		"no escape": frameOf(JSON, `{"remark":"\x"}`), "half an escape": frameOf(JSON, `{"remark":"\u12"}`), "no hex": frameOf(JSON, `{"remark":"\u12g4"}`),
		"fields that are none": frameOf(JSON, `{"extFields":[]}`), "a field that is an object": frameOf(JSON, `{"extFields":{"a":{}}}`),
		"deep": frameOf(JSON, `{"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`), "many fields": frameOf(JSON, many(MaxFields+1)),
		"short": frameOf(Binary, "0123456789012"), "a long remark": head(100, 0, ""), "a remark less than nothing": head(-1, 0, ""),
		"long fields": head(0, 100, "x"), "something behind the fields": head(0, 0, "x"), "half a field": head(0, 3, "\x00\x01a"),
		"a long key": head(0, 3, "\x00\x09a"), "a long value": head(0, 7, "\x00\x01a\x00\x00\x00\x09"), "a key less than nothing": head(0, 7, "\xff\xff\x00\x00\x00\x00\x00"),
	} {
		var c Command
		if err := c.Parse(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %+v", what, err, c)
		}
	}
	var c Command
	if err := c.Parse(frameOf(JSON, many(MaxFields))); err != nil || len(c.Fields) != MaxFields {
		t.Errorf("as many fields as there may be: %v", err)
	}
}

// TestPopCodes: the codes of pop requests, cut to 16 bits by a binary header, are found again; others stay as they are.
func TestPopCodes(t *testing.T) {
	for _, code := range []int32{200050, 200051, 200052, 200053, 200054, 200055, 200056, 200151, 10, 310, 3001, 1016, 0} {
		var c Command
		if err := c.Parse(write(Head{Kind: Binary, Code: code}, nil, nil)); err != nil || c.Code != code {
			t.Errorf("%d: read as %d, %v", code, c.Code, err)
		}
	}
}

// TestPeekCode: the code is found when the first bytes show it whole, and not else.
func TestPeekCode(t *testing.T) {
	for _, test := range []struct {
		kind Kind
		peek string
		code int32
		ok   bool
	}{
		{JSON, `{"code":310,"`, 310, true}, {JSON, `{"code":310}`, 310, true}, {JSON, `{"code":310`, 0, false}, {JSON, `{"code":`, 0, false},
		{JSON, `{"co`, 0, false}, {JSON, `{"flag":310,`, 0, false}, {JSON, `{"code":"x"`, 0, false}, {JSON, `{"code":99999999999,`, 0, false},
		{Binary, "\x01\x36", 310, true}, {Binary, "\x0d\x72", 200050, true}, {Binary, "\x01", 0, false},
	} {
		code, ok := PeekCode(test.kind, append([]byte{byte(test.kind), 0, 1, 0}, test.peek...))
		if ok != test.ok || ok && code != test.code {
			t.Errorf("%d %q: %d %v", test.kind, test.peek, code, ok)
		}
	}
}

// TestHeads: each field of the two heads that are read by hand is read from its own name, is checked, and is missed where it must be there.
func TestHeads(t *testing.T) {
	send := map[string]string{"a": "g", "b": "t", "c": "d", "d": "1", "e": "2", "f": "3", "g": "4", "h": "5", "i": "p", "j": "6", "k": "true", "l": "7", "m": "true", "n": "x"}
	long := map[string]string{
		"producerGroup": "g", "topic": "t", "defaultTopic": "d", "defaultTopicQueueNums": "1", "queueId": "2", "sysFlag": "3", "bornTimestamp": "4", "flag": "5",
		"properties": "p", "reconsumeTimes": "6", "unitMode": "true", "maxReconsumeTimes": "7", "batch": "true",
	}
	want := SendHead{
		Group: []byte("g"), Topic: []byte("t"), DefaultTopic: []byte("d"), DefaultQueues: 1, Queue: 2, SysFlag: 3, BornTime: 4, Flag: 5, Properties: []byte("p"),
		Reconsumed: 6, UnitMode: true, MaxReconsume: 7, Batch: true,
	}
	for _, fields := range []map[string]string{send, long} {
		var h SendHead
		if err := command(fields).Send(&h); err != nil || !reflect.DeepEqual(h, want) {
			t.Errorf("%+v %v", h, err)
		}
		checkFaults(t, fields, "i j k l m n properties reconsumeTimes unitMode maxReconsumeTimes batch", func(c *Command) error { return c.Send(&h) })
	}
	pull := map[string]string{
		"consumerGroup": "g", "topic": "t", "queueId": "1", "queueOffset": "2", "maxMsgNums": "3", "sysFlag": "4", "commitOffset": "5", "suspendTimeoutMillis": "6",
		"subscription": "s", "subVersion": "7", "expressionType": "e", "maxMsgBytes": "8",
	}
	var h PullHead
	wantPull := PullHead{
		Group: []byte("g"), Topic: []byte("t"), Queue: 1, Offset: 2, Count: 3, SysFlag: 4, CommitOffset: 5, Suspend: 6, Subscription: []byte("s"), SubVersion: 7,
		Expression: []byte("e"), Bytes: 8,
	}
	if err := command(pull).Pull(&h); err != nil || !reflect.DeepEqual(h, wantPull) {
		t.Errorf("%+v %v", h, err)
	}
	checkFaults(t, pull, "subscription expressionType maxMsgBytes", func(c *Command) error { return c.Pull(&h) })
}

// command has these fields.
func command(fields map[string]string) *Command {
	c := &Command{}
	for k, v := range fields {
		c.Fields = append(c.Fields, Field{[]byte(k), []byte(v)})
	}
	return c
}

// checkFaults leaves out each field in turn, and makes each number something else.
func checkFaults(t *testing.T, fields map[string]string, optional string, read func(c *Command) error) {
	t.Helper()
	for name, v := range fields {
		some := map[string]string{}
		for k, v := range fields {
			if k != name {
				some[k] = v
			}
		}
		if err := read(command(some)); (err != nil) == strings.Contains(" "+optional+" ", " "+name+" ") || err != nil && !errors.Is(err, ErrField) {
			t.Errorf("without %s: %v", name, err)
		}
		if _, err := strconv.Atoi(v); err != nil {
			continue
		}
		for _, bad := range []string{"", "x", "1 ", "99999999999999999999", "-"} {
			some[name] = bad
			if err := read(command(some)); !errors.Is(err, ErrField) {
				t.Errorf("%s = %q: %v", name, bad, err)
			}
		}
	}
}

// TestReader: fields by name, with the first fault kept.
func TestReader(t *testing.T) {
	c := command(map[string]string{"s": "x", "n": "-7", "big": "4294967296", "b": "true", "word": "no"})
	q := c.Reader()
	if q.Text("s") != "x" || q.Int32("n") != -7 || q.Int64("big") != 1<<32 || !q.Bool("b") || q.Bool("none") || q.Int64Or("none", 5) != 5 || q.Int32Or("none", 6) != 6 ||
		q.Int32Or("n", 6) != -7 || q.Err() != nil {
		t.Errorf("%v", q.Err())
	}
	for name, read := range map[string]func(q *Reader){
		"<none> is null": func(q *Reader) { q.Text("none") }, "<no> is null": func(q *Reader) { q.Int64("no"); q.Text("other") },
		"<word> is": func(q *Reader) { q.Int64Or("word", 5) }, "<big> is": func(q *Reader) { q.Int32("big") },
	} {
		q := c.Reader()
		if read(&q); !errors.Is(q.Err(), ErrField) || !strings.Contains(q.Err().Error(), name) {
			t.Errorf("%s: %v", name, q.Err())
		}
	}
}

// TestInt: numbers of 64 bits and nothing else.
func TestInt(t *testing.T) {
	for _, s := range []string{"0", "-1", "9223372036854775807", "-9223372036854775808", "0012"} {
		want, _ := strconv.ParseInt(s, 10, 64)
		if n, ok := Int([]byte(s)); !ok || n != want {
			t.Errorf("%s: %d %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "-", "+1", "1.0", "9223372036854775808", "-9223372036854775809", "99999999999999999999999", "0x1"} {
		if n, ok := Int([]byte(s)); ok {
			t.Errorf("%s: %d", s, n)
		}
	}
}

// TestAllocations: a command that is read again and again allocates nothing, nor does an answer once its slice has grown.
func TestAllocations(t *testing.T) {
	var c Command
	var buf []byte
	for name, frame := range golden(t) {
		scratch := bytes.Clone(frame)
		if n := testing.AllocsPerRun(100, func() {
			copy(scratch, frame)
			if c.Parse(scratch) != nil {
				t.Fatal(name)
			}
			switch c.Code {
			case 310:
				var h SendHead
				_ = c.Send(&h)
			case 11:
				var h PullHead
				_ = c.Pull(&h)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			w := Begin(buf[:0], c.Answer(0, "FOUND"))
			w.Int("queueOffset", 77)
			w.Text("msgId", "7F000001")
			buf = w.End()
		}); n > 0 {
			t.Errorf("answer to %s: %v allocations", name, n)
		}
	}
}

// bound is what reading a frame may allocate.
func bound(frame []byte) int { return 4*len(frame) + 1<<20 }

// FuzzParse: no frame crashes, reads outside of itself, or makes it allocate more than it is worth; what is read can be written, and read as the same.
func FuzzParse(f *testing.F) {
	for _, frame := range golden(f) {
		f.Add(frame)
	}
	f.Add(frameOf(JSON, many(3)))
	f.Add(frameOf(JSON, `{"remark":"\ud83d\ude00\u0001","extFields":null,"a":[{}]}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var c Command
		err := c.Parse(bytes.Clone(frame))
		if size := cap(c.Fields) * int(reflect.TypeFor[Field]().Size()); size > bound(frame) {
			t.Fatalf("%d bytes for a frame of %d", size, len(frame))
		}
		var s SendHead
		var p PullHead
		_, _ = c.Send(&s), c.Pull(&p)
		if err != nil {
			return
		}
		if c.Kind == Binary && c.Code < 0 {
			return // written as 16 bits of another number
		}
		var again Command
		if err := again.Parse(write(Head{Kind: c.Kind, Code: c.Code, Opaque: c.Opaque, Flag: c.Flag, Remark: string(c.Remark)}, plain(c.Fields), c.Body)); err != nil {
			t.Fatal(err)
		}
		if again.Code != c.Code || again.Opaque != c.Opaque || again.Flag != c.Flag || len(again.Fields) != len(c.Fields) || !bytes.Equal(again.Body, c.Body) {
			t.Fatalf("%+v, want %+v", again, c)
		}
	})
}

// plain are fields under keys that JSON does not escape, as those of this program are.
func plain(fields []Field) []Field {
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{fmt.Append(nil, "k", i), f.Value[:min(len(f.Value), 1000)]}
	}
	return out
}

// FuzzPeek: the code that the first bytes show is the one that the whole header has, where the header is like those of clients: with each member
// once.
func FuzzPeek(f *testing.F) {
	for _, frame := range golden(f) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		kind, _, err := Split(frame)
		if err != nil {
			return
		}
		peeked, ok := PeekCode(kind, frame)
		var c Command
		if !ok || c.Parse(bytes.Clone(frame)) != nil || bytes.Count(frame, []byte("code")) > 1 || bytes.Contains(frame, []byte(`\u`)) {
			return
		}
		if c.Code != peeked {
			t.Fatalf("peeked %d, parsed %d", peeked, c.Code)
		}
	})
}
