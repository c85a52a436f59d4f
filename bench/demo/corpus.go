package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// partSize is where a file is split: records stay below a topic's default for the largest batch.
	partSize = 512 << 10
	// partHeader names the header that numbers the parts of a split file, "1 of 3".
	partHeader = "part"
)

// corpus is a tree of files as records, and what their sums must be.
type corpus struct {
	files   int
	records int64
	bytes   int64 // keys and values
	parts   []*kgo.Record
	sums    [][]byte // SHA-256 of the records of each partition, in order
	counts  []int64  // records of each partition
}

// loadCorpus reads every regular file under root. The key of a record is the file's path; all parts of a file go to one
// partition, in order.
func loadCorpus(root string, partitions int) (*corpus, error) {
	c := &corpus{counts: make([]int64, partitions)}
	hashes := newHashes(partitions)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		c.files++
		p := place(name, partitions)
		for _, r := range split(name, data) {
			r.Partition = p
			c.parts = append(c.parts, r)
			c.records++
			c.bytes += int64(len(r.Key) + len(r.Value))
			c.counts[p]++
			feed(hashes[p], r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", root, err)
	}
	if c.records == 0 {
		return nil, fmt.Errorf("no files in %s", root)
	}
	c.sums = sums(hashes)
	return c, nil
}

// split makes one record of a file, or several with headers if it is large.
func split(name string, data []byte) []*kgo.Record {
	if len(data) <= partSize {
		return []*kgo.Record{{Key: []byte(name), Value: data}}
	}
	n := (len(data) + partSize - 1) / partSize
	var rs []*kgo.Record
	for i := range n {
		h := kgo.RecordHeader{Key: partHeader, Value: fmt.Appendf(nil, "%d of %d", i+1, n)}
		rs = append(rs, &kgo.Record{
			Key: []byte(name), Headers: []kgo.RecordHeader{h},
			Value: data[i*partSize : min((i+1)*partSize, len(data))],
		})
	}
	return rs
}

// place is the partition of a file.
func place(name string, partitions int) int32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int32(h.Sum32() % uint32(partitions))
}

func newHashes(n int) []hash.Hash {
	hs := make([]hash.Hash, n)
	for i := range hs {
		hs[i] = sha256.New()
	}
	return hs
}

// feed adds a record to a partition's sum: key, headers and value, each with its length in front, so that nothing can move
// from one to another.
func feed(h hash.Hash, r *kgo.Record) {
	var b [8]byte
	add := func(p []byte) {
		binary.BigEndian.PutUint64(b[:], uint64(len(p)))
		h.Write(b[:])
		h.Write(p)
	}
	add(r.Key)
	for _, x := range r.Headers {
		add([]byte(x.Key))
		add(x.Value)
	}
	add(r.Value)
}

func sums(hs []hash.Hash) [][]byte {
	var out [][]byte
	for _, h := range hs {
		out = append(out, h.Sum(nil))
	}
	return out
}
