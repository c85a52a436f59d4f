package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"penstock/bench/clients/drive"
	"penstock/bench/clients/spec"
)

const (
	// settleLimit bounds the wait for members to have partitions.
	settleLimit = 90 * time.Second
	// restartMs is the session time-out of members that restart, long enough for a slow machine to start them.
	restartMs = 60_000
)

// restarts kills a static member of every client that has such members and starts it again within its session: it must get what
// it had, and the other member must not be disturbed.
func (b *bench) restarts(ctx context.Context, addr string, fleet []*drive.Client) (string, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	n := 0
	gate := make(chan struct{}, 2) // starting a driver is work for a processor
	if b.Short {
		fleet = fleet[:min(2, len(fleet))]
	}
	for _, c := range fleet {
		wg.Add(1)
		go func() {
			defer wg.Done()
			gate <- struct{}{}
			w, err := hire(ctx, c, nil)
			if err == nil {
				w.dismiss()
			}
			if err == nil && w.info.Static {
				err = b.restart(ctx, addr, c)
			}
			<-gate
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: static restart: %w", c.Name, err))
			}
			if w == nil || !w.info.Static {
				return
			}
			n++
			result := "ok, the other member was not disturbed"
			if err != nil {
				result = "FAILED"
			}
			b.report(w, "static member restarts", 0, result)
		}()
	}
	wg.Wait()
	return fmt.Sprintf("static members of %d clients restarted without disturbing the other", n), failed
}

// restart does it with one client.
func (b *bench) restart(ctx context.Context, addr string, cl *drive.Client) error {
	c := &company{b: b, addr: addr, name: "static-" + cl.Name, assignor: "eager", session: restartMs, rng: rand.New(rand.NewPCG(1, 1))}
	defer c.end()
	const one, two = "one", "two"
	if err := c.join(ctx, cl, one); err != nil {
		return err
	}
	if err := c.join(ctx, cl, two); err != nil {
		return err
	}
	first, second := c.all[0], c.all[1]
	if err := c.settled(ctx, first, second); err != nil {
		return err
	}
	had, before := owned(first.told()), changes(second.told())
	c.kill(first)
	if err := c.join(ctx, cl, one); err != nil {
		return err
	}
	again := c.all[2]
	if err := c.settled(ctx, again, second); err != nil {
		return err
	}
	if now := owned(again.told()); !maps.Equal(now, had) {
		return fmt.Errorf("the restarted member has partitions %v, had %v", keys(now), keys(had))
	}
	if now := changes(second.told()); now != before {
		return fmt.Errorf("the other member was disturbed: %d changes of its assignment, had %d", now, before)
	}
	return nil
}

// settled waits until two members have all partitions between them.
func (c *company) settled(ctx context.Context, a, b *member) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		x, y := owned(a.told()), owned(b.told())
		if len(x) > 0 && len(y) > 0 && len(x)+len(y) == groupPartitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("members have %v and %v of %d partitions after %s", keys(x), keys(y), groupPartitions, settleLimit)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// owned are the partitions that a member has.
func owned(events []spec.Event) map[string]bool {
	out := map[string]bool{}
	for _, e := range events {
		for p := range e.P {
			switch e.E {
			case "assigned":
				out[p] = true
			case "revoked", "lost":
				delete(out, p)
			}
		}
	}
	return out
}

// changes counts what happened to a member's assignment.
func changes(events []spec.Event) int {
	n := 0
	for _, e := range events {
		if e.E == "assigned" || e.E == "revoked" || e.E == "lost" {
			n++
		}
	}
	return n
}

func keys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
