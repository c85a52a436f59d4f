package rocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/metric"
	"penstock/record"
	"penstock/replica"
	"penstock/rocket/remoting"
	"penstock/store"
	"penstock/wire"
)

// Pulling from a topic of Kafka's records: batches are read, checked, decompressed and turned into messages (package convert), which the answer holds in
// memory, counted as converted in the copy account. Tags are compared here, by their codes. Topics of messages never come here.
//
// A record has no place in a log that is its own, so its message has a position that says where the record is:
//
//	bit 62  0; with 1 it is a position of the segment layout's messages
//	bit 61  1; positions in a commit log do not come that far
//	20-bit  number of the partition in its topic, plus a hash of the topic's id, both modulo 2^21
//	40-bit  offset
//
// It finds the record again if the topic is known, and without it as long as no other topic has the same sum.

const (
	recordBit       = 61
	recordPartBits  = 21
	recordOffBits   = recordBit - recordPartBits
	recordPartMask  = 1<<recordPartBits - 1
	recordOffMask   = 1<<recordOffBits - 1
	recordFirstRead = 64 << 10 // stored bytes that a pull reads first; then twice as many each time
	recordMostRead  = 1 << 20
)

// recordPosition is the position that the message made of a record has.
func recordPosition(topic penstock.TopicID, partition int32, at penstock.Offset) penstock.Position {
	if at > recordOffMask {
		at = recordOffMask // nothing is found there
	}
	return 1<<recordBit | penstock.Position((topicHash(topic)+uint32(partition))&recordPartMask)<<recordOffBits | penstock.Position(at)
}

func topicHash(id penstock.TopicID) uint32 {
	h := fnv.New32a()
	h.Write(id[:])
	return h.Sum32()
}

// ofRecord reports whether a position is a record's.
func ofRecord(at penstock.Position) bool { return at>>recordBit == 1 }

// locateRecord finds the partition and offset of a record by its position. With a topic's name only that topic is looked at.
func (f *Front) locateRecord(at penstock.Position, topic string) (*route, int32, penstock.Offset, error) {
	sum, off := uint32(at>>recordOffBits)&recordPartMask, penstock.Offset(at&recordOffMask)
	var found *route
	var part uint32
	t := f.routes.Load()
	for _, r := range t.names {
		if r.native || topic != "" && r.name != topic {
			continue
		}
		n := (sum - topicHash(r.id)) & recordPartMask
		if int(n) >= len(r.parts) {
			continue
		}
		if found != nil {
			return nil, 0, 0, fmt.Errorf("%w: the record at position %d may be in topic %s or %s: name the topic", penstock.ErrOffsetOutOfRange, at, found.name, r.name)
		}
		found, part = r, n
	}
	if found == nil || off == recordOffMask {
		return nil, 0, 0, fmt.Errorf("%w: no record has position %d", penstock.ErrOffsetOutOfRange, at)
	}
	return found, int32(part), off, nil
}

// OfRecord reports whether a position is one that the message made of a record has.
func OfRecord(at penstock.Position) bool { return ofRecord(at) }

// LocateRecord finds the record whose message has a position: its topic, partition and offset. With a topic's name only that topic is looked at. Errors wrap
// penstock.ErrOffsetOutOfRange. It does not look whether the record is there.
func (f *Front) LocateRecord(at penstock.Position, topic string) (name string, partition int32, off penstock.Offset, err error) {
	r, partition, off, err := f.locateRecord(at, topic)
	if err != nil {
		return "", 0, penstock.NoOffset, err
	}
	return r.name, partition, off, nil
}

// translator makes messages of records for one pull at a time. Its memory is kept with the call.
type translator struct {
	unpacker convert.Unpacker
	bytes    []byte // the messages
	stored   []byte // batches
	extents  []penstock.Extent
	place    convert.Place
	topic    penstock.TopicID
}

// aim says of which queue the records are.
func (v *translator) aim(r *route, queue int32, host netip.AddrPort) {
	v.place = convert.Place{Topic: r.text, Queue: queue, StoreHost: host}
	v.topic = r.id
}

// want is what a pull asks of a translator.
type want struct {
	from  penstock.Offset
	bytes int64
	count int
	scan  int
	tags  []int64
}

var errEnough = errors.New("enough")

