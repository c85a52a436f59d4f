package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"penstock"
	"penstock/disk"
)

// Suffixes of the files whose names begin with twenty digits of an offset.
const (
	logSuffix   = ".log"
	offSuffix   = ".index"
	timeSuffix  = ".timeindex"
	baseSuffix  = ".bases"
	queueSuffix = ".queue" // in place of the three above, where each batch has an entry
	stateSuffix = ".state"
	txnSuffix   = ".txnindex" // Kafka's, in a directory that was copied
	snapSuffix  = ".snapshot" // Kafka's, in a directory that was copied

	nameDigits   = 20
	manifestFile = "segments"
)

// Limits of files that are read whole.
const (
	maxSegmentBytes  = 1<<31 - 1 // positions in the offset index have 31 bits
	maxAppendBytes   = 1 << 30
	maxManifestBytes = 64 << 20
	maxPointsBytes   = 1 << 30
	maxSmallBytes    = 64 << 10
	maxStateBytes    = 256 << 20
	maxIndexBytes    = 1 << 30
	maxTailEntries   = 64 << 10 // index entries of an active segment kept in memory
)

func crcUpdate(c uint32, b []byte) uint32 { return crc32.Update(c, castagnoli, b) }

// fileName is the name of a file that belongs to an offset.
func fileName(dir string, off penstock.Offset, suffix string) string {
	return path.Join(dir, fmt.Sprintf("%020d%s", int64(off), suffix))
}

func (s *segment) logName(dir string) string { return fileName(dir, s.base, logSuffix) }

// parseName takes a name of twenty digits and a suffix apart.
func parseName(name string) (off penstock.Offset, suffix string, ok bool) {
	if len(name) <= nameDigits || name[nameDigits] != '.' {
		return 0, "", false
	}
	for _, c := range name[:nameDigits] {
		if c < '0' || c > '9' {
			return 0, "", false
		}
	}
	n, err := strconv.ParseInt(name[:nameDigits], 10, 64)
	if err != nil {
		return 0, "", false
	}
	return penstock.Offset(n), name[nameDigits:], true
}

// name is a path of the store's below the disk's root.
func (s *Store) name(elem ...string) string { return path.Join(s.dir, path.Join(elem...)) }

// dirOf is the directory of a partition, below the disk's root.
func (s *Store) dirOf(id penstock.PartitionID) string { return s.name(dirName(id)) }

// dirName is the same below the store's directory.
func dirName(id penstock.PartitionID) string {
	return path.Join(logsDir, id.Topic.Hex(), strconv.Itoa(int(id.Partition)))
}

