package main

import (
	"context"
	"fmt"
	"time"

	"penstock/bench/floors"
	"penstock/bench/stat"
)

// floorRow is a row of the report in JSON.
type floorRow struct {
	Floor   string      `json:"floor"`
	Unit    int         `json:"unit"`
	GiB     stat.Spread `json:"cpu_s_per_gib"`
	Speed   stat.Spread `json:"mb_per_s"`
	Rate    stat.Spread `json:"per_s"`
	P50     float64     `json:"p50_ms"`
	P99     float64     `json:"p99_ms"`
	Seconds stat.Spread `json:"cpu_us_each"`
}

// floorsAlone measures all floors and no broker.
func floorsAlone(ctx context.Context, s *session) error {
	bytes := choose(s.short, int64(256<<20), int64(3<<30))
	var list []floors.Spec
	for _, unit := range []int{1 << 20, 64 << 10} {
		list = append(list, floors.Spec{Kind: floors.Fetch, Unit: unit, Bytes: bytes})
	}
	for _, unit := range []int{1 << 20, 64 << 10, 16 << 10, 8 << 10} {
		list = append(list, floors.Spec{Kind: floors.Produce, Unit: unit, Bytes: bytes})
	}
	for _, waiters := range []int{1, 16, 64} {
		list = append(list, floors.Spec{Kind: floors.Fsync, Waiters: waiters, For: choose(s.short, time.Second/2, 3*time.Second)})
	}
	list = append(list, floors.Spec{Kind: floors.RoundTrip, Count: choose(s.short, 5000, 50000)})
	out := s.report("floors", "floor", "bytes or waiters", "CPU s/GiB", "MB/s", "per s", "p50 ms", "p99 ms", "CPU us each")
	out.set("one connection, %d requests in flight, %d MiB a round, %d rounds, median (least-most)", floors.DefaultDepth, bytes>>20, s.rounds)
	for _, spec := range list {
		if !s.only.MatchString(string(spec.Kind)) {
			continue
		}
		spec.Dir = s.work
		row, err := s.floor(ctx, spec)
		if err != nil {
			return err
		}
		cells := []string{row.Floor, fmt.Sprint(row.Unit), "", "", spread(row.Rate, 0), "", "", spread(row.Seconds, 1)}
		if spec.Bytes > 0 {
			cells[2], cells[3] = spread(row.GiB, 3), spread(row.Speed, 0)
		} else {
			cells[5], cells[6] = fmt.Sprintf("%.3f", row.P50), fmt.Sprintf("%.3f", row.P99)
		}
		out.add(row, cells...)
	}
	return out.print(s.out)
}

// floor measures one floor in rounds.
func (s *session) floor(ctx context.Context, spec floors.Spec) (floorRow, error) {
	row := floorRow{Floor: string(spec.Kind), Unit: max(spec.Unit, spec.Waiters)}
	var gib, speed, rate, each, p50, p99 []float64
	for range s.rounds {
		r, err := floors.Measure(ctx, spec)
		if err != nil {
			return row, err
		}
		if spec.Bytes > 0 {
			gib = append(gib, r.CPU.Seconds()/(float64(r.Bytes)/(1<<30)))
			speed = append(speed, float64(r.Bytes)/1e6/r.Elapsed.Seconds())
		}
		rate = append(rate, float64(r.Count)/r.Elapsed.Seconds())
		each = append(each, r.CPU.Seconds()*1e6/float64(r.Count))
		p50, p99 = append(p50, millis(r.P50)), append(p99, millis(r.P99))
	}
	row.Rate, row.Seconds = stat.Of(rate), stat.Of(each)
	row.P50, row.P99 = stat.Of(p50).Median, stat.Of(p99).Median
	if spec.Bytes > 0 {
		row.GiB, row.Speed = stat.Of(gib), stat.Of(speed)
	}
	return row, nil
}
