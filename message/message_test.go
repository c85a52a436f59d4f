package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"penstock"
)

func sample() *Message {
	return &Message{
		QueueID: 3, Flag: 7, QueueOffset: 41, Position: 1 << 40, SysFlag: FlagCompressed, BornTime: 1_700_000_000_000,
		BornHost: netip.MustParseAddrPort("10.1.2.3:40000"), StoreTime: 1_700_000_000_005,
		StoreHost: netip.MustParseAddrPort("127.0.0.1:10911"), Reconsumed: 2, PreparedAt: 99,
		Body: []byte("hello"), Topic: []byte("orders"), Properties: []byte("TAGS\x01A\x02KEYS\x01k1 k2\x02"),
	}
}

// TestByHand compares with a message put together byte by byte from RocketMQ's layout.
func TestByHand(t *testing.T) {
	m := sample()
	got, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	be := binary.BigEndian
	var w []byte
	u4 := func(v uint32) { w = be.AppendUint32(w, v) }
	u8 := func(v uint64) { w = be.AppendUint64(w, v) }
	u4(uint32(91 + 5 + 6 + len(m.Properties)))
	u4(0xDAA320A7)
	u4(crc32.ChecksumIEEE([]byte("hello")) & 0x7FFFFFFF)
	u4(3)
	u4(7)
	u8(41)
	u8(1 << 40)
	u4(1)
	u8(1_700_000_000_000)
	w = append(w, 10, 1, 2, 3, 0, 0, 0x9c, 0x40)
	u8(1_700_000_000_005)
	w = append(w, 127, 0, 0, 1, 0, 0, 0x2a, 0x9f)
	u4(2)
	u8(99)
	u4(5)
	w = append(w, "hello"...)
	w = append(w, 6)
	w = append(w, "orders"...)
	w = be.AppendUint16(w, uint16(len(m.Properties)))
	w = append(w, m.Properties...)
	if !bytes.Equal(got, w) {
		t.Errorf("got  %x\nwant %x", got, w)
	}
	if err := (Format{}).Verify(got); err != nil {
		t.Error(err)
	}
}

func anyMessage(t *rapid.T) *Message {
	hosts := []string{"10.1.2.3:40000", "[2001:db8::1]:65535", "127.0.0.1:0"}
	h := func(name string) netip.AddrPort {
		return netip.MustParseAddrPort(rapid.SampledFrom(hosts).Draw(t, name))
	}
	return &Message{
		QueueID: rapid.Int32().Draw(t, "queue"), Flag: rapid.Int32().Draw(t, "flag"), QueueOffset: penstock.Offset(rapid.Int64Range(0, 1<<62).Draw(t, "offset")),
		Position: penstock.Position(rapid.Int64Range(0, 1<<62).Draw(t, "position")), SysFlag: SysFlag(rapid.Int32Range(0, 15).Draw(t, "flags")),
		BornTime: penstock.Timestamp(rapid.Int64().Draw(t, "born")), BornHost: h("born host"), StoreTime: penstock.Timestamp(rapid.Int64().Draw(t, "store")), StoreHost: h("store host"),
		Reconsumed: rapid.Int32().Draw(t, "reconsumed"), PreparedAt: rapid.Int64().Draw(t, "prepared"),
		Body:          rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body"),
		Topic:         rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "topic"),
		Properties:    []byte(rapid.StringMatching(`([A-Z]{1,5}\x01[a-z]{0,9}\x02){0,5}`).Draw(t, "properties")),
		WithRecordCRC: rapid.Bool().Draw(t, "crc"),
	}
}

