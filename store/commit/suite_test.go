package commit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"path"
	"testing"

	"github.com/klauspost/compress/s2"

	"penstock"
	"penstock/disk"
	"penstock/message"
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
	return batchOf(record.Format{}, b)
}

func batchOf(f store.Format, b []byte) penstock.Batch {
	h, err := f.Header(b)
	if err != nil {
		panic(err)
	}
	return penstock.Batch{Header: h, Bytes: b}
}

// makeMessage builds a message; the partition names topic and queue. It has the checksum of the whole record: a message without it is
// protected against a power cut in its body only.
func makeMessage(s storetest.Spec) penstock.Batch {
	props := properties(message.PropertyTags, fmt.Sprintf("tag-%d", s.Tag%5), message.PropertyUniqueID, fmt.Sprintf("U%016d", s.Tag),
		message.PropertyKeys, fmt.Sprintf("k%d  all", s.Tag%7))
	body := append(binary.BigEndian.AppendUint64(nil, s.Tag), bytes.Repeat([]byte{byte(s.Tag*7 + 1)}, s.Bytes)...)
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	b, err := message.Append(nil, &message.Message{QueueID: s.Of.Partition, BornTime: s.First, BornHost: host, StoreTime: s.First, StoreHost: host,
		Body: body, Topic: []byte(s.Of.Topic.Hex()), Properties: props, WithRecordCRC: true})
	if err != nil {
		panic(err)
	}
	return batchOf(message.Format{}, b)
}

// The size of the log's files in the suite, but for the cases that ask for another, and the entries in a file of a queue.
const (
	suiteFile    = 16 << 10
	suiteEntries = 40
)

