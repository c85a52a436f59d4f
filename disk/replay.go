package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
)

// journalMaxHalf bounds what replay reads of one file.
const journalMaxHalf = 1 << 30

// journalRecord is one record as it was found.
type journalRecord struct {
	seq, floor uint64
	entries    int
	body       []byte // the entries
}

// replay writes what the journal of the process before this one has into the files it belongs to, makes them durable and
// removes the journal. It runs before anything else is opened.
func (d *Disk) replay() error {
	var all []journalRecord
	found := false
	for i := range 2 {
		b, err := d.ReadFile(journalFile(i), journalMaxHalf)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		found = true
		all = append(all, parseJournal(b)...)
	}
	if !found {
		return nil
	}
	r := replayer{d: d, open: map[string]*Handle{}}
	err := r.apply(all)
	if err = errors.Join(err, r.finish()); err != nil {
		return err
	}
	for i := range 2 {
		if err := d.Remove(journalFile(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if r.bytes > 0 || r.lost > 0 {
		d.o.Logger.Info("journal replayed", slog.Int64("bytes", r.bytes), slog.Int("files", r.files))
	}
	return nil
}

// parseJournal reads one half from its beginning: records whose numbers follow one another, up to the first that is not one.
func parseJournal(b []byte) []journalRecord {
	be := binary.BigEndian
	var out []journalRecord
	var run []byte
	for len(b) >= journalHeader && be.Uint32(b) == journalMagic && be.Uint32(b[4:]) == journalVersion {
		n := be.Uint32(b[12:])
		if n < journalHeader || uint64(n) > uint64(len(b)) || crc32.Checksum(b[journalSummed:n], journalTable) != be.Uint32(b[8:]) {
			break
		}
		r := journalRecord{seq: be.Uint64(b[36:]), floor: be.Uint64(b[44:]), entries: int(be.Uint32(b[16:])), body: b[journalHeader:n]}
		if k := len(out); k > 0 && (r.seq != out[k-1].seq+1 || !bytes.Equal(run, b[20:36])) {
			break
		}
		run = b[20:36]
		out = append(out, r)
		b = b[n:]
	}
	return out
}

// replayer writes records to their files.
type replayer struct {
	d     *Disk
	open  map[string]*Handle // nil for a file that is not there
	bytes int64
	files int
	lost  int64
}

func (r *replayer) apply(all []journalRecord) error {
	slices.SortFunc(all, func(a, b journalRecord) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	if len(all) == 0 {
		return nil
	}
	floor := all[len(all)-1].floor
	for i := range all {
		if all[i].seq < floor {
			continue
		}
		if err := r.record(&all[i]); err != nil {
			return fmt.Errorf("journal, record %d: %w", all[i].seq, err)
		}
	}
	return nil
}

var errJournalEntry = errors.New("an entry that is no entry, under a checksum that is right")

func (r *replayer) record(rec *journalRecord) error {
	be := binary.BigEndian
	b := rec.body
	for range rec.entries {
		if len(b) < journalEntry {
			return errJournalEntry
		}
		name, off, n := int(be.Uint16(b)), int64(be.Uint64(b[2:])), int(be.Uint32(b[10:]))
		b = b[journalEntry:]
		if off < 0 || name+n > len(b) {
			return errJournalEntry
		}
		if err := r.entry(string(b[:name]), off, b[name:name+n]); err != nil {
			return err
		}
		b = b[name+n:]
	}
	return nil
}

// entry writes one run of bytes. A file that is gone was removed by somebody else: nothing of the broker's does so while
// the journal has bytes of it.
func (r *replayer) entry(name string, off int64, data []byte) error {
	h, known := r.open[name]
	if !known {
		var err error
		h, err = r.d.OpenFile(name, true)
		if errors.Is(err, fs.ErrNotExist) {
			r.d.o.Logger.Error("the journal has bytes of a file that is gone", slog.String("file", name), slog.Int("bytes", len(data)))
			h, err = nil, nil
		}
		if err != nil {
			return err
		}
		r.open[name] = h
	}
	if h == nil {
		r.lost += int64(len(data))
		return nil
	}
	r.bytes += int64(len(data))
	_, err := h.WriteVec([][]byte{data}, off)
	return err
}

// finish makes the files durable and lets them go.
func (r *replayer) finish() error {
	var hs []*Handle
	for _, h := range r.open {
		if h != nil {
			hs = append(hs, h)
		}
	}
	sortHandles(hs)
	r.files = len(hs)
	err := syncFiles(r.d, hs)
	for _, h := range hs {
		h.Release()
	}
	return err
}

// syncFiles makes files durable, one by one or, where they are many, by one sync of the file system.
func syncFiles(d *Disk, hs []*Handle) error {
	if from := d.o.SyncAllFrom; from > 0 && len(hs) >= from && !d.noSyncAll.Load() {
		marks := make([]uint64, len(hs))
		for i, h := range hs {
			marks[i] = h.written.Load()
		}
		if err := d.writable(); err != nil {
			return err
		}
		done, err := d.syncAll()
		if err != nil {
			return err
		}
		if done {
			for i, h := range hs {
				h.syncedTo(marks[i])
			}
			return d.Err()
		}
	}
	for _, h := range hs {
		if h.synced.Load() == h.written.Load() && h.written.Load() > 0 {
			continue
		}
		if err := h.Sync(); err != nil {
			return err
		}
	}
	return d.Err()
}

// sortHandles puts handles in the order of their names, so that what happens does not hang on a map.
func sortHandles(hs []*Handle) {
	slices.SortFunc(hs, func(a, b *Handle) int { return strings.Compare(a.name, b.name) })
}