// TestChecksumAfterOpenProperties: clients of version 4 leave out the last separator; the checksum must not become part of the last value.
func TestChecksumAfterOpenProperties(t *testing.T) {
	for given, want := range map[string]string{"": "", "n\x01" + "60": "n\x0160\x02", "n\x0160\x02": "n\x0160\x02"} {
		b, err := Append(nil, &Message{Topic: []byte("T"), Properties: []byte(given), WithRecordCRC: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := (Format{}).Verify(b); err != nil {
			t.Errorf("%q: %v", given, err)
		}
		m, err := Parse(b)
		if err != nil || !m.WithRecordCRC || string(m.Properties[:len(m.Properties)-recordCRCSize]) != want {
			t.Errorf("%q: %q, %v", given, m.Properties, err)
		}
	}
}

// TestRoundTrip writes messages of every shape, reads them back, stamps them, and finds every flipped bit that a checksum covers.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		front := []byte("before")
		b, err := Append(front, m)
		if err != nil {
			t.Fatal(err)
		}
		b = b[len(front):]
		f := Format{}
		if err := f.Verify(b); err != nil {
			t.Fatal(err)
		}
		f.Stamp(b, penstock.Stamp{Base: 5, Position: 77, AppendTime: 1234})
		if err := f.Verify(b); err != nil {
			t.Fatalf("stamped: %v", err)
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.QueueOffset != 5 || got.Position != 77 || got.StoreTime != 1234 || got.WithRecordCRC != m.WithRecordCRC {
			t.Errorf("stamped: %+v", got)
		}
		if got.QueueID != m.QueueID || got.Flag != m.Flag || got.BornTime != m.BornTime || got.BornHost != m.BornHost || got.StoreHost != m.StoreHost ||
			got.Reconsumed != m.Reconsumed || got.PreparedAt != m.PreparedAt || !bytes.Equal(got.Body, m.Body) || !bytes.Equal(got.Topic, m.Topic) ||
			!bytes.HasPrefix(got.Properties, m.Properties) {
			t.Errorf("got %+v, want %+v", got, m)
		}
		h, err := f.Header(b[:f.HeaderSize()])
		if err != nil || int(h.Size) != len(b) || h.BaseOffset != 5 || h.MaxTimestamp != 1234 || h.NextOffset() != 6 {
			t.Errorf("header %+v, %v", h, err)
		}
		if m.WithRecordCRC || len(m.Body) > 0 {
			s, _ := find(b)
			at := s.body
			if m.WithRecordCRC {
				at = rapid.IntRange(0, len(b)-1).Draw(t, "byte")
			}
			b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if err := f.Verify(b); !errors.Is(err, penstock.ErrCorrupt) && m.WithRecordCRC && at < len(b)-recordCRCSize {
				t.Errorf("a flipped bit at %d of %d: %v", at, len(b), err)
			}
		}
	})
}

