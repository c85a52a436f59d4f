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
//	0  magic "PSFR", or "PSFK" where keys of the records are in the index
//	4  bytes of batches that follow
//	8  topic id
//	24 partition
//	28 CRC-32C of what stands before
const (
	frameMagic = 0x50534652
	keyedMagic = 0x5053464b
	frameSize  = 32
)

// frame is what it says.
type frame struct {
	id    penstock.PartitionID
	bytes int64 // of batches
	keyed bool
}

func (f *frame) append(dst []byte) []byte {
	from, magic := len(dst), uint32(frameMagic)
	if f.keyed {
		magic = keyedMagic
	}
	dst = binary.BigEndian.AppendUint32(dst, magic)
	dst = binary.BigEndian.AppendUint32(dst, uint32(f.bytes))
	dst = append(dst, f.id.Topic[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(f.id.Partition))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

func parseFrame(b []byte) (f frame, err error) {
	if len(b) < frameSize || crc32.Checksum(b[:28], castagnoli) != binary.BigEndian.Uint32(b[28:]) {
		return f, errNoFrame
	}
	switch binary.BigEndian.Uint32(b) {
	case frameMagic:
	case keyedMagic:
		f.keyed = true
	default:
		return f, errNoFrame
	}
	copy(f.id.Topic[:], b[8:])
	f.id.Partition = int32(binary.BigEndian.Uint32(b[24:]))
	f.bytes = int64(binary.BigEndian.Uint32(b[4:]))
	if f.bytes > maxLotBytes {
		return f, fmt.Errorf("%w: frame of %d bytes", penstock.ErrCorrupt, f.bytes)
	}
	return f, nil
}

var errNoFrame = fmt.Errorf("%w: no frame", penstock.ErrCorrupt)
