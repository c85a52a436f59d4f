package delay

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/message"
	"penstock/record"
	"penstock/replica"
)

func TestLevels(t *testing.T) {
	all, err := ParseLevels(DefaultLevels)
	if err != nil || len(all) != 18 || all[0] != time.Second || all[4] != time.Minute || all[17] != 2*time.Hour {
		t.Error(all, err)
	}
	if all, err := ParseLevels(" 3d  1s"); err != nil || len(all) != 2 || all[0] != 72*time.Hour {
		t.Error(all, err)
	}
	for _, bad := range []string{"", "1", "s", "1x", "-1s", "0s", "1s 2", "367d", "99999999999h", strings.Repeat("1s ", MaxLevels+1)} {
		if _, err := ParseLevels(bad); err == nil {
			t.Errorf("%q", bad)
		}
	}
}

// TestDelivery: not before its time, then at once, as it was sent, in order, and never again.
func TestDelivery(t *testing.T) {
	r := start(t, nil, nil).made()
	r.delay(2, "real", 3, "a")
	r.clock.add(time.Second)
	r.delay(2, "real", 3, "b")
	r.delay(1, "real", 0, "c")
	if next := r.calm(); !next.Equal(r.clock.Now().Add(time.Second)) {
		t.Errorf("next at %v, now is %v", next, r.clock.Now())
	}
	r.pass(999 * time.Millisecond)
	r.want("real", "")
	r.pass(time.Millisecond)
	r.want("real", "c")
	r.pass(2999 * time.Millisecond)
	r.want("real", "c")
	r.pass(time.Millisecond)
	r.want("real", "c a")
	r.pass(time.Hour)
	r.want("real", "c a b")
	m := r.got("real")[2]
	want := r.stored(2, "real", 3, "b")
	if m.QueueID != 3 || string(m.Topic) != "real" || m.Flag != want.Flag || m.SysFlag != want.SysFlag || m.BornTime != want.BornTime || m.BornHost != want.BornHost ||
		m.StoreHost != want.StoreHost || m.Reconsumed != want.Reconsumed || !m.WithRecordCRC || m.QueueOffset != 1 {
		t.Errorf("%+v", m)
	}
	if m.StoreTime != penstock.Timestamp(r.clock.Now().UnixMilli()) {
		t.Errorf("stored at %d", m.StoreTime)
	}
	for key, v := range map[string]string{"KEYS": "k", "TAGS": "t", message.PropertyDelayLevel: "2", message.PropertyRealTopic: "real", message.PropertyRealQueue: "3", propertyDue: "none"} {
		if got := property(&m, key); got != v {
			t.Errorf("%s is %q, want %q", key, got, v)
		}
	}
	if n := r.pending(); n != 0 {
		t.Errorf("%d pending", n)
	}
	// A stop notes what was delivered.
	r.stop(false)
	r = start(t, r, nil)
	r.pass(time.Hour)
	r.want("real", "c a b")
	if r.noted(1) != 1 || r.noted(2) != 2 || r.noted(3) != penstock.NoOffset {
		t.Error(r.noted(1), r.noted(2), r.noted(3))
	}
	r.delay(1, "real", 0, "d")
	r.pass(time.Second)
	r.want("real", "c d a b")
	r.stop(false)
}

// TestMany delivers more than may be on their way at once.
func TestMany(t *testing.T) {
	r := start(t, nil, func(o *Options) { o.Ahead, o.AheadBytes = 7, 2000 }).made()
	var want []string
	for i := range 100 {
		body := strings.Repeat("x", 1+i*37%900)
		r.delay(1, "real", 0, body)
		want = append(want, body)
	}
	r.calm()
	if n := r.pending(); n != 100 {
		t.Errorf("%d pending", n)
	}
	r.pass(time.Second)
	r.want("real", strings.Join(want, " "))
	r.stop(false)
}

// TestSaves: what is delivered is noted soon, not at once, and not again.
func TestSaves(t *testing.T) {
	r := start(t, nil, nil).made()
	r.delay(1, "real", 0, "a")
	r.pass(time.Second)
	first := r.noted(1)
	r.delay(1, "real", 0, "b")
	r.pass(time.Second)
	r.pass(r.o.SaveEvery)
	if first != 1 || r.noted(1) != 2 {
		t.Error(first, r.noted(1))
	}
	if next := r.calm(); !next.IsZero() && next.Sub(r.clock.Now()) < time.Minute {
		t.Errorf("there is nothing to do, and it wants to be called in %v", next.Sub(r.clock.Now()))
	}
	r.stop(false)
}

