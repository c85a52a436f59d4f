package delay

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/meta"
	"penstock/record"
	"penstock/replica"
)

// level is one level's queue on its way. Everything but what is atomic is Step's own.
//
//	saved ≤ done ≤ offsets of flights < next ≤ high watermark
type level struct {
	s    *Scheduler
	id   penstock.PartitionID
	led  *replica.Partition // nil until it is open
	next penstock.Offset    // to be looked at

	done  atomic.Int64 // everything before is delivered, durably
	saved atomic.Int64 // and noted, durably

	flights []*flight // in the order of their offsets
	bytes   int64     // of these
	read    int       // messages to read at once: more while all that was read is due
	buf     []byte
	watch   *watch // for more to read; nil while there is or may be some
	back    setback
	trouble trouble

	trimmed  penstock.Offset // start of the queue, as last moved
	trimAt   time.Time       // when it is moved next, zero if it need not
	trimming atomic.Bool
}

// flight is a delivery under way. done and err are guarded by Scheduler.mu.
type flight struct {
	at   penstock.Offset
	size int64
	done bool
	err  error
}

// watch is a wait for more to read, from the round that found none until Step has seen the bell.
type watch struct {
	waiter *replica.Waiter
	rung   atomic.Bool
}

// setback is a clock that went back: what was stored before until, by the old clock, counts as stored at.
type setback struct {
	at    penstock.Timestamp
	until penstock.Offset
}

// readBytes bounds what is read at once, one message aside.
const readBytes = 1 << 20

func newLevel(s *Scheduler, id penstock.PartitionID) *level { return &level{s: s, id: id, read: 1} }

// delay is how long messages of the level wait.
func (l *level) delay() time.Duration { return l.s.Waits(int(l.id.Partition) + 1) }

// step delivers what is due. It returns when something else will be, zero if that is not known or the bell will ring.
func (l *level) step(now time.Time) (next time.Time) {
	trim := l.trim(now)
	next = l.deliver(now)
	if next.IsZero() || !trim.IsZero() && trim.Before(next) {
		return trim
	}
	return next
}

func (l *level) deliver(now time.Time) (next time.Time) {
	if !l.settle(now) || l.s.stopped {
		return time.Time{}
	}
	if now.Before(l.trouble.until) {
		return l.trouble.until
	}
	if l.led == nil || l.led.Err() != nil {
		if err := l.begin(); err != nil {
			return l.fail(now, err)
		}
	}
	for {
		if len(l.flights) >= l.s.o.Ahead || l.bytes >= l.s.o.AheadBytes || l.watching() {
			return time.Time{}
		}
		n, due, err := l.round(now)
		switch {
		case err != nil:
			return l.fail(now, err)
		case !due.IsZero():
			l.read = 1
			return due
		case n == 0:
			return time.Time{}
		}
		l.read = min(4*l.read, l.s.o.Ahead)
	}
}

// fail has the level tried again later, and tells of the first failure in a row. What failed lies before what a watch is for, so nobody watches any more.
func (l *level) fail(now time.Time, err error) time.Time {
	l.unwatch()
	l.trouble.fail(now)
	// The first failures of a partition that is just being opened are no news.
	if l.trouble.first() && !errors.Is(err, errNotOpen) || l.trouble.times == patience && errors.Is(err, errNotOpen) {
		l.s.o.Logger.Warn("a level of delayed messages cannot be delivered; it is tried again, and the others go on",
			"level", l.id.Partition+1, "delay", l.delay(), "offset", l.next, "error", err)
	}
	return l.trouble.until
}

// well notes that something was delivered.
func (l *level) well() {
	if l.trouble.times > 0 {
		l.s.o.Logger.Info("a level of delayed messages is delivered again", "level", l.id.Partition+1)
	}
	l.trouble = trouble{}
}

var errNotOpen = errors.New("its queue is not open here yet")

