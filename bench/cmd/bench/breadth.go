package main

import (
	"context"
	"fmt"
	"time"

	"penstock/bench/load"
	"penstock/bench/stat"
)

// What a broker keeps of its rate with a few partitions when it has many, beside Apache Kafka in the same run: it keeps about 0.25 of the
// rate of 10 partitions with 1,000.
const (
	fewParts  = 10
	manyParts = 1000
)

// breadth measures the rate of each broker with few and with many partitions, all in turn.
func breadth(ctx context.Context, s *session, out *report) error {
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	many := choose(s.short, manyParts/10, manyParts)
	for _, acks := range []int16{1, -1} {
		s.progress("%d and %d partitions, acks=%d", fewParts, many, acks)
		kept := map[string]float64{}
		for _, c := range list {
			if kept[c.name], err = c.keeps(ctx, out, acks, many); err != nil {
				return fmt.Errorf("%s: %d partitions: %w", c.name, many, err)
			}
		}
		if own, theirs := kept[penstock], kept[apache]; own > 0 && theirs > 0 {
			r := &scaleRun{s: s, out: out}
			r.add(fmt.Sprintf("relaxed, acks=%d: share kept with %d partitions", acks, many), own/theirs, "of Kafka's share", 1, false)
		}
	}
	return nil
}

// fillLimit is how long a broker may take until it leads all partitions of a topic that it has made: Apache Kafka answers NOT_LEADER
// meanwhile.
const fillLimit = 30 * time.Second

// fillAll sends a batch to each partition, so that the files are there.
func fillAll(ctx context.Context, run load.Spread) error {
	for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		if _, err := run.Run(ctx, 0, true); err == nil || time.Since(begun) > fillLimit {
			return err
		}
	}
}

// keeps is the share of the rate with few partitions that a broker keeps with many. The samples take turns.
func (c *contender) keeps(ctx context.Context, out *report, acks int16, many int) (float64, error) {
	s := c.s
	counts := [2]int{fewParts, many}
	var runs [2]load.Spread
	var rates [2][]float64
	for i, n := range counts {
		t, err := c.topicOf(ctx, relaxed, n)
		if err != nil {
			return 0, err
		}
		runs[i] = load.Spread{Target: t, Acks: acks, BatchBytes: scaleBatch, Conns: 4, InFlight: 8}
		if err := fillAll(ctx, runs[i]); err != nil {
			return 0, err
		}
	}
	for range s.rounds {
		for i := range runs {
			m, err := runs[i].Run(ctx, s.scaleTime(), false)
			if err != nil {
				return 0, err
			}
			rates[i] = append(rates[i], float64(m.Bytes)/(1<<20)/m.Elapsed.Seconds())
		}
	}
	r := &scaleRun{s: s, out: out}
	few, all := stat.Of(rates[0]).Median, stat.Of(rates[1]).Median
	r.note(fmt.Sprintf("%s, relaxed, acks=%d, %d partitions", c.name, acks, fewParts), few, "MiB/s")
	r.note(fmt.Sprintf("%s, relaxed, acks=%d, %d partitions", c.name, acks, many), all, "MiB/s")
	what := fmt.Sprintf("%s, relaxed, acks=%d, kept with %d", c.name, acks, many)
	if c.name == penstock {
		r.add(what, all/few, fmt.Sprintf("of %d partitions'", fewParts), keptTarget, false)
	} else {
		r.note(what, all/few, fmt.Sprintf("of %d partitions'", fewParts))
	}
	for i := range runs {
		if err := c.drop(ctx, runs[i].Target); err != nil {
			return 0, err
		}
	}
	return all / few, nil
}
