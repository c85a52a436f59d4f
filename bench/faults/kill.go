package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"penstock/bench/broker"
	"penstock/bench/faults/check"
	"penstock/bench/faults/load"
	"penstock/bench/screen"
)

const (
	killPartitions = 6
	// killAcks is how many acknowledgements a cycle has at least before the kill.
	killAcks = 200
	// topicCycles is after how many kills at most a topic is read from its beginning, deleted, and followed by another.
	topicCycles = 25
)

// A combination is how a topic is stored: layout and format.
type combination struct{ layout, format string }

func (c combination) String() string { return c.format + "/" + c.layout }

// combinations are all there are; topics take them in turn.
var combinations = [...]combination{{"segment", "record"}, {"commit", "record"}, {"segment", "message"}, {"commit", "message"}}

// plain is what a topic is created with.
func (c combination) plain() map[string]string {
	return map[string]string{"penstock.layout": c.layout, "penstock.format": c.format}
}

// configs is plain with smallSegments where segments are a topic's own.
func (c combination) configs() map[string]string {
	configs := c.plain()
	if c.layout == "segment" {
		maps.Copy(configs, smallSegments())
	}
	return configs
}

// each is for how many of so many cycles a topic or a file system lives, so that every combination has its turn, if they are enough.
func each(cycles, most int) int { return max(1, min(most, cycles/len(combinations))) }

// loadStyles are the writers of the kill and power parts: each has a connection of its own. The last two are RocketMQ's.
func loadStyles() []load.Style {
	return []load.Style{
		{Exact: true}, {Exact: true, MaxSize: 200}, {Exact: true, MaxSize: 16 << 10, Buffered: 64}, {Exact: true, Single: true},
		{}, {MaxSize: 100}, {Single: true}, {Exact: true, Single: true, MaxSize: 100},
		{Rocket: true}, {Rocket: true, MaxSize: 100},
	}
}

// smallSegments make logs roll often, so that crashes meet rolls too.
func smallSegments() map[string]string {
	return map[string]string{"segment.bytes": "2097152", "index.interval.bytes": "1024"}
}

// killRun is the broker's life between two topics: a topic, its writers and a follower.
type killRun struct {
	*rig
	data     string
	topics   int
	target   *load.Target
	crew     *crew
	follower *load.Follower
	sum      check.Report // of the topics before
	seen     int64        // records that followers read
	early    int          // kills while the broker was starting
}

// runKill kills the broker under load again and again. Most writers live on and send again what was not acknowledged, so
// that a broker that forgot their sequences would be caught; some die with the broker. A topic lasts for a number of kills.
func runKill(ctx context.Context, r *rig) (string, error) {
	k := &killRun{rig: r, data: filepath.Join(r.dir, "data")}
	r.often, r.rocket = true, true
	if err := r.start(ctx, k.data); err != nil {
		return "", err
	}
	cycles := r.count(5, 300)
	bar := screen.NewBar(int64(cycles), "kill -9", false)
	defer bar.Close()
	begin := time.Now()
	lives := each(cycles, topicCycles)
	for done := range cycles {
		if err := k.cycle(ctx, done%lives == lives-1 || done == cycles-1); err != nil {
			return "", fmt.Errorf("cycle %d, %v: %w", done+1, k.combination(), err)
		}
		bar.Add(1)
	}
	if k.sum.Acked < killAcks*int64(cycles) {
		return "", fmt.Errorf("only %d acknowledgements were counted: this proves nothing", k.sum.Acked)
	}
	text := fmt.Sprintf("%d kills under load (%d killed again while starting) of topics of all layouts and formats, %s acknowledged, %s more to RocketMQ's client, %s read by a follower, %s; %.2f s a cycle",
		cycles, k.early, screen.Count(k.sum.Acked-k.sends), screen.Count(k.sends), screen.Count(k.seen), verdict(&k.sum), time.Since(begin).Seconds()/float64(cycles))
	return text, r.broker.Stop()
}

// cycle is one kill and the verification after it. The last of a topic reads all of it and deletes it.
func (k *killRun) cycle(ctx context.Context, last bool) error {
	if k.target == nil {
		if err := k.begin(ctx); err != nil {
			return err
		}
	}
	again, err := k.killOnce(ctx, k.crew, k.data)
	if err != nil {
		return err
	}
	if again {
		k.early++
	}
	overlap := int64(k.rng.IntN(2000))
	if last {
		overlap = everything
	}
	if err := verify(ctx, k.target, overlap); err != nil {
		return err
	}
	if last {
		return k.end(ctx)
	}
	k.crew.resume()
	return k.crew.fill()
}

// combination is that of the topic at hand.
func (k *killRun) combination() combination {
	return combinations[(k.topics+len(combinations)-1)%len(combinations)]
}

// begin makes the next topic and puts load on it.
func (k *killRun) begin(ctx context.Context) (err error) {
	k.topics++
	if k.target, err = load.Create(ctx, k.broker.Kafka, fmt.Sprintf("kill-%d", k.topics), killPartitions, k.combination().configs()); err != nil {
		return err
	}
	k.target.NameServer = k.broker.NameServer
	if k.follower, err = load.Follow(ctx, k.target); err != nil {
		return err
	}
	follower := k.follower
	k.later(func() error { follower.Stop(); return nil })
	k.crew, err = k.hire(k.target, loadStyles())
	return err
}

// end takes the load off the topic, counts what was found, and deletes it.
func (k *killRun) end(ctx context.Context) error {
	k.crew.abandon(1)
	k.seen += k.follower.Stop()
	k.sum.Add(k.target.Report())
	t := k.target
	k.target = nil
	return t.Delete(ctx)
}

// killOnce lets the crew work, kills the broker and starts it again; now and then it kills it again while it starts, or
// stops it politely before, so that what a clean stop leaves behind meets a crash. At the end all that was sent is acknowledged.
func (r *rig) killOnce(ctx context.Context, c *crew, data string) (again bool, err error) {
	if r.chance(8) {
		if err := r.broker.Stop(); err != nil {
			return false, err
		}
		if err := r.start(ctx, data); err != nil {
			return false, fmt.Errorf("after a clean stop: %w", err)
		}
	}
	if err := c.busy(ctx, killAcks); err != nil {
		return false, err
	}
	r.pause(ctx, 50*time.Millisecond, 500*time.Millisecond)
	if !r.broker.Alive() {
		return false, fmt.Errorf("the broker ended by itself\n%s", r.broker.Tail())
	}
	if err := r.broker.Kill(); err != nil {
		return false, err
	}
	c.abandon(6)
	if again = r.chance(6); again {
		if r.broker, err = broker.Launch(r.broker.Options()); err != nil {
			return again, err
		}
		r.pause(ctx, 0, 300*time.Millisecond)
		if err := r.broker.Kill(); err != nil {
			return again, err
		}
	}
	if err := r.start(ctx, data); err != nil {
		return again, err
	}
	return again, c.settle(ctx)
}

// verdict counts what matters most, in words.
func verdict(rep *check.Report) string {
	return fmt.Sprintf("%d lost, %d out of order, %d duplicates, %d other faults (%s repeats of plain producers)",
		rep.Lost(), rep.OutOfOrder(), rep.Duplicates(), rep.Anomalies()-rep.Lost()-rep.OutOfOrder()-rep.Duplicates(), screen.Count(rep.Repeats))
}
