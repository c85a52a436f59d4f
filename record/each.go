package record

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"penstock"
)

// Limits bound what reading the records of one batch may cost, whatever its bytes say. The zero value of each gives its default.
type Limits struct {
	Bytes int64 // of a compressed batch's records, decompressed; default 64 MiB
	Ratio int64 // of these for each compressed byte, beyond the first 4 MiB; default 1,100: gzip reaches 1,032
}

const (
	defaultEachBytes = 64 << 20
	defaultEachRatio = 1100
	freeBytes        = 4 << 20 // that the ratio does not look at
	eachPiece        = 64 << 10
)

// most is what n compressed bytes may become.
func (l Limits) most(n int) int64 {
	return min(cmp.Or(l.Bytes, defaultEachBytes), freeBytes+int64(n)*cmp.Or(l.Ratio, defaultEachRatio))
}

// Each calls visit with every record of the batch b, which is all of b, in order, and returns the first error of visit's. A compressed
// batch is decompressed on the way and never held whole: the record's bytes are good until visit returns. What is claimed
// costs nothing before it is there. Errors wrap penstock.ErrCorrupt, or ErrTooLarge where a limit is met.
func Each(b []byte, l Limits, visit func(*Record) error) error {
	h, err := Format{}.Header(b)
	if err != nil {
		return err
	}
	if int(h.Size) != len(b) {
		return fmt.Errorf("%w: batch of %d bytes in %d", penstock.ErrCorrupt, h.Size, len(b))
	}
	w := walk(b, &h)
	if h.Codec != penstock.CodecNone {
		return w.eachPacked(&h, l, visit)
	}
	var r Record // one for all: it escapes
	for w.Next(&r) {
		if err := visit(&r); err != nil {
			return err
		}
	}
	return w.err
}

// eachPacked reads the compressed records record by record.
func (w *Walker) eachPacked(h *penstock.BatchHeader, l Limits, visit func(*Record) error) error {
	most := l.most(len(w.rest))
	src, closeSrc, err := unpack(h.Codec, w.rest, most)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", penstock.ErrCorrupt, h.Codec, err)
	}
	defer closeSrc()
	in := bufio.NewReaderSize(&capped{r: src, left: most, limit: most}, unpackBuffer)
	var buf []byte
	for i := range h.Records {
		if buf, err = readRecord(in, buf, most); err != nil {
			return unpackError(h.Codec, i, err)
		}
		r, ok := w.parse(buf)
		if !ok {
			return unpackError(h.Codec, i, errors.New("malformed"))
		}
		if err := visit(&r); err != nil {
			return err
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return unpackError(h.Codec, h.Records, cmp.Or(err, errors.New("more after the last record")))
	}
	return nil
}

// readRecord reads one record behind its length into buf, which grows as the bytes come.
func readRecord(in *bufio.Reader, buf []byte, most int64) ([]byte, error) {
	n, err := binary.ReadVarint(in)
	if err != nil {
		return buf, err
	}
	if n < 1 || n > math.MaxInt32 {
		return buf, errors.New("malformed length")
	}
	if n > most {
		return buf, tooMuch(most)
	}
	for buf = buf[:0]; int64(len(buf)) < n; {
		at := len(buf)
		piece := int(min(n-int64(at), max(eachPiece, int64(at)))) // no more than is there already
		if cap(buf)-at < piece {
			buf = append(make([]byte, 0, at+piece), buf...)
		}
		buf = buf[:at+piece]
		if _, err := io.ReadFull(in, buf[at:]); err != nil {
			return buf[:0], err
		}
	}
	return buf, nil
}

// EachHeader calls visit with the record's headers in order until it returns false. A null value is nil. The slices are parts of the
// record's.
func (r *Record) EachHeader(visit func(key, value []byte) bool) {
	c := cursor{b: r.Raw}
	for range r.Headers {
		key := c.take(c.varint())
		value := c.nullable()
		if c.bad || !visit(key, value) {
			return
		}
	}
}