func factory(f store.Format, batch func(storetest.Spec) penstock.Batch, fileBytes int64) storetest.Factory {
	head := int64(frameSize)
	if f.Kind() == penstock.FormatMessage {
		head = 0
	}
	fac := storetest.Factory{
		Format: f,
		Open: func(d *disk.Disk) (store.Store, error) {
			s, err := New(d, f, Options{FileBytes: fileBytes, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100, tail: 32, block: 16, inline: true})
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		FileBytes: func(n int64) storetest.Factory { return factory(f, batch, 2*(n+head)+blankSize) },
		Batch:     batch,
		Check:     func(d *disk.Disk) error { return checkFiles(d, f) },
	}
	if f.Kind() == penstock.FormatMessage {
		fac.Tag, fac.Position = tagOfMessage, positionOfMessage
	}
	return fac
}

// tagOfMessage and positionOfMessage are read by another hand than the store's.
func tagOfMessage(b []byte) int64 {
	m, err := message.Parse(b)
	if err != nil {
		panic(err)
	}
	tag, _ := message.Property(m.Properties, message.PropertyTags)
	return message.TagCode(string(tag))
}

func positionOfMessage(b []byte) penstock.Position {
	return penstock.Position(binary.BigEndian.Uint64(b[28:]))
}

func TestRecord(t *testing.T) { storetest.Run(t, factory(record.Format{}, makeBatch, suiteFile)) }

// keyedFactory has batches with keys, which are looked for; of every other batch of records they are compressed.
func keyedFactory(f storetest.Factory) storetest.Factory {
	f.Keys = true
	if files := f.FileBytes; files != nil {
		f.FileBytes = func(n int64) storetest.Factory { return keyedFactory(files(n)) }
	}
	return f
}

// makeKeyed builds a batch whose records have one of a few keys, or none.
func makeKeyed(s storetest.Spec) penstock.Batch {
	var w record.Builder
	w.Begin(nil)
	for i := range s.Records {
		e := record.Entry{Offset: penstock.Offset(i), Timestamp: s.First + penstock.Timestamp(i), Value: []byte{byte(s.Tag), byte(s.Tag >> 8), byte(s.Tag >> 16), byte(i)}}
		if k := (int(s.Tag) + i) % 7; k > 0 {
			e.Key = fmt.Appendf(nil, "k%d", k)
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
	return batchOf(record.Format{}, b)
}

// packed compresses the records of a batch with snappy.
func packed(b []byte) []byte {
	b = append(bytes.Clone(b[:61]), s2.EncodeSnappy(nil, b[61:])...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[22] |= 2
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

// unpacked is the plain batch that packed has compressed.
func unpacked(b []byte) []byte {
	records, err := s2.Decode(nil, b[61:])
	if err != nil {
		panic(err)
	}
	b = append(bytes.Clone(b[:61]), records...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[22] &^= 7
	return b
}

func TestRecordWithKeys(t *testing.T) {
	storetest.RunDriven(t, keyedFactory(factory(record.Format{}, makeKeyed, suiteFile)))
}

func TestMessageWithKeys(t *testing.T) {
	storetest.RunDriven(t, keyedFactory(factory(message.Format{}, makeMessage, suiteFile)))
}

func TestMessage(t *testing.T) { storetest.Run(t, factory(message.Format{}, makeMessage, suiteFile)) }

// logBytes reads the log by a simpler hand: a function that gives n bytes at a position.
func logBytes(d *disk.Disk, dir string) (func(pos, n int64) []byte, error) {
	es, err := d.ReadDir(path.Join(dir, logDir))
	if err != nil {
		return nil, err
	}
	files := map[int64][]byte{}
	for _, e := range es {
		start, ok := parseDigits(e.Name)
		if !ok {
			return nil, fmt.Errorf("file %s in the log", e.Name)
		}
		if files[start], err = d.ReadFile(path.Join(dir, logDir, e.Name), 1<<30); err != nil {
			return nil, err
		}
	}
	return func(pos, n int64) []byte {
		for start, b := range files {
			if at := pos - start; at >= 0 && at+n <= int64(len(b)) {
				return b[at : at+n]
			}
		}
		return nil
	}, nil
}

// checkFiles looks at the queues of a store that was closed: each entry that the checkpoint counts is that of the batch that it points to,
// offsets follow one another, and behind the last there are zeros.
func checkFiles(d *disk.Disk, f store.Format) error {
	s := &Store{d: d, f: f, o: Options{QueueEntries: suiteEntries}, dir: path.Join(rootDir, f.Kind().String()), messages: f.Kind() == penstock.FormatMessage}
	b, err := d.ReadFile(path.Join(s.dir, checkpointFile), 1<<30)
	if err != nil {
		return err
	}
	c, err := parseCheckpoint(b)
	if err != nil {
		return err
	}
	log, err := logBytes(d, s.dir)
	if err != nil {
		return err
	}
	for id, snap := range c.of {
		if err := checkQueue(newPartition(s, id), &snap, log); err != nil {
			return fmt.Errorf("queue of %v: %w", id, err)
		}
	}
	return nil
}

func checkQueue(p *Partition, snap *snapshot, log func(pos, n int64) []byte) error {
	if snap.first == snap.count {
		return nil
	}
	size, per := p.st.entrySize(), p.st.o.QueueEntries
	q := make([]byte, snap.first/per*per*size) // nobody reads these
	for at := snap.first / per * per; at < snap.count; at += per {
		b, err := p.st.d.ReadFile(p.queueFile(at), 1<<30)
		if err != nil && at < snap.count && snap.first < snap.count {
			return err
		}
		if int64(len(b)) != per*size {
			return fmt.Errorf("file of %d bytes", len(b))
		}
		q = append(q, b...)
	}
	next := penstock.NoOffset
	for i := snap.first; i < snap.count; i++ {
		e := p.st.parseEntry(q[i*size:], i)
		b := log(int64(e.pos), int64(e.size))
		if b == nil {
			return fmt.Errorf("entry %d points to %d bytes at %d, which are not in the log", i, e.size, e.pos)
		}
		h, err := p.st.f.Header(b)
		if err == nil {
			err = p.st.f.Verify(b)
		}
		if err != nil || h.BaseOffset != e.base || h.LastDelta != e.delta || next >= 0 && e.base != next || !p.st.messages && e.maxAt != h.MaxTimestamp {
			return fmt.Errorf("entry %d is %+v, the batch there has %+v, %v", i, e, h, err)
		}
		if p.st.messages {
			m, err := message.Parse(b)
			tag, _ := message.Property(m.Properties, message.PropertyTags)
			if err != nil || m.Position != e.pos || message.TagCode(string(tag)) != e.tag || e.tag == 0 {
				return fmt.Errorf("entry %d is %+v, the message there %+v, %v", i, e, m, err)
			}
		}
		next = h.NextOffset()
	}
	if next >= 0 && next != snap.end {
		return fmt.Errorf("queue ends at %d, the partition at %d", next, snap.end)
	}
	for _, c := range q[snap.count*size:] {
		if c != 0 {
			return errors.New("bytes behind the last entry")
		}
	}
	return nil
}
