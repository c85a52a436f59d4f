package record

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"penstock"
)

// What decompressing one batch may cost, whatever its bytes say. It is done for look-ups by time, for the keys of compacted
// topics, and for clients of the other protocol (Each). The output goes by in pieces and is never held whole.
const (
	maxUnpacked    = 256 << 20 // bytes of output, which bounds the time
	maxZstdWindow  = 32 << 20  // bytes that zstd may look back; levels up to 21 of the usual libraries stay below
	maxSnappyRatio = 64        // output bytes of a snappy block for each of its input; the format reaches about 21
	unpackBuffer   = 4 << 10   // bytes decompressed ahead of the reader
)

// tooMuch ends the reading of a batch that has more in it than it may.
func tooMuch(limit int64) error {
	return fmt.Errorf("%w: more than %d bytes in a compressed batch", penstock.ErrTooLarge, limit)
}

// brief is what the look-ups want of a record.
type brief struct {
	delta int32 // offset minus the batch's base
	at    penstock.Timestamp
	key   bool // it has one
}

// eachBrief calls visit for the records of the batch b, decompressed if need be, until it returns false.
func eachBrief(b []byte, h *penstock.BatchHeader, visit func(brief) bool) error {
	if h.Codec != penstock.CodecNone {
		return eachPacked(b, h, visit)
	}
	w := walk(b, h)
	for r := (Record{}); w.Next(&r); {
		if !visit(brief{delta: int32(r.Offset - h.BaseOffset), at: r.Timestamp, key: r.Key != nil}) {
			return nil
		}
	}
	return w.Err()
}

// checkKeys demands a key of every record, and offsets that count up from the first, as a compactor relies on.
func checkKeys(b []byte, h *penstock.BatchHeader) error {
	n, bad := int32(0), false
	err := eachBrief(b, h, func(r brief) bool {
		bad = !r.key || r.delta != n
		n++
		return !bad
	})
	if err != nil {
		return err
	}
	if bad {
		return fmt.Errorf("%w: record %d of the batch has no key or is out of order", penstock.ErrInvalidRecord, n-1)
	}
	return nil
}

func eachPacked(b []byte, h *penstock.BatchHeader, visit func(brief) bool) error {
	src, closeSrc, err := unpack(h.Codec, b[headerSize:], maxUnpacked)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", penstock.ErrCorrupt, h.Codec, err)
	}
	defer closeSrc()
	s := stream{r: bufio.NewReaderSize(&capped{r: src, left: maxUnpacked, limit: maxUnpacked}, unpackBuffer)}
	base, previous := baseTimeOf(b), int32(-1)
	for i := range h.Records {
		r, err := s.next()
		if err == nil && (r.delta <= previous || r.delta > h.LastDelta) {
			err = errors.New("offset out of order")
		}
		if err != nil {
			return unpackError(h.Codec, i, err)
		}
		previous = r.delta
		r.at += base
		if h.Is(penstock.FlagLogAppendTime) {
			r.at = h.MaxTimestamp
		}
		if !visit(r) {
			return nil
		}
	}
	if _, err := s.r.ReadByte(); !errors.Is(err, io.EOF) {
		return unpackError(h.Codec, h.Records, errors.New("more after the last record"))
	}
	return nil
}

// unpackError tells a batch that is too large from one that is broken.
func unpackError(c penstock.Codec, record int32, err error) error {
	if errors.Is(err, penstock.ErrTooLarge) {
		return err
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return fmt.Errorf("%w: %s: %w", penstock.ErrTooLarge, c, err)
	}
	return fmt.Errorf("%w: %s: record %d: %w", penstock.ErrCorrupt, c, record, err)
}

// decoders are those of zstd, whose tables are large.
var decoders = sync.Pool{}

// newZstd takes a decoder from the pool, and closeR gives it back.
func newZstd(p []byte) (r io.Reader, closeR func(), err error) {
	z, _ := decoders.Get().(*zstd.Decoder)
	if z == nil {
		z, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxUnpacked),
			zstd.WithDecoderMaxWindow(maxZstdWindow))
	}
	if err == nil {
		err = z.Reset(bytes.NewReader(p))
	}
	if err != nil {
		return nil, nil, err
	}
	return z, func() {
		if z.Reset(nil) == nil {
			decoders.Put(z)
		}
	}, nil
}