// begin finds the level's queue, and where to go on in it.
func (l *level) begin() error {
	p := l.s.o.Partitions.Partition(l.id)
	if p == nil {
		return errNotOpen
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%w: %w", errNotOpen, err)
	}
	o := p.Offsets()
	from := l.s.loaded(l.id.Partition)
	if l.led != nil {
		from = max(from, penstock.Offset(l.done.Load()))
	}
	from = min(max(from, o.Start), o.End)
	l.unwatch()
	l.led, l.next, l.trimmed, l.back = p, from, o.Start, setback{}
	l.done.Store(int64(from))
	l.saved.Store(int64(from))
	if from > o.Start {
		l.trimAt = l.s.o.Now().Add(l.s.o.TrimEvery)
	}
	return nil
}

// settle takes the outcomes of deliveries, in order. It is false while a failed one waits for others: they must not overtake it twice.
func (l *level) settle(now time.Time) (goOn bool) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(l.flights) > 0 && l.flights[0].done && l.flights[0].err == nil {
		l.done.Store(int64(l.flights[0].at + 1))
		l.bytes -= l.flights[0].size
		l.flights[0] = nil
		l.flights = l.flights[1:]
		l.well()
	}
	var failed error
	landed := true
	for _, f := range l.flights {
		landed = landed && f.done
		if failed == nil {
			failed = f.err
		}
	}
	switch {
	case failed == nil:
		return true
	case !landed:
		return false
	}
	l.next, l.flights, l.bytes = l.flights[0].at, nil, 0
	l.fail(now, failed)
	return true
}

// round looks at some messages and sends off those that are due. It returns how many these are, and when the next is, if it is not yet.
func (l *level) round(now time.Time) (n int, due time.Time, err error) {
	count := min(l.read, l.s.o.Ahead-len(l.flights))
	extents, got, o, err := l.led.Pull(replica.PullRequest{From: l.next, Max: readBytes, Count: count, Scan: count}, nil)
	defer penstock.ReleaseAll(extents)
	switch {
	case errors.Is(err, penstock.ErrOffsetOutOfRange) && l.next < o.Start:
		l.s.o.Logger.Warn("delayed messages are gone from the disk before they were delivered", "level", l.id.Partition+1, "from", l.next, "to", o.Start)
		l.skipTo(o.Start)
		return 1, time.Time{}, nil
	case errors.Is(err, penstock.ErrCorrupt):
		l.damage(l.next, err)
		return 1, time.Time{}, nil
	case err != nil:
		return 0, time.Time{}, err
	case got.Count == 0:
		l.arm()
		return 0, time.Time{}, nil
	}
	for _, e := range extents {
		if int64(cap(l.buf)) < e.Len {
			l.buf = make([]byte, e.Len)
		}
		b := l.buf[:e.Len]
		if _, err := e.File.ReadAt(b, e.Off); err != nil {
			return n, time.Time{}, err
		}
		for len(b) > 0 {
			h, err := message.Format{}.Header(b)
			if err != nil || int(h.Size) > len(b) {
				l.damage(l.next, errors.Join(err, penstock.ErrCorrupt))
				return n + 1, time.Time{}, nil
			}
			if due := l.due(h.BaseOffset, h.FirstTimestamp, o.HighWatermark, now); due.After(now) {
				return n, due, nil
			}
			if err := l.send(b[:h.Size], h.BaseOffset, now); err != nil {
				return n, time.Time{}, err
			}
			n++
			l.next = h.BaseOffset + 1
			b = b[h.Size:]
		}
	}
	if cap(l.buf) > readBytes {
		l.buf = nil
	}
	return n, time.Time{}, nil
}

// due is when a message is due that was stored at a time. The broker's clock may have gone back since: then nobody knows how long it has waited, and it
// waits the whole delay from when that is seen. high is the end of what had been stored then.
func (l *level) due(at penstock.Offset, stored penstock.Timestamp, high penstock.Offset, now time.Time) time.Time {
	if at < l.back.until {
		stored = min(stored, l.back.at)
	}
	if ms := penstock.Timestamp(now.UnixMilli()); stored > ms {
		l.back = setback{ms, high}
		stored = ms
	}
	return time.UnixMilli(int64(stored)).Add(l.delay())
}