// TestGone: a message whose topic is gone does not keep those behind it, is delivered if the topic is there again, and is given up in the end.
func TestGone(t *testing.T) {
	r := start(t, nil, nil).made()
	gone := r.create("gone", penstock.FormatMessage, 4)
	r.delay(1, "gone", 3, "a")
	r.delay(1, "real", 0, "b")
	if err := r.meta.DeleteTopic(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Second)
	r.want("real", "b")
	if n := r.log.count("put off"); n != 1 || r.figures.putOff.Value() != 1 {
		t.Errorf("told %d times, counted %d", n, r.figures.putOff.Value())
	}
	r.pass(putOffFor - time.Millisecond)
	r.pass(time.Millisecond)
	if n := r.log.count("put off"); n != 1 || r.figures.putOff.Value() != 2 {
		t.Errorf("told %d times, counted %d", n, r.figures.putOff.Value())
	}
	r.stop(false)
	r = start(t, r, nil) // what was put off is durable
	r.create("gone", penstock.FormatMessage, 2)
	r.pass(putOffFor)
	r.want("gone", "a")
	m := r.got("gone")[0]
	if m.QueueID != 1 || property(&m, propertyDue) != "none" || m.BornTime != 1234 || m.Reconsumed != 3 {
		t.Errorf("%+v", m)
	}
	// For ever gone.
	r.delay(1, "never", 0, "c")
	for range 72*6 + 2 {
		r.pass(putOffFor)
	}
	r.create("never", penstock.FormatMessage, 1)
	if r.figures.discarded.Value() != 1 || r.log.count("given up") != 1 || r.pending() != 0 {
		t.Error(r.figures.discarded.Value(), r.pending(), r.log.all.String())
	}
	r.pass(time.Hour)
	r.want("never", "")
	r.stop(false)
}

// TestFailsOnItsWay: a delivery that fails after it was sent, here because its topic goes meanwhile, is tried again although nothing new comes to its level.
func TestFailsOnItsWay(t *testing.T) {
	r := start(t, nil, nil).made()
	gone := r.create("gone", penstock.FormatMessage, 1)
	for range 2 { // a queue's first append waits for the disk within the call
		r.pass(time.Second)
		r.delay(1, "gone", 0, "a")
		r.delay(1, "real", 0, "b")
	}
	r.calm()
	r.clock.add(time.Second)
	r.fs.Inject("sync#*=stall syncall#*=stall")
	r.Step()
	l := (*r.levels.Load())[0]
	if len(l.flights) != 2 || l.watch == nil {
		t.Fatalf("%d on their way, watch %v", len(l.flights), l.watch)
	}
	deleted := make(chan error, 1)
	go func() { deleted <- r.meta.DeleteTopic(context.Background(), gone.ID) }()
	r.until("the first has failed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return l.flights[0].err != nil
	})
	r.fs.Heal()
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.pass(longestPause)
	}
	if n := r.figures.putOff.Value(); n != 1 {
		t.Errorf("put off %d times:\n%s", n, r.log.all.String())
	}
	r.want("real", "b b b") // the second was on its way behind one that failed
	if r.noted(1) != 4 {
		t.Error(r.noted(1))
	}
	r.stop(false)
}

// TestBlocked: a level whose message finds its topic's queue closed is tried again, the others go on; and in the end it is put off.
func TestBlocked(t *testing.T) {
	var h *hidden
	r := start(t, nil, func(o *Options) {
		h = &hidden{Replicas: o.Partitions.(*replica.Replicas)}
		o.Partitions = h
	}).made()
	shut := r.create("shut", penstock.FormatMessage, 1)
	h.hide(shut.ID)
	r.delay(1, "shut", 0, "a")
	r.delay(1, "real", 0, "b")
	r.delay(2, "real", 0, "c")
	r.pass(5 * time.Second)
	r.want("real", "c") // b waits behind a
	h.hide(penstock.TopicID{})
	r.pass(longestPause)
	r.want("shut", "a")
	r.want("real", "c b")
	h.hide(shut.ID)
	r.delay(1, "shut", 0, "d")
	r.delay(1, "real", 0, "e")
	for range patience + 2 {
		r.pass(longestPause)
	}
	r.want("real", "c b e")
	h.hide(penstock.TopicID{})
	r.pass(putOffFor)
	r.want("shut", "a d")
	r.stop(false)
}

// TestFull: a full disk stops deliveries, which go on when there is room again; it is told once.
func TestFull(t *testing.T) {
	r := start(t, nil, nil).made()
	r.delay(1, "real", 0, "a")
	r.delay(2, "real", 0, "b")
	r.calm()
	r.fs.Inject("write#*=ENOSPC allocate#*=ENOSPC")
	for range 20 {
		r.pass(time.Second)
	}
	r.want("real", "")
	if n := r.log.count("cannot be delivered"); n != 2 {
		t.Errorf("told %d times of two levels", n)
	}
	r.fs.Heal()
	for range 3 {
		r.pass(longestPause)
	}
	r.want("real", "a b")
	if n := r.log.count("delivered again"); n != 2 {
		t.Errorf("told %d times of two levels:\n%s", n, r.log.all.String())
	}
	r.stop(false)
}

