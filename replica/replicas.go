package replica

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/isr"
	"penstock/meta"
	"penstock/metric"
	"penstock/producer"
	"penstock/store"
)

// StoreKey says which topics a store is for: those of one layout and one format. The zero value is Kafka's way, a log of record
// batches for each partition.
type StoreKey struct {
	Layout penstock.Layout
	Format penstock.Format
}

// KeyOf is the key of the store that a topic's partitions lie in.
func KeyOf(t *meta.Topic) StoreKey { return StoreKey{t.Layout, t.Format} }

// String names layout and format, as in "commit/message".
func (k StoreKey) String() string { return k.Layout.String() + "/" + k.Format.String() }

// Options configures Replicas. Broker and Stores are demanded; the zero value of everything else gives the default named.
type Options struct {
	Broker   penstock.BrokerID        // this node
	Stores   map[StoreKey]store.Store // closed by Close
	Now      func() time.Time         // default time.Now
	Logger   *slog.Logger             // default: discard
	Registry *metric.Registry         // for this room's figures; default: nobody reads them
	// Sequences finds the batches of idempotent producers in stored messages, which have no place for them in their heads: it calls visit with the header of
	// each batch that begins in b, and of each other message alone, and returns the offset behind the last whole message (convert.Sequences). Without
	// it what came after the last saved state is forgotten, and so are the producers.
	Sequences func(b []byte, visit func(*penstock.BatchHeader)) (next penstock.Offset, err error)

	Workers         int           // partitions opened or removed at once; default 16
	RetentionEvery  time.Duration // between two passes that delete old segments; default 5 min
	CheckpointEvery time.Duration // between two that make everything durable and note recovery points; default 60 s
	TrimEvery       time.Duration // between two that cut what was written ahead of logs at rest; default 1 s
	ProducerExpiry  time.Duration // a producer silent for longer is forgotten; default producer.DefaultExpiry
	MaxProducers    int           // producers remembered for each partition; default producer.DefaultMax
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = metric.NewRegistry()
	}
	o.Workers = cmp.Or(o.Workers, 16)
	o.RetentionEvery = cmp.Or(o.RetentionEvery, 5*time.Minute)
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, time.Minute)
	o.TrimEvery = cmp.Or(o.TrimEvery, time.Second)
	o.ProducerExpiry = cmp.Or(o.ProducerExpiry, producer.DefaultExpiry)
	o.MaxProducers = cmp.Or(o.MaxProducers, producer.DefaultMax)
	return o
}

// Replicas are the partitions that this node leads. All methods may be called concurrently.
type Replicas struct {
	o       Options
	figures figures

	expiry   atomic.Int64 // ns: a producer silent for longer is forgotten
	follower follower     // its lock is taken before mu

	mu      sync.RWMutex
	parts   map[penstock.PartitionID]*Partition // guarded by mu: those that are open, or could not be opened
	ledgers map[store.Log]*ledger               // guarded by mu; a log's while a partition on it is open
}

// figures are this room's metrics.
type figures struct {
	partitions *metric.Gauge
	failed     *metric.Gauge
	duplicates *metric.Counter
	refused    *metric.Counter
	waited     *metric.Histogram
}

func newFigures(r *metric.Registry) figures {
	return figures{
		partitions: r.Gauge(metric.Desc{Name: "partitions_led", Help: "Partitions that this node leads."}),
		failed:     r.Gauge(metric.Desc{Name: "partitions_failed", Help: "Partitions led that could not be opened."}),
		duplicates: r.Counter(metric.Desc{Name: "duplicate_appends_total", Help: "Appends answered with what the same batch was given before."}),
		refused:    r.Counter(metric.Desc{Name: "refused_appends_total", Help: "Appends refused for their producer's epoch or sequence."}),
		waited:     r.Histogram(metric.Desc{Name: "promise_seconds", Help: "Time from the write of an acks=all append to its acknowledgement.", Scale: 1e-9}),
	}
}

// New makes Replicas without partitions; Follow brings them.
func New(o Options) *Replicas {
	o = o.withDefaults()
	r := &Replicas{
		o:       o,
		figures: newFigures(o.Registry),
		ledgers: map[store.Log]*ledger{},
		parts:   map[penstock.PartitionID]*Partition{},
	}
	r.expiry.Store(int64(o.ProducerExpiry))
	r.follower.topics = map[penstock.TopicID]*applied{}
	r.follower.changed.L = &r.follower.mu
	return r
}

