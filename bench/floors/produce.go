package floors

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// readBytes is the least that one read of a connection asks for.
	readBytes = 1 << 20
	// maxPieces is how many pieces one pwritev takes.
	maxPieces = 1024
)

// serveProduce writes what it reads: a batch is four bytes of length, which stay behind, and Unit bytes.
func serveProduce(s Spec, c net.Conn, f *os.File) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	unit := s.Unit + 4
	buf := make([]byte, max(readBytes, unit)+unit)
	answer := make([]byte, headBytes*s.Depth)
	if err := fresh(f, s.fileBytes()); err != nil {
		return err
	}
	var off int64
	have := 0
	for left := s.requests(); left > 0; {
		n, err := c.Read(buf[have:])
		if err != nil {
			return fmt.Errorf("batch: %w", err)
		}
		have += n
		var pieces [][]byte
		pos := 0
		for ; have-pos >= unit; pos += unit {
			b := buf[pos+4 : pos+unit]
			crc32.Checksum(b, table)
			pieces = append(pieces, b)
		}
		if len(pieces) == 0 {
			continue
		}
		if off+int64(len(pieces)*s.Unit) > s.fileBytes() {
			off = 0
			if err := fresh(f, s.fileBytes()); err != nil {
				return err
			}
		}
		if off, err = writePieces(f, pieces, off); err != nil {
			return err
		}
		for rest := len(pieces) * headBytes; rest > 0; rest -= min(rest, len(answer)) {
			if _, err := c.Write(answer[:min(rest, len(answer))]); err != nil {
				return fmt.Errorf("answer: %w", err)
			}
		}
		left -= len(pieces)
		have = copy(buf, buf[pos:have])
	}
	return nil
}

// writePieces writes all pieces from off on and returns where they end.
func writePieces(f *os.File, pieces [][]byte, off int64) (int64, error) {
	for i := 0; i < len(pieces); i += maxPieces {
		run := pieces[i:min(i+maxPieces, len(pieces))]
		want := 0
		for _, p := range run {
			want += len(p)
		}
		n, err := unix.Pwritev(int(f.Fd()), run, off)
		if err != nil {
			return off, fmt.Errorf("pwritev: %w", err)
		}
		if n != want {
			return off, fmt.Errorf("pwritev: %d of %d bytes: %w", n, want, io.ErrShortWrite)
		}
		off += int64(n)
	}
	return off, nil
}

// loadProduce keeps the batches in flight.
func loadProduce(s Spec, c net.Conn) error {
	b := make([]byte, s.Unit+4)
	binary.BigEndian.PutUint32(b, uint32(s.Unit))
	slots := make(chan bool, s.Depth)
	broken := make(chan error, 1)
	go func() {
		sink := make([]byte, headBytes)
		for range s.requests() {
			if _, err := io.ReadFull(c, sink); err != nil {
				broken <- fmt.Errorf("answer: %w", err)
				return
			}
			<-slots
		}
	}()
	take := func() error {
		select {
		case slots <- true:
			return nil
		case err := <-broken:
			return err
		}
	}
	for range s.requests() {
		if err := take(); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return fmt.Errorf("batch: %w", err)
		}
	}
	for range s.Depth { // until the last is answered
		if err := take(); err != nil {
			return err
		}
	}
	return nil
}
