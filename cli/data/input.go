package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// input reads records from files, one after the other, or from standard input. It holds one record at a time, of limited
// size. One goroutine calls next.
type input struct {
	files     []string // none, or - among them: stdin
	stdin     io.Reader
	json      bool
	whole     bool // a file is a record
	delimiter byte
	separator []byte // between key and value; empty: no keys
	limit     int    // bytes of a record

	key        []byte // that every record gets, and headers
	headers    []kgo.RecordHeader
	tombstones bool  // empty becomes null
	partition  int32 // of records that do not name one

	at     int // index in files of the one that is open
	open   *os.File
	reader *bufio.Reader
	line   int64
	where  atomic.Pointer[string] // the place reached
	buf    []byte
}

// badRecord is a line that is no record. The lines behind it can be read.
type badRecord struct{ why error }

func (b *badRecord) Error() string { return b.why.Error() }

func (b *badRecord) Unwrap() error { return b.why }

// find makes sure that all files are there before anything is sent.
func (in *input) find() error {
	if len(in.files) == 0 {
		in.files = []string{"-"}
	}
	for _, name := range in.files {
		if name == "-" {
			if in.whole {
				return cli.Usage("--whole-files: - is no file")
			}
			continue
		}
		i, err := os.Stat(name)
		if err != nil {
			return &cli.Error{What: "nothing was sent", Why: err, Code: cli.ExitNotFound}
		}
		if i.IsDir() {
			return cli.Usage("%s is a directory: name its files", name)
		}
	}
	return nil
}

// close closes the file that is open. It belongs to the goroutine that calls next.
func (in *input) close() {
	if in.open != nil {
		_ = in.open.Close() // it was only read
	}
}

// place is how far the input was read. It may be called at any time.
func (in *input) place() string {
	if p := in.where.Load(); p != nil {
		return *p
	}
	return "its start"
}

// next is the next record and where it stands; io.EOF after the last. After a badRecord it goes on.
func (in *input) next() (*kgo.Record, string, error) {
	for in.at < len(in.files) {
		var r *kgo.Record
		var err error
		if in.whole {
			r, err = in.file()
		} else {
			r, err = in.lineRecord()
		}
		if err == io.EOF {
			in.close()
			in.at, in.open, in.reader = in.at+1, nil, nil
			continue
		}
		return r, in.place(), err
	}
	return nil, in.place(), io.EOF
}

// begin opens the file at hand.
func (in *input) begin() error {
	in.line = 0
	src := in.stdin
	if name := in.files[in.at]; name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		in.open, src = f, f
	}
	in.reader = bufio.NewReaderSize(src, 64<<10)
	return nil
}

func (in *input) setPlace() {
	s := fmt.Sprintf("line %d", in.line)
	if name := in.files[in.at]; name != "-" {
		s = fmt.Sprintf("%s:%d", name, in.line)
	}
	in.where.Store(&s)
}

// lineRecord reads the next line.
func (in *input) lineRecord() (*kgo.Record, error) {
	if in.reader == nil {
		if err := in.begin(); err != nil {
			name := in.files[in.at]
			in.where.Store(&name)
			return nil, err
		}
	}
	limit := in.limit
	if in.json {
		limit = 6*in.limit + 4096 // \u0000 is one byte in six
	}
	for {
		b, err := in.readLine(limit)
		if err == io.EOF {
			return nil, err
		}
		in.line++
		in.setPlace()
		if err != nil {
			return nil, err
		}
		if in.json && len(bytes.TrimSpace(b)) == 0 {
			continue
		}
		return in.parse(b)
	}
}

// readLine reads up to a delimiter or the end. What is beyond the limit is passed over, and a badRecord. The bytes are
// valid until the next call.
func (in *input) readLine(limit int) ([]byte, error) {
	in.buf = in.buf[:0]
	size := 0
	for {
		part, err := in.reader.ReadSlice(in.delimiter)
		if err == nil {
			part = part[:len(part)-1]
		}
		if size += len(part); size <= limit {
			in.buf = append(in.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && size == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case size > limit:
			in.buf = nil
			return nil, &badRecord{fmt.Errorf("too large: %d bytes, a batch may have %d. Raise the topic's max.message.bytes or --max-bytes", size, in.limit)}
		}
		return in.buf, nil
	}
}

// parse makes a record of a line.
func (in *input) parse(b []byte) (*kgo.Record, error) {
	if in.json {
		if !utf8.Valid(b) {
			return nil, &badRecord{errors.New("not UTF-8, as JSON must be: value_base64 takes any bytes")}
		}
		r, err := parseLine(b)
		if err != nil {
			return nil, &badRecord{err}
		}
		return in.finish(r), nil
	}
	r := &kgo.Record{Partition: noPartition, Key: in.key}
	value := bytes.Clone(b)
	if value == nil {
		value = []byte{}
	}
	if k, v, ok := bytes.Cut(value, in.separator); ok && len(in.separator) > 0 {
		r.Key, value = k[:len(k):len(k)], v
	}
	r.Value = value
	return in.finish(r), nil
}

// finish adds what every record gets.
func (in *input) finish(r *kgo.Record) *kgo.Record {
	if r.Partition == noPartition {
		r.Partition = in.partition
	}
	if in.tombstones && len(r.Key) == 0 {
		r.Key = nil
	}
	if in.tombstones && len(r.Value) == 0 {
		r.Value = nil
	}
	if len(in.headers) > 0 {
		r.Headers = append(r.Headers, in.headers...)
	}
	return r
}

// file reads the file at hand as one record.
func (in *input) file() (*kgo.Record, error) {
	name := in.files[in.at]
	if in.line++; in.open != nil {
		return nil, io.EOF
	}
	in.where.Store(&name)
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	in.open = f
	b, err := io.ReadAll(io.LimitReader(f, int64(in.limit)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > in.limit {
		return nil, &badRecord{fmt.Errorf("too large: a batch may have %d bytes. Raise the topic's max.message.bytes or --max-bytes", in.limit)}
	}
	return in.finish(&kgo.Record{Partition: noPartition, Key: in.key, Value: b}), nil
}
