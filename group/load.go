package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"penstock"
	"penstock/record"
	"penstock/replica"
)

const (
	// loadRetry is waited between two tries to load a journal that cannot be read, at first and at most.
	loadRetry    = 10 * time.Millisecond
	loadRetryMax = 10 * time.Second
	// loadBytes is read of a journal at a time.
	loadBytes = 4 << 20
)

// open waits for the partition and loads it, again and again until that works. It is false when the shard has ended.
func (s *shard) open() bool {
	pause := loadRetry
	for {
		began := s.c.o.Now()
		err := s.tryOpen()
		if errors.Is(err, ErrDamaged) {
			s.giveUp(err)
			return false
		}
		if err == nil {
			s.c.o.Logger.Info("groups loaded", "partition", s.id, "groups", s.len(), "bytes", s.size.Load(), "took", s.c.o.Now().Sub(began))
			return true
		}
		if pause > time.Second {
			s.c.o.Logger.Error("groups cannot be loaded; their members and consumers wait", "partition", s.id, "error", err)
		}
		select {
		case <-s.ctx.Done():
			return false
		case <-time.After(pause):
		}
		pause = min(2*pause, loadRetryMax)
	}
}

// giveUp says for good that the journal cannot be loaded: reading it again would not make it whole, and to say that it is being loaded
// would not be true.
func (s *shard) giveUp(why error) {
	s.c.o.Logger.Error("the journal of groups is damaged: its groups are refused. Restore the partition's files and start again, or "+
		"start with offsets.skip.damage=true: offsets committed in the damaged places are lost then", "partition", s.id, "error", why)
	s.broken.Store(&why)
	close(s.failed)
}

var errNotOpen = errors.New("partition of the journal is not open yet")

