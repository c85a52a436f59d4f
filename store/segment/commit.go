package segment

import (
	"fmt"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// round is one round of group commit.
type round struct {
	gen   int
	end   penstock.Offset // durable after it
	files int             // sealed files in it
	bytes int64           // about what it makes durable
	base  penstock.Offset // of the active segment at its beginning
	size  int64           // and its size
}

// covered says of which segment how many bytes are durable: what a round need not write again. size is negative while
// that is not known.
type covered struct {
	base penstock.Offset
	size int64
}

// Written is the mark of the end as written.
func (p *Partition) Written() store.Mark { return store.Mark(p.end.Load()) }

// Synced is the mark up to which the log is durable.
func (p *Partition) Synced() store.Mark { return store.Mark(p.synced.Load()) }

// Commit asks for durability up to the end.
func (p *Partition) Commit() { p.st.d.Commit(p) }

// Notify sets the function that hears of each round.
func (p *Partition) Notify(f func(synced store.Mark, err error)) {
	p.mu.Lock()
	p.notify = f
	p.mu.Unlock()
}

// Small commits in a row, and the size below which a commit is one, after which zeros are written ahead.
const (
	smallCommits     = 32
	smallCommitBytes = 64 << 10
)

// zerosAhead is how many zeros to write behind end, so that the commits that follow change no metadata of the file: an fdatasync of
// blocks that were written before costs half. Zero unless small commits follow one another and the zeros written
// before are used up. The caller holds w.
func (p *Partition) zerosAhead(end int64) int64 {
	c := p.cfg.Load()
	if p.st.o.ZeroAhead <= 0 || c.NoPreallocate || p.w.noZeros || end <= p.w.zeroed || p.small.Load() < smallCommits {
		return 0
	}
	return max(0, min(p.st.o.ZeroAhead, min(c.SegmentBytes, maxSegmentBytes)-end))
}

// SyncBegin notes the end and gives out what is not durable below it. A log that is being cut gives out nothing: see halt.
func (p *Partition) SyncBegin(dst []disk.Part) []disk.Part {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rounding = true
	if p.closed || p.halted {
		p.round = round{gen: p.gen - 1}
		return dst
	}
	end, seg := penstock.Offset(p.end.Load()), p.active()
	last := p.round
	p.round = round{gen: p.gen, end: end, files: len(p.dirty), base: seg.base, size: seg.size}
	for _, h := range p.dirty {
		h.Retain()
		dst = append(dst, disk.Part{Handle: h, From: -1})
	}
	if int64(end) > p.synced.Load() && end > seg.base {
		seg.h.Retain()
		from := int64(-1)
		if p.covered.base == seg.base {
			from = p.covered.size
		}
		dst = append(dst, disk.Part{Handle: seg.h, From: from, To: seg.size})
	}
	if last.size <= seg.size && p.round.files == 0 {
		p.round.bytes = seg.size - last.size
	} else {
		p.round.bytes = smallCommitBytes
	}
	return dst
}

// SyncEnd takes the outcome of the round.
func (p *Partition) SyncEnd(err error) {
	p.mu.Lock()
	p.rounding = false
	notify := p.notify
	switch {
	case p.closed:
		notify = nil
	case err != nil:
		p.failed = fmt.Errorf("partition %v: %w", p.id, err)
		err = p.failed
	case p.round.gen != p.gen:
		// Offsets were taken back meanwhile: what was noted no longer means anything.
	default:
		for _, h := range p.dirty[:p.round.files] {
			h.Release()
		}
		if p.round.files > 0 {
			p.dirty = append([]*disk.Handle(nil), p.dirty[p.round.files:]...)
		}
		if int64(p.round.end) > p.synced.Load() {
			p.synced.Store(int64(p.round.end))
		}
		p.covered = covered{p.round.base, p.round.size}
		p.countSmall()
	}
	p.synch.Broadcast()
	synced := p.Synced()
	p.mu.Unlock()
	if notify != nil {
		notify(synced, err)
	}
}

// countSmall counts small rounds that follow one another. The caller holds mu.
func (p *Partition) countSmall() {
	switch {
	case p.round.bytes >= smallCommitBytes:
		p.small.Store(0)
	case p.round.bytes > 0 && p.small.Load() < smallCommits:
		p.small.Add(1)
	}
}

// sync waits until the log is durable up to end, or cannot be, or end was taken back.
func (p *Partition) sync(end penstock.Offset) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.failed != nil:
			return p.failed
		case p.closed:
			return fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
		case p.synced.Load() >= min(int64(end), p.end.Load()):
			return nil
		}
		if !p.halted {
			p.Commit()
		}
		p.synch.Wait()
	}
}

// halt waits until no round of group commit has a part of the log, and keeps it out of rounds until resume: bytes that a round was given must
// not change. The caller holds w.
func (p *Partition) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halted = true
	for p.rounding {
		p.synch.Wait()
	}
}

// resume takes part in rounds again, and asks for one if somebody may wait for it.
func (p *Partition) resume() {
	p.mu.Lock()
	p.halted = false
	p.covered = covered{size: -1}
	waits := p.synced.Load() < p.end.Load()
	p.synch.Broadcast()
	p.mu.Unlock()
	if waits {
		p.Commit()
	}
}
