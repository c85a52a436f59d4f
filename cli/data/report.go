package data

import (
	"fmt"
	"io"
	"sync"
	"time"

	"penstock/cli"
)

// result is what bench prints.
type result struct {
	Mode       string  `json:"mode"`
	Topic      string  `json:"topic"`
	Partitions int32   `json:"partitions"`
	Clients    int     `json:"clients"`
	Size       int     `json:"record_bytes"`
	Codec      string  `json:"codec"`
	Acks       string  `json:"acks"`
	Produce    *figure `json:"produce,omitempty"`
	Consume    *figure `json:"consume,omitempty"`
	CPU        float64 `json:"cpu_seconds"`         // of this process
	CPUPerGiB  float64 `json:"cpu_seconds_per_gib"` // of what was sent and read
}

// figure is one direction.
type figure struct {
	Records int64       `json:"records"`
	Bytes   int64       `json:"bytes"`
	Seconds float64     `json:"seconds"`
	Rate    float64     `json:"records_per_second"`
	Speed   float64     `json:"bytes_per_second"`
	Of      string      `json:"latency_of"` // acknowledgement, fetch or end_to_end
	Latency percentiles `json:"latency_ms"`
}

// percentiles are in milliseconds.
type percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (m *meter) percentiles() percentiles {
	slowest := m.slowest.Load()
	at := func(q float64) float64 { return float64(min(m.latency.Quantile(q), slowest)) / 1e6 }
	return percentiles{P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: float64(slowest) / 1e6}
}

func (m *meter) figure(of string) *figure {
	f := &figure{Records: m.records.Load(), Bytes: m.bytes.Load(), Seconds: m.took.Seconds(), Of: of, Latency: m.percentiles()}
	if f.Seconds > 0 {
		f.Rate, f.Speed = float64(f.Records)/f.Seconds, float64(f.Bytes)/f.Seconds
	}
	return f
}

// result gathers the figures.
func (b *bench) result() result {
	r := result{Mode: b.mode, Topic: b.topic, Partitions: b.parts, Clients: b.f.clients, Size: b.f.size, Codec: b.f.codec, Acks: b.f.acks,
		CPU: b.cpu.Seconds()}
	if b.mode != "consume" {
		r.Produce = b.sent.figure("acknowledgement")
	}
	switch b.mode {
	case "consume":
		r.Consume = b.got.figure("fetch")
	case "both":
		r.Consume = b.got.figure("end_to_end")
	}
	if n := b.sent.bytes.Load() + b.got.bytes.Load(); n > 0 {
		r.CPUPerGiB = r.CPU / (float64(n) / (1 << 30))
	}
	return r
}

// report prints the figures.
func (b *bench) report() error {
	r := b.result()
	return b.e.Emit(r, func(t *cli.Table) {
		t.Header("", "records", "records/s", "bytes/s", "latency of", "p50", "p99", "p99.9", "max")
		for _, side := range []struct {
			name string
			f    *figure
		}{{"produce", r.Produce}, {"consume", r.Consume}} {
			if f := side.f; f != nil {
				t.Row(side.name, f.Records, fmt.Sprintf("%.0f", f.Rate), cli.Bytes(int64(f.Speed)), f.Of,
					ms(f.Latency.P50), ms(f.Latency.P99), ms(f.Latency.P999), ms(f.Latency.Max))
			}
		}
		t.Note("")
		t.Note("This program took %.2f s of processor time, %.2f s per GiB.", r.CPU, r.CPUPerGiB)
	})
}

func ms(v float64) string { return fmt.Sprintf("%.2f ms", v) }

// show draws a line that follows the load, on a terminal only. The function that it returns takes it away.
func (b *bench) show() func() {
	if !b.e.Terminal() {
		return func() {}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		var last liveCount
		for {
			select {
			case <-stop:
				_, _ = io.WriteString(b.e.Stderr(), "\r\x1b[K") // a line that stays does no harm
				return
			case <-t.C:
				last = b.draw(b.e.Stderr(), last, time.Now())
			}
		}
	})
	return func() { close(stop); wg.Wait() }
}

// liveCount is what had been counted at a time.
type liveCount struct {
	at            time.Time
	records, size int64
}

// draw writes the rates since the last line.
func (b *bench) draw(w io.Writer, last liveCount, now time.Time) liveCount {
	m, word := &b.sent, "sent"
	if b.mode == "consume" {
		m, word = &b.got, "read"
	}
	next := liveCount{at: now, records: m.records.Load(), size: m.bytes.Load()}
	if last.at.IsZero() {
		last = liveCount{at: now.Add(-time.Second)}
	}
	s := now.Sub(last.at).Seconds()
	_, _ = fmt.Fprintf(w, "\r\x1b[K%d records %s, %.0f/s, %s/s, p99 %s", next.records, word, float64(next.records-last.records)/s,
		cli.Bytes(int64(float64(next.size-last.size)/s)), ms(m.percentiles().P99)) // a person may have closed the window
	return next
}
