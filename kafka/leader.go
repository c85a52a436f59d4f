package kafka

import (
	"encoding/binary"

	"penstock"
)

// Where a partition is led elsewhere the answer says where, so that a client need not ask for metadata first (KIP-951):
// the leader's id and epoch in a tagged field of the partition, the addresses of the brokers in tag 0 of the answer.

// appendLeader ends a partition with the tagged field of that number which names its leader.
//
//	tag: int32 leader id | int32 leader epoch | no tags
func appendLeader(dst []byte, tag byte, r *route, index int32) []byte {
	if r == nil || index < 0 || int(index) >= len(r.parts) {
		return append(dst, 0)
	}
	p := &r.parts[index]
	dst = append(dst, 1, tag, 4+4+1)
	dst = appendInt32(dst, int32(p.leader))
	dst = appendInt32(dst, int32(p.epoch))
	return append(dst, 0)
}

// appendBrokers ends an answer with the tagged field that holds the addresses of all brokers.
//
//	tag 0: array of (int32 id | string host | int32 port | nullable string rack | no tags)
func (f *Front) appendBrokers(dst []byte) []byte {
	brokers := f.brokers()
	body := appendCount(nil, len(brokers), true)
	for _, b := range brokers {
		body = appendInt32(body, int32(b.id))
		body = appendText(body, b.host, true)
		body = appendInt32(body, b.port)
		body = appendTextOrNull(body, b.rack, true)
		body = append(body, 0)
	}
	dst = append(dst, 1, 0)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// address is where one broker is reached on this listener.
type address struct {
	id   penstock.BrokerID
	host string
	port int32
	rack string
}

// brokers lists the brokers that have this listener, by id.
func (f *Front) brokers() []address {
	img := f.o.Topics.Image()
	var out []address
	for _, id := range sortedBrokers(img.Brokers) {
		b := img.Brokers[id]
		if host, port, ok := f.endpoint(b); ok {
			out = append(out, address{id, host, port, b.Rack})
		}
	}
	return out
}
