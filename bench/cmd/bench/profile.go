package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"penstock/bench/load"
)

// topCosts is how many functions a profile prints.
const topCosts = 25

// profile has penstock take a profile of itself while it works, and prints what costs most. The profiles stay in the cache.
func profile(ctx context.Context, s *session) error {
	keep, err := filepath.Abs(filepath.Join(s.cache, "profiles"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return err
	}
	seconds := choose(s.short, 3, 10)
	r := &cpuRun{s: s, plan: cpuPlan{stored: choose(s.short, int64(64<<10), 1<<20)}, stored: map[string]load.Target{}}
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	for _, who := range list {
		if err := r.warm(ctx, who); err != nil {
			return err
		}
		for _, c := range cpuCases() {
			if !s.only.MatchString(c.name) || who.name != penstock {
				continue
			}
			file := filepath.Join(keep, c.name+".pprof")
			if err := r.profile(ctx, c, who, file, seconds); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// profile takes one profile and prints its top.
func (r *cpuRun) profile(ctx context.Context, c cpuCase, who *contender, file string, seconds int) error {
	step, end, err := r.worker(ctx, c, who)
	if err != nil {
		return err
	}
	defer end()
	before, err := who.Usage()
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() {
		for {
			if err := step(working); err != nil {
				worked <- err
				return
			}
		}
	}()
	status, body := who.Get(ctx, "/debug/pprof/profile?seconds="+strconv.Itoa(seconds))
	after, err := who.Usage()
	stop()
	if e := <-worked; !errors.Is(e, context.Canceled) {
		return errors.Join(e, err)
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("profile: HTTP status %d: %s", status, strings.TrimSpace(body))
	}
	if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
		return err
	}
	user, system := after.User-before.User, after.System-before.System
	fmt.Fprintf(r.s.out, "\nbench profile: %s, %d s, %s\n  processor time of the broker: %s user, %s system; profile kept in %s\n\n",
		c.name, seconds, r.s.machine(), user, system, file)
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount="+strconv.Itoa(topCosts), file)
	var complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = r.s.out, &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go tool pprof: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return nil
}

// stepBytes is how many bytes of values one step of a worker that produces sends.
const stepBytes = 64 << 20

// worker makes what does the work of a case ready. A step does some of it; a profile lasts for many.
func (r *cpuRun) worker(ctx context.Context, c cpuCase, who *contender) (step func(context.Context) error, end func(), err error) {
	if c.fetch > 0 {
		step = func(ctx context.Context) error {
			_, err := r.read(ctx, who, c.fetch)
			return err
		}
		return step, func() {}, nil
	}
	t, err := who.topic(ctx, relaxed)
	if err != nil {
		return nil, nil, err
	}
	p, err := load.NewProducer(ctx, load.Producing{Target: t, Acks: 1, ValueBytes: c.value, BatchBytes: c.batch})
	if err != nil {
		return nil, nil, err
	}
	step = func(ctx context.Context) error {
		_, err := p.Run(ctx, stepBytes/int64(c.value))
		return err
	}
	return step, func() {
		p.Close()
		_ = who.drop(ctx, t)
	}, nil
}
