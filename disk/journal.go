package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"time"

	"penstock"
)

// Part is what one log wants durable of one file.
type Part struct {
	Handle *Handle
	// From and To are the bytes that are not durable yet. They do not change any more once they were given out, until the
	// round has ended. From is negative where the caller does not know: then the file is synced.
	From, To int64
}

// journal makes small writes of many logs durable by one sync of one file instead of one of each: a round's bytes are
// copied into a record, behind the last, and the journal is synced. The logs' own files are synced later, when the half of the
// journal that their bytes lie in is to be used again.
//
// What holds:
//
//  1. At any time what was told to be durable is in the logs' files, synced, or in a live record.
//  2. Live are the records from floor on. Every record carries the floor of its time; that of the newest record counts.
//  3. A half is used again only after every file that has bytes in it was synced.
//  4. Before a file is cut below bytes that live records have, removed or renamed, all files with live bytes are synced and a
//     record without bytes raises the floor, so that replay never brings back what was taken away. No round may hold a part of a
//     file while that happens; that is the owner's to see to.
//  5. Replay writes live records to their files in the order of their numbers. Doing so again changes nothing. So a start that
//     is interrupted is simply done again, and it makes no difference whether the files had the bytes.
//  6. Records carry a number drawn at random by the process that wrote them: what clients sent lies in the journal too, and
//     must never be taken for a record.
//
// The files are in docs/formats/journal.md.
type journal struct {
	d      *Disk
	half   int64 // bytes of one half; 0: there is no journal
	inline bool  // make and retire within the round: a small one, in tests, where a seed must say all
	run    [journalRunBytes]byte

	// write is held for one record, and while files are taken out. It guards what follows.
	write  sync.Mutex
	state  journalState
	retry  time.Time // when to try again to make it
	halves [2]journalHalf
	active int
	seq    uint64 // of the next record
	buf    []byte

	behind bool           // a half was retired and no record says so yet; guarded by write
	bg     sync.WaitGroup // goroutines that make and retire

	mu    sync.Mutex       // guards the next two; taken after write
	files map[string]int64 // files with live bytes, by path: where these end
	dirs  map[string]int   // the directories above them: how many files
}

type journalState uint8

const (
	journalAbsent journalState = iota
	journalMaking
	journalReady
	journalOff // given up, or closed
)

// journalHalf is one of the two files.
type journalHalf struct {
	h        *Handle
	pos      int64                // where the next record goes
	first    uint64               // number of its first record
	files    map[*Handle]struct{} // with bytes in it, a reference each
	retiring bool
}

const (
	journalName      = "journal."
	journalMagic     = 0x50534a4e // "PSJN"
	journalVersion   = 1
	journalRunBytes  = 16
	journalHeader    = 5*4 + journalRunBytes + 2*8 // magic, version, CRC, length, entries, run, number, floor
	journalSummed    = 12                          // the CRC is of what follows it
	journalEntry     = 2 + 8 + 4                   // length of the name, offset, length
	journalMaxRecord = 1 << 20
	journalMaxPart   = 64 << 10 // on average; above it a sync of each file costs less than the copy
	journalRetry     = time.Minute
	journalInline    = 1 << 20 // a half up to this size is made and retired within the round
)

var journalTable = crc32.MakeTable(crc32.Castagnoli)

func journalFile(i int) string { return journalName + strconv.Itoa(i) }

func (j *journal) init(d *Disk) {
	j.d = d
	j.half = max(0, d.o.JournalBytes)
	j.inline = j.half <= journalInline
	j.files, j.dirs = map[string]int64{}, map[string]int{}
	_, _ = rand.Read(j.run[:]) // never fails
	if j.half == 0 {
		j.state = journalOff
	}
}

// fits reports whether a round of these parts is cheaper through the journal than by a sync of each file.
func (j *journal) fits(parts []Part) bool {
	total, n := int64(0), int64(0)
	for i := range parts {
		if parts[i].From >= 0 {
			total += parts[i].To - parts[i].From
			n++
		}
	}
	return total <= n*journalMaxPart && total <= min(journalMaxRecord, j.half/4)
}

// append makes the parts durable by one record. ok is false, with nothing done, where the journal cannot take them now; the
// caller syncs the files then. An error means that the directory is offline.
func (j *journal) append(parts []Part) (ok bool, err error) {
	j.write.Lock()
	defer j.write.Unlock()
	if !j.ready() {
		return false, nil
	}
	rec, ok := j.encode(parts)
	if !ok || !j.room(int64(len(rec))) {
		return false, nil
	}
	half := &j.halves[j.active]
	for i := range parts {
		h := parts[i].Handle
		if _, known := half.files[h]; !known {
			h.Retain()
			half.files[h] = struct{}{}
		}
		j.note(j.d.table.pathOf(h), parts[i].To)
	}
	err = j.put(rec, j.floor(), len(parts))
	if errors.Is(err, penstock.ErrDiskFull) {
		return false, nil // a file system that writes to new places: the next record takes this one's place
	}
	return true, err
}

