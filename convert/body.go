package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"penstock"
	"penstock/message"
)

// The system flags that say how a body is compressed (MessageSysFlag): the kind, which is zlib where none is named.
const (
	maskCompression message.SysFlag = 0x700
	compressionLZ4  message.SysFlag = 0x100
	compressionZstd message.SysFlag = 0x200
	compressionZlib message.SysFlag = 0x300

	// shownFlags are the bits that mean something to who reads a message.
	shownFlags = message.FlagCompressed | message.FlagMultiTags | maskCompression
)

// maxZstdWindow bounds what zstd may look back; levels up to 21 of the usual libraries stay below.
const maxZstdWindow = 32 << 20

// zstdDecoders are those of zstd, whose tables are large.
var zstdDecoders sync.Pool

// unpackBody appends the decompressed body to dst, as far as it is no more than limit bytes and no more than a codec can honestly make of it. Errors wrap
// penstock.ErrCorrupt or penstock.ErrTooLarge; dst is returned as it was then.
func unpackBody(dst, body []byte, flags message.SysFlag, limit int64) ([]byte, error) {
	src, closeSrc, err := openBody(body, flags)
	if err != nil {
		return dst, fmt.Errorf("%w: compressed body: %w", penstock.ErrCorrupt, err)
	}
	defer closeSrc()
	limit = min(limit, freeBodyBytes+maxCompressedRatio*int64(len(body)))
	out := dst
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := src.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if int64(len(out)-len(dst)) > limit {
			return dst, fmt.Errorf("%w: compressed body: more than %d bytes", penstock.ErrTooLarge, limit)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return dst, fmt.Errorf("%w: compressed body: %w", penstock.ErrCorrupt, err)
		}
	}
}

// openBody opens a compressed body for reading.
func openBody(body []byte, flags message.SysFlag) (r io.Reader, closeR func(), err error) {
	src := bytes.NewReader(body)
	switch flags & maskCompression {
	case 0, compressionZlib:
		z, err := zlib.NewReader(src)
		return z, func() {}, err
	case compressionLZ4:
		return lz4.NewReader(src), func() {}, nil
	case compressionZstd:
		z, _ := zstdDecoders.Get().(*zstd.Decoder)
		if z == nil {
			z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		}
		if err == nil {
			err = z.Reset(src)
		}
		if err != nil {
			return nil, nil, err
		}
		return z, func() {
			if z.Reset(nil) == nil {
				zstdDecoders.Put(z)
			}
		}, nil
	}
	return nil, nil, fmt.Errorf("compressed in a way that is not known: %d", (flags&maskCompression)>>8)
}
