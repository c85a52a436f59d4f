package data

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
	"penstock/metric"
)

// meter counts records and their latencies. Its methods may be called concurrently.
type meter struct {
	records, bytes atomic.Int64
	latency        metric.Histogram
	slowest        atomic.Int64  // nanoseconds
	took           time.Duration // written once, when the load is over
}

func (m *meter) count(r *kgo.Record) {
	m.records.Add(1)
	m.bytes.Add(int64(len(r.Key) + len(r.Value)))
}

func (m *meter) observe(d time.Duration) {
	m.latency.Observe(int64(d))
	for old := m.slowest.Load(); int64(d) > old && !m.slowest.CompareAndSwap(old, int64(d)); {
		old = m.slowest.Load()
	}
}

// load is how much is sent.
type load struct {
	count    int64 // 0: until the duration is over
	duration time.Duration
	rate     int64 // 0: no limit
	stamp    bool  // records say when they were due
	meter    *meter
}

func (b *bench) limits() load {
	return load{count: b.f.count, duration: b.f.duration, rate: b.f.rate, meter: &b.sent}
}

// measure runs a load, shows it on a terminal, and takes this process's processor time.
func (b *bench) measure(ctx context.Context, run func(context.Context) error) error {
	stop := b.show()
	before := cpuTime()
	err := run(ctx)
	b.cpu = cpuTime() - before
	stop()
	return err
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// produce sends a load from all clients and waits for the acknowledgements. An interrupt ends it early and is no error.
func (b *bench) produce(ctx context.Context, l load) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed atomic.Pointer[error]
	fail := func(err error) {
		failed.CompareAndSwap(nil, &err)
		stop()
	}
	started := time.Now()
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range b.f.clients {
		wg.Go(func() {
			if err := b.producer(ctx, l, started, &taken, fail); err != nil {
				fail(err)
			}
		})
	}
	wg.Wait()
	l.meter.took = time.Since(started)
	if why := failed.Load(); why != nil {
		return cli.Fail(fmt.Sprintf("%d records were sent, then one was not", l.meter.records.Load()), *why, "")
	}
	return nil
}

