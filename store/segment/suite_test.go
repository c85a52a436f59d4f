package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"penstock"
	"penstock/disk"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// makeBatch builds a plain record batch by hand, field by field as the protocol page draws it.
func makeBatch(s storetest.Spec) penstock.Batch {
	b := make([]byte, 61, 61+s.Records*16+s.Bytes)
	for i := range s.Records {
		value := []byte{byte(s.Tag), byte(s.Tag >> 8), byte(s.Tag >> 16), byte(i)}
		if i == 0 {
			value = append(value, bytes.Repeat([]byte{byte(s.Tag*7 + 1)}, s.Bytes)...)
		}
		r := []byte{0}
		r = binary.AppendVarint(r, int64(i))
		r = binary.AppendVarint(r, int64(i))
		r = binary.AppendVarint(r, -1)
		r = binary.AppendVarint(r, int64(len(value)))
		r = append(append(r, value...), 0)
		b = append(binary.AppendVarint(b, int64(len(r))), r...)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(s.Records-1))
	binary.BigEndian.PutUint64(b[27:], uint64(s.First))
	binary.BigEndian.PutUint64(b[35:], uint64(s.First)+uint64(s.Records-1))
	binary.BigEndian.PutUint64(b[43:], ^uint64(0))
	binary.BigEndian.PutUint16(b[51:], ^uint16(0))
	binary.BigEndian.PutUint32(b[53:], ^uint32(0))
	binary.BigEndian.PutUint32(b[57:], uint32(s.Records))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	h, err := record.Format{}.Header(b)
	if err != nil {
		panic(err)
	}
	return penstock.Batch{Header: h, Bytes: b}
}

// testNow is a clock that stands still.
func testNow() time.Time { return time.UnixMilli(1_700_000_000_000) }