// put writes a record behind the last and makes it durable. The caller holds write.
func (j *journal) put(rec []byte, floor uint64, entries int) error {
	seal(rec, j.run, j.seq, floor, entries)
	half := &j.halves[j.active]
	if _, err := half.h.WriteVec([][]byte{rec}, half.pos); err != nil {
		return err
	}
	if err := half.h.Sync(); err != nil {
		return err
	}
	half.pos += int64(len(rec))
	j.seq++
	if j.behind {
		j.behind = false
		j.recount()
	}
	j.d.stats.journalRounds.Add(1)
	j.d.stats.journalBytes.Add(int64(len(rec)))
	return nil
}

// encode reads the parts into a record that lacks its header. It fails where a file has become shorter or lost its name. The caller
// holds write.
func (j *journal) encode(parts []Part) (rec []byte, ok bool) {
	rec = append(j.buf[:0], make([]byte, journalHeader)...)
	for i := range parts {
		p := &parts[i]
		name := j.d.table.pathOf(p.Handle)
		n := int(p.To - p.From)
		if name == "" || n < 0 {
			return nil, false
		}
		rec = binary.BigEndian.AppendUint16(rec, uint16(len(name)))
		rec = binary.BigEndian.AppendUint64(rec, uint64(p.From))
		rec = binary.BigEndian.AppendUint32(rec, uint32(n))
		rec = append(rec, name...)
		at := len(rec)
		rec = append(rec, make([]byte, n)...)
		if got, _ := p.Handle.ReadAt(rec[at:], p.From); got < n {
			return nil, false // the file's own sync will find out what is wrong
		}
	}
	j.buf = rec
	return rec, true
}

// seal writes the header of a record.
func seal(rec []byte, run [journalRunBytes]byte, seq, floor uint64, entries int) {
	be := binary.BigEndian
	be.PutUint32(rec[0:], journalMagic)
	be.PutUint32(rec[4:], journalVersion)
	be.PutUint32(rec[12:], uint32(len(rec)))
	be.PutUint32(rec[16:], uint32(entries))
	copy(rec[20:], run[:])
	be.PutUint64(rec[36:], seq)
	be.PutUint64(rec[44:], floor)
	be.PutUint32(rec[8:], crc32.Checksum(rec[journalSummed:], journalTable))
}

// floor is the number of the oldest live record. The caller holds write.
func (j *journal) floor() uint64 {
	if other := &j.halves[1-j.active]; other.retiring {
		return other.first
	}
	return j.halves[j.active].first
}

// room sees that n bytes fit, and room for an empty record after them, if need be in the other half. The caller holds write.
func (j *journal) room(n int64) bool {
	if j.halves[j.active].pos+n+journalHeader <= j.half {
		return true
	}
	other := &j.halves[1-j.active]
	if other.retiring || n+journalHeader > j.half || j.d.Err() != nil {
		return false
	}
	full := j.active
	j.halves[full].retiring = true
	j.active = 1 - full
	other.pos, other.first = 0, j.seq
	if j.inline {
		return j.retire(full, j.take(full))
	}
	files := j.take(full)
	for _, h := range files {
		h.Retain()
	}
	j.bg.Go(func() {
		err := syncFiles(j.d, files)
		j.write.Lock()
		defer j.write.Unlock()
		if err == nil { // else the directory is offline, and nothing is retired any more
			j.retired(full, files)
		}
		for _, h := range files {
			h.Release()
		}
	})
	return true
}

// take lists the files of a half. The caller holds write.
func (j *journal) take(i int) []*Handle {
	out := make([]*Handle, 0, len(j.halves[i].files))
	for h := range j.halves[i].files {
		out = append(out, h)
	}
	sortHandles(out)
	return out
}

// retire syncs the files of a half and frees it. The caller holds write.
func (j *journal) retire(i int, files []*Handle) bool {
	if syncFiles(j.d, files) != nil {
		return false
	}
	j.retired(i, files)
	return true
}

// retired frees a half whose files were synced, if nobody has before. Its bytes stay live until a record says otherwise: what
// counts is what a replay would find. The caller holds write.
func (j *journal) retired(i int, files []*Handle) {
	half := &j.halves[i]
	half.retiring = false
	for _, h := range files {
		if _, there := half.files[h]; there {
			delete(half.files, h)
			h.Release()
		}
	}
	j.behind = true
}

