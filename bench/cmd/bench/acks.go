package main

import (
	"context"
	"fmt"
	"time"

	"penstock/bench/floors"
	"penstock/bench/load"
	"penstock/bench/stat"
)

// ackTargets are, by clients, how many times the rate of Apache Kafka with an fsync before each acknowledgement penstock must reach.
func ackTargets() map[int]float64 { return map[int]float64{1: 1.5, 16: 3, 64: 4} }

// relaxedTarget is the least share of the rate without fsync that the rate with it must reach, with the most clients.
const relaxedTarget = 0.85

// mostClients is that number of clients.
const mostClients = 64

// ackValue is the size of a value.
const ackValue = 1 << 10

// ackWay is a broker with a durability, or the floor.
type ackWay struct {
	who string
	d   durability
}

// ackRow is a row of the report in JSON. Its samples are those of all rounds.
type ackRow struct {
	Clients    int         `json:"clients"`
	Who        string      `json:"who"`
	Durability durability  `json:"durability"`
	Rate       stat.Spread `json:"acks_per_s"`
	P50        float64     `json:"p50_ms"`
	P99        float64     `json:"p99_ms"`
	CPU        stat.Spread `json:"cpu_us_per_ack"`
	Verdicts   []verdict   `json:"verdicts,omitempty"`

	rates, costs []float64
	p50s, p99s   []float64    // of the floor's rounds
	samples      stat.Samples // of a broker's rounds together
}

// acksRun is a run of the command.
type acksRun struct {
	s    *session
	each time.Duration
	rows map[int]map[ackWay]*ackRow
}

// acks measures clients that send one record at a time and wait for each acknowledgement.
func acks(ctx context.Context, s *session) error {
	r := &acksRun{s: s, each: choose(s.short, time.Second, 4*time.Second), rows: map[int]map[ackWay]*ackRow{}}
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	for _, who := range list { // the compiler of a JVM has to see the work first
		s.progress("warming up %s", who.name)
		for _, d := range []durability{relaxed, durable} {
			if _, _, err := r.measure(ctx, who, d, 16); err != nil {
				return err
			}
		}
	}
	for _, clients := range []int{1, 16, mostClients} {
		r.rows[clients] = map[ackWay]*ackRow{}
		for round := range s.rounds {
			s.progress("round %d of %d: %d clients", round+1, s.rounds, clients)
			if err := r.round(ctx, list, clients); err != nil {
				return err
			}
		}
	}
	return r.report()
}

func (r *acksRun) round(ctx context.Context, list []*contender, clients int) error {
	f, err := floors.Measure(ctx, floors.Spec{Kind: floors.Fsync, Dir: r.s.work, Waiters: clients, For: r.each})
	if err != nil {
		return err
	}
	row := r.row(clients, ackWay{floor, durable})
	row.rates = append(row.rates, float64(f.Count)/f.Elapsed.Seconds())
	row.costs = append(row.costs, f.CPU.Seconds()*1e6/float64(f.Count))
	row.p50s, row.p99s = append(row.p50s, millis(f.P50)), append(row.p99s, millis(f.P99))
	for _, d := range []durability{durable, relaxed} {
		for _, who := range list {
			a, used, err := r.measure(ctx, who, d, clients)
			if err != nil {
				return err
			}
			row := r.row(clients, ackWay{who.name, d})
			row.rates = append(row.rates, a.Rate())
			row.costs = append(row.costs, used.Seconds()*1e6/float64(len(a.Latency)))
			row.samples = append(row.samples, a.Latency...)
		}
	}
	return nil
}

func (r *acksRun) row(clients int, w ackWay) *ackRow {
	if r.rows[clients][w] == nil {
		r.rows[clients][w] = &ackRow{Clients: clients, Who: w.who, Durability: w.d}
	}
	return r.rows[clients][w]
}

// measure lets clients send for a while, into a topic of their own.
func (r *acksRun) measure(ctx context.Context, who *contender, d durability, clients int) (a load.Acknowledged, used time.Duration, err error) {
	t, err := who.topic(ctx, d)
	if err != nil {
		return a, 0, err
	}
	send, end, err := load.Singles{Target: t, Clients: clients, ValueBytes: ackValue}.Start(ctx)
	if err != nil {
		return a, 0, fmt.Errorf("%s: %w", who.name, err)
	}
	used, err = who.cost(func() error {
		a, err = send(r.each)
		return err
	})
	end()
	if err == nil {
		err = who.drop(ctx, t)
	}
	return a, used, err
}

func (r *acksRun) report() error {
	out := r.s.report("acks", "clients", "who", "acknowledged", "acks/s", "p50 ms", "p99 ms", "broker CPU us/ack", "targets")
	out.set("acks=all, one record of %d bytes at a time, each client with its own connection, idempotent, linger 0, %d partitions", ackValue, r.s.partitions)
	out.set("penstock: its default, and penstock.durability=relaxed; kafka: flush.messages=1, and its default")
	out.set("floor: the same appends within one process, fdatasync by group commit, no network")
	out.set("%s each, %d rounds; rates and processor time are median (least-most), p50 and p99 of all rounds together, the floor's medians", r.each, r.s.rounds)
	for _, clients := range []int{1, 16, mostClients} {
		rows := r.rows[clients]
		ways := []ackWay{{floor, durable}}
		for _, d := range []durability{durable, relaxed} {
			for _, who := range r.s.names() {
				ways = append(ways, ackWay{who, d})
			}
		}
		for _, w := range ways {
			row := rows[w]
			row.Rate, row.CPU = stat.Of(row.rates), stat.Of(row.costs)
			q := row.samples.Quantiles(0.50, 0.99)
			row.P50, row.P99 = millis(q[0]), millis(q[1])
			if w.who == floor {
				row.P50, row.P99 = stat.Of(row.p50s).Median, stat.Of(row.p99s).Median
			}
		}
		own, theirs, loose := rows[ackWay{penstock, durable}], rows[ackWay{apache, durable}], rows[ackWay{penstock, relaxed}]
		if own != nil && theirs != nil {
			own.Verdicts = append(own.Verdicts, judge("kafka with fsync", own.Rate.Median/theirs.Rate.Median, ackTargets()[clients], false))
		}
		if own != nil && clients == mostClients {
			own.Verdicts = append(own.Verdicts, judge("its rate without fsync", own.Rate.Median/loose.Rate.Median, relaxedTarget, false))
		}
		for _, w := range ways {
			row := rows[w]
			out.add(row, fmt.Sprint(clients), w.who, string(w.d), spread(row.Rate, 0), fmt.Sprintf("%.3f", row.P50), fmt.Sprintf("%.3f", row.P99),
				spread(row.CPU, 1), verdicts(row.Verdicts))
		}
	}
	return out.print(r.s.out)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
