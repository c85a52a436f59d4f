package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"penstock/bench/faults/load"
	"penstock/bench/faults/loopfs"
	"penstock/bench/screen"
)

const (
	powerPartitions = 4
	powerImage      = 2 << 30 // of which only what is used takes space
	powerAcks       = 100
	// freshImage is after how many cuts a file system is made anew.
	freshImage = 25
	// drainTime is how long acknowledgements that a killed broker had sent may still arrive. Those that come later are not
	// counted, which makes the check weaker and never wrong.
	drainTime = 10 * time.Millisecond
)

// powerCount is what the power part counts.
type powerCount struct {
	cuts, alive  int   // cuts in all, and with the broker still writing
	controlLost  int64 // acknowledged records of the control that were lost, as they must be
	controlCuts  int   // cuts in which the control lost something
	acked, found int64
	sends        int64 // acknowledged to RocketMQ's client, before and after the cuts
}

// runPower cuts the power of a file system under a broker that acknowledges after fsync. Half of the cuts hit a broker
// that was killed the moment before, half one that is writing. A topic with relaxed durability, which acknowledges from memory, is
// the control: if it never loses anything the cuts are no cuts.
func runPower(ctx context.Context, r *rig) (string, error) {
	if err := loopfs.Check(loopfs.Kinds[:]...); err != nil {
		return "", fmt.Errorf("%w: %w", errCannotRun, err)
	}
	cycles := r.count(6, 200)
	var n powerCount
	r.often, r.rocket = true, true
	bar := screen.NewBar(int64(cycles), "power cuts", false)
	defer bar.Close()
	begin := time.Now()
	for i, left := 0, cycles; left > 0; i++ {
		kind := loopfs.Kinds[i%len(loopfs.Kinds)]
		cuts := min(left, each(cycles, freshImage))
		stored := combinations[(i+i/len(combinations))%len(combinations)] // each of them on each kind
		bar.Describe("power cuts on " + kind)
		if err := r.cutImage(ctx, image{kind, stored, cuts}, &n, bar); err != nil {
			return n.text(begin), fmt.Errorf("%s on %s: %w", stored, kind, err)
		}
		left -= cuts
	}
	if n.controlLost == 0 {
		return n.text(begin), errors.New("the control lost nothing, so these cuts prove nothing")
	}
	return n.text(begin), nil
}

func (n *powerCount) text(begin time.Time) string {
	return fmt.Sprintf("%d power cuts on ext4 and xfs, of topics of all layouts and formats (%d with the broker still writing), %s acknowledged before the cut (RocketMQ's client had %s), %d anomalies; the control lost %s acknowledged records in %d cuts; %.2f s a cycle",
		n.cuts, n.alive, screen.Count(n.acked), screen.Count(n.sends), n.found, screen.Count(n.controlLost), n.controlCuts, time.Since(begin).Seconds()/float64(max(n.cuts, 1)))
}

// image is a file system to be made: its kind, how the topic on it is stored, and how often its power is cut.
type image struct {
	kind   string
	stored combination
	cuts   int
}

// powerRun is one file system with a broker on it.
type powerRun struct {
	*rig
	fs       *loopfs.FS
	data     string
	stored   combination
	durable  *load.Target
	control  *load.Target
	crew     *crew
	controls *crew
	n        *powerCount
}

// cutImage makes a file system and cuts its power a number of times.
func (r *rig) cutImage(ctx context.Context, m image, n *powerCount, bar *screen.Bar) (err error) {
	fs, err := loopfs.Make(ctx, r.dir, m.kind, powerImage)
	if err != nil {
		return err
	}
	p := &powerRun{rig: r, fs: fs, data: filepath.Join(fs.Dir, "data"), stored: m.stored, n: n}
	defer func() {
		if p.crew != nil {
			p.crew.abandon(1)
			rep := p.durable.Report()
			n.acked += rep.Acked
			n.sends = r.sends
			n.found += rep.Anomalies()
		}
		if p.controls != nil {
			p.controls.abandon(1)
		}
		if r.broker != nil {
			err = errors.Join(err, r.broker.Kill())
		}
		err = errors.Join(err, fs.Close())
	}()
	if err := p.prepare(ctx); err != nil {
		return err
	}
	for i := range m.cuts {
		if err := p.cycle(ctx, i == m.cuts-1); err != nil {
			return fmt.Errorf("cut %d of this image: %w", i+1, err)
		}
		bar.Add(1)
	}
	return nil
}

