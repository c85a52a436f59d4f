package main

import (
	"context"
	"fmt"
	"time"

	"penstock/bench/floors"
	"penstock/bench/load"
	"penstock/bench/stat"
)

// cpuCase is one kind of work whose processor time is measured.
type cpuCase struct {
	name    string
	value   int                // bytes of a value
	batch   int                // produce: bytes of a batch at most
	fetch   int                // consume: bytes of one partition in an answer at most; 0: the case produces
	million bool               // count by a million records, not by GiB
	targets map[string]float64 // beside whom: at most so many times
}

func cpuCases() []cpuCase {
	return []cpuCase{
		{name: "consume-1m", value: 1024, fetch: 1 << 20, targets: map[string]float64{floor: 1.3, apache: 0.45}},
		{name: "consume-64k", value: 1024, fetch: 64 << 10},
		{name: "produce-1m", value: 1024, batch: 1 << 20, targets: map[string]float64{floor: 1.3, apache: 0.2}},
		{name: "produce-64k", value: 1024, batch: 64 << 10, targets: map[string]float64{floor: 1.3, apache: 0.2}},
		{name: "produce-100b", value: 100, batch: 8 << 10, million: true, targets: map[string]float64{apache: 0.3}},
	}
}

// floors are the floors that belong to a case, by name. Batches are never in step with pages, and a write that is not costs more:
// so a case that produces has a floor of odd batches too. The targets are those of the even one.
func (c cpuCase) floors(dir string, bytes int64) map[string]floors.Spec {
	if c.fetch > 0 {
		return map[string]floors.Spec{floor: {Kind: floors.Fetch, Dir: dir, Unit: c.fetch, Bytes: bytes}}
	}
	return map[string]floors.Spec{
		floor:    {Kind: floors.Produce, Dir: dir, Unit: c.batch, Bytes: bytes},
		oddFloor: {Kind: floors.Produce, Dir: dir, Unit: odd(c.batch), Bytes: bytes},
	}
}

// odd is a size somewhat below n, as that of a full batch is, and out of step with pages.
func odd(n int) int { return n - n/32 - 1 }

// unit is what the processor time is divided by.
func (c cpuCase) unit() string { return choose(c.million, "million records", "GiB") }

// cpuPlan is how much each measurement moves.
type cpuPlan struct {
	stored  int64 // records of 1 KiB in the topic that is consumed; each broker is warmed up with as many
	produce int64 // bytes of values of one measurement that produces; a quarter of it where records are small
	slices  int   // pieces in which a measurement produces, each into memory that was just used
	reads   int   // how often one measurement that consumes reads the topic
}

// consumeBatch is the size of the batches in the topic that is consumed.
const consumeBatch = 64 << 10

// cpuRun is a run of the command.
type cpuRun struct {
	s      *session
	plan   cpuPlan
	list   []*contender
	stored map[string]load.Target // by contender: the topic that is consumed
	took   map[string]map[string][]cpuSample
}

// cpuSample is one measurement.
type cpuSample struct {
	cost  float64 // processor seconds per unit
	gib   float64 // processor seconds per GiB
	speed float64 // MB/s
	batch float64 // mean bytes of a batch
}

