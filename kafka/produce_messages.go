package kafka

import (
	"net"
	"net/netip"
	"sync"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/record"
	"penstock/replica"
)

// Producing to a topic of the message format: each record becomes a message (package convert), in the reader's goroutine, and all of a batch go to
// the log in one append. The offsets are those that the batch would have got. To the sequences of idempotent producers the batch is one, as
// it is in the answer.
//
// Invariants:
//
//  1. Batches of one partition keep their order: the tray goes first.
//  2. The messages lie in memory of the broker's that is bounded by Limits.ConvertBytes for each batch, and free again when Append returns.

// conversion is what a batch of records has become. It is pooled.
type conversion struct {
	unpacker convert.Unpacker
	place    convert.Place
	bytes    []byte
	ends     []int // of the messages in bytes
	batches  []penstock.Batch
}

// Bounds on what a pooled conversion keeps.
const (
	keepConverted = 4 << 20
	keepMessages  = 16 << 10
)

var conversions = sync.Pool{New: func() any { return &conversion{} }}

// recycle gives the conversion back.
func (v *conversion) recycle() {
	clear(v.batches)
	v.bytes, v.ends, v.batches = v.bytes[:0], v.ends[:0], v.batches[:0]
	v.place = convert.Place{Topic: v.place.Topic[:0]}
	if cap(v.bytes) <= keepConverted && cap(v.ends) <= keepMessages {
		conversions.Put(v)
	}
}

// appendMessages appends the part's batch, which is validated, to a topic of messages.
func (p *producePart) appendMessages() {
	c := p.call
	c.session.appendTray()
	v := conversions.Get().(*conversion)
	defer v.recycle()
	if err := v.convert(p); err != nil {
		p.fail(err)
		return
	}
	r := replica.AppendRequest{Batches: v.batches, Acks: c.acks, Epoch: penstock.NoEpoch}
	if h := &p.batch[0].Header; h.ProducerID != penstock.NoProducer {
		r.Whole = h
	}
	c.pending.Add(1)
	if res, done := p.led.Append(r, p.notify); done {
		p.settle(res)
		c.pending.Add(-1) // never the last: the handler holds one
	}
}

// convert makes messages of the part's batch.
func (v *conversion) convert(p *producePart) error {
	f := p.call.front
	v.place = convert.Place{
		Topic: append(v.place.Topic[:0], p.route.name...), Queue: p.index, StoreTime: penstock.Timestamp(f.o.Now().UnixMilli()),
		BornHost: hostOf(p.call.request.wire.Conn().RemoteAddr()), RecordCRC: true,
	}
	if f.o.StoreHost != nil {
		v.place.StoreHost = f.o.StoreHost()
		if !v.place.StoreHost.Addr().IsValid() {
			here := hostOf(p.call.request.wire.Conn().LocalAddr())
			v.place.StoreHost = netip.AddrPortFrom(here.Addr(), v.place.StoreHost.Port())
		}
	}
	limit := f.o.Limits.ConvertBytes
	if h := &p.batch[0].Header; h.ProducerID != penstock.NoProducer {
		v.place.Producer = h
	}
	err := record.Each(p.batch[0].Bytes, record.Limits{Bytes: int64(limit)}, func(r *record.Record) (err error) {
		if len(r.Key)+len(r.Value)+len(r.Raw) > limit-len(v.bytes) {
			return errConverted(limit)
		}
		v.bytes, err = v.unpacker.Append(v.bytes, r, &v.place)
		v.place.Producer = nil
		if err == nil {
			v.ends = append(v.ends, len(v.bytes))
		}
		return err
	})
	at := 0
	for _, end := range v.ends {
		b := v.bytes[at:end:end]
		h, bad := message.Format{}.Header(b)
		if bad != nil && err == nil {
			err = bad
		}
		v.batches = append(v.batches, penstock.Batch{Header: h, Bytes: b})
		at = end
	}
	return err
}

// hostOf is an end of a connection as a message has it.
func hostOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	return netip.AddrPort{}
}

// rocketOwn are the topics of RocketMQ's brokers that clients may not send to (TopicValidator): what they hold means something.
var rocketOwn = map[string]bool{
	"SCHEDULE_TOPIC_XXXX": true, "RMQ_SYS_TRANS_HALF_TOPIC": true, "RMQ_SYS_TRANS_OP_HALF_TOPIC": true, "TRANS_CHECK_MAX_TIME_TOPIC": true,
	"SELF_TEST_TOPIC": true, "OFFSET_MOVED_EVENT": true,
}
