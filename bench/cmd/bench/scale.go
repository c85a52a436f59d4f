package main

import (
	"context"
	"fmt"
	"time"

	"penstock/bench/load"
	"penstock/bench/stat"
)

// What penstock must reach with as many partitions and connections as scale has.
const (
	createTarget    = 5    // seconds until a topic with all partitions is there
	restartTarget   = 3    // seconds from the start of the process until it is ready, after a clean stop
	killedTarget    = 10   // the same after kill -9
	partitionTarget = 4096 // bytes of memory for each partition with data
	fileTarget      = 1    // open files for each
	keptTarget      = 0.25 // least share of one partition's rate: what Apache Kafka keeps of its 10 partitions' at 1,000
	quietTarget     = 10 << 10
)

// scaleBatch is the size of the batches.
const scaleBatch = 16 << 10

// scaleRow is a row of the report in JSON.
type scaleRow struct {
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Verdict verdict `json:"verdict,omitzero"`
}

// scaleRun is a run of the command.
type scaleRun struct {
	s   *session
	c   *contender
	out *report
}

// scale measures what many partitions and many connections cost.
func scale(ctx context.Context, s *session) error {
	out := s.report("scale", "what", "value", "unit", "target")
	out.set("%d partitions of one topic; batches of %d bytes, one a request, to the partitions in turn; 4 connections with 8 requests in flight each", s.wide, scaleBatch)
	out.set("memory: growth of anonymous memory beside the same broker without the topic, at rest; files: growth of open descriptors")
	out.set("kept: the rate with all partitions beside that with one, in turn; %s each, median of %d rounds", s.scaleTime(), s.rounds)
	if s.starts(penstock) {
		own := *s // with so many partitions Kafka is not asked
		own.peers = penstock
		r := &scaleRun{s: &own, out: out}
		if err := r.run(ctx, penstock); err != nil {
			return fmt.Errorf("%s: %w", penstock, err)
		}
		s.count = own.count
	}
	if err := breadth(ctx, s, out); err != nil {
		return err
	}
	return out.print(s.out)
}

func (s *session) scaleTime() time.Duration { return choose(s.short, time.Second, 2*time.Second) }

