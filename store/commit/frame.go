package commit

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"penstock"
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
