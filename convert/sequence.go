package convert

import (
	"bytes"
	"strconv"

	"penstock"
	"penstock/message"
)

// PropertyProducer is the property in which a message says that a batch of an idempotent producer begins with it: the producer's id, its epoch, the
// sequence of the first record and the number of records, with colons between. It is the broker's own: fronts do not take it from clients.
const PropertyProducer = "kafka.producer"

// appendSequence appends the property for a batch.
func appendSequence(dst []byte, h *penstock.BatchHeader) []byte {
	dst = append(append(dst, PropertyProducer...), separators[0])
	for i, n := range [...]int64{int64(h.ProducerID), int64(h.ProducerEpoch), int64(h.BaseSequence), int64(h.LastDelta) + 1} {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = strconv.AppendInt(dst, n, 10)
	}
	return append(dst, separators[1])
}

// parseSequence reads the property of a message at an offset.
func parseSequence(p []byte) (h penstock.BatchHeader, ok bool) {
	var n [4]int64
	for i, bits := range [...]int{64, 16, 32, 32} {
		one, rest, more := bytes.Cut(p, []byte{':'})
		v, err := strconv.ParseInt(string(one), 10, bits)
		if err != nil || v < 0 || more != (i < 3) {
			return h, false
		}
		n[i], p = v, rest
	}
	h = penstock.BatchHeader{
		ProducerID: penstock.ProducerID(n[0]), ProducerEpoch: int16(n[1]), BaseSequence: int32(n[2]), Records: int32(n[3]), LastDelta: int32(n[3]) - 1,
		Epoch: penstock.NoEpoch,
	}
	return h, n[3] > 0
}

// Sequences calls visit for each message of b, which is stored messages one behind the other. Where a batch of an idempotent producer begins with it the
// header is the batch's, with offset, sequence, count and time, as it was when it was taken apart; such a batch may have been cut off by a crash: then it
// reaches behind the last message. Else the header is of the message alone, which has no producer; the messages of one batch have one time. next is
// the offset behind the last whole message of b, NoOffset if there is none. Errors wrap penstock.ErrCorrupt.
func Sequences(b []byte, visit func(*penstock.BatchHeader)) (next penstock.Offset, err error) {
	next = penstock.NoOffset
	_, err = Each(b, func(stored []byte) error {
		m, err := message.Parse(stored)
		if err != nil {
			return err
		}
		next = m.QueueOffset + 1
		h, ok := penstock.BatchHeader{}, false
		if v, has := message.Property(m.Properties, PropertyProducer); has {
			h, ok = parseSequence(v)
		}
		if !ok {
			h = penstock.BatchHeader{ProducerID: penstock.NoProducer, ProducerEpoch: -1, BaseSequence: -1, Records: 1, Epoch: penstock.NoEpoch}
		}
		h.BaseOffset, h.FirstTimestamp, h.MaxTimestamp = m.QueueOffset, m.StoreTime, m.StoreTime
		visit(&h)
		return nil
	})
	return next, err
}
