package commit

import (
	"cmp"
	"fmt"
	"slices"

	"penstock"
	"penstock/store"
	"penstock/store/index"
)

// Lot is what is appended to one partition.
type Lot struct {
	To      *Partition
	Batches []penstock.Batch
	Epoch   penstock.Epoch
}

// lot is a Lot on its way.
type lot struct {
	Lot
	at    int // its number among the lots given
	c     store.Config
	bytes int64 // of batches
	name  queueName
	gists []gist
	keys  []index.Key
	res   store.Appended
}

// job is the room that an append works in, used again and again.
type job struct {
	work   []lot
	frames []byte
}

// lots makes room for n lots.
func (j *job) lots(n int) []lot {
	for len(j.work) < n {
		j.work = append(j.work, lot{})
	}
	return j.work[:n]
}

// maxJob is the number of lots, or of batches in one, above which a job's room is not kept.
const maxJob = 1 << 10

func (s *Store) borrow() *job {
	if j, _ := s.jobs.Get().(*job); j != nil {
		return j
	}
	return new(job)
}

// giveBack keeps a job's room, without what it refers to.
func (s *Store) giveBack(j *job) {
	if len(j.work) > maxJob {
		return
	}
	for i := range j.work {
		l := &j.work[i]
		if cap(l.gists) > maxJob || cap(l.keys) > 16*maxJob {
			return
		}
		clear(l.gists)
		*l = lot{gists: l.gists[:0], keys: l.keys[:0]}
	}
	s.jobs.Put(j)
}

// Append appends to one partition.
func (p *Partition) Append(batches []penstock.Batch, epoch penstock.Epoch, now penstock.Timestamp) (store.Appended, error) {
	j := p.st.borrow()
	defer p.st.giveBack(j)
	work := j.lots(1)
	work[0].Lot = Lot{p, batches, epoch}
	if err := p.st.append(j, work, now); err != nil {
		return store.Appended{}, err
	}
	return work[0].res, nil
}

// Append appends to several partitions, each of which is named once, in one write to the log: all of it or nothing. See store.Partition.
func (s *Store) Append(lots []Lot, now penstock.Timestamp) ([]store.Appended, error) {
	j := s.borrow()
	defer s.giveBack(j)
	work := j.lots(len(lots))
	for i := range lots {
		work[i].Lot, work[i].at = lots[i], i
	}
	if err := s.append(j, work, now); err != nil {
		return nil, err
	}
	out := make([]store.Appended, len(lots))
	for i := range work {
		out[work[i].at] = work[i].res
	}
	return out, nil
}

// append does the work of a job. The headers of the batches are updated where the caller has them.
func (s *Store) append(j *job, work []lot, now penstock.Timestamp) error {
	if len(work) > 1 {
		slices.SortFunc(work, func(a, b lot) int { return compareIDs(a.To.id, b.To.id) })
	}
	for i := range work {
		if i > 0 && work[i].To == work[i-1].To {
			return fmt.Errorf("partition %v: %w: named twice in one append", work[i].To.id, penstock.ErrInvalidRecord)
		}
		work[i].c = work[i].To.config()
		if err := work[i].weigh(); err != nil {
			return fmt.Errorf("partition %v: %w", work[i].To.id, err)
		}
	}
	if err := fewKeys(work); err != nil {
		return err
	}
	for i := range work {
		work[i].To.own.Lock()
	}
	defer func() {
		for i := range work {
			work[i].To.own.Unlock()
		}
	}()
	for i := range work {
		if err := work[i].prepare(); err != nil {
			return err
		}
	}
	if err := s.write(j, work, now); err != nil {
		return err
	}
	for i := range work {
		work[i].settle()
	}
	return nil
}

