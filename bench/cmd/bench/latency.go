package main

import (
	"context"
	"fmt"

	"penstock/bench/load"
	"penstock/bench/stat"
)

// latencyTarget is how many times the p99 of Apache Kafka penstock's may be at most.
const latencyTarget = 0.5

// latencyValue is the size of a value.
const latencyValue = 1 << 10

// latencyWay is what a producer asks for. Only equal ones are compared.
type latencyWay struct {
	name string
	acks int
	d    durability
}

func latencyWays() []latencyWay {
	return []latencyWay{
		{"acks=1", 1, relaxed},
		{"acks=all, " + string(relaxed), -1, relaxed},
		{"acks=all, " + string(durable), -1, durable},
	}
}

func latencyRates() []float64 { return []float64{1000, 10000} }

// latencyKey names one cell of the table.
type latencyKey struct {
	rate float64
	way  string
	who  string
}

// latencyRow is a row of the report in JSON. Quantiles are of all rounds together.
type latencyRow struct {
	Rate     float64     `json:"records_per_s"`
	Way      string      `json:"way"`
	Who      string      `json:"who"`
	Count    int         `json:"records"`
	P50      float64     `json:"p50_ms"`
	P99      float64     `json:"p99_ms"`
	P999     float64     `json:"p99_9_ms"`
	Rounds   stat.Spread `json:"p99_ms_by_round"`
	LateP99  float64     `json:"late_p99_ms"`
	Verdicts []verdict   `json:"verdicts,omitempty"`

	p99s          []float64
	samples, late stat.Samples
}

// latency measures the time from when a record is due to leave to when a consumer has it.
func latency(ctx context.Context, s *session) error {
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	seconds := choose(s.short, 1.0, 8.0)
	rows := map[latencyKey]*latencyRow{}
	for _, who := range list {
		s.progress("warming up %s", who.name)
		for _, w := range latencyWays() {
			// Not faster than a disk with a slow fsync takes: what piles up here would have to be worked off.
			if _, err := openLoop(ctx, who, w, choose(w.d == durable, 1000.0, 10000.0), seconds/2); err != nil {
				return err
			}
		}
	}
	for round := range s.rounds {
		for _, rate := range latencyRates() {
			s.progress("round %d of %d: %.0f records/s", round+1, s.rounds, rate)
			for _, w := range latencyWays() {
				for _, who := range list {
					a, err := openLoop(ctx, who, w, rate, seconds)
					if err != nil {
						return err
					}
					key := latencyKey{rate, w.name, who.name}
					if rows[key] == nil {
						rows[key] = &latencyRow{Rate: rate, Way: w.name, Who: who.name}
					}
					rows[key].keep(a)
				}
			}
		}
	}
	return s.reportLatency(rows, seconds)
}

// openLoop runs one loop against a topic of its own.
func openLoop(ctx context.Context, who *contender, w latencyWay, rate, seconds float64) (load.Arrived, error) {
	t, err := who.topic(ctx, w.d)
	if err != nil {
		return load.Arrived{}, err
	}
	a, err := load.OpenLoop{
		Target: t, Acks: w.acks, ValueBytes: latencyValue, Rate: rate, Warm: int(rate * seconds / 4), Count: int(rate * seconds),
	}.Run(ctx)
	if err != nil {
		return a, fmt.Errorf("%s: %w", who.name, err)
	}
	return a, who.drop(ctx, t)
}

func (row *latencyRow) keep(a load.Arrived) {
	row.p99s = append(row.p99s, millis(a.Latency.Quantiles(0.99)[0]))
	row.samples = append(row.samples, a.Latency...)
	row.late = append(row.late, a.Late...)
}

func (s *session) reportLatency(rows map[latencyKey]*latencyRow, seconds float64) error {
	out := s.report("latency", "records/s", "producer", "who", "p50 ms", "p99 ms", "p99.9 ms", "p99 by round", "late p99 ms", "targets")
	out.set("one producer and one consumer in one process, linger 0, %d partitions in turn, values of %d bytes, no compression", s.partitions, latencyValue)
	out.set("open loop: a record's time runs from when it was due to leave to when the consumer has it; late: by how much it left later than due")
	out.set("%.3g s each after a quarter of that, %d rounds, quantiles of all rounds together", seconds, s.rounds)
	for _, rate := range latencyRates() {
		for _, w := range latencyWays() {
			for _, who := range s.names() {
				row := rows[latencyKey{rate, w.name, who}]
				q := row.samples.Quantiles(0.50, 0.99, 0.999)
				row.P50, row.P99, row.P999 = millis(q[0]), millis(q[1]), millis(q[2])
				row.Count, row.Rounds, row.LateP99 = len(row.samples), stat.Of(row.p99s), millis(row.late.Quantiles(0.99)[0])
			}
			own, theirs := rows[latencyKey{rate, w.name, penstock}], rows[latencyKey{rate, w.name, apache}]
			if own != nil && theirs != nil {
				own.Verdicts = append(own.Verdicts, judge("kafka's p99", own.P99/theirs.P99, latencyTarget, true))
			}
			for _, who := range s.names() {
				row := rows[latencyKey{rate, w.name, who}]
				out.add(row, fmt.Sprintf("%.0f", rate), w.name, who, fmt.Sprintf("%.3f", row.P50), fmt.Sprintf("%.3f", row.P99),
					fmt.Sprintf("%.3f", row.P999), spread(row.Rounds, 3), fmt.Sprintf("%.3f", row.LateP99), verdicts(row.Verdicts))
			}
		}
	}
	return out.print(s.out)
}
