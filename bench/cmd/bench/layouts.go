package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"penstock/bench/load"
	"penstock/bench/stat"
)

// The layouts, by their names in the topic configuration penstock.layout.
const (
	segmentLayout = "segment"
	commitLayout  = "commit"
)

// Targets of the commit layout with fsync before the acknowledgement: at 1,000 partitions beside 1, and beside the segment layout.
const (
	sharedKeptTarget = 0.8
	sharedGainTarget = 3
)

// layoutMemory is the memory, in bytes, that is used and freed before each sample, some times over: a sample takes about as much, and which pages it gets must
// not depend on its turn.
const layoutMemory = 512 << 20

// layoutRow is a row of the report in JSON.
type layoutRow struct {
	Layout     string      `json:"layout"`
	Durability durability  `json:"durability"`
	Partitions int         `json:"partitions"`
	Rate       stat.Spread `json:"batches_per_s"`
	CPU        stat.Spread `json:"cpu_us_per_batch"`
	Verdicts   []verdict   `json:"verdicts,omitempty"`
}

// layoutRun is the measurement of one layout with one promise.
type layoutRun struct {
	layout string
	d      durability
	counts []int
	rows   []layoutRow
}

// layouts measures what both layouts keep of their rate from one partition to ten thousand, and draws it.
func layouts(ctx context.Context, s *session) error {
	out := s.report("layouts", "layout", "promise", "partitions", "batches/s", "MiB/s", "cpu us/batch", "targets")
	out.set("one batch of %d bytes in a request, acks=all, to the partitions in turn; 4 connections with 8 requests in flight each", scaleBatch)
	out.set("%s each, median of %d rounds that take the numbers of partitions in turn; every partition has had a batch before", s.scaleTime(), s.rounds)
	out.set("before each sample memory is used and freed: pages that the host of a virtual machine has to give first cost ten times as much")
	counts := choose(s.short, []int{1, 10, 100}, []int{1, 10, 100, 1000, 10_000})
	var runs []*layoutRun
	for _, layout := range []string{segmentLayout, commitLayout} {
		for _, d := range []durability{durable, relaxed} {
			r := &layoutRun{layout: layout, d: d, counts: counts}
			runs = append(runs, r)
			if err := r.run(ctx, s); err != nil {
				return fmt.Errorf("%s, %s: %w", layout, d, err)
			}
		}
	}
	compareLayouts(runs)
	for _, r := range runs {
		for _, row := range r.rows {
			out.add(row, row.Layout, choose(row.Durability == durable, "fsync", "relaxed"), fmt.Sprint(row.Partitions), fmt.Sprintf("%.0f", row.Rate.Median),
				fmt.Sprintf("%.0f", row.Rate.Median*scaleBatch/(1<<20)), fmt.Sprintf("%.1f", row.CPU.Median), verdicts(row.Verdicts))
		}
	}
	if s.plot != "" {
		if err := os.WriteFile(s.plot, []byte(plotLayouts(runs)), 0o644); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
	}
	return out.print(s.out)
}