func (s *shard) tryOpen() error {
	p := s.c.o.Partitions.Partition(s.id)
	if p == nil {
		return errNotOpen
	}
	if err := p.Err(); err != nil {
		return err
	}
	if err := s.c.repair(s.ctx); err != nil {
		return err
	}
	l := loader{s: s, groups: map[string]*group{}, topics: map[string]string{}}
	if err := l.read(p); err != nil {
		if errors.Is(err, penstock.ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return err
	}
	if s.skipped = l.lost > 0; s.skipped {
		s.c.o.Logger.Error("the journal of groups is damaged and was loaded without the damaged places; what was committed there is lost",
			"partition", s.id, "records", l.lost, "first", l.damage)
	}
	if l.odd > 0 {
		s.c.o.Logger.Warn("records of the group journal are not understood and were passed over", "partition", s.id, "records", l.odd, "first", l.why)
	}
	s.part = p
	s.size.Store(l.bytes)
	s.limit.Store(0)
	now := s.c.o.Now()
	for _, g := range l.groups {
		l.restore(g, now)
	}
	s.mu.Lock()
	s.groups = l.groups
	s.mu.Unlock()
	img := s.c.image.Load()
	s.purge(missing(img))
	s.ready.Store(true)
	close(s.loaded)
	if newer := s.c.image.Load(); newer != img {
		s.purge(deleted(img, newer))
	}
	for _, g := range s.list() {
		g.mu.Lock()
		g.arm()
		g.drop()
		g.mu.Unlock()
	}
	s.setLimit()
	if s.size.Load() > s.limit.Load() || s.skipped {
		ring(s.bell)
	}
	return nil
}

// loader reads a journal from its start to its end.
type loader struct {
	s      *shard
	groups map[string]*group
	topics map[string]string // one copy of each name
	bytes  int64
	buf    []byte
	odd    int   // records that were not understood
	why    error // the first of them
	lost   int64 // offsets in damaged places
	damage error // the first of these
	es     []penstock.Extent
}

// read reads everything. Damage ends it, or is passed over if that was asked for.
func (l *loader) read(p *replica.Partition) error {
	o := p.Offsets()
	for at := o.Start; at < o.HighWatermark; {
		next, err := l.piece(p, at, o, loadBytes)
		if errors.Is(err, penstock.ErrCorrupt) && l.s.c.o.SkipDamage {
			if l.damage == nil {
				l.damage = err
			}
			next, err = l.pass(p, next, o)
		}
		if err != nil {
			return err
		}
		at = next
	}
	return nil
}

// piece reads about size bytes, at least a batch, and returns the offset behind what was taken, or with an error that of what could not be.
func (l *loader) piece(p *replica.Partition, at penstock.Offset, o replica.Offsets, size int64) (penstock.Offset, error) {
	if err := l.s.ctx.Err(); err != nil {
		return at, err
	}
	var err error
	l.es, _, err = p.Read(replica.ReadRequest{From: at, Max: size, Whole: true, Epoch: penstock.NoEpoch, LastEpoch: penstock.NoEpoch}, l.es[:0])
	if err == nil {
		err = l.fill(l.es)
	}
	l.es = penstock.ReleaseAll(l.es)
	next := at
	if err == nil {
		next, err = l.batches(at, o.Start, o.End)
	}
	if err == nil && next == at {
		err = fmt.Errorf("%w: no batch", penstock.ErrCorrupt)
	}
	if err != nil {
		return next, fmt.Errorf("read journal at %d: %w", next, err)
	}
	return next, nil
}

// pass finds the first batch behind the damage at an offset that can be read, and takes it. Nothing that a damaged batch says of itself is
// believed, its length and number of records least of all: every offset is tried.
func (l *loader) pass(p *replica.Partition, bad penstock.Offset, o replica.Offsets) (penstock.Offset, error) {
	at := bad + 1
	for ; at < o.HighWatermark; at++ {
		next, err := l.piece(p, at, o, 1)
		if errors.Is(err, penstock.ErrCorrupt) {
			continue
		}
		l.lost += int64(at - bad)
		return next, err
	}
	l.lost += int64(at - bad)
	return at, nil
}

// fill copies the extents to buf.
func (l *loader) fill(es []penstock.Extent) error {
	l.buf = l.buf[:0]
	for _, e := range es {
		n := len(l.buf)
		if need := n + int(e.Len); need > cap(l.buf) {
			l.buf = append(make([]byte, 0, max(need, loadBytes)), l.buf...)
		}
		l.buf = l.buf[:n+int(e.Len)]
		if _, err := e.File.ReadAt(l.buf[n:], e.Off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// batches takes the whole batches in buf and returns the offset behind the last.
func (l *loader) batches(at, start, end penstock.Offset) (penstock.Offset, error) {
	var f record.Format
	first := true // it may begin before the offset asked for
	for b := l.buf; len(b) >= f.HeaderSize(); {
		h, err := f.Header(b)
		if err != nil {
			return at, err
		}
		if int(h.Size) > len(b) {
			break
		}
		one := b[:h.Size]
		b = b[h.Size:]
		if err := f.Verify(one); err != nil {
			return at, err
		}
		// The checksum does not cover the offset. A log that was compacted by Kafka may have gaps.
		if h.NextOffset() <= at || h.BaseOffset < at && !first || h.NextOffset() > end {
			return at, fmt.Errorf("%w: offsets %d to %d at %d", penstock.ErrCorrupt, h.BaseOffset, h.LastOffset(), at)
		}
		first = false
		l.bytes += int64(h.Size)
		if h.Is(penstock.FlagControl) || h.Codec != penstock.CodecNone {
			l.oddity(fmt.Errorf("offset %d: %w: control or compressed batch", h.BaseOffset, penstock.ErrInvalidRecord))
			at = h.NextOffset()
			continue
		}
		w := record.Walk(one)
		for r := (record.Record{}); w.Next(&r); {
			if r.Offset < start {
				continue
			}
			if err := l.apply(&r); err != nil {
				l.oddity(fmt.Errorf("offset %d: %w", r.Offset, err))
			}
		}
		if err := w.Err(); err != nil {
			return at, err
		}
		at = h.NextOffset()
	}
	return at, nil
}

// oddity notes what is not ours: a journal that was taken over from Kafka may hold what only Kafka knows.
func (l *loader) oddity(why error) {
	if l.odd == 0 {
		l.why = why
	}
	l.odd++
}

// apply takes one record: the last of each key counts.
func (l *loader) apply(r *record.Record) error {
	if len(r.Key) < 2 {
		return fmt.Errorf("%w: key of %d bytes", penstock.ErrCorrupt, len(r.Key))
	}
	key := reader{b: r.Key[2:]}
	name := key.take(int(key.int16()))
	switch version := binary.BigEndian.Uint16(r.Key); version {
	case 0, offsetKeyVersion:
		topic := key.take(int(key.int16()))
		partition := key.int32()
		if key.bad {
			return fmt.Errorf("%w: key of an offset", penstock.ErrCorrupt)
		}
		return l.offset(name, topic, partition, r.Value)
	case groupKeyVersion:
		if key.bad {
			return fmt.Errorf("%w: key of a group", penstock.ErrCorrupt)
		}
		g := l.group(name)
		g.state = nil
		if r.Value != nil {
			g.state = append([]byte(nil), r.Value...)
		}
		return nil
	default:
		return fmt.Errorf("%w: key in version %d", penstock.ErrCorrupt, version)
	}
}

func (l *loader) offset(name, topic []byte, partition int32, value []byte) error {
	g := l.group(name)
	p := place{l.topics[string(topic)], partition}
	if p.topic == "" {
		p.topic = string(topic)
		l.topics[p.topic] = p.topic
	}
	if value == nil {
		g.offsets.set(p, nil)
		return nil
	}
	c, err := decodeCommitted(value)
	if err == nil {
		g.offsets.set(p, &c)
	}
	return err
}

func (l *loader) group(name []byte) *group {
	g := l.groups[string(name)]
	if g == nil {
		g = newGroup(string(name), l.s)
		l.groups[g.name] = g
	}
	return g
}

// restore makes a group's machine from its last state.
func (l *loader) restore(g *group, now time.Time) {
	if g.state == nil {
		return
	}
	s, err := decodeState(g.state)
	if err != nil {
		l.s.c.o.Logger.Warn("membership of a group is not understood; its members join anew", "group", g.name, "error", err)
		return
	}
	g.machine = Restore(l.s.c.o.Limits, s, now)
}
