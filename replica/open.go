package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/producer"
	"penstock/store"
)

// configOf turns a topic's settings into a store's. There a zero means the default, so a zero that was said becomes the
// smallest value that is not.
func configOf(s *meta.Settings) store.Config {
	c := store.Config{
		SegmentBytes:    max(s.SegmentBytes, 1),
		SegmentAge:      max(s.SegmentAge, 1),
		SegmentJitter:   s.SegmentJitter,
		IndexBytes:      max(s.IndexBytes, 1),
		IndexInterval:   max(s.IndexInterval, 1),
		RetentionAge:    s.RetentionAge,
		RetentionBytes:  s.RetentionBytes,
		FileDeleteDelay: max(s.FileDeleteDelay, 1),
		NoPreallocate:   !s.Preallocate,
		AppendTime:      s.AppendTime,
		TimestampBefore: s.TimestampBefore,
		TimestampAfter:  s.TimestampAfter,
		MaxBatchBytes:   max(s.MaxMessageBytes, 1),
		IndexKeys:       s.IndexKeys,
	}
	if c.RetentionAge == 0 {
		c.RetentionAge = 1
	}
	if c.RetentionBytes == 0 {
		c.RetentionBytes = 1
	}
	if s.CleanupPolicy != "" && !strings.Contains(s.CleanupPolicy, "delete") {
		c.RetentionAge, c.RetentionBytes = -1, -1 // a topic that is only compacted keeps the last of each key
	}
	return c
}

// termsOf are what an append to the partition looks at.
func termsOf(s *meta.Settings, m *meta.Partition) *terms {
	t := &terms{
		minInSync:  min(s.MinInSync, max(1, len(m.Replicas))),
		durability: s.Durability,
		appendTime: s.AppendTime,
	}
	t.flushRecords, t.flushAge = flushBounds(s.FlushRecords, s.FlushAge)
	return t
}

// newPartition makes the partition i of a topic, not yet opened.
func (r *Replicas) newPartition(t *meta.Topic, i int32) *Partition {
	m := &t.Partitions[i]
	p := &Partition{id: penstock.PartitionID{Topic: t.ID, Partition: i}, self: r.o.Broker, now: r.o.Now, figures: &r.figures}
	p.terms.Store(termsOf(&t.Settings, m))
	p.epoch.Store(int32(m.Epoch))
	return p
}

// open opens the partition's store, brings its state up to the end, and waits until all of it is as durable as the topic
// demands, so that everything may be shown. On failure the partition answers with the error.
func (r *Replicas) open(p *Partition, t *meta.Topic) {
	if err := r.tryOpen(p, t); err != nil {
		r.o.Logger.Error("partition cannot be opened", "topic", t.Name, "partition", p.id, "err", err)
		err = fmt.Errorf("partition %v: %w", p.id, err)
		p.gone.Store(&err)
	}
}

func (r *Replicas) tryOpen(p *Partition, t *meta.Topic) error {
	st := r.o.Stores[KeyOf(t)]
	if st == nil {
		return fmt.Errorf("%w: this node has no store for layout and format %v", penstock.ErrInvalidConfig, KeyOf(t))
	}
	config := configOf(&t.Settings)
	sp, err := st.Open(p.id, config)
	if err != nil {
		return err
	}
	sp.Configure(config) // it may have been open, with another one
	p.producers.SetMax(r.o.MaxProducers)
	torn, err := p.recover(sp, r.scanOf(t, sp), r.o.Logger)
	if err == nil && torn != penstock.NoOffset && !st.Clean() {
		err = p.cut(sp, torn, r.o.Logger)
	}
	if err != nil {
		return err
	}
	p.store = sp
	r.join(p, sp.Log())
	p.ledger.demand(p)
	p.settleTail(r.o.Logger)
	return nil
}

// recover brings the producers up to the end of the log: from the last saved state, then from the batches after it. torn is where a batch
// begins of which the log ends with a part, NoOffset if it does not.
func (p *Partition) recover(sp store.Partition, scan scanFunc, log *slog.Logger) (torn penstock.Offset, err error) {
	start, end := sp.Bounds()
	p.end, p.epochStart = end, end
	from := start
	at, state := sp.LoadState()
	if at != penstock.NoOffset {
		s, err := &producer.State{}, error(nil)
		if len(state) > 0 {
			s, err = producer.Decode(state)
		}
		if err != nil || at > end {
			log.Warn("saved producer state is not used", "partition", p.id, "at", at, "end", end, "err", err)
			at = penstock.NoOffset
		} else {
			p.producers = *s
			from = max(start, at)
		}
	}
	if from >= end {
		return penstock.NoOffset, nil
	}
	rest := tail{end: end, base: penstock.NoOffset}
	now := penstock.Timestamp(p.now().UnixMilli())
	err = scan(from, func(h *penstock.BatchHeader) error {
		if rest.visit(h) && h.BaseOffset >= at { // else it is in the state; one that the start cuts in two counts
			p.producers.Apply(h, now)
			p.idempotents = p.idempotents || h.ProducerID != penstock.NoProducer
			p.unsaved++
		}
		return nil
	})
	if errors.Is(err, penstock.ErrCorrupt) {
		// Batches behind the damage were not seen. A producer that is not known may go on where it is, so knowing none is
		// better than refusing those that went on there; what is lost is the recognition of their last batches.
		log.Error("producers are forgotten: the log is damaged", "partition", p.id, "err", err)
		p.producers = producer.State{}
		return penstock.NoOffset, nil
	}
	return rest.base, err
}