// run measures all numbers of partitions on a broker of its own.
func (r *layoutRun) run(ctx context.Context, s *session) error {
	own := *s
	own.peers = penstock
	list, end, err := own.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	defer func() { s.count = own.count }()
	c := list[0]
	var sends []load.Spread
	for _, n := range r.counts {
		own.count++
		t := load.Target{Addr: c.Kafka, Topic: fmt.Sprintf("bench-%d", own.count), Partitions: n}
		config := map[string]string{"penstock.layout": r.layout}
		for k, v := range c.config(r.d) {
			config[k] = v
		}
		s.progress("%s, %s: %d partitions", r.layout, r.d, n)
		if err := t.Create(ctx, config); err != nil {
			return err
		}
		send := load.Spread{Target: t, Acks: -1, BatchBytes: scaleBatch, Conns: 4, InFlight: 8}
		if err := fillAll(ctx, send); err != nil {
			return err
		}
		sends = append(sends, send)
	}
	rates, costs := make([][]float64, len(sends)), make([][]float64, len(sends))
	for range s.rounds {
		for i := range sends {
			if err := s.useMemory(layoutMemory, scaleBatch); err != nil {
				return err
			}
			var m load.Moved
			cpu, err := c.cost(func() (err error) {
				m, err = sends[i].Run(ctx, s.scaleTime(), false)
				return err
			})
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], float64(m.Batches)/m.Elapsed.Seconds())
			costs[i] = append(costs[i], float64(cpu)/float64(time.Microsecond)/float64(m.Batches))
		}
	}
	for i, n := range r.counts {
		r.rows = append(r.rows, layoutRow{Layout: r.layout, Durability: r.d, Partitions: n, Rate: stat.Of(rates[i]), CPU: stat.Of(costs[i])})
	}
	return nil
}

// compareLayouts holds the commit layout with fsync at 1,000 partitions, or at as many as there are in the short form, against its targets.
func compareLayouts(runs []*layoutRun) {
	rates := map[string][]layoutRow{}
	for _, r := range runs {
		if r.d == durable {
			rates[r.layout] = r.rows
		}
	}
	own, other := rates[commitLayout], rates[segmentLayout]
	at := min(3, len(own)-1)
	own[at].Verdicts = []verdict{
		judge("its rate with 1", own[at].Rate.Median/own[0].Rate.Median, sharedKeptTarget, false),
		judge("the segment layout's", own[at].Rate.Median/other[at].Rate.Median, sharedGainTarget, false),
	}
}

// The drawing, in points.
const (
	plotWidth, plotHeight = 720, 420
	plotLeft, plotTop     = 80, 40
	plotRight, plotBottom = 560, 360
)

// plotLayouts draws the rates over the numbers of partitions, whose scale is logarithmic.
func plotLayouts(runs []*layoutRun) string {
	most := 1.0
	for _, r := range runs {
		for _, row := range r.rows {
			most = math.Max(most, row.Rate.Median)
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for most/step < 4 {
		step /= 2
	}
	top := math.Ceil(most/step) * step
	last := float64(runs[0].counts[len(runs[0].counts)-1])
	x := func(n float64) float64 {
		return plotLeft + (plotRight-plotLeft)*math.Log10(n)/math.Max(1, math.Log10(last))
	}
	y := func(v float64) float64 { return plotBottom - (plotBottom-plotTop)*v/top }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight, plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="14">Batches of 16 KiB a second, acks=all, by number of partitions and layout</text>`+"\n", plotLeft)
	for v := 0.0; v <= top+step/2; v += step {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", plotLeft, plotRight, y(v), y(v), plotLeft-8, y(v)+4, v)
	}
	for _, n := range runs[0].counts {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#999"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n",
			x(float64(n)), x(float64(n)), plotBottom, plotBottom+5, x(float64(n)), plotBottom+20, n)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">partitions</text>`+"\n", (plotLeft+plotRight)/2, plotBottom+42)
	colours := []string{"#c44e52", "#dd8452", "#4c72b0", "#55a868"}
	for i, r := range runs {
		var points []string
		for _, row := range r.rows {
			px, py := x(float64(row.Partitions)), y(row.Rate.Median)
			points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s"/><circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n",
				px, px, y(row.Rate.Min), y(row.Rate.Max), colours[i], px, py, colours[i])
		}
		dash := choose(r.d == durable, "", ` stroke-dasharray="6 4"`)
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.Join(points, " "), colours[i], dash)
		ly := plotTop + 20 + 22*i
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="2"%s/><text x="%d" y="%d">%s, %s</text>`+"\n",
			plotRight+16, plotRight+44, ly, ly, colours[i], dash, plotRight+50, ly+4, r.layout, choose(r.d == durable, "fsync", "relaxed"))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
