package rocket

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"penstock"
	"penstock/meta"
	"penstock/record"
	"penstock/replica"
)

// sealRecords fills in length and checksum of a record batch.
func sealRecords(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// records are the records of a partition on one line each.
func (h *house) records(topic *meta.Topic, partition int32) (out []string) {
	h.t.Helper()
	p := h.replicas.Partition(penstock.PartitionID{Topic: topic.ID, Partition: partition})
	ext, _, err := p.Read(replica.ReadRequest{Max: 64 << 20, Whole: true, Epoch: penstock.NoEpoch, LastEpoch: penstock.NoEpoch}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := load(ext)
	if err != nil {
		h.t.Fatal(err)
	}
	for len(b) > 0 {
		head, err := record.Format{}.Header(b)
		if err == nil {
			err = record.Each(b[:head.Size], record.Limits{}, func(r *record.Record) error {
				s := fmt.Sprintf("%d @%d %q: %q", r.Offset, r.Timestamp, r.Key, r.Value)
				r.EachHeader(func(k, v []byte) bool {
					s += fmt.Sprintf(" %s=%s", k, v)
					return true
				})
				out = append(out, s)
				return nil
			})
		}
		if err != nil {
			h.t.Fatal(err)
		}
		b = b[head.Size:]
	}
	return out
}

// damage changes the nth place, from 0, in which files below dir hold some bytes.
func damage(t testing.TB, dir string, what []byte, nth int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for from := 0; ; nth-- {
			i := bytes.Index(b[from:], what)
			if i < 0 {
				return nil
			}
			if nth == 0 {
				f, err := os.OpenFile(name, os.O_RDWR, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = f.WriteAt([]byte{what[0] ^ 1}, int64(from+i))
				nth--
				return cmp.Or(err, fs.SkipAll)
			}
			from += i + 1
		}
	})
	if err != nil || nth != -1 {
		t.Fatalf("not found, %v", err)
	}
}
