package commit

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"penstock"
	"penstock/message"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frame stands before the batches of one append to one partition in a log of the record format:
//
//	0  magic "PSFR"
//	4  bytes of batches that follow
//	8  topic id
//	24 partition
//	28 CRC-32C of what stands before
const (
	frameMagic = 0x50534652
	frameSize  = 32
)

func appendFrame(dst []byte, id penstock.PartitionID, n int64) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, frameMagic)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, id.Topic[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(id.Partition))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

func parseFrame(b []byte) (id penstock.PartitionID, n int64, err error) {
	if len(b) < frameSize || binary.BigEndian.Uint32(b) != frameMagic || crc32.Checksum(b[:28], castagnoli) != binary.BigEndian.Uint32(b[28:]) {
		return id, 0, fmt.Errorf("%w: no frame", penstock.ErrCorrupt)
	}
	copy(id.Topic[:], b[8:])
	id.Partition = int32(binary.BigEndian.Uint32(b[24:]))
	return id, int64(binary.BigEndian.Uint32(b[4:])), nil
}

// queueName is whose a message is, as RocketMQ names it.
type queueName struct {
	topic string
	queue int32
}

// describe takes from a message what its queue needs: whose it is and the hash of its tag. Properties that end in a zero byte are refused:
// this is how a message looks of which a power cut has taken the end, its record's checksum with it.
func describe(b []byte) (queueName, int64, error) {
	m, err := message.Parse(b)
	if err != nil {
		return queueName{}, 0, err
	}
	if n := len(m.Properties); n > 0 && m.Properties[n-1] == 0 {
		return queueName{}, 0, fmt.Errorf("%w: message whose properties end in a zero byte", penstock.ErrCorrupt)
	}
	return queueName{string(m.Topic), m.QueueID}, tagOf(m.Properties), nil
}

func tagOf(props []byte) int64 {
	tag, ok := message.Property(props, message.PropertyTags)
	if !ok {
		return 0
	}
	return message.TagCode(string(tag))
}