// recount finds the live files again from the halves, once a record with the present floor is durable. The caller holds write.
func (j *journal) recount() {
	j.mu.Lock()
	old := j.files
	j.files, j.dirs = map[string]int64{}, map[string]int{}
	j.mu.Unlock()
	for i := range j.halves {
		for h := range j.halves[i].files {
			name := j.d.table.pathOf(h)
			j.note(name, old[name])
		}
	}
}

// note counts a file among those with live bytes, up to end.
func (j *journal) note(name string, end int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	old, known := j.files[name]
	j.files[name] = max(old, end)
	if known {
		return
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		j.dirs[dir]++
	}
}

// holds reports whether live records have bytes of the file, or of files below the directory, at or behind from.
func (j *journal) holds(name string, from int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	end, file := j.files[name]
	return file && end > from || j.dirs[name] > 0
}

// forget sees that no live record has bytes of name, a file or a directory, at or behind from: see invariant 4.
func (j *journal) forget(name string, from int64) error {
	if !j.holds(name, from) {
		return nil
	}
	j.write.Lock()
	defer j.write.Unlock()
	if !j.holds(name, from) {
		return nil
	}
	return j.empty()
}

// empty syncs all files with live bytes and raises the floor above every record. The caller holds write.
func (j *journal) empty() error {
	var files [2][]*Handle
	for i := range files {
		files[i] = j.take(i)
		if err := syncFiles(j.d, files[i]); err != nil {
			return err
		}
	}
	if err := j.put(make([]byte, journalHeader), j.seq, 0); err != nil {
		return err
	}
	half, other := &j.halves[j.active], &j.halves[1-j.active]
	half.first, other.first = j.seq, j.seq
	if half.pos+journalHeader > j.half {
		half.pos = j.half // full: the next record goes to the other half
	}
	retiring := other.retiring && !j.inline // by a goroutine that will say so
	for i := range files {
		j.retired(i, files[i])
	}
	other.retiring = retiring
	j.behind = false
	j.recount()
	return nil
}

// ready reports whether records can be written, and begins to make the journal if it is not there. The caller holds write.
func (j *journal) ready() bool {
	switch {
	case j.state == journalReady:
		return j.d.writable() == nil
	case j.state != journalAbsent || time.Now().Before(j.retry) || j.d.writable() != nil:
		return false
	}
	j.state = journalMaking
	if j.inline {
		j.made(j.make())
		return j.state == journalReady
	}
	j.bg.Go(func() {
		hs, err := j.make()
		j.write.Lock()
		defer j.write.Unlock()
		j.made(hs, err)
	})
	return false
}

// make makes both files, full of zeros, so that no sync of a record has to change what the file system knows of them.
func (j *journal) make() (hs [2]*Handle, err error) {
	zeros := make([]byte, min(j.half, 1<<20))
	for i := range hs {
		if hs[i], err = j.d.Create(journalFile(i)); err != nil {
			return hs, err
		}
		if err = hs[i].Allocate(0, j.half); err != nil {
			return hs, err
		}
		for at := int64(0); at < j.half; at += int64(len(zeros)) {
			if _, err = hs[i].WriteVec([][]byte{zeros[:min(j.half-at, int64(len(zeros)))]}, at); err != nil {
				return hs, err
			}
		}
		if err = hs[i].Sync(); err != nil {
			return hs, err
		}
	}
	return hs, nil
}

// made takes what make has made. The caller holds write.
func (j *journal) made(hs [2]*Handle, err error) {
	if err == nil && j.state == journalMaking {
		j.state, j.active, j.seq = journalReady, 0, 1
		for i := range j.halves {
			j.halves[i] = journalHalf{h: hs[i], first: 1, files: map[*Handle]struct{}{}}
		}
		return
	}
	for i, h := range hs {
		if h != nil {
			h.Release()
			err = errors.Join(err, j.d.Remove(journalFile(i)))
		}
	}
	if j.state == journalMaking {
		j.state, j.retry = journalAbsent, time.Now().Add(journalRetry)
		if !errors.Is(err, penstock.ErrOffline) {
			j.d.o.Logger.Warn("no journal: every log is synced by itself", slog.Any("err", err))
		}
	}
}

// close makes all files durable and removes the journal. One that is being made is removed by who makes it.
func (j *journal) close() error {
	defer j.bg.Wait()
	j.write.Lock()
	defer j.write.Unlock()
	was := j.state
	j.state = journalOff
	if was != journalReady {
		return nil
	}
	var err error
	for i := range j.halves {
		files := j.take(i)
		if j.d.Err() == nil && err == nil {
			err = syncFiles(j.d, files)
		}
		for _, h := range files {
			delete(j.halves[i].files, h)
			h.Release()
		}
	}
	for i := range j.halves {
		j.halves[i].h.Release()
		if j.d.Err() == nil && err == nil {
			err = j.d.Remove(journalFile(i))
		}
	}
	return err
}