func TestProperties(t *testing.T) {
	p := []byte("A\x011\x02B\x01\x02nonsense\x02TAGS\x01x")
	for key, want := range map[string]string{"A": "1", "B": "", "TAGS": "x"} {
		if v, ok := Property(p, key); !ok || string(v) != want {
			t.Errorf("%s is %q, %t", key, v, ok)
		}
	}
	if _, ok := Property(p, "nonsense"); ok {
		t.Error("a key without a value has one")
	}
	p, err := AppendProperty(p, "K", "v")
	if err != nil || string(p[len(p)-7:]) != "\x01x\x02K\x01v\x02" {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := AppendProperty(nil, "K", "a\x02b\x01c"); !errors.Is(err, penstock.ErrInvalidRecord) {
		t.Errorf("a separator in a value: %v", err)
	}
	if p := DropProperty(p, "A"); string(p) != "B\x01\x02TAGS\x01x\x02K\x01v\x02" {
		t.Errorf("dropped: %q", p)
	}
}

// TestHashOn: going on with a hash is hashing the whole.
func TestHashOn(t *testing.T) {
	for _, s := range []string{"", "a", "orders", "größe", "日本", "a😀b", "topic#key"} {
		for i := range len(s) + 1 {
			if !utf8.ValidString(s[:i]) {
				continue
			}
			if got := HashOn(JavaHash(s[:i]), []byte(s[i:])); got != JavaHash(s) {
				t.Errorf("%q at %d: %d, want %d", s, i, got, JavaHash(s))
			}
		}
	}
}

// TestJavaHash has values that Java prints.
func TestJavaHash(t *testing.T) {
	for s, want := range map[string]int32{"": 0, "TagA": 2598919, "a": 97, "hello": 99162322, "Aa": 2112, "BB": 2112, "😀": 1772899, "ünïcode": -609351766} {
		if got := JavaHash(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestOffsetID(t *testing.T) {
	id := OffsetID(netip.MustParseAddrPort("10.1.2.3:10911"), 0x1234)
	if id != "0A01020300002A9F0000000000001234" {
		t.Error(id)
	}
	if h, at, err := ParseOffsetID(id); err != nil || h.String() != "10.1.2.3:10911" || at != 0x1234 {
		t.Error(h, at, err)
	}
	six := OffsetID(netip.MustParseAddrPort("[2001:db8::1]:10911"), 7)
	if h, at, err := ParseOffsetID(six); err != nil || len(six) != 56 || h.Port() != 10911 || at != 7 {
		t.Error(six, h, at, err)
	}
	for _, bad := range []string{"", "0A", "zz01020300002A9F0000000000001234"} {
		if _, _, err := ParseOffsetID(bad); !errors.Is(err, penstock.ErrInvalidRecord) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func item(body, props string) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, uint32(itemHead+len(body)+2+len(props)))
	b = be.AppendUint32(be.AppendUint32(be.AppendUint32(b, 0), 0), 9)
	b = append(be.AppendUint32(b, uint32(len(body))), body...)
	return append(be.AppendUint16(b, uint16(len(props))), props...)
}

func TestItems(t *testing.T) {
	b := append(item("one", "A\x011\x02"), item("", "")...)
	var got []string
	err := Items(b, func(it Item) error { got = append(got, string(it.Body)+"/"+string(it.Properties)); return nil })
	if err != nil || len(got) != 2 || got[0] != "one/A\x011\x02" || got[1] != "/" {
		t.Errorf("%q, %v", got, err)
	}
	for cut := 1; cut < len(b); cut++ {
		if cut == len(item("one", "A\x011\x02")) {
			continue
		}
		if err := Items(b[:cut], func(Item) error { return nil }); !errors.Is(err, penstock.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestLimits(t *testing.T) {
	m := sample()
	for _, change := range []func(){func() { m.Topic = make([]byte, MaxTopic+1) }, func() { m.Properties = make([]byte, MaxProperties+1) },
		func() { m.Body = make([]byte, MaxBytes) }, func() { m.Properties, m.WithRecordCRC = make([]byte, MaxProperties), true }} {
		m = sample()
		change()
		if b, err := Append([]byte("x"), m); !errors.Is(err, penstock.ErrTooLarge) || len(b) != 1 {
			t.Errorf("%v", err)
		}
	}
}

// FuzzVerify reads anything as a message: no panic, nothing behind its end, and what is sound is written the same again.
func FuzzVerify(f *testing.F) {
	m := sample()
	for _, topic := range []string{"orders", string(bytes.Repeat([]byte{'t'}, 200))} {
		m.Topic = []byte(topic)
		b, err := Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		m.BornHost, m.WithRecordCRC = netip.MustParseAddrPort("[2001:db8::1]:1"), true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Format{}.Header(b)
		if err == nil && (h.Size < minSize || h.Size > MaxBytes) {
			t.Errorf("size %d", h.Size)
		}
		_ = Items(b, func(Item) error { return nil })
		if (Format{}).Verify(b) != nil {
			return
		}
		m, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		Properties(m.Properties, func(k, v []byte) bool { return true })
		Format{}.Stamp(b, penstock.Stamp{Base: 1, AppendTime: 2})
		if err := (Format{}).Verify(b); err != nil {
			t.Errorf("stamped: %v", err)
		}
	})
}