// unpack opens the compressed records p for reading. No block of them is held that is larger than limit.
func unpack(c penstock.Codec, p []byte, limit int64) (r io.Reader, closeR func(), err error) {
	switch c {
	case penstock.CodecGzip:
		z, err := gzip.NewReader(bytes.NewReader(p))
		return z, func() {}, err
	case penstock.CodecSnappy:
		return newSnappy(p, limit), func() {}, nil
	case penstock.CodecLZ4:
		return lz4.NewReader(bytes.NewReader(p)), func() {}, nil
	case penstock.CodecZstd:
		return newZstd(p)
	}
	return nil, nil, errors.New("no such codec")
}

// capped reads up to left bytes and then fails, where io.LimitReader would end as if all were well.
type capped struct {
	r     io.Reader
	left  int64
	limit int64 // that left began with
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		// There may be nothing more.
		if n, err := c.r.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err
		}
		return 0, tooMuch(c.limit)
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// stream reads records and drops keys, values and headers as they pass.
type stream struct {
	r    *bufio.Reader
	used int64 // bytes taken since the current record's length
}

// ReadByte makes a stream an io.ByteReader that counts.
func (s *stream) ReadByte() (byte, error) {
	s.used++
	return s.r.ReadByte()
}

// next reads one record, its timestamp still relative to the batch's.
func (s *stream) next() (brief, error) {
	length, err := binary.ReadVarint(s)
	if err != nil {
		return brief{}, err
	}
	s.used = 0
	var fields [4]int64 // attributes, timestamp delta, offset delta, length of the key
	if _, err := s.ReadByte(); err != nil {
		return brief{}, err
	}
	for i := 1; i < len(fields); i++ {
		if fields[i], err = binary.ReadVarint(s); err != nil {
			return brief{}, err
		}
	}
	delta, key := fields[2], fields[3]
	if length > math.MaxInt32 || delta < 0 || delta > math.MaxInt32 || key < -1 || s.used+max(key, 0) > length {
		return brief{}, errors.New("malformed record")
	}
	if _, err := s.r.Discard(int(length - s.used)); err != nil {
		return brief{}, err
	}
	return brief{delta: int32(delta), at: penstock.Timestamp(fields[1]), key: key >= 0}, nil
}

// xerialMagic opens the framing that Java's snappy library puts around its blocks: 8 bytes, two 32-bit versions, then
// blocks, each behind its length.
const (
	xerialMagic  = "\x82SNAPPY\x00"
	xerialHeader = len(xerialMagic) + 8
)

// snappyReader decompresses one block at a time.
type snappyReader struct {
	rest   []byte
	framed bool
	limit  int64  // bytes of one block
	block  []byte // decompressed, reused
	unread []byte // part of block
}

func newSnappy(p []byte, limit int64) *snappyReader {
	if len(p) >= xerialHeader && string(p[:len(xerialMagic)]) == xerialMagic {
		return &snappyReader{rest: p[xerialHeader:], framed: true, limit: limit}
	}
	return &snappyReader{rest: p, limit: limit}
}

// Read hands out what is decompressed, and decompresses the next block when that is used up.
func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.unread) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

func (s *snappyReader) next() error {
	if len(s.rest) == 0 {
		return io.EOF
	}
	block := s.rest
	if s.framed {
		if len(s.rest) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := binary.BigEndian.Uint32(s.rest)
		if uint64(n) > uint64(len(s.rest)-4) {
			return io.ErrUnexpectedEOF
		}
		block = s.rest[4 : 4+n]
		s.rest = s.rest[4+n:]
	} else {
		s.rest = nil
	}
	n, err := s2.DecodedLen(block)
	if err != nil {
		return err
	}
	if int64(n) > s.limit {
		return tooMuch(s.limit)
	}
	if n > maxSnappyRatio*len(block) {
		return errors.New("block claims to be larger than it can be")
	}
	if n > cap(s.block) {
		s.block = make([]byte, n)
	}
	s.unread, err = s2.Decode(s.block[:n], block)
	return err
}