// SetProducerExpiry changes after how long a silent producer is forgotten, as Options.ProducerExpiry says it at first.
func (r *Replicas) SetProducerExpiry(d time.Duration) { r.expiry.Store(int64(d)) }

// Partition returns the partition, nil if it is not led here, or not open yet. It may be one that could not be opened.
func (r *Replicas) Partition(id penstock.PartitionID) *Partition {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.parts[id]
}

// Each calls f for every partition led here, in no particular order, until it returns false. f may call anything.
func (r *Replicas) Each(f func(*Partition) bool) {
	for _, p := range r.list() {
		if !f(p) {
			return
		}
	}
}

func (r *Replicas) list() []*Partition {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*Partition, 0, len(r.parts))
	for _, p := range r.parts {
		all = append(all, p)
	}
	return all
}

// Why a partition is closed.
var (
	errNotLed  = fmt.Errorf("%w: led by another node", penstock.ErrClosed)
	errDeleted = fmt.Errorf("%w: deleted", penstock.ErrClosed)
	errStopped = fmt.Errorf("%w: the node stops", penstock.ErrClosed)
	errReopen  = fmt.Errorf("%w: opened anew", penstock.ErrClosed)
)

// run does jobs, several at once, and returns when all are done.
func (r *Replicas) run(jobs []func()) {
	if len(jobs) == 1 {
		jobs[0]()
		return
	}
	todo := make(chan func(), len(jobs))
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	var wg sync.WaitGroup
	for range min(r.o.Workers, len(jobs)) {
		wg.Go(func() {
			for j := range todo {
				j()
			}
		})
	}
	wg.Wait()
}

func (r *Replicas) publish(p *Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts[p.id] = p
}

// close takes a partition out and ends it. Its store stays as it is.
func (r *Replicas) close(p *Partition, why error) {
	r.mu.Lock()
	if r.parts[p.id] == p {
		delete(r.parts, p.id)
	}
	r.mu.Unlock()
	p.close(fmt.Errorf("partition %v: %w", p.id, why))
	if p.ledger == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.ledger.leave(p) {
		delete(r.ledgers, p.ledger.log)
	}
}

// remove deletes a partition of a topic that was deleted; p is nil if it was not led here.
func (r *Replicas) remove(t *meta.Topic, i int32, p *Partition) {
	if p != nil {
		r.close(p, errDeleted)
	}
	st := r.o.Stores[KeyOf(t)]
	if st == nil {
		return
	}
	id := penstock.PartitionID{Topic: t.ID, Partition: i}
	if err := st.Remove(id); err != nil {
		r.o.Logger.Error("partition of a deleted topic is not removed", "topic", t.Name, "partition", id, "err", err)
	}
}

// join puts a partition on the ledger of the log that its store lies on, which partitions on one log share. A ledger's last partition takes
// it away with it, and so both are done under mu: nobody joins one that is taken away.
func (r *Replicas) join(p *Partition, log store.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.ledgers[log]
	if l == nil {
		l = newLedger(log, r.o.Broker, &r.figures)
		r.ledgers[log] = l
		log.Notify(l.onSynced)
	}
	p.ledger = l
	l.join(p)
}

// count sets the gauges.
func (r *Replicas) count() {
	n, failed := int64(0), int64(0)
	for _, p := range r.list() {
		n++
		if p.Err() != nil {
			failed++
		}
	}
	r.figures.partitions.Set(n)
	r.figures.failed.Set(failed)
}

// Close ends every partition, saves what they know of their producers and closes the stores, so that the next start finds
// everything in order. Promises that are not met yet fail with ErrClosed. Calls after the first do nothing.
func (r *Replicas) Close() error {
	if !r.stop() {
		return nil
	}
	var mu sync.Mutex
	var errs []error
	var jobs []func()
	for _, p := range r.list() {
		jobs = append(jobs, func() {
			r.close(p, errStopped)
			if p.ledger == nil {
				return
			}
			if err := p.save(true); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	r.run(jobs)
	for key, st := range r.o.Stores {
		if err := st.Close(); err != nil {
			errs = append(errs, fmt.Errorf("store %v: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

func isrMark(m store.Mark) isr.Mark { return isr.Mark(m) }