// pull adds the messages of the records that are wanted, as replica.Partition.Pull does for stored ones.
func (v *translator) pull(led *replica.Partition, w want) (store.Pulled, replica.Offsets, error) {
	got := store.Pulled{Next: w.from}
	v.bytes = v.bytes[:0]
	edges := led.Offsets()
	for read := int64(recordFirstRead); ; read = min(2*read, recordMostRead) {
		before := got.Next
		err := v.read(led, got.Next, read)
		if err == nil {
			err = v.translate(&got, &w)
		}
		edges = led.Offsets()
		switch {
		case errors.Is(err, errEnough):
			return got, edges, nil
		case err != nil && got.Count > 0:
			return got, edges, nil // it is told once it is what comes first
		case err != nil:
			return got, edges, err
		case got.Next == before || got.Next >= edges.HighWatermark:
			return got, edges, nil
		}
	}
}

// read reads stored batches from an offset on: at least one whole, if there is one.
func (v *translator) read(led *replica.Partition, from penstock.Offset, most int64) (err error) {
	v.extents, _, err = led.Read(replica.ReadRequest{
		From: from, Max: most, Whole: true, Epoch: penstock.NoEpoch, LastEpoch: penstock.NoEpoch,
	}, v.extents[:0])
	defer func() { v.extents = penstock.ReleaseAll(v.extents) }()
	v.stored = v.stored[:0]
	for _, e := range v.extents {
		at := len(v.stored)
		v.stored = append(v.stored, make([]byte, e.Len)...)
		if _, err := e.File.ReadAt(v.stored[at:], e.Off); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("stored records: %w", err)
		}
	}
	return err
}

// translate goes through the batches that were read. The error is errEnough when there is as much as wanted.
func (v *translator) translate(got *store.Pulled, w *want) error {
	f := record.Format{}
	for b := v.stored; len(b) >= f.HeaderSize(); {
		h, err := f.Header(b)
		if err != nil {
			return err
		}
		if int(h.Size) > len(b) {
			return nil // the rest comes with the next read
		}
		one := b[:h.Size:h.Size]
		b = b[h.Size:]
		if h.NextOffset() <= got.Next {
			continue
		}
		if err := f.Verify(one); err != nil {
			return err // a message's own checksum would vouch for what is broken
		}
		if !h.Is(penstock.FlagControl) {
			err := record.Each(one, recordLimits, func(r *record.Record) error { return v.add(r, got, w) })
			if errors.Is(err, penstock.ErrTooLarge) {
				err = v.add(omitted(max(got.Next, h.BaseOffset), h.LastOffset(), h.MaxTimestamp), got, w)
			}
			if err != nil {
				return err
			}
		}
		got.Next = h.NextOffset()
	}
	return nil
}

// recordLimits bound what one batch may become. It is read piece by piece; what counts is the time.
var recordLimits = record.Limits{Bytes: 64 << 20, Ratio: 1 << 20}

// add makes a message of a record, if it is wanted.
func (v *translator) add(r *record.Record, got *store.Pulled, w *want) error {
	if r.Offset < got.Next {
		return nil
	}
	if got.Count >= w.count || w.scan <= 0 {
		return errEnough
	}
	w.scan--
	v.place.Offset, v.place.StoreTime, v.place.Position = r.Offset, r.Timestamp, recordPosition(v.topic, v.place.Queue, r.Offset)
	start := len(v.bytes)
	out, err := v.unpacker.Append(v.bytes, r, &v.place)
	if err != nil {
		// It has no form that a client could take, and waiting does not make one: what can be told of it is.
		out, err = v.unpacker.Append(v.bytes, unsuited(r), &v.place)
	}
	if err != nil {
		return err
	}
	if len(w.tags) > 0 && !tagged(out[start:], w.tags) {
		v.bytes, got.Next = out[:start], r.Offset+1
		return nil
	}
	if n := int64(len(out) - start); got.Count > 0 && got.Bytes+n > w.bytes {
		v.bytes = out[:start]
		return errEnough
	}
	v.bytes = out
	got.Count++
	got.Bytes = int64(len(out))
	got.Next = r.Offset + 1
	return nil
}

// headerOmitted names what a message does not have of its record.
const headerOmitted = "penstock.omitted"

// unsuited stands for a record whose headers or value are more than a message can hold, so that a consumer gets past it: its headers are left out,
// and its key and value if they are too large themselves. A property says so.
func unsuited(r *record.Record) *record.Record {
	out, left := *r, "headers"
	if len(out.Key) > message.MaxProperties/4 {
		out.Key, left = nil, left+",key"
	}
	if len(out.Value) > message.MaxBytes-message.MaxProperties-1024 {
		out.Value, left = []byte{}, left+",value"
	}
	omit(&out, left)
	return &out
}