// cut takes away what a crash has left of a batch that begins at an offset. Nobody else has the partition yet; what others share with it its store guards.
func (p *Partition) cut(sp store.Partition, at penstock.Offset, log *slog.Logger) error {
	_, end := sp.Bounds()
	log.Warn("the log ends with a part of a batch, which is cut off: its producer sends it again", "partition", p.id, "from", at, "end", end)
	if err := sp.Truncate(at); err != nil {
		return err
	}
	_, end = sp.Bounds()
	p.end, p.epochStart = end, end
	return nil
}

// settleTail shows what the log holds, once it is as durable as the topic promises. After a crash of the process the tail
// may be in the page cache only.
func (p *Partition) settleTail(log *slog.Logger) {
	l := p.ledger
	var wait chan error
	l.mu.Lock()
	pr := promise{p: p, mark: isrMark(l.log.Written()), durable: p.terms.Load().durability == penstock.DurabilityFsync}
	if l.failed == nil && l.log.Synced() < l.log.Written() && !l.met(&pr) {
		wait = make(chan error, 1)
		pr.notify = func(res AppendResult) { wait <- res.Err }
		l.queue.push(pr)
	}
	l.mu.Unlock()
	if wait != nil {
		l.log.Commit()
		if err := <-wait; err != nil {
			log.Error("the tail is not known to be durable", "partition", p.id, "err", err)
		}
	}
	var fired firedList
	l.mu.Lock()
	p.showAll(&fired)
	l.mu.Unlock()
	fired.fire()
}

// reconfigure takes over changed settings and a new leader epoch. The epoch changes under the write lock, so each append is
// wholly in one. The store is not told of it: it notes an epoch with its first batch, and until then EpochEnd knows that
// the epoch begins where the log ended. A log that gets no batch in an epoch needs no trace of it on disk.
func (p *Partition) reconfigure(t *meta.Topic) {
	m := &t.Partitions[p.id.Partition]
	if p.ledger == nil {
		return
	}
	p.store.Configure(configOf(&t.Settings))
	l := p.ledger
	l.write.Lock()
	p.terms.Store(termsOf(&t.Settings, m))
	if m.Epoch > p.leaderEpoch() {
		l.mu.Lock()
		p.epochStart = p.end
		p.epoch.Store(int32(m.Epoch))
		l.mu.Unlock()
	}
	l.write.Unlock()
	l.demand(p)
}

// saveEvery is the number of batches after the last saved state at which a partition that goes on saves one. Saving costs a
// small durable file; not saving costs a start the reading of as many headers. One that closes saves as soon as there is a
// producer to remember. Where no producer came with the batches the saved state still holds, which costs nothing to say.
const saveEvery = 8 << 10

// save stores the producers' state if much was appended since the last time or, on closing, anything at all; or it says that the
// one before still holds. One that is at it already is left to it.
func (p *Partition) save(closing bool) error {
	l := p.ledger
	l.mu.Lock()
	n, at := p.unsaved, p.end
	idempotents := p.idempotents
	if n == 0 || p.saving || idempotents && !closing && n < saveEvery {
		l.mu.Unlock()
		return nil
	}
	var state []byte
	if idempotents {
		state = p.producers.Append(nil)
	}
	p.unsaved, p.idempotents, p.saving = 0, false, true
	l.mu.Unlock()
	var err error
	if idempotents {
		err = p.store.SaveState(at, state)
	} else {
		err = p.store.KeepState(at)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.saving = false
	if err != nil {
		p.unsaved += n
		p.idempotents = p.idempotents || idempotents
		return fmt.Errorf("partition %v: producer state: %w", p.id, err)
	}
	return nil
}

// retain deletes what the configuration no longer keeps, of what is visible.
func (p *Partition) retain(now time.Time) (int64, error) {
	return p.store.Retain(now, penstock.Offset(p.high.Load()))
}
