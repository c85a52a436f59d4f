package record

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"penstock"
)

// zipped compresses the records of a plain batch with gzip.
func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b[headerSize:])
	_ = z.Close()
	return resummed(append(bytes.Clone(b[:headerSize]), out.Bytes()...), 1)
}

// resummed sets attributes, length and checksum.
func resummed(b []byte, attributes uint16) []byte {
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-lengthExcess))
	binary.BigEndian.PutUint16(b[atAttributes:], attributesOf(b)|attributes)
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return b
}

// TestEachKey: keys, words, unique ids, of plain and compressed batches, until enough was said.
func TestEachKey(t *testing.T) {
	many := strings.Repeat("w ", 100)
	entries := []Entry{
		{Offset: 10, Timestamp: 1000, Key: []byte("a"), Value: []byte("v")},
		{Offset: 11, Timestamp: 1001},
		{Offset: 13, Timestamp: 1002, Key: []byte{}},
		{Offset: 14, Timestamp: 990, Key: []byte(" b  größe "), Headers: []Header{{[]byte("x"), nil}, {[]byte("UNIQ_KEY"), []byte("id1")}, {[]byte("UNIQ_KEY"), []byte("id2")}}},
		{Offset: 15, Timestamp: 1003, Key: []byte(many), Headers: []Header{{[]byte("UNIQ_KEY"), nil}}},
	}
	var w Builder
	w.Begin(nil)
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	plain := w.End()
	want := []string{"10 1000 a", "14 990  b  größe ", "14 990 b", "14 990 größe", "14 990 id1", "15 1003 " + many}
	for range maxWords {
		want = append(want, "15 1003 w")
	}
	for name, b := range map[string][]byte{"plain": plain, "gzip": zipped(plain)} {
		for enough := range len(want) + 1 {
			var got []string
			err := Format{}.EachKey(b, func(off penstock.Offset, at penstock.Timestamp, key []byte) bool {
				got = append(got, fmt.Sprintf("%d %d %s", off, at, key))
				return len(got) != enough
			})
			n := len(want)
			if enough > 0 {
				n = enough
			}
			if err != nil || !slices.Equal(got, want[:n]) {
				t.Fatalf("%s, %d wanted: %q, %v", name, enough, got, err)
			}
		}
	}
	// A control batch has none, the broker's clock counts where it was stamped, and what cannot be read is told.
	none := func(penstock.Offset, penstock.Timestamp, []byte) bool { t.Error("a key"); return false }
	if err := (Format{}).EachKey(resummed(bytes.Clone(plain), attrControl), none); err != nil {
		t.Error(err)
	}
	stamped := bytes.Clone(plain)
	Format{}.Stamp(stamped, penstock.Stamp{Base: 10, AppendTime: 77})
	if err := (Format{}).EachKey(stamped, func(_ penstock.Offset, at penstock.Timestamp, _ []byte) bool { return at == 77 }); err != nil {
		t.Error(err)
	}
	bad := zipped(plain)
	bad = resummed(bad[:len(bad)-12], 0)
	all := func(penstock.Offset, penstock.Timestamp, []byte) bool { return true }
	if err := (Format{}).EachKey(bad, all); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("a torn batch: %v", err)
	}
	bomb := bytes.Clone(plain[:headerSize])
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(binary.AppendVarint(nil, 1<<30))
	zeros := make([]byte, 1<<20)
	for range defaultEachBytes>>20 + 1 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	if err := (Format{}).EachKey(resummed(append(bomb, out.Bytes()...), 1), all); !errors.Is(err, penstock.ErrTooLarge) {
		t.Errorf("a batch that is too large inside: %v", err)
	}
}

// TestEachKeyAllocations: reading the keys of a plain batch costs a few allocations, however many records there are.
func TestEachKeyAllocations(t *testing.T) {
	var w Builder
	w.Begin(nil)
	for i := range 1000 {
		if err := w.Add(&Entry{Offset: penstock.Offset(i), Key: []byte("some key"), Value: []byte("some value")}); err != nil {
			t.Fatal(err)
		}
	}
	b, n := w.End(), 0
	if got := testing.AllocsPerRun(100, func() {
		_ = Format{}.EachKey(b, func(penstock.Offset, penstock.Timestamp, []byte) bool { n++; return true })
	}); got > 8 || n == 0 {
		t.Errorf("%v allocations, %d keys", got, n)
	}
}
