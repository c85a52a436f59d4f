package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/bench/broker"
	"penstock/bench/faults/load"
)

// settleLimit bounds the wait for writers to get their last acknowledgements, and for a verification.
const settleLimit = 20 * time.Second

// dumpLimit bounds the wait for a broker to print its goroutines.
const dumpLimit = 3 * time.Second

// rig is the workplace of one part: a directory, a source of chance, and the broker that is being tested. It is used by
// one goroutine.
type rig struct {
	options
	dir     string
	rng     *rand.Rand
	broker  *broker.Broker
	writers uint32 // numbers given to writers so far
	often   bool   // every other start has the broker note recovery points each second, not each minute
	rocket  bool   // the broker serves RocketMQ's clients too
	sends   int64  // acknowledged to RocketMQ's client, of writers that were abandoned
	cleanup []func() error
}

func newRig(o options, name string) (*rig, error) {
	dir, err := os.MkdirTemp(os.Getenv(workDirEnv), "penstock-"+name+"-")
	if err != nil {
		return nil, err
	}
	return &rig{options: o, dir: dir, rng: rand.New(rand.NewPCG(o.seed, uint64(len(name))))}, nil
}

// close ends the broker and everything that was registered with later, last first, and removes the directory.
func (r *rig) close(failed bool) error {
	var errs []error
	if r.broker != nil {
		errs = append(errs, r.broker.Kill())
	}
	for i := len(r.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, r.cleanup[i]())
	}
	if failed && r.keep {
		fmt.Println("kept:", r.dir)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// later has f called when the rig is closed.
func (r *rig) later(f func() error) { r.cleanup = append(r.cleanup, f) }

// start starts the broker with its data in the directory, at the addresses that it had before if it ran before.
func (r *rig) start(ctx context.Context, data string, wrap ...string) error {
	o := broker.Options{Binary: r.binary, Data: data, Output: filepath.Join(r.dir, "broker.log"), Wrap: wrap, WithRocket: r.rocket}
	if r.often && r.chance(2) {
		o.Args = []string{"--set", "checkpoint.interval=1s"}
	}
	if r.broker != nil {
		old := r.broker.Options()
		o.Kafka, o.HTTP, o.Rocket, o.NameServer = old.Kafka, old.HTTP, old.Rocket, old.NameServer
	}
	b, err := broker.Launch(o)
	if err != nil {
		return err
	}
	r.broker = b
	if err = b.Ready(ctx); err != nil && b.Alive() && r.keep {
		// Its goroutines, in the output that is kept, say what it waits for.
		_ = syscall.Kill(b.PID(), syscall.SIGQUIT)
		select {
		case <-b.Done():
		case <-time.After(dumpLimit):
		}
	}
	return err
}

// count is the number of cycles: what the command line says, or what fits the form.
func (r *rig) count(short, long int) int {
	switch {
	case r.cycles > 0:
		return r.cycles
	case r.short:
		return short
	}
	return long
}

// pause waits a random time between lo and hi, or until ctx ends.
func (r *rig) pause(ctx context.Context, lo, hi time.Duration) {
	select {
	case <-time.After(lo + time.Duration(r.rng.Int64N(int64(hi-lo)))):
	case <-ctx.Done():
	}
}

// chance is true once in n times.
func (r *rig) chance(n int) bool { return r.rng.IntN(n) == 0 }

// worker is a writer of either protocol: load.Writer or load.RocketWriter.
type worker interface {
	Pause()
	Resume()
	Settle(ctx context.Context) error
	Abandon()
	Acked() int64
	Err() error
}

// writer starts a writer with the next number.
func (r *rig) writer(t *load.Target, s load.Style) (worker, error) {
	r.writers++
	if s.Rocket {
		return load.NewRocketWriter(t, r.writers, s.MaxSize, r.seed)
	}
	return load.NewWriter(t, r.writers, s, r.seed)
}

// crew is a set of writers that work on one target.
type crew struct {
	rig     *rig
	target  *load.Target
	styles  []load.Style
	writers []worker
}

// hire starts a writer of each style.
func (r *rig) hire(t *load.Target, styles []load.Style) (*crew, error) {
	c := &crew{rig: r, target: t, styles: styles, writers: make([]worker, len(styles))}
	r.later(func() error { c.abandon(1); return nil })
	return c, c.fill()
}

// fill starts writers in the places of those that were abandoned.
func (c *crew) fill() error {
	for i, w := range c.writers {
		if w != nil {
			continue
		}
		w, err := c.rig.writer(c.target, c.styles[i])
		if err != nil {
			return err
		}
		c.writers[i] = w
	}
	return nil
}

// resume has the writers that pause go on.
func (c *crew) resume() {
	for _, w := range c.writers {
		if w != nil {
			w.Resume()
		}
	}
}

// abandon gives up each writer with a chance of one in n, as if its program had died; with 1 it gives up all.
func (c *crew) abandon(n int) {
	for i, w := range c.writers {
		if w != nil && c.rig.chance(n) {
			w.Abandon()
			if _, ok := w.(*load.RocketWriter); ok {
				c.rig.sends += w.Acked()
			}
			c.writers[i] = nil
		}
	}
}

// settle stops the writers and waits until all that they sent is acknowledged.
func (c *crew) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for _, w := range c.writers {
		if w != nil {
			w.Pause()
		}
	}
	var errs []error
	for _, w := range c.writers {
		if w == nil {
			continue
		}
		errs = append(errs, w.Settle(ctx), w.Err())
	}
	return errors.Join(errs...)
}

// acked is the number of acknowledgements that the present writers have had.
func (c *crew) acked() int64 {
	var sum int64
	for _, w := range c.writers {
		if w != nil {
			sum += w.Acked()
		}
	}
	return sum
}

// silent reports whether a writer has not had any acknowledgement.
func (c *crew) silent() bool {
	return slices.ContainsFunc(c.writers, func(w worker) bool { return w != nil && w.Acked() == 0 })
}

// busy waits until n more records are acknowledged, and some to each writer, so that a cycle without traffic does not count as survived.
func (c *crew) busy(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for goal := c.acked() + n; c.acked() < goal || c.silent(); {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no traffic of some writer: %d of %d records acknowledged: %w\n%s", c.acked(), goal, ctx.Err(), c.rig.broker.Tail())
		case <-c.rig.broker.Done():
			return fmt.Errorf("the broker ended by itself\n%s", c.rig.broker.Tail())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// verify reads the target and returns what is wrong with it.
func verify(ctx context.Context, t *load.Target, overlap int64) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := t.Verify(ctx, overlap); err != nil {
		return err
	}
	rep := t.Report()
	return rep.Err()
}

// warmTries bounds the records that a broker may refuse while it finds itself after a start or a new topic.
const warmTries = 100

// warm sends to every partition until each has acknowledged a few records.
func (r *rig) warm(ctx context.Context, probe *load.Probe, partitions int) error {
	const each = 4
	for part := range partitions {
		for acked, tries := 0, 0; acked < each; tries++ {
			err := probe.Send(ctx, part, 1000)
			if err == nil {
				acked++
				continue
			}
			if tries == warmTries || ctx.Err() != nil || errors.Is(err, kerr.KafkaStorageError) {
				return err
			}
			r.pause(ctx, time.Millisecond, 10*time.Millisecond)
		}
	}
	return nil
}

// everything, as an overlap, has a verification read a target from its first record.
const everything = 1 << 50