// AppendLots is Store.Append of lots as who leads the log has them.
func (l *Log) AppendLots(lots []store.Lot, now penstock.Timestamp, dst []store.Appended) ([]store.Appended, error) {
	j := l.st.borrow()
	defer l.st.giveBack(j)
	work := j.lots(len(lots))
	for i := range lots {
		p, ok := lots[i].To.(*Partition)
		if !ok || p.st != l.st {
			return dst, fmt.Errorf("partition %v lies on another log", lots[i].To.ID())
		}
		work[i].Lot, work[i].at = Lot{p, lots[i].Batches, lots[i].Epoch}, i
	}
	if err := l.st.append(j, work, now); err != nil {
		return dst, err
	}
	first := len(dst)
	for range work {
		dst = append(dst, store.Appended{})
	}
	for i := range work {
		dst[first+work[i].at] = work[i].res
	}
	return dst, nil
}

func compareIDs(a, b penstock.PartitionID) int {
	return cmp.Or(slices.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

// weigh checks the batches and sums them up.
func (l *lot) weigh() error {
	s := l.To.st
	for i := range l.Batches {
		b := &l.Batches[i]
		if int(b.Header.Size) != len(b.Bytes) || len(b.Bytes) < s.f.HeaderSize() || b.Header.LastDelta < 0 {
			return fmt.Errorf("%w: batch of %d bytes claims %d", penstock.ErrCorrupt, len(b.Bytes), b.Header.Size)
		}
		if b.Header.Size > l.c.MaxBatchBytes {
			return fmt.Errorf("%w: batch of %d bytes, at most %d", penstock.ErrTooLarge, b.Header.Size, l.c.MaxBatchBytes)
		}
		l.bytes += int64(len(b.Bytes))
		if !s.messages {
			if err := l.weighKeys(b); err != nil {
				return err
			}
			continue
		}
		g, err := s.describe(b.Bytes)
		if err != nil {
			return err
		}
		if g.half {
			return fmt.Errorf("%w: message with the flags of a half transaction, which belongs in no queue", penstock.ErrInvalidRecord)
		}
		if i == 0 {
			l.name = l.To.nameFor(&g)
		}
		if g.queue != l.name.queue || string(g.topic) != l.name.topic {
			return fmt.Errorf("%w: messages of queue %d of %q and queue %d of %q in one append", penstock.ErrInvalidRecord, l.name.queue, l.name.topic, g.queue, g.topic)
		}
		l.gists = append(l.gists, g)
	}
	return nil
}

// prepare sees that the partition takes writes, and notes a new epoch durably before its first batch. The caller holds own.
func (l *lot) prepare() error {
	p := l.To
	if err := p.ready(); err != nil {
		return err
	}
	if p.owned && len(l.Batches) > 0 && p.owner.name != l.name {
		return fmt.Errorf("partition %v: %w: message of queue %d of %q, the partition holds queue %d of %q", p.id, penstock.ErrInvalidRecord,
			l.name.queue, l.name.topic, p.owner.name.queue, p.owner.name.topic)
	}
	if l.Epoch > p.lastEpoch() && len(l.Batches) > 0 {
		f := p.current()
		f.epochs = store.AssignEpoch(f.epochs, store.EpochStart{Epoch: l.Epoch, Start: p.end})
		return p.writeFacts(f)
	}
	return nil
}

// write stamps all batches and writes them in one call. The caller holds own of all partitions.
func (s *Store) write(j *job, work []lot, now penstock.Timestamp) error {
	s.w.Lock()
	defer s.w.Unlock()
	n := int64(0)
	for i := range work {
		n += work[i].bytes
		if !s.messages && work[i].bytes > 0 {
			n += frameSize
		}
	}
	lg := s.log
	if n > 0 {
		if err := s.owns(work); err != nil {
			return err
		}
		if err := s.look(n); err != nil {
			return err
		}
		if err := lg.fits(n); err != nil {
			return fmt.Errorf("append %d bytes: %w", n, err)
		}
	}
	at := penstock.Position(lg.end.Load())
	vec, frames := lg.vec[:0], slices.Grow(j.frames[:0], len(work)*frameSize)
	j.frames = frames
	for i := range work {
		l := &work[i]
		l.res = store.Appended{First: l.To.end, Next: l.To.end, Time: penstock.NoTimestamp, Bytes: l.bytes}
		if l.c.AppendTime {
			l.res.Time = now
		}
		if l.bytes == 0 {
			continue
		}
		if err := l.To.claim(l.name, at); err != nil {
			return err
		}
		if !s.messages {
			if err := s.beginKeys(l, at); err != nil {
				return err
			}
			fr := frame{l.To.id, l.bytes, len(l.keys) > 0}
			frames = fr.append(frames)
			vec = append(vec, frames[len(frames)-frameSize:])
			at += frameSize
		}
		vec, at = l.stamp(vec, at)
	}
	if n > 0 {
		err := lg.write(vec, n)
		clear(vec)
		lg.vec = vec[:0]
		if err != nil {
			return fmt.Errorf("append %d bytes at %d: %w", n, lg.end.Load(), err)
		}
	}
	at = penstock.Position(lg.end.Load())
	lg.end.Add(n)
	for i := range work {
		if work[i].bytes > 0 && !s.messages {
			at += frameSize
		}
		at = work[i].publish(at, lg.active())
		if s.keys != nil {
			s.keys.Add(work[i].keys)
		}
		work[i].res.End = store.Mark(lg.end.Load())
	}
	return nil
}

// owns refuses messages of a queue that another partition holds: after a crash nobody could tell whose they are. The caller holds w.
func (s *Store) owns(work []lot) error {
	if !s.messages {
		return nil
	}
	for i := range work {
		l := &work[i]
		if l.bytes == 0 {
			continue
		}
		if id := s.names.set(l.name, l.To.id); id != l.To.id {
			return fmt.Errorf("partition %v: %w: queue %d of %q belongs to partition %v", l.To.id, penstock.ErrInvalidRecord, l.name.queue, l.name.topic, id)
		}
	}
	return nil
}

// stamp writes what only the log knows into the batches, the first of which will lie at a position.
func (l *lot) stamp(vec [][]byte, at penstock.Position) ([][]byte, penstock.Position) {
	f := l.To.st.f
	for i := range l.Batches {
		b := &l.Batches[i]
		f.Stamp(b.Bytes, store.Stamp{Base: l.res.Next, Position: at, Epoch: l.Epoch, AppendTime: l.res.Time})
		b.Header.BaseOffset = l.res.Next
		if h, err := f.Header(b.Bytes); err == nil {
			b.Header = h // the format knows what it holds
		}
		vec = append(vec, b.Bytes)
		l.res.Next = b.Header.NextOffset()
		at += penstock.Position(len(b.Bytes))
	}
	return vec, at
}

// publish makes what was written visible: the entries of the queue. The caller holds own and w.
func (l *lot) publish(at penstock.Position, file *logFile) penstock.Position {
	p := l.To
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range l.Batches {
		h := &l.Batches[i].Header
		e := entry{base: h.BaseOffset, pos: at, size: h.Size, delta: h.LastDelta, maxAt: h.MaxTimestamp}
		if p.st.messages {
			e.tag = l.gists[i].code(h.MaxTimestamp)
			l.keys = l.gists[i].appendKeys(l.keys, at, h.MaxTimestamp)
		}
		p.q.add(e, file.start, h.MaxTimestamp)
		at += penstock.Position(h.Size)
	}
	p.end = l.res.Next
	return at
}

// settle writes a queue that has grown long in memory. Nothing here fails the append: the checkpoint tries again. The caller holds own.
func (l *lot) settle() {
	p := l.To
	if len(p.q.tail) < p.st.o.tail {
		return
	}
	if err := p.flush(); err != nil {
		p.st.o.Logger.Warn("queue not written yet", "partition", p.id, "err", err)
	}
	p.mu.Lock()
	p.q.shrink(p.st.o.tail / 16)
	p.mu.Unlock()
}