func (r *scaleRun) run(ctx context.Context, name string) error {
	list, end, err := r.s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	r.c = list[0]
	for _, c := range list {
		if c.name == name {
			r.c = c
		}
	}
	for _, part := range []func(context.Context) error{r.partitions, r.produce, r.quiet} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// add adds a figure; below says whether it has to be at most the target.
func (r *scaleRun) add(what string, value float64, unit string, target float64, below bool) {
	v := judge(unit, value, target, below)
	r.out.add(scaleRow{what, value, unit, v}, what, fmt.Sprintf("%.2f", value), unit,
		fmt.Sprintf("%s %g: %s", choose(below, "<=", ">="), target, choose(v.Met, "met", "missed")))
}

// note adds a figure without a target.
func (r *scaleRun) note(what string, value float64, unit string) {
	r.out.add(scaleRow{What: what, Value: value, Unit: unit}, what, fmt.Sprintf("%.2f", value), unit, "")
}

// ready relaunches the broker and takes the time until it is.
func (r *scaleRun) ready(ctx context.Context) (float64, error) {
	if err := r.c.Relaunch(); err != nil {
		return 0, err
	}
	if err := r.c.Ready(ctx); err != nil {
		return 0, err
	}
	return time.Since(r.c.Began()).Seconds(), nil
}

// partitions measures creation, memory, files, and restarts.
func (r *scaleRun) partitions(ctx context.Context) error {
	n := float64(r.s.wide)
	empty, err := r.rest()
	if err != nil {
		return err
	}
	t := load.Target{Addr: r.c.Kafka, Topic: "wide", Partitions: r.s.wide}
	r.s.progress("creating %d partitions", r.s.wide)
	begun := time.Now()
	if err := t.Create(ctx, r.c.config(relaxed)); err != nil {
		return err
	}
	r.add("create", time.Since(begun).Seconds(), "s", createTarget, true)
	created, err := r.rest()
	if err != nil {
		return err
	}
	r.note("memory each, nothing appended", (created.memory-empty.memory)/n, "bytes")
	fill := load.Spread{Target: t, Acks: 1, BatchBytes: scaleBatch, Conns: 4, InFlight: 8}
	begun = time.Now()
	if _, err := fill.Run(ctx, 0, true); err != nil {
		return err
	}
	r.note("first batch of all", time.Since(begun).Seconds(), "s")
	filled, err := r.rest()
	if err != nil {
		return err
	}
	r.add("memory each, with data", (filled.memory-empty.memory)/n, "bytes", partitionTarget, true)
	r.add("files each, with data", (filled.files-empty.files)/n, "files", fileTarget, true)
	for _, clean := range []bool{false, true} {
		if err := r.restart(ctx, clean, empty); err != nil {
			return err
		}
	}
	begun = time.Now()
	if err := r.c.drop(ctx, t); err != nil {
		return err
	}
	r.note("delete, until at rest", time.Since(begun).Seconds(), "s")
	return nil
}

// restart ends the broker and starts it again, and looks at what it holds then.
func (r *scaleRun) restart(ctx context.Context, clean bool, empty held) error {
	r.s.progress("restart, clean: %v", clean)
	what, target := "restart after kill -9", float64(killedTarget)
	if clean {
		what, target = "restart after a clean stop", restartTarget
		begun := time.Now()
		if err := r.c.Stop(); err != nil && r.c.name == penstock {
			return err
		}
		r.note("clean stop", time.Since(begun).Seconds(), "s")
	} else if err := r.c.Kill(); err != nil {
		return err
	}
	took, err := r.ready(ctx)
	if err != nil {
		return err
	}
	r.add(what, took, "s", target, true)
	h, err := r.rest()
	if err != nil {
		return err
	}
	n := float64(r.s.wide)
	r.add("memory each, "+what, (h.memory-empty.memory)/n, "bytes", partitionTarget, true)
	r.add("files each, "+what, (h.files-empty.files)/n, "files", fileTarget, true)
	return nil
}

// held is what the broker holds.
type held struct{ memory, files float64 }

// rest waits until the broker is at rest and reads what it holds.
func (r *scaleRun) rest() (held, error) {
	if err := r.c.settle(); err != nil {
		return held{}, err
	}
	time.Sleep(choose(r.s.short, 2*time.Second, 22*time.Second)) // memory is given back at rest
	u, err := r.c.Usage()
	return held{float64(u.Anon), float64(u.FDs)}, err
}

// produce measures the rate with one partition and with all of them, in turn.
func (r *scaleRun) produce(ctx context.Context) error {
	for _, d := range []durability{relaxed, durable} {
		for _, acks := range []int16{1, -1} {
			what := fmt.Sprintf("%s, acks=%d", choose(d == durable, "fsync", "relaxed"), acks)
			r.s.progress("produce: %s", what)
			if err := r.kept(ctx, d, acks, what); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	return nil
}

// kept measures both rates for one kind of promise.
func (r *scaleRun) kept(ctx context.Context, d durability, acks int16, what string) error {
	counts := [2]int{1, r.s.wide}
	var runs [2]load.Spread
	var rates [2][]float64
	for i, n := range counts {
		t, err := r.c.topicOf(ctx, d, n)
		if err != nil {
			return err
		}
		runs[i] = load.Spread{Target: t, Acks: acks, BatchBytes: scaleBatch, Conns: 4, InFlight: 8}
		if _, err := runs[i].Run(ctx, 0, true); err != nil { // the files are there
			return err
		}
	}
	for range r.s.rounds {
		for i := range runs {
			if err := r.s.useMemory(layoutMemory, scaleBatch); err != nil {
				return err
			}
			m, err := runs[i].Run(ctx, r.s.scaleTime(), false)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], float64(m.Bytes)/(1<<20)/m.Elapsed.Seconds())
		}
	}
	one, all := stat.Of(rates[0]).Median, stat.Of(rates[1]).Median
	r.note(what+", 1 partition", one, "MiB/s")
	r.note(fmt.Sprintf("%s, %d partitions", what, r.s.wide), all, "MiB/s")
	r.add(what+", kept", all/one, "of one partition's", keptTarget, false)
	for i := range runs {
		if err := r.c.drop(ctx, runs[i].Target); err != nil {
			return err
		}
	}
	return nil
}

// quiet measures what connections cost that say nothing.
func (r *scaleRun) quiet(ctx context.Context) error {
	n := r.s.connections
	r.s.progress("%d connections", n)
	before, err := r.rest()
	if err != nil {
		return err
	}
	q, err := load.Connect(ctx, r.c.Kafka, n)
	if err != nil {
		return err
	}
	defer q.Close()
	after, err := r.rest()
	if err != nil {
		return err
	}
	r.add(fmt.Sprintf("memory each, %d quiet connections", n), (after.memory-before.memory)/float64(n), "bytes", quietTarget, true)
	return nil
}
