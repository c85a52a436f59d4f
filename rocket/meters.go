package rocket

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
)

// The kinds of figures that RocketMQ's administrators ask for by name, with a key: a topic, a topic and a group, the cluster.
const (
	statTopicPut     = "TOPIC_PUT_NUMS"
	statTopicPutSize = "TOPIC_PUT_SIZE"
	statGroupGet     = "GROUP_GET_NUMS"
	statGroupGetSize = "GROUP_GET_SIZE"
	statSendBack     = "SNDBCK_PUT_NUMS"
	statBrokerPut    = "BROKER_PUT_NUMS"
	statBrokerGet    = "BROKER_GET_NUMS"

	statBrokerPutSize = "BROKER_PUT_SIZE" // not one of RocketMQ's names
)

// groupKey is the key of what a group has got of a topic.
func groupKey(topic, group string) string { return topic + "@" + group }

// meterKey names a meter.
type meterKey struct{ name, key string }

// maxMeters bounds how many there are. What is beyond is counted nowhere.
const maxMeters = 50_000

// meters count what goes through, and remember it for a minute, an hour and a day (RocketMQ: StatsItemSet). Counting takes no lock once the meter is
// known. The zero value counts; somebody must call tick every tickEvery for rates.
type meters struct {
	m     sync.Map // of meterKey to *meter
	n     atomic.Int32
	ticks int // by the goroutine that ticks

	pulls  pulled
	places atomic.Int64 // queues in the maps of pulls

	mu        sync.Mutex
	yesterday totals // at its midnight; guarded by mu
	today     totals // at its midnight; guarded by mu
	day       int    // of the year; guarded by mu
}

// totals are messages since the start.
type totals struct{ put, got int64 }

// meter is one figure.
type meter struct {
	sum   atomic.Int64
	times atomic.Int64

	mu                sync.Mutex
	minute, hour, day span // guarded by mu
}

// span is what a meter was at moments past, oldest first.
type span struct{ at []moment }

type moment struct {
	when       time.Time
	sum, times int64
}

// push adds a moment, and keeps the newest n.
func (s *span) push(m moment, n int) {
	if len(s.at) == n {
		copy(s.at, s.at[1:])
		s.at = s.at[:n-1]
	}
	s.at = append(s.at, m)
}

// rates are what a figure came to over a span of time.
type rates struct {
	sum     int64
	second  float64 // a second
	average float64 // each time
}

// pulled are the meters of what groups get, found by names without an allocation.
type pulled struct {
	mu sync.RWMutex
	m  map[readKey]*gets // guarded by mu
}

// readKey is a topic and a group that reads it.
type readKey struct{ topic, group string }

// gets are the meters of one group's messages and bytes of one topic, and of all messages, and how far the group has pulled.
type gets struct {
	messages, bytes, all *meter

	mu   sync.Mutex
	kept bool                      // whether pulled has it; guarded by mu
	to   map[int32]penstock.Offset // behind the last message pulled, by queue; guarded by mu
}

// maxPulled bounds for how many queues it is remembered how far groups have pulled them.
const maxPulled = 1_000_000

// reached notes that the group has pulled up to an offset of a queue, which may lie before an earlier one.
func (g *gets) reached(ms *meters, queue int32, next penstock.Offset) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.to[queue]; !ok {
		if !g.kept || ms.places.Load() >= maxPulled {
			return
		}
		ms.places.Add(1)
		if g.to == nil {
			g.to = map[int32]penstock.Offset{}
		}
	}
	g.to[queue] = next
}

// pulledTo is behind the last message of a queue that a group has pulled since the start of the process, 0 if it has pulled none.
func (ms *meters) pulledTo(topic, group string, queue int32) penstock.Offset {
	ms.pulls.mu.RLock()
	g := ms.pulls.m[readKey{topic, group}]
	ms.pulls.mu.RUnlock()
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.to[queue]
}

// pulled counts what a group got of a queue, whose next message it will ask for is next.
func (f *Front) pulled(topic, group string, queue int32, messages int, bytes int64, next penstock.Offset) {
	ms, k := &f.meters, readKey{topic, group}
	ms.pulls.mu.RLock()
	g := ms.pulls.m[k]
	ms.pulls.mu.RUnlock()
	if g == nil {
		now := f.o.Now()
		fresh := &gets{
			messages: ms.find(meterKey{statGroupGet, groupKey(topic, group)}, now), bytes: ms.find(meterKey{statGroupGetSize, groupKey(topic, group)}, now),
			all: ms.find(meterKey{statBrokerGet, f.o.ClusterName}, now),
		}
		ms.pulls.mu.Lock()
		if ms.pulls.m == nil {
			ms.pulls.m = map[readKey]*gets{}
		}
		if g = ms.pulls.m[k]; g == nil { // nobody else came first
			if g = fresh; len(ms.pulls.m) < maxMeters {
				ms.pulls.m[k], g.kept = g, true
			}
		}
		ms.pulls.mu.Unlock()
	}
	g.messages.add(int64(messages))
	g.bytes.add(bytes)
	g.all.add(int64(messages))
	g.reached(ms, queue, next)
}

