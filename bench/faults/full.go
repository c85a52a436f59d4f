package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sys/unix"

	"penstock/bench/faults/load"
	"penstock/bench/faults/loopfs"
	"penstock/bench/screen"
)

const (
	fullPartitions = 2
	fullImage      = 512 << 20
	fullRecord     = 256 << 10 // size of the records that meet the full disk
	// fullTries bounds the records that blocks reserved earlier may still take after the disk is full.
	fullTries = 2000
	// backLimit bounds the time from free space to the first acknowledgement.
	backLimit = 10 * time.Second
)

// fullCount is what the full part counts.
type fullCount struct {
	rounds, refused int
	acked           int64
	slowest         time.Duration
}

func (n *fullCount) text() string {
	return fmt.Sprintf("%d times full and back on ext4 and xfs with all layouts and formats, %s records refused with a retriable error, %s acknowledged, 0 lost, reads went on, first acknowledgement at most %d ms after space returned",
		n.rounds, screen.Count(int64(n.refused)), screen.Count(n.acked), n.slowest.Milliseconds())
}

// runFull fills the disk under a broker. It must refuse writes with an error that clients retry, go on serving reads, and
// take writes again without a restart when space is back.
func runFull(ctx context.Context, r *rig) (string, error) {
	if err := loopfs.Check(loopfs.Kinds[:]...); err != nil {
		return "", fmt.Errorf("%w: %w", errCannotRun, err)
	}
	rounds := r.count(len(combinations), 20)
	var n fullCount
	bar := screen.NewBar(int64(rounds), "disk full", false)
	defer bar.Close()
	for i := range rounds {
		kind := loopfs.Kinds[i%len(loopfs.Kinds)]
		stored := combinations[(i+i/len(combinations))%len(combinations)] // each of them on each kind
		if err := r.fullRound(ctx, kind, stored, &n); err != nil {
			return n.text(), fmt.Errorf("%s on %s, round %d: %w", stored, kind, i+1, err)
		}
		bar.Add(1)
	}
	return n.text(), nil
}

// fullRun is one file system with a broker on it.
type fullRun struct {
	*rig
	fs     *loopfs.FS
	target *load.Target
	probe  *load.Probe
	n      *fullCount
}

func (r *rig) fullRound(ctx context.Context, kind string, stored combination, n *fullCount) (err error) {
	fs, err := loopfs.Make(ctx, r.dir, kind, fullImage)
	if err != nil {
		return err
	}
	defer func() {
		if r.broker != nil {
			err = errors.Join(err, r.broker.Kill())
		}
		err = errors.Join(err, fs.Close())
	}()
	data := filepath.Join(fs.Dir, "data")
	if err := r.start(ctx, data); err != nil {
		return err
	}
	p := &fullRun{rig: r, fs: fs, n: n}
	if p.target, err = load.Create(ctx, r.broker.Kafka, "full", fullPartitions, stored.plain()); err != nil {
		return err
	}
	r.writers++
	if p.probe, err = load.NewProbe(p.target, r.writers); err != nil {
		return err
	}
	defer p.probe.Close()
	// A writer that never gives up works through all of it.
	c, err := r.hire(p.target, []load.Style{{Exact: true, Pause: time.Millisecond}})
	if err != nil {
		return err
	}
	defer c.abandon(1)
	pid := r.broker.PID()
	if err := p.fillAndFree(ctx, c); err != nil {
		return err
	}
	if !r.broker.Alive() || r.broker.PID() != pid {
		return fmt.Errorf("the broker did not live through it\n%s", r.broker.Tail())
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	if err := verify(ctx, p.target, everything); err != nil {
		return err
	}
	if err := r.endAndReread(ctx, p.target, data); err != nil {
		return err
	}
	rep := p.target.Report()
	n.acked += rep.Acked
	n.rounds++
	return nil
}

// endAndReread stops the broker, politely or not, starts it again and reads everything.
func (r *rig) endAndReread(ctx context.Context, t *load.Target, data string) error {
	end := r.broker.Stop
	if r.chance(2) {
		end = r.broker.Kill
	}
	if err := end(); err != nil {
		return err
	}
	if err := r.start(ctx, data); err != nil {
		return err
	}
	return verify(ctx, t, everything)
}

// fillAndFree is the disk's way from room to none and back.
func (p *fullRun) fillAndFree(ctx context.Context, c *crew) error {
	if err := c.busy(ctx, 50); err != nil {
		return err
	}
	if err := p.warm(ctx, p.probe, fullPartitions); err != nil {
		return fmt.Errorf("with room on the disk: %w", err)
	}
	ballast := filepath.Join(p.fs.Dir, "ballast")
	if err := fill(ballast); err != nil {
		return err
	}
	if err := p.untilRefused(ctx, ballast); err != nil {
		return err
	}
	if err := verify(ctx, p.target, everything); err != nil {
		return fmt.Errorf("reading while the disk is full: %w", err)
	}
	freed := time.Now()
	if err := os.Remove(ballast); err != nil {
		return err
	}
	return p.untilTaken(ctx, freed)
}

// untilRefused sends until the broker refuses, which it must do with an error that clients retry, and goes on to see it
// refuse on every partition.
func (p *fullRun) untilRefused(ctx context.Context, ballast string) error {
	refused := map[int]bool{}
	for i := range fullTries {
		part := i % fullPartitions
		err := p.probe.Send(ctx, part, fullRecord)
		if err == nil {
			refused[part] = false
			if err := fill(ballast); err != nil { // what was given back meanwhile
				return err
			}
			continue
		}
		if !errors.Is(err, kerr.KafkaStorageError) {
			return fmt.Errorf("a full disk is answered with %w, want KAFKA_STORAGE_ERROR", err)
		}
		p.n.refused++
		refused[part] = true
		if refused[0] && refused[1] {
			return nil
		}
	}
	free, _ := p.fs.Free()
	return fmt.Errorf("%d records of %d bytes went onto a full disk with %d bytes free", fullTries, fullRecord, free)
}

// untilTaken sends until the broker takes a record again on each partition.
func (p *fullRun) untilTaken(ctx context.Context, freed time.Time) error {
	for part := range fullPartitions {
		for {
			err := p.probe.Send(ctx, part, fullRecord)
			if err == nil {
				break
			}
			if time.Since(freed) > backLimit {
				return fmt.Errorf("writes are still refused %s after space returned: %w\n%s", backLimit, err, p.broker.Tail())
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p.n.refused++
			p.pause(ctx, time.Millisecond, 5*time.Millisecond)
		}
	}
	p.n.slowest = max(p.n.slowest, time.Since(freed))
	return nil
}

// fill makes the file as large as the disk allows, down to the last block.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return err
	}
	for step := int64(64 << 20); step >= 4096; {
		err := unix.Fallocate(int(f.Fd()), 0, size, step)
		switch {
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("ballast: %w", err)
		}
	}
	return nil
}