// omitted stands for the rest of a batch that becomes larger than can be: a consumer gets past it, and is told.
func omitted(first, last penstock.Offset, at penstock.Timestamp) *record.Record {
	r := &record.Record{Offset: first, Timestamp: at, Value: []byte{}}
	omit(r, fmt.Sprintf("records %d to %d", first, last))
	return r
}

// omit gives a record the one header that says what it does not have.
func omit(r *record.Record, what string) {
	r.Headers, r.Raw = 1, append(binary.AppendVarint(nil, int64(len(headerOmitted))), headerOmitted...)
	r.Raw = append(binary.AppendVarint(r.Raw, int64(len(what))), what...)
}

// tagged reports whether a message's tag has one of the codes.
func tagged(stored []byte, tags []int64) bool {
	m, err := message.Parse(stored)
	if err != nil {
		return false
	}
	tag, _ := message.Property(m.Properties, message.PropertyTags)
	code := message.TagCode(string(tag))
	for _, t := range tags {
		if t == code {
			return true
		}
	}
	return false
}

// readRecords pulls from a topic of records.
func (c *pullCall) readRecords() (err error) {
	v := c.records
	if v == nil {
		v = &translator{}
		c.records = v
	}
	v.aim(c.route, c.led.ID().Partition, c.session.store)
	c.got, c.edges, err = v.pull(c.led, want{from: c.from, bytes: c.bytes, count: c.count, scan: c.front.o.Limits.PullScan, tags: c.tags})
	return err
}

// attachRecords puts what was pulled of a topic of records into the answer.
func (c *pullCall) attachRecords(a *wire.Answer) {
	a.B = append(a.B, c.records.bytes...)
	a.Copied(len(c.records.bytes), metric.ReasonConverted, c.out)
}

// keepTranslated is the most memory of each kind that a call keeps for what it translates next.
const keepTranslated = 1 << 20

// drop forgets what was translated. Much memory is given back.
func (v *translator) drop() {
	if v == nil {
		return
	}
	if v.bytes = v.bytes[:0]; cap(v.bytes) > keepTranslated {
		v.bytes = nil
	}
	if v.stored = v.stored[:0]; cap(v.stored) > 2*keepTranslated {
		v.stored = nil
	}
}

// viewRecord answers with the record at a position, as a message.
func (s *session) viewRecord(t ticket, at penstock.Position, topic string) {
	b, r, err := s.front.recordAt(at, topic, s.store)
	if err != nil {
		s.refuse(t, codeSystemError, fmt.Sprintf("can not find message by the offset, %d: %v", at, err))
		return
	}
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, t.head(codeSuccess, ""))
	a.B = append(w.End(), b...)
	a.Copied(len(b), metric.ReasonConverted, r.out)
	s.front.send(t, codeSuccess, a)
}

// recordAt is the record at a position as a stored message, and its topic. The topic's name may be empty; see locateRecord.
func (f *Front) recordAt(at penstock.Position, topic string, host netip.AddrPort) ([]byte, *route, error) {
	r, queue, off, err := f.locateRecord(at, topic)
	if err != nil {
		return nil, nil, err
	}
	led := f.partition(r, queue)
	if led == nil {
		return nil, nil, fmt.Errorf("%w: queue %d of topic %s", penstock.ErrNotLeader, queue, r.name)
	}
	b, err := f.recordMessage(r, led, off, host)
	return b, r, err
}

// storedAt is the message at a position, of a topic of either format.
func (f *Front) storedAt(at penstock.Position, topic string, host netip.AddrPort) ([]byte, error) {
	if ofRecord(at) {
		b, _, err := f.recordAt(at, topic, host)
		return b, err
	}
	extents, _, err := f.located(at)
	if err != nil {
		return nil, err
	}
	return load(extents)
}

// recordMessage is the record at an offset as a stored message.
func (f *Front) recordMessage(r *route, led *replica.Partition, at penstock.Offset, host netip.AddrPort) ([]byte, error) {
	var v translator
	v.aim(r, led.ID().Partition, host)
	got, _, err := v.pull(led, want{from: at, bytes: 1, count: 1, scan: 1})
	if err == nil && (got.Count == 0 || v.place.Offset != at) {
		err = fmt.Errorf("%w: no record at offset %d of queue %d of topic %s", penstock.ErrOffsetOutOfRange, at, led.ID().Partition, r.name)
	}
	return v.bytes, err
}