// cpu measures processor seconds per GiB, in rounds: each round takes, case by case, the floor and each broker in turn.
func cpu(ctx context.Context, s *session) error {
	r := &cpuRun{s: s, stored: map[string]load.Target{}, took: map[string]map[string][]cpuSample{}}
	r.plan = choose(s.short, cpuPlan{stored: 64 << 10, produce: 128 << 20, slices: 2, reads: 2},
		cpuPlan{stored: 1 << 20, produce: 1 << 30, slices: 4, reads: 2})
	var cases []cpuCase
	for _, c := range cpuCases() {
		if s.only.MatchString(c.name) {
			cases = append(cases, c)
		}
	}
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	r.list = list
	for _, who := range list {
		if err := r.warm(ctx, who); err != nil {
			return err
		}
	}
	for round := range s.rounds {
		for _, c := range cases {
			s.progress("round %d of %d: %s", round+1, s.rounds, c.name)
			if err := r.round(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return r.report(cases)
}

// warm fills the topic that is consumed and reads it once, which is also what lets a just-in-time compiler do its work.
func (r *cpuRun) warm(ctx context.Context, who *contender) error {
	r.s.progress("warming up %s", who.name)
	t, err := who.topic(ctx, relaxed)
	if err != nil {
		return err
	}
	r.stored[who.name] = t
	p, err := load.NewProducer(ctx, load.Producing{Target: t, Acks: 1, ValueBytes: 1 << 10, BatchBytes: consumeBatch})
	if err != nil {
		return fmt.Errorf("%s: %w", who.name, err)
	}
	_, err = p.Run(ctx, r.plan.stored-1) // the producer sent one when it was made
	p.Close()
	if err == nil {
		_, err = r.read(ctx, who, 1<<20)
	}
	if err == nil {
		err = who.settle()
	}
	if err != nil {
		return fmt.Errorf("warm up %s: %w", who.name, err)
	}
	return nil
}

// read reads the stored topic once.
func (r *cpuRun) read(ctx context.Context, who *contender, fetch int) (load.Moved, error) {
	c, err := load.NewConsumer(ctx, load.Consuming{Target: r.stored[who.name], PartitionBytes: fetch})
	if err != nil {
		return load.Moved{}, err
	}
	defer c.Close()
	return c.Run(ctx, r.plan.stored)
}

// round measures one case once: the floor, then each broker.
func (r *cpuRun) round(ctx context.Context, c cpuCase) error {
	if err := r.floor(ctx, c); err != nil {
		return err
	}
	for _, who := range r.list {
		var err error
		if c.fetch > 0 {
			err = r.consume(ctx, c, who)
		} else {
			err = r.produce(ctx, c, who)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// slice is how many bytes of values one slice of a case produces.
func (r *cpuRun) slice(c cpuCase) int64 {
	return choose(c.million, r.plan.produce/4, r.plan.produce) / int64(r.plan.slices)
}

// floor measures the floors of a case with as many bytes as a broker gets, in the same pieces.
func (r *cpuRun) floor(ctx context.Context, c cpuCase) error {
	bytes, times := r.plan.stored<<10, r.plan.reads
	if c.fetch == 0 {
		bytes, times = r.slice(c), r.plan.slices
	}
	for name, spec := range c.floors(r.s.work, bytes) {
		for range times {
			if c.fetch == 0 {
				if err := r.s.useMemory(bytes, c.batch); err != nil {
					return err
				}
			}
			f, err := floors.Measure(ctx, spec)
			if err != nil {
				return err
			}
			r.keep(c, name, f.CPU, load.Moved{Records: f.Bytes / int64(c.value), Batches: int64(f.Count), Bytes: f.Bytes, Elapsed: f.Elapsed})
		}
	}
	return nil
}

// keep keeps one sample.
func (r *cpuRun) keep(c cpuCase, who string, used time.Duration, m load.Moved) {
	s := cpuSample{gib: used.Seconds() / m.GiB(), speed: float64(m.Bytes) / 1e6 / m.Elapsed.Seconds(), batch: m.MeanBatch()}
	s.cost = s.gib
	if c.million {
		s.cost = used.Seconds() / float64(m.Records) * 1e6
	}
	if r.took[c.name] == nil {
		r.took[c.name] = map[string][]cpuSample{}
	}
	r.took[c.name][who] = append(r.took[c.name][who], s)
}

// consume reads the stored topic; each pass is a sample.
func (r *cpuRun) consume(ctx context.Context, c cpuCase, who *contender) error {
	for range r.plan.reads {
		var m load.Moved
		used, err := who.cost(func() (err error) {
			m, err = r.read(ctx, who, c.fetch)
			return err
		})
		if err != nil {
			return err
		}
		r.keep(c, who.name, used, m)
	}
	return nil
}

// produce fills a topic and removes it; each slice is a sample.
func (r *cpuRun) produce(ctx context.Context, c cpuCase, who *contender) error {
	t, err := who.topic(ctx, relaxed)
	if err != nil {
		return err
	}
	p, err := load.NewProducer(ctx, load.Producing{Target: t, Acks: 1, ValueBytes: c.value, BatchBytes: c.batch})
	if err != nil {
		return fmt.Errorf("%s: %w", who.name, err)
	}
	defer p.Close()
	for range r.plan.slices {
		if err := r.s.useMemory(r.slice(c), c.batch); err != nil {
			return err
		}
		var m load.Moved
		used, err := who.cost(func() (err error) {
			m, err = p.Run(ctx, r.slice(c)/int64(c.value))
			return err
		})
		if err != nil {
			return err
		}
		r.keep(c, who.name, used, m)
	}
	return who.drop(ctx, t)
}

// cpuRow is a row of the report in JSON.
type cpuRow struct {
	Case     string      `json:"case"`
	Who      string      `json:"who"`
	Unit     string      `json:"unit"`
	Seconds  stat.Spread `json:"cpu_s_per_unit"`
	GiB      stat.Spread `json:"cpu_s_per_gib"`
	Speed    stat.Spread `json:"mb_per_s"`
	Batch    float64     `json:"batch_bytes"`
	Least    []beside    `json:"least,omitempty"`
	Verdicts []verdict   `json:"verdicts,omitempty"`
}

// beside is a ratio of the least samples. What disturbs a measurement from outside only adds, so the least are the least disturbed.
type beside struct {
	Of    string  `json:"of"`
	Ratio float64 `json:"ratio"`
}

func (r *cpuRun) report(cases []cpuCase) error {
	out := r.s.report("cpu", "case", "who", "CPU s", "per", "CPU s/GiB", "MB/s", "bytes a batch", "beside floor", "beside kafka", "by the least", "targets")
	out.set("one client, %d partitions, random values, no compression; topics acknowledge from the page cache", r.s.partitions)
	out.set("produce: acks=1, idempotence off, %d requests in flight, linger %s, partitions filled one after the other; a fresh topic each time",
		load.DefaultInFlight, load.DefaultLinger)
	out.set("produce: %d slices a round, each a sample; before each, floor or broker, %d times its memory is used and freed, because the host of",
		r.plan.slices, 3*memoryUsed)
	out.set("  a virtual machine may take back pages that are free for seconds, and each then costs a fault that no broker is to blame for")
	out.set("consume: %d MiB in batches of %d bytes at most, in the page cache, read %d times a round, each a sample, no group, the client's CRC check off",
		r.plan.stored>>10, consumeBatch, r.plan.reads)
	out.set("floor: one connection, %d requests in flight, its load drops what it gets; bytes are those of batches; odd: its batches are not in step with pages", floors.DefaultDepth)
	out.set("median (least-most) of the samples of %d rounds; the brokers were warmed up with %d MiB each way", r.s.rounds, r.plan.stored>>10)
	out.set("by the least: least sample beside the floor's least / kafka's least")
	for _, c := range cases {
		sums := map[string]stat.Spread{}
		for _, who := range append([]string{floor, apache}, r.s.names()...) {
			sums[who] = r.sum(c, who).Seconds
		}
		for _, who := range append([]string{floor, oddFloor}, r.s.names()...) {
			row := r.sum(c, who)
			if row.Seconds.Rounds == 0 {
				continue
			}
			median, least := map[string]string{}, ""
			for _, of := range []string{floor, apache} {
				ratio := row.Seconds.Median / sums[of].Median
				if sums[of].Rounds == 0 || of == who {
					continue
				}
				median[of] = fmt.Sprintf("%.2f", ratio)
				b := beside{Of: of, Ratio: row.Seconds.Min / sums[of].Min}
				row.Least = append(row.Least, b)
				least += choose(least == "", "", " / ") + fmt.Sprintf("%.2f", b.Ratio)
				if target := c.targets[of]; target > 0 && who == penstock {
					row.Verdicts = append(row.Verdicts, judge(of, ratio, target, true))
				}
			}
			out.add(row, c.name, who, spread(row.Seconds, 3), row.Unit, spread(row.GiB, 3), spread(row.Speed, 0),
				fmt.Sprintf("%.0f", row.Batch), median[floor], median[apache], least, verdicts(row.Verdicts))
		}
	}
	return out.print(r.s.out)
}

// sum sums up the rounds of one case and broker.
func (r *cpuRun) sum(c cpuCase, who string) cpuRow {
	var cost, gib, speed, batch []float64
	for _, s := range r.took[c.name][who] {
		cost, gib = append(cost, s.cost), append(gib, s.gib)
		speed, batch = append(speed, s.speed), append(batch, s.batch)
	}
	return cpuRow{
		Case: c.name, Who: who, Unit: c.unit(), Seconds: stat.Of(cost), GiB: stat.Of(gib), Speed: stat.Of(speed), Batch: stat.Of(batch).Median,
	}
}