// arm has the bell rung when there is more to read.
func (l *level) arm() {
	w := &watch{}
	w.waiter = replica.NewWaiter(1, func() {
		w.rung.Store(true)
		l.s.ring()
	})
	l.watch = w
	l.led.Wait(w.waiter, l.next, replica.ReadUncommitted)
}

// watching reports whether there is nothing to read before the bell rings. It sees the bell.
func (l *level) watching() bool {
	if l.watch != nil && l.watch.rung.Load() {
		l.watch = nil
	}
	return l.watch != nil
}

// unwatch ends a watch before its time.
func (l *level) unwatch() {
	if l.watch != nil {
		l.watch.waiter.Cancel()
		l.watch = nil
	}
}

// damage passes over a message that is damaged on the disk.
func (l *level) damage(at penstock.Offset, err error) {
	l.s.figures.damaged.Inc()
	l.s.o.Logger.Error("a delayed message is damaged on the disk and passed over", "level", l.id.Partition+1, "offset", at, "error", err)
	l.skipTo(at + 1)
}

// skipTo passes over messages: they count as delivered once those before them are.
func (l *level) skipTo(to penstock.Offset) {
	l.flights = append(l.flights, &flight{at: to - 1, done: true})
	l.next = to
	l.s.ring()
}

// send appends a message that is due to where it belongs. The error is one that may pass: the message is tried again.
func (l *level) send(stored []byte, at penstock.Offset, now time.Time) error {
	s := l.s
	p, err := open(stored)
	switch {
	case errors.Is(err, penstock.ErrCorrupt):
		l.damage(at, err)
		return nil
	case err != nil:
		s.figures.discarded.Inc()
		s.o.Logger.Error("a delayed message is given up", "level", l.id.Partition+1, "offset", at, "error", err)
		l.skipTo(at + 1)
		return nil
	}
	err = l.forward(&p, at, now)
	if err == nil || !hopeless(err) && (ofDisk(err) || l.trouble.times < patience) {
		return err
	}
	return l.putOff(&p, at, now, err)
}

// patience is how often in a row a message is tried whose topic should take it and does not, before it is put off: half a minute.
const patience = 8

var errGone = errors.New("there is no such topic")