// make makes the files of a partition that has none, at its first append. It waits for no sync: the names become durable with
// the log's first round of group commit, before anybody is told that a record is. The file "segments" comes first and is empty:
// it says whose directory this is. What a power cut leaves of a part of this is made again, or walked. The caller holds w.
func (p *Partition) make() error {
	seg, d := p.active(), p.st.d
	h, err := d.CreateLater(p.dir + "/" + manifestFile)
	switch {
	case err == nil:
		h.Release()
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	if err := p.writeMetadata(); err != nil {
		return err
	}
	s := &segment{facts: facts{base: seg.base}}
	if err := p.create(s, d.CreateLater); err != nil {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seg.h, p.w.open, p.w.unmade = s.h, true, false
	return nil
}

// writeMetadata makes partition.metadata, if it is not there. Its content is not synced: it is written again when it cannot be read.
func (p *Partition) writeMetadata() error {
	h, err := p.st.d.CreateLater(p.dir + "/" + metadataFile)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		defer h.Release()
		_, err = h.WriteVec([][]byte{appendMetadata(nil, p.id.Topic)}, 0)
	}
	if err != nil {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	return nil
}

// create makes the files of a new segment, the log by how. One that a failed attempt or a cut left behind is emptied. The names of
// the indexes are durable when the log's is.
func (p *Partition) create(s *segment, how func(string) (*disk.Handle, error)) error {
	for _, suffix := range p.st.newSuffixes() {
		h, err := p.createFile(fileName(p.dir, s.base, suffix), p.st.d.CreateLater)
		if err != nil {
			return err
		}
		h.Release()
	}
	h, err := p.createFile(s.logName(p.dir), how)
	s.h = h
	return err
}

func (p *Partition) createFile(name string, how func(string) (*disk.Handle, error)) (*disk.Handle, error) {
	h, err := how(name)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return h, err
	}
	if h, err = p.st.d.OpenFile(name, true); err != nil {
		return nil, err
	}
	if err = h.Truncate(0); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// writeIndexFile writes b at off into one index file and cuts it behind. A missing file is made, unless it
// is one of ours and there is nothing to write. Neither bytes nor name are durable on return: finishIndexes sees to that.
func (p *Partition) writeIndexFile(name string, b []byte, off int64) error {
	h, err := p.st.d.OpenLater(name)
	if errors.Is(err, fs.ErrNotExist) {
		if len(b) == 0 && strings.HasSuffix(name, baseSuffix) {
			return nil
		}
		h, err = p.st.d.CreateLater(name)
	}
	if err != nil {
		return err
	}
	defer h.Release()
	if len(b) > 0 {
		if _, err := h.WriteVec([][]byte{b}, off); err != nil {
			return err
		}
	}
	size, err := h.Size()
	if err == nil && size > off+int64(len(b)) {
		err = h.Truncate(off + int64(len(b)))
	}
	return err
}

// flushIndex writes the entries of the active segment that its files do not have yet, with the closing entry if asked,
// and brings the segment's checksums up to date. A file that cannot be written is built again when it is needed. The
// caller holds w. It reports whether the files have everything.
func (p *Partition) flushIndex(closing bool) bool {
	if p.st.dense {
		return p.flushQueue()
	}
	seg := p.active()
	offs, times := p.tail.offs, p.tail.times
	buf := appendOffs(p.w.buf[:0], offs[p.w.summed.offs-p.head.offs:])
	seg.sums.off = crcUpdate(seg.sums.off, buf)
	buf = appendBases(buf[:0], offs[p.w.summed.offs-p.head.offs:])
	seg.sums.base = crcUpdate(seg.sums.base, buf)
	buf = appendTimes(buf[:0], times[p.w.summed.times-p.head.times:])
	seg.sums.time = crcUpdate(seg.sums.time, buf)
	p.w.summed = tally{offs: seg.build.offs, times: seg.build.times}
	end, more := seg.build.closing()
	more = more && closing
	if p.w.inFile == p.w.summed && !closing {
		p.w.buf = buf
		return true
	}
	from := p.w.inFile
	buf = appendOffs(buf[:0], offs[from.offs-p.head.offs:])
	err := p.writeIndexFile(fileName(p.dir, seg.base, offSuffix), buf, int64(from.offs)*offEntrySize)
	if err == nil {
		buf = appendBases(buf[:0], offs[from.offs-p.head.offs:])
		err = p.writeIndexFile(fileName(p.dir, seg.base, baseSuffix), buf, int64(from.offs)*baseEntrySize)
	}
	if err == nil {
		buf = appendTimes(buf[:0], times[from.times-p.head.times:])
		if more {
			buf = appendTimes(buf, []timeEntry{end})
		}
		err = p.writeIndexFile(fileName(p.dir, seg.base, timeSuffix), buf, int64(from.times)*timeEntrySize)
	}
	p.w.buf = buf
	if err != nil {
		p.log().Warn("index not written, to be built again", "partition", p.id, "segment", seg.base, "err", err)
		return false
	}
	p.w.inFile = p.w.summed
	return true
}

// heal writes index files again that could not be written when their segment was sealed. The caller holds w.
func (p *Partition) heal() {
	lame := p.w.lame
	p.w.lame = nil
	for _, s := range lame {
		if s.gone || !slices.Contains(p.segs, s) {
			continue
		}
		h, err := p.handle(s)
		if err == nil {
			_, err = p.rebuild(s, h, s.sealedTally(), true)
			h.Release()
		}
		if err != nil {
			p.w.lame = append(p.w.lame, s)
		}
	}
}

// dropTail gives up the entries in memory that the files have. The caller holds w.
func (p *Partition) dropTail() {
	if p.st.dense {
		p.dropCells(p.st.o.cells / 4)
		return
	}
	seg := p.active()
	if p.w.inFile != p.w.summed || len(p.tail.offs) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = seg.build.named
	p.head = tally{seg.build.offs, seg.build.times, seg.sums}
	p.tail = index{}
	p.st.cache.drop(seg)
}

// removeSegmentFiles unlinks the files of a segment, those of its indexes first: a log without an index is complete.
func (p *Partition) removeSegmentFiles(base penstock.Offset) error {
	for _, suffix := range p.st.suffixes() {
		if err := p.st.d.Remove(fileName(p.dir, base, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isTemporary reports whether a name in a partition's directory is left over from something that was interrupted.
func isTemporary(name string) bool {
	for _, suffix := range [...]string{".tmp", ".deleted", ".cleaned"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