func testFactory(o Options) storetest.Factory {
	o.Now = testNow
	return storetest.Factory{
		Format: record.Format{},
		Open: func(d *disk.Disk) (store.Store, error) {
			s, err := New(d, record.Format{}, o)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Batch: makeBatch,
		Check: checkFiles,
	}
}

// keyedFactory has batches with keys, some of them compressed, and small files of an index.
func keyedFactory(f storetest.Factory) storetest.Factory {
	open := f.Open
	f.Keys, f.Open = true, func(d *disk.Disk) (store.Store, error) {
		st, err := open(d)
		if s, ok := st.(*Store); ok {
			s.o.KeySlots, s.o.KeyEntries = 16, 60
		}
		return st, err
	}
	if f.Format.Kind() == penstock.FormatRecord {
		f.Batch = makeKeyed
	}
	return f
}

// makeKeyed builds a batch whose records have one of a few keys, or none; of every other batch the records are compressed.
func makeKeyed(s storetest.Spec) penstock.Batch {
	var w record.Builder
	w.Begin(nil)
	for i := range s.Records {
		e := record.Entry{Offset: penstock.Offset(i), Timestamp: s.First + penstock.Timestamp(i), Value: []byte{byte(s.Tag), byte(s.Tag >> 8), byte(s.Tag >> 16), byte(i)}}
		switch (int(s.Tag) + i) % 7 {
		case 0:
		case 1:
			e.Key = []byte("two words")
		case 2:
			e.Headers = []record.Header{{Key: []byte("UNIQ_KEY"), Value: fmt.Appendf(nil, "id%d", s.Tag)}}
		default:
			e.Key = fmt.Appendf(nil, "k%d", (int(s.Tag)+i)%11)
		}
		if i == 0 {
			e.Value = append(e.Value, bytes.Repeat([]byte{byte(s.Tag*7 + 1)}, s.Bytes)...)
		}
		if err := w.Add(&e); err != nil {
			panic(err)
		}
	}
	b := w.End()
	if s.Tag%2 == 0 {
		b = packed(b)
	}
	h, err := record.Format{}.Header(b)
	if err != nil {
		panic(err)
	}
	return penstock.Batch{Header: h, Bytes: b}
}

// packed compresses the records of a batch with snappy.
func packed(b []byte) []byte {
	b = append(bytes.Clone(b[:61]), s2.EncodeSnappy(nil, b[61:])...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[22] |= 2
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

// TestStoreWithKeys is the suite with an index of keys, in either format.
func TestStoreWithKeys(t *testing.T) {
	storetest.RunDriven(t, keyedFactory(testFactory(Options{ZeroAhead: 8 << 10})))
}

func TestMessagesWithKeys(t *testing.T) {
	storetest.RunDriven(t, keyedFactory(messageFactory(Options{ZeroAhead: 8 << 10})))
}

func TestStore(t *testing.T) { storetest.Run(t, testFactory(Options{ZeroAhead: 8 << 10})) }

// checkFiles builds the indexes of every segment again by a simpler hand and compares the files.
func checkFiles(d *disk.Disk) error {
	topics, err := d.ReadDir(logsDir)
	if err != nil {
		return err
	}
	for _, t := range topics {
		parts, err := d.ReadDir(path.Join(logsDir, t.Name))
		if err != nil {
			return err
		}
		for _, p := range parts {
			if err := checkDir(d, path.Join(logsDir, t.Name, p.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkDir(d *disk.Disk, dir string) error {
	es, err := d.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range es {
		base, suffix, ok := parseName(e.Name)
		if !ok {
			continue
		}
		_, err := d.ReadFile(fileName(dir, base, logSuffix), 1<<30)
		if err != nil && suffix != stateSuffix {
			return fmt.Errorf("%s has no log", e.Name)
		}
		if suffix == logSuffix {
			if err := checkIndexes(d, dir, base); err != nil {
				return err
			}
		}
	}
	return nil
}

// dumbIndexes is Kafka's rule written down once more, over the bytes of a log.
func dumbIndexes(log []byte, base int64, interval int) (off, times, bases []byte) {
	since, maxAt, maxLast, lastAt := 0, int64(-1), int64(0), int64(-1)
	note := func() {
		if maxAt > lastAt {
			times = binary.BigEndian.AppendUint64(times, uint64(maxAt))
			times = binary.BigEndian.AppendUint32(times, uint32(maxLast-base))
			lastAt = maxAt
		}
	}
	for pos := 0; pos < len(log); {
		b := log[pos:]
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		first := int64(binary.BigEndian.Uint64(b))
		last := first + int64(binary.BigEndian.Uint32(b[23:]))
		if at := int64(binary.BigEndian.Uint64(b[35:])); at > maxAt {
			maxAt, maxLast = at, last
		}
		if since > interval {
			off = binary.BigEndian.AppendUint32(off, uint32(last-base))
			off = binary.BigEndian.AppendUint32(off, uint32(pos))
			bases = binary.BigEndian.AppendUint32(bases, uint32(first-base))
			note()
			since = 0
		}
		since += size
		pos += size
	}
	note()
	return off, times, bases
}

// suiteInterval is the index interval that the suite runs with.
const suiteInterval = 200

func checkIndexes(d *disk.Disk, dir string, base penstock.Offset) error {
	log, err := d.ReadFile(fileName(dir, base, logSuffix), 1<<30)
	if err != nil {
		return err
	}
	off, times, bases := dumbIndexes(log, int64(base), suiteInterval)
	for _, f := range []struct {
		suffix string
		want   []byte
	}{{offSuffix, off}, {timeSuffix, times}, {baseSuffix, bases}} {
		got, err := d.ReadFile(fileName(dir, base, f.suffix), 1<<30)
		if err != nil && (f.suffix != baseSuffix || len(f.want) > 0) {
			return err
		}
		if !bytes.Equal(got, f.want) {
			return errors.New(fileName(dir, base, f.suffix) + fmt.Sprintf(": %x, want %x", got, f.want))
		}
	}
	return nil
}