// prepare starts the broker and makes the two topics.
func (p *powerRun) prepare(ctx context.Context) error {
	err := os.Mkdir(p.data, 0o755)
	if err != nil {
		return err
	}
	if err := p.start(ctx, p.data); err != nil {
		return err
	}
	if p.durable, err = load.Create(ctx, p.broker.Kafka, "durable", powerPartitions, p.stored.configs()); err != nil {
		return err
	}
	p.durable.NameServer = p.broker.NameServer
	relaxed := map[string]string{"penstock.durability": "relaxed"}
	if p.control, err = load.Create(ctx, p.broker.Kafka, "control", 1, relaxed); err != nil {
		return err
	}
	if p.crew, err = p.hire(p.durable, loadStyles()); err != nil {
		return err
	}
	p.controls, err = p.hire(p.control, []load.Style{{}})
	return err
}

// cycle is one power cut and what comes after it.
func (p *powerRun) cycle(ctx context.Context, last bool) error {
	if err := p.crew.busy(ctx, powerAcks); err != nil {
		return err
	}
	if err := p.controls.busy(ctx, 1); err != nil {
		return err
	}
	p.pause(ctx, 20*time.Millisecond, 250*time.Millisecond)
	if !p.broker.Alive() {
		return fmt.Errorf("the broker ended by itself\n%s", p.broker.Tail())
	}
	if err := p.cut(ctx); err != nil {
		return err
	}
	if err := p.fs.Remount(ctx); err != nil {
		return err
	}
	p.durable.Gate.Open()
	if err := p.start(ctx, p.data); err != nil {
		return fmt.Errorf("after the cut: %w", err)
	}
	if err := p.crew.settle(ctx); err != nil {
		return err
	}
	overlap := int64(p.rng.IntN(2000))
	if last {
		overlap = everything
	}
	if err := verify(ctx, p.durable, overlap); err != nil {
		return err
	}
	if err := p.judgeControl(ctx); err != nil {
		return err
	}
	p.crew.resume()
	return errors.Join(p.crew.fill(), p.controls.fill())
}

// cut cuts the power, in one of two orders, and ends the broker. Only what was acknowledged before the cut began counts.
// Writers may live on only where every acknowledgement that they had was counted.
func (p *powerRun) cut(ctx context.Context) error {
	p.n.cuts++
	writing := p.chance(2)
	if !writing {
		if err := p.broker.Kill(); err != nil {
			return err
		}
		p.pause(ctx, drainTime, 2*drainTime)
	}
	p.durable.Gate.Shut()
	p.control.Gate.Shut()
	if err := p.fs.Cut(); err != nil {
		return err
	}
	p.controls.abandon(1)
	if !writing {
		p.crew.abandon(2)
		return nil
	}
	p.n.alive++
	p.pause(ctx, 0, 30*time.Millisecond) // let it write into the void
	if err := p.broker.Kill(); err != nil {
		return err
	}
	p.crew.abandon(1)
	return nil
}

// judgeControl counts what the control lost, and starts its history anew.
func (p *powerRun) judgeControl(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := p.control.Verify(ctx, 0); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	rep := p.control.Report()
	// Whatever else may go wrong with a tail that was torn off, order and identity hold for what is left.
	if other := rep.Anomalies() - rep.Lost(); other > 0 {
		return fmt.Errorf("control: more than losses: %w", rep.Err())
	}
	if rep.Lost() > 0 {
		p.n.controlLost += rep.Lost()
		p.n.controlCuts++
	}
	p.control.Gate.Open()
	return p.control.Forget(ctx)
}
