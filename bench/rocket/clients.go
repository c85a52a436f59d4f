package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"penstock/bench/rocket/talk"
)

const (
	// scenarioLimit bounds one scenario.
	scenarioLimit = 5 * time.Minute
	// atOnce is how many scenarios are played at the same time with one client.
	atOnce = 8
)

// scenario is what a client does, and how it is judged. play returns how many messages were judged.
type scenario struct {
	name  string
	short bool // part of the short form
	goes  bool // the Go client can do it
	slow  bool // the Go client takes long, since it looks for queues and locks by its own clock only
	play  func(*stage) (int, error)
}

// outcome is what became of a scenario.
type outcome struct {
	scenario, client, version, on string

	count int
	err   error
	facts map[string]string
	took  time.Duration
}

// runClients plays all scenarios with all clients against the chosen brokers.
func runClients(ctx context.Context, b *bench) (string, error) {
	var all []outcome
	for _, on := range []string{"real", "penstock"} {
		if b.on != "" && b.on != on || b.on == "" && b.Short && on == "real" {
			continue
		}
		got, err := b.playOn(ctx, on)
		if err != nil {
			return "", fmt.Errorf("%s: %w", on, err)
		}
		all = append(all, got...)
	}
	return b.judgeAll(all)
}

// playOn plays everything against one broker.
func (b *bench) playOn(ctx context.Context, on string) (all []outcome, err error) {
	start := b.ours
	if on == "real" {
		start = b.real
	}
	t, err := start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	var mu sync.Mutex // guards all and err
	var crews sync.WaitGroup
	for _, c := range fleet() {
		if !b.wants(c) {
			continue
		}
		crews.Go(func() {
			got, e := b.playWith(ctx, t, c)
			mu.Lock()
			defer mu.Unlock()
			all, err = append(all, got...), errors.Join(err, e)
		})
	}
	crews.Wait()
	return all, err
}

// playWith plays all scenarios with one client.
func (b *bench) playWith(ctx context.Context, t *target, c client) ([]outcome, error) {
	d, err := b.hire(ctx, c, fmt.Sprintf("%s/%s-%s", b.Dir, t.name, c.name))
	if err != nil {
		return nil, err
	}
	defer dismiss(d)
	var mu sync.Mutex // guards all
	var all []outcome
	var crew sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, s := range scenarios() {
		if b.Short && (!s.short || c.goes && s.slow) || c.goes && !s.goes || !b.run.MatchString(s.name) {
			continue
		}
		slots <- struct{}{}
		crew.Go(func() {
			defer func() { <-slots }()
			o := b.play(ctx, t, d, s)
			mu.Lock()
			all = append(all, o)
			mu.Unlock()
		})
	}
	crew.Wait()
	return all, nil
}

func (b *bench) play(ctx context.Context, t *target, d *talk.Driver, s scenario) outcome {
	ctx, cancel := context.WithTimeout(ctx, scenarioLimit)
	defer cancel()
	st := &stage{ctx: ctx, t: t, d: d, name: s.name + "-" + d.Client, short: b.Short, facts: map[string]string{}}
	o := outcome{scenario: s.name, client: d.Client, version: d.Version, on: t.name, facts: st.facts}
	begin := time.Now()
	o.count, o.err = s.play(st)
	o.took = time.Since(begin)
	st.closeAll()
	return o
}

// judgeAll prints the table and compares the facts of both brokers.
func (b *bench) judgeAll(all []outcome) (string, error) {
	if len(all) == 0 {
		return "", errors.New("no scenario was played: look at -only, -run and -on")
	}
	order := map[string]int{}
	for i, s := range scenarios() {
		order[s.name] = i
	}
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].client != all[j].client {
			return all[i].client < all[j].client
		}
		return order[all[i].scenario] < order[all[j].scenario]
	})
	bad, messages := 0, 0
	fmt.Printf("%-13s %-9s %-10s %-9s %9s %8s  %s\n", "client", "version", "scenario", "broker", "messages", "seconds", "result")
	for _, o := range all {
		result := "ok"
		if o.err != nil {
			result, bad = "FAILED "+o.err.Error(), bad+1
		}
		messages += o.count
		fmt.Printf("%-13s %-9s %-10s %-9s %9d %8.1f  %s\n", o.client, o.version, o.scenario, o.on, o.count, o.took.Seconds(), result)
		if b.verbose {
			for _, k := range slices.Sorted(maps.Keys(o.facts)) {
				fmt.Printf("    %s: %s\n", k, o.facts[k])
			}
		}
	}
	differ := differingFacts(all)
	for _, l := range differ {
		fmt.Println(l)
	}
	text := fmt.Sprintf("%d scenarios with real clients, %d messages judged", len(all), messages)
	if bad > 0 || len(differ) > 0 {
		return "", fmt.Errorf("%d failed, %d facts differ from a real RocketMQ's. %s", bad, len(differ), text)
	}
	return text, nil
}

// differingFacts lists the facts of a scenario that are not the same with both brokers, for scenarios that went well with both.
func differingFacts(all []outcome) []string {
	type key struct{ client, scenario string }
	by := map[key]map[string]outcome{}
	for _, o := range all {
		k := key{o.client, o.scenario}
		if by[k] == nil {
			by[k] = map[string]outcome{}
		}
		if o.err == nil {
			by[k][o.on] = o
		}
	}
	var out []string
	for k, both := range by {
		real, ours := both["real"], both["penstock"]
		if real.facts == nil || ours.facts == nil {
			continue
		}
		names := maps.Clone(real.facts)
		maps.Copy(names, ours.facts)
		for _, n := range slices.Sorted(maps.Keys(names)) {
			if r, o := real.facts[n], ours.facts[n]; r != o && !strings.HasPrefix(n, "~") {
				out = append(out, fmt.Sprintf("DIFFERS  %s %s: %s: RocketMQ %q, penstock %q", k.client, k.scenario, n, r, o))
			}
		}
	}
	slices.Sort(out)
	return out
}