// TestClockBack: a clock that goes back makes nothing early, and nothing later than its level's delay from then.
func TestClockBack(t *testing.T) {
	r := start(t, nil, nil).made()
	r.delay(3, "real", 0, "a") // 10 s
	r.pass(4 * time.Second)
	r.delay(3, "real", 0, "b")
	r.calm()
	r.clock.add(-time.Hour)
	r.calm() // sees it
	r.pass(5 * time.Second)
	r.delay(3, "real", 0, "c")
	r.pass(5*time.Second - time.Millisecond)
	r.want("real", "")
	r.pass(time.Millisecond)
	r.want("real", "a b")
	r.pass(5*time.Second - time.Millisecond)
	r.want("real", "a b")
	r.pass(time.Millisecond)
	r.want("real", "a b c")
	r.stop(false)
}

// TestNowhere: what says no topic, or one that nothing may be delivered to, is given up and keeps nobody.
func TestNowhere(t *testing.T) {
	r := start(t, nil, nil).made()
	for _, m := range []*message.Message{r.stored(1, "", 0, "x"), r.stored(1, Topic, 0, "x"), r.stored(1, halfTopic, 0, "x"), r.stored(1, "real", -1, "x")} {
		if err := r.put(1, m); err != nil {
			t.Fatal(err)
		}
	}
	m := r.stored(1, "real", 0, "x")
	m.Properties = nil
	if err := r.put(1, m); err != nil {
		t.Fatal(err)
	}
	r.delay(1, "real", math.MaxInt32, "a")
	r.pass(time.Second)
	r.want("real", "a")
	if n := r.figures.discarded.Value(); n != 5 {
		t.Error(n)
	}
	r.pass(time.Second)
	if r.noted(1) != 6 {
		t.Error(r.noted(1))
	}
	r.stop(false)
}

// TestDamaged: a message whose checksum is wrong is passed over, and told of.
func TestDamaged(t *testing.T) {
	r := start(t, nil, nil).made()
	b, err := batch(nil, r.stored(1, "real", 0, "xxxx"))
	if err != nil {
		t.Fatal(err)
	}
	p := r.replicas.Partition(penstock.PartitionID{Topic: r.meta.Image().Topic(Topic).ID})
	r.delay(1, "real", 0, "a")
	r.pass(time.Second)
	l := (*r.levels.Load())[0]
	// As it would be read from a disk that lies.
	at := strings.Index(string(b.Bytes), "xxxx")
	b.Bytes[at] = 'y'
	if err := l.send(b.Bytes, l.next, r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	r.calm()
	if r.figures.damaged.Value() != 1 || r.log.count("damaged") != 1 || p.Err() != nil {
		t.Error(r.log.all.String())
	}
	r.stop(false)
}

// TestRecords delivers to a topic that holds Kafka's records.
func TestRecords(t *testing.T) {
	r := start(t, nil, nil).made()
	topic := r.create("records", penstock.FormatRecord, 2)
	m := r.stored(1, "records", 1, "a")
	m.SysFlag = 0
	if err := r.put(1, m); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Second)
	p := r.replicas.Partition(penstock.PartitionID{Topic: topic.ID, Partition: 1})
	extents, _, err := p.Read(replica.ReadRequest{Max: 1 << 20, Whole: true, Epoch: penstock.NoEpoch, LastEpoch: penstock.NoEpoch}, nil)
	if err != nil || len(extents) != 1 {
		t.Fatal(err, extents, r.log.all.String())
	}
	defer penstock.ReleaseAll(extents)
	b := make([]byte, extents[0].Len)
	if _, err := extents[0].File.ReadAt(b, extents[0].Off); err != nil {
		t.Fatal(err)
	}
	if err := (record.Format{}).Verify(b); err != nil || !strings.Contains(string(b), "REAL_TOPIC") {
		t.Errorf("%v, %q", err, b)
	}
	r.stop(false)
}

// TestTrim has the start of a queue follow what is delivered.
func TestTrim(t *testing.T) {
	r := start(t, nil, nil).made()
	for range 5 {
		r.delay(1, "real", 0, "a")
	}
	r.delay(2, "real", 0, "b")
	r.pass(time.Second)
	r.pass(time.Second)
	p := r.replicas.Partition((*r.levels.Load())[0].id)
	if o := p.Offsets(); o.Start != 0 {
		t.Error(o)
	}
	r.pass(r.o.TrimEvery)
	r.until("the start follows", func() bool { r.calm(); return p.Offsets().Start == 5 })
	r.stop(false)
	r = start(t, r, nil)
	r.delay(1, "real", 0, "c")
	r.pass(time.Hour)
	r.want("real", "a a a a a b c")
	r.stop(false)
}