// producer is one client.
func (b *bench) producer(ctx context.Context, l load, started time.Time, taken *atomic.Int64, fail func(error)) error {
	opts, err := b.producerOptions()
	if err != nil {
		return err
	}
	cl, err := b.e.Client(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	given := context.WithoutCancel(ctx)
	for {
		i := taken.Add(1) - 1
		due := time.Now()
		if l.rate > 0 {
			due = started.Add(time.Duration(float64(i) / float64(l.rate) * float64(time.Second)))
		}
		if l.count > 0 && i >= l.count || due.Sub(started) >= l.duration || !sleepUntil(ctx, due) {
			break
		}
		cl.Produce(given, &kgo.Record{Topic: b.topic, Value: b.value(i, due, l.stamp)}, func(r *kgo.Record, err error) {
			if err != nil {
				fail(err)
				return
			}
			l.meter.count(r)
			l.meter.observe(time.Since(due))
		})
	}
	flush, cancel := context.WithTimeout(given, b.e.Timeout+time.Second)
	defer cancel()
	return cl.Flush(flush)
}

func (b *bench) producerOptions() ([]kgo.Opt, error) {
	codec, err := codecOption(b.f.codec)
	if err != nil {
		return nil, err
	}
	opts, err := acksOptions(b.f.acks)
	return append(opts, codec, kgo.ProducerBatchMaxBytes(b.f.batch), kgo.ProducerLinger(b.f.linger),
		kgo.MaxBufferedBytes(max(buffered, 2*b.f.size+1024)), kgo.RecordDeliveryTimeout(b.e.Timeout),
		kgo.ProduceRequestTimeout(min(b.e.Timeout, 30*time.Second)), kgo.UnknownTopicRetries(-1)), err
}

// sleepUntil waits for a time, and reports whether the context was still alive then.
func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// value is the value of record i. One that carries a stamp is a copy.
func (b *bench) value(i int64, due time.Time, stamp bool) []byte {
	p := b.payloads[i%int64(len(b.payloads))]
	if !stamp {
		return p
	}
	v := make([]byte, len(p))
	copy(v, p)
	binary.BigEndian.PutUint64(v, b.run64)
	binary.BigEndian.PutUint64(v[8:], uint64(due.Sub(b.epoch)))
	return v
}

// stamped is when a record was due, if it is of this run.
func (b *bench) stamped(r *kgo.Record) (time.Time, bool) {
	if len(r.Value) < stampBytes || binary.BigEndian.Uint64(r.Value) != b.run64 {
		return time.Time{}, false
	}
	return b.epoch.Add(time.Duration(binary.BigEndian.Uint64(r.Value[8:]))), true
}

// both sends and reads at once.
func (b *bench) both(ctx context.Context) error {
	b.run64 = rand.Uint64()
	ends, err := b.offsets(ctx)
	if err != nil {
		return err
	}
	return b.measure(ctx, func(ctx context.Context) error {
		begin := time.Now()
		reading, stop := context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		var want atomic.Int64 // records that must arrive; negative while they are still being sent
		want.Store(-1)
		read := make(chan error, 1)
		go func() { read <- b.consumers(reading, ends, nil, &want, b.endToEnd) }()
		l := b.limits()
		l.stamp = true
		sendErr := b.produce(ctx, l)
		want.Store(b.sent.records.Load())
		if sendErr != nil {
			stop()
		}
		readErr := <-read
		b.got.took = time.Since(begin)
		if sendErr != nil {
			return sendErr
		}
		return readErr
	})
}

// endToEnd counts a record of this run.
func (b *bench) endToEnd(r *kgo.Record) {
	if due, ok := b.stamped(r); ok {
		b.got.count(r)
		b.got.observe(time.Since(due))
	}
}

// offsets are the ends of the topic's partitions.
func (b *bench) offsets(ctx context.Context) (map[int32]bounds, error) {
	ctx, cancel := b.e.Within(ctx)
	defer cancel()
	starts, err := b.adm.ListStartOffsets(ctx, b.topic)
	if err := firstOf(starts, err); err != nil {
		return nil, err
	}
	ends, err := b.adm.ListEndOffsets(ctx, b.topic)
	if err := firstOf(ends, err); err != nil {
		return nil, err
	}
	out := map[int32]bounds{}
	for n, end := range ends[b.topic] {
		out[n] = bounds{starts[b.topic][n].Offset, end.Offset}
	}
	return out, nil
}

// consumeAll fills a topic of its own, then reads it again and again.
func (b *bench) consumeAll(ctx context.Context) error {
	if b.f.topic == "" {
		fill := load{count: b.f.count, duration: 24 * time.Hour, meter: &meter{}}
		if fill.count == 0 {
			fill.count = max(1, fillBytes/int64(max(b.f.size, 1)))
		}
		fill.count = min(fill.count, 10_000_000)
		if err := b.produce(ctx, fill); err != nil {
			return err
		}
	}
	at, err := b.offsets(ctx)
	if err != nil {
		return err
	}
	var held int64
	for _, p := range at {
		held += p.end - p.start
	}
	if held == 0 && ctx.Err() == nil {
		return cli.NotFound("topic %s holds no records to read", b.topic)
	}
	return b.measure(ctx, func(ctx context.Context) error {
		started := time.Now()
		ctx, cancel := context.WithTimeout(ctx, b.f.duration)
		defer cancel()
		defer func() { b.got.took = time.Since(started) }()
		for ctx.Err() == nil && (b.f.count == 0 || b.got.records.Load() < b.f.count) {
			if err := b.consumers(ctx, nil, at, nil, b.read); err != nil {
				return err
			}
		}
		return nil
	})
}

// read counts a record, up to the number that was asked for.
func (b *bench) read(r *kgo.Record) {
	if b.f.count == 0 || b.got.records.Load() < b.f.count {
		b.got.count(r)
	}
}

// consumers reads with all clients, each its share of the partitions: from the ends given until want records of this run have
// arrived, or else the windows given. It ends early with the context, without an error.
func (b *bench) consumers(ctx context.Context, ends, windows map[int32]bounds, want *atomic.Int64, each func(*kgo.Record)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed atomic.Pointer[error]
	n := min(b.f.clients, int(b.parts))
	var wg sync.WaitGroup
	for i := range n {
		begin, until := map[int32]kgo.Offset{}, map[int32]int64{}
		for p, at := range ends {
			if int(p)%n == i {
				begin[p] = kgo.NewOffset().At(at.end)
			}
		}
		for p, w := range windows {
			if int(p)%n == i && w.end > w.start {
				begin[p], until[p] = kgo.NewOffset().At(w.start), w.end
			}
		}
		wg.Go(func() {
			if err := b.consumer(ctx, begin, until, want, each); err != nil {
				failed.CompareAndSwap(nil, &err)
				stop()
			}
		})
	}
	wg.Wait()
	if why := failed.Load(); why != nil {
		return cli.Fail(fmt.Sprintf("%d records were read, then no more", b.got.records.Load()), *why, "")
	}
	return nil
}

// fetchMeter hears of the client's fetches.
type fetchMeter struct{ m *meter }

var _ kgo.HookBrokerE2E = fetchMeter{}

// OnBrokerE2E observes the latency of a fetch.
func (f fetchMeter) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	const fetch = 1
	if key == fetch && e2e.Err() == nil {
		f.m.observe(e2e.DurationE2E())
	}
}

// errSilent is what ends a consumer that gets nothing any more.
var errSilent = errors.New("no records arrive")

// consumer is one client.
func (b *bench) consumer(ctx context.Context, begin map[int32]kgo.Offset, until map[int32]int64, want *atomic.Int64, each func(*kgo.Record)) error {
	if len(begin) == 0 {
		return nil
	}
	opts := []kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.topic: begin}), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes / 4)}
	if want == nil {
		opts = append(opts, kgo.WithHooks(fetchMeter{&b.got}))
	}
	cl, err := b.e.Client(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	heard := time.Now()
	for ctx.Err() == nil {
		polled, cancel := context.WithTimeout(ctx, tick/10)
		fs := cl.PollRecords(polled, pollRecords)
		cancel()
		fs.EachRecord(func(r *kgo.Record) {
			heard = time.Now()
			if end, ok := until[r.Partition]; ok && r.Offset+1 >= end {
				delete(until, r.Partition)
			}
			if !r.Attrs.IsControl() {
				each(r)
			}
		})
		switch sent := int64(-1); {
		case want == nil && (len(until) == 0 || b.f.count > 0 && b.got.records.Load() >= b.f.count):
			return nil
		case want != nil:
			if sent = want.Load(); sent >= 0 && b.got.records.Load() >= sent {
				return nil
			}
		}
		// While records are sent at a low rate silence is no fault.
		if (want == nil || want.Load() >= 0) && time.Since(heard) > b.e.Timeout {
			return fmt.Errorf("%w for %v", errSilent, b.e.Timeout)
		}
	}
	return nil
}