// hopeless reports whether a message cannot be delivered as long as its topic is what it is.
func hopeless(err error) bool {
	for _, e := range []error{errGone, penstock.ErrTooLarge, penstock.ErrInvalidRecord, penstock.ErrUnsupported} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ofDisk reports whether an error is one of the disk, or of a node that stops, that every topic has.
func ofDisk(err error) bool {
	return errors.Is(err, penstock.ErrDiskFull) || errors.Is(err, penstock.ErrOffline) || errors.Is(err, penstock.ErrClosed)
}

// forward appends a message to its real topic.
func (l *level) forward(p *parcel, at penstock.Offset, now time.Time) error {
	s := l.s
	t := s.image.Load().Topic(p.topic)
	if t == nil {
		return fmt.Errorf("%w: %q", errGone, p.topic)
	}
	queue := p.queue % int32(len(t.Partitions)) // it may have been made again, with fewer
	led := s.o.Partitions.Partition(penstock.PartitionID{Topic: t.ID, Partition: queue})
	if led == nil {
		return fmt.Errorf("topic %q, queue %d: %w", p.topic, queue, errNotOpen)
	}
	m := p.delivered(queue, now)
	b, err := batch(s.text[:0], &m)
	if s.text = b.Bytes; cap(s.text) > keepText {
		s.text = nil
	}
	if err == nil && !isMessage(t) {
		b, err = s.pack(b.Bytes)
	}
	if err != nil {
		return fmt.Errorf("topic %q: %w", p.topic, err)
	}
	return l.append(led, b, at, s.figures.delivered.Inc)
}

// keepText is the largest message whose memory is kept for the next.
const keepText = 1 << 20

// pack makes records of a message, for a topic that holds such.
func (s *Scheduler) pack(stored []byte) (penstock.Batch, error) {
	s.packer.Begin(nil, convert.PackOptions{})
	_, err := s.packer.Add(stored)
	b := s.packer.End()
	if err != nil {
		return penstock.Batch{}, err
	}
	h, err := record.Format{}.Header(b)
	return penstock.Batch{Header: h, Bytes: b}, err
}

// append appends a batch with acks=all, as the delivery of the message at an offset. then is called if that succeeds.
func (l *level) append(led *replica.Partition, b penstock.Batch, at penstock.Offset, then func()) error {
	s := l.s
	f := &flight{at: at, size: int64(len(b.Bytes))}
	res, done := led.Append(replica.AppendRequest{Batches: []penstock.Batch{b}, Acks: penstock.AcksAll, Epoch: penstock.NoEpoch}, func(r replica.AppendResult) {
		if r.Err == nil {
			then()
		}
		s.mu.Lock()
		f.done, f.err = true, r.Err
		s.mu.Unlock()
		s.ring()
	})
	if done && res.Err != nil {
		return res.Err
	}
	if done {
		then()
		s.mu.Lock()
		f.done = true
		s.mu.Unlock()
		s.ring()
	}
	l.flights = append(l.flights, f)
	l.bytes += f.size
	return nil
}

// putOffFor is about how long a message is put off whose topic is gone.
const putOffFor = 10 * time.Minute

// putOff has a message go another round, so that it does not keep those behind it, or gives it up once it has been kept for long enough.
func (l *level) putOff(p *parcel, at penstock.Offset, now time.Time, why error) error {
	s := l.s
	if !p.firstDue.IsZero() && now.Sub(p.firstDue) > s.o.GiveUp {
		s.figures.discarded.Inc()
		s.o.Logger.Error("a delayed message is given up", "topic", p.topic, "level", l.id.Partition+1, "offset", at, "due", p.firstDue, "error", why)
		l.skipTo(at + 1)
		return nil
	}
	level := len(s.o.Levels)
	for i, d := range s.o.Levels {
		if d >= putOffFor {
			level = i + 1
			break
		}
	}
	if s.say(p.topic) {
		s.o.Logger.Warn("a delayed message cannot be delivered to its topic; it is put off, as are others of the topic", "topic", p.topic, "for", s.Waits(level), "at most", s.o.GiveUp, "error", why)
	}
	m, err := p.putOff(level, now)
	if err != nil {
		return err
	}
	b, err := batch(s.text[:0], &m)
	if err != nil {
		s.figures.discarded.Inc()
		s.o.Logger.Error("a delayed message is given up: it cannot be put off", "topic", p.topic, "level", l.id.Partition+1, "offset", at, "error", errors.Join(why, err))
		l.skipTo(at + 1)
		return nil
	}
	led := s.o.Partitions.Partition(penstock.PartitionID{Topic: l.id.Topic, Partition: int32(level - 1)})
	if led == nil {
		return errNotOpen
	}
	return l.append(led, b, at, s.figures.putOff.Inc)
}

// trim moves the queue's start behind what is delivered and noted, now and then, so that its files go. It returns when it is to be done.
func (l *level) trim(now time.Time) time.Time {
	saved := penstock.Offset(l.saved.Load())
	if l.led == nil || l.trimming.Load() {
		return time.Time{}
	}
	if saved <= l.trimmed {
		l.trimAt = time.Time{}
		return l.trimAt
	}
	if l.trimAt.IsZero() {
		l.trimAt = now.Add(l.s.o.TrimEvery)
	}
	switch {
	case l.s.stopped:
		return time.Time{}
	case now.Before(l.trimAt):
		return l.trimAt
	}
	l.trimAt = now.Add(l.s.o.TrimEvery)
	l.trimmed = saved
	l.trimming.Store(true)
	led := l.led
	l.s.tasks.Go(func() {
		defer l.trimming.Store(false)
		if err := led.SetStart(saved); err != nil && led.Err() == nil {
			l.s.o.Logger.Warn("start of a queue of delayed messages not moved; tried again", "level", l.id.Partition+1, "to", saved, "error", err)
		}
	})
	return l.trimAt
}

// isMessage reports whether a topic holds messages.
func isMessage(t *meta.Topic) bool { return t.Format == penstock.FormatMessage }