// TestRecreated: a topic of delayed messages that is deleted and made again begins anew.
func TestRecreated(t *testing.T) {
	r := start(t, nil, nil).made()
	r.delay(1, "real", 0, "a")
	r.delay(3, "real", 0, "lost with its topic")
	r.pass(time.Second)
	r.pass(time.Second)
	if err := r.meta.DeleteTopic(t.Context(), r.meta.Image().Topic(Topic).ID); err != nil {
		t.Fatal(err)
	}
	if next := r.calm(); !next.IsZero() {
		t.Error(next)
	}
	r.made()
	r.delay(1, "real", 0, "b")
	r.pass(time.Second)
	r.want("real", "a b")
	r.stop(false)
}

// TestMoreLevels: levels may be added; what lies in queues beyond the last level waits as long as the last.
func TestMoreLevels(t *testing.T) {
	few := func(o *Options) { o.Levels = []time.Duration{time.Second, 2 * time.Second} }
	r := start(t, nil, few).made()
	r.delay(2, "real", 0, "a")
	r.stop(false)
	r = start(t, r, nil).made()
	if n := len(r.meta.Image().Topic(Topic).Partitions); n != 18 || r.Levels() != 18 {
		t.Fatal(n)
	}
	r.delay(18, "real", 0, "b")
	r.pass(5 * time.Second)
	r.want("real", "a")
	r.stop(false)
	r = start(t, r, few).made()
	if r.Levels() != 2 || r.Waits(0) != time.Second || r.Waits(99) != 2*time.Second {
		t.Error(r.Waits(0), r.Waits(99))
	}
	r.pass(time.Second)
	r.want("real", "a b")
	r.stop(false)
}

// broken is a journal that fails for a while.
type broken struct {
	Progress
	load, save error
}

func (b *broken) LoadProgress(ctx context.Context, group, topic string, id penstock.TopicID) (map[int32]penstock.Offset, error) {
	if b.load != nil {
		return nil, b.load
	}
	return b.Progress.LoadProgress(ctx, group, topic, id)
}

func (b *broken) SaveProgress(group, topic string, id penstock.TopicID, at map[int32]penstock.Offset, answer func(error)) {
	if b.save != nil {
		answer(b.save)
		return
	}
	b.Progress.SaveProgress(group, topic, id, at, answer)
}

// TestJournalFails: as long as it is not known what was delivered nothing is; what cannot be noted is noted later. Each is told once.
func TestJournalFails(t *testing.T) {
	b := &broken{load: errors.New("load fails"), save: errors.New("save fails")}
	wrap := func(o *Options) {
		b.Progress = o.Progress
		o.Progress = b
	}
	r := start(t, nil, wrap).made()
	r.delay(1, "real", 0, "a")
	for range 5 {
		r.pass(longestPause)
	}
	r.want("real", "")
	if n := r.log.count("load fails"); n != 1 {
		t.Error(n)
	}
	b.load = nil
	for range 5 {
		r.pass(longestPause)
	}
	r.want("real", "a")
	if n := r.log.count("save fails"); n != 1 || r.noted(1) != penstock.NoOffset {
		t.Error(n, r.noted(1))
	}
	b.save = nil
	r.pass(longestPause)
	if r.noted(1) != 1 {
		t.Error(r.noted(1))
	}
	r.stop(false)
}

// TestRun has the goroutine deliver by a real clock.
func TestRun(t *testing.T) {
	const wait = 30 * time.Millisecond
	r := start(t, nil, func(o *Options) { o.Levels = []time.Duration{wait, 2 * wait} }).made()
	r.clock.mu.Lock()
	r.clock.real = true
	r.clock.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		r.Run(ctx)
	}()
	stored := map[string]int64{}
	for i, body := range []string{"a", "b", "c"} {
		stored[body] = time.Now().UnixMilli()
		r.delay(1+i%2, "real", 0, body)
	}
	r.until("all are delivered", func() bool { return len(r.got("real")) == 3 })
	for _, m := range r.got("real") {
		least := wait.Milliseconds()
		if string(m.Body) == "b" {
			least *= 2
		}
		if waited := int64(m.StoreTime) - stored[string(m.Body)]; waited < least {
			t.Errorf("%s waited %d ms", m.Body, waited)
		}
	}
	cancel()
	<-over
	if r.noted(1) != 2 || r.noted(2) != 1 {
		t.Error(r.noted(1), r.noted(2))
	}
	r.stop(true)
}