// forget drops the meters of a topic that is gone.
func (ms *meters) forget(topic string) {
	ms.pulls.mu.Lock()
	for k, g := range ms.pulls.m {
		if k.topic == topic {
			delete(ms.pulls.m, k)
			g.mu.Lock()
			ms.places.Add(-int64(len(g.to)))
			g.to, g.kept = nil, false
			g.mu.Unlock()
		}
	}
	ms.pulls.mu.Unlock()
	ms.m.Range(func(key, _ any) bool {
		k := key.(meterKey)
		if k.name == statBrokerPut || k.name == statBrokerGet || k.name == statBrokerPutSize {
			return true
		}
		if k.key == topic || strings.HasPrefix(k.key, topic+"@") {
			if _, ok := ms.m.LoadAndDelete(k); ok {
				ms.n.Add(-1)
			}
		}
		return true
	})
}

// until is what was counted from the first moment of a span until now.
func (s *span) until(now moment) rates {
	if len(s.at) == 0 {
		return rates{}
	}
	whole := span{[]moment{s.at[0], now}}
	return whole.over()
}

// over is what was counted between the first and the last moment of a span.
func (s *span) over() rates {
	if len(s.at) < 2 {
		return rates{}
	}
	a, b := s.at[0], s.at[len(s.at)-1]
	r := rates{sum: b.sum - a.sum}
	if d := b.when.Sub(a.when).Seconds(); d > 0 {
		r.second = float64(r.sum) / d
	}
	if n := b.times - a.times; n > 0 {
		r.average = float64(r.sum) / float64(n)
	}
	return r
}

// How often moments are noted, and how many are kept: a minute and an hour in sixths, a day in hours.
const (
	tickEvery    = 10 * time.Second
	hourTicks    = 60
	dayTicks     = 360
	minuteKept   = 7
	hourKept     = 7
	dayKept      = 25
	firstMoments = 2
)

// find returns a meter, nil if there are too many.
func (ms *meters) find(k meterKey, now time.Time) *meter {
	if m, ok := ms.m.Load(k); ok {
		return m.(*meter)
	}
	if ms.n.Load() >= maxMeters {
		return nil
	}
	fresh := &meter{}
	fresh.note(now, true, true)
	m, loaded := ms.m.LoadOrStore(k, fresh)
	if !loaded {
		ms.n.Add(1)
	}
	return m.(*meter)
}

// add counts n, as one time. A nil meter counts nothing.
func (m *meter) add(n int64) {
	if m != nil {
		m.sum.Add(n)
		m.times.Add(1)
	}
}

// note notes a moment.
func (m *meter) note(now time.Time, hour, day bool) {
	at := moment{now, m.sum.Load(), m.times.Load()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.minute.push(at, minuteKept)
	if hour {
		m.hour.push(at, hourKept)
	}
	if day {
		m.day.push(at, dayKept)
	}
}

// spans are what the meter came to over a minute, an hour and a day. The last two end now: their moments lie far apart.
func (m *meter) spans(now time.Time) (minute, hour, day rates) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := moment{now, m.sum.Load(), m.times.Load()}
	return m.minute.over(), m.hour.until(at), m.day.until(at)
}

// lastMinute is what was counted in the last minute that is known.
func (m *meter) lastMinute() rates {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.minute.over()
}

// ten is what was counted in the last two moments, which are tickEvery apart.
func (m *meter) ten() rates {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := span{m.minute.at[max(len(m.minute.at)-firstMoments, 0):]}
	return s.over()
}

// rate is a figure a second, over the last minute; 0 if nothing was ever counted.
func (ms *meters) rate(k meterKey) float64 {
	m, ok := ms.m.Load(k)
	if !ok {
		return 0
	}
	return m.(*meter).lastMinute().second
}

// tick notes a moment of every meter.
func (ms *meters) tick(now time.Time, cluster string) {
	ms.ticks++
	ms.m.Range(func(_, m any) bool {
		m.(*meter).note(now, ms.ticks%hourTicks == 0, ms.ticks%dayTicks == 0)
		return true
	})
	put, got := ms.totals(cluster)
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if day := now.YearDay(); day != ms.day {
		if ms.day != 0 {
			ms.yesterday, ms.today = ms.today, totals{put, got}
		}
		ms.day = day
	}
}

// totals are messages put and got since the start.
func (ms *meters) totals(cluster string) (put, got int64) {
	sum := func(name string) int64 {
		if m, ok := ms.m.Load(meterKey{name, cluster}); ok {
			return m.(*meter).sum.Load()
		}
		return 0
	}
	return sum(statBrokerPut), sum(statBrokerGet)
}

// mornings are the totals at the last two midnights.
func (ms *meters) mornings() (yesterday, today totals) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.yesterday, ms.today
}

// Run keeps figures for administrators until ctx ends.
func (f *Front) Run(ctx context.Context) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	f.meters.tick(f.o.Now(), f.o.ClusterName)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f.meters.tick(f.o.Now(), f.o.ClusterName)
		}
	}
}
