package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"penstock/bench/stat"
)

// TestPlotLayouts: the drawing is well-formed, names every line, and a higher rate lies higher; the targets are judged where they apply.
func TestPlotLayouts(t *testing.T) {
	counts := []int{1, 10, 100, 1000, 10_000}
	var runs []*layoutRun
	for i, layout := range []string{segmentLayout, commitLayout} {
		for j, d := range []durability{durable, relaxed} {
			r := &layoutRun{layout: layout, d: d, counts: counts}
			for k, n := range counts {
				rate := float64(1000*(1+3*i)+100*j) / float64(1+k*(1-i))
				r.rows = append(r.rows, layoutRow{Layout: layout, Durability: d, Partitions: n, Rate: stat.Of([]float64{rate}), CPU: stat.Of([]float64{5})})
			}
			runs = append(runs, r)
		}
	}
	compareLayouts(runs)
	if v := runs[2].rows[3].Verdicts; len(v) != 2 || !v[0].Met || v[0].Ratio != 1 || v[1].Ratio != 16 {
		t.Errorf("%+v", v)
	}
	svg := plotLayouts(runs)
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, want := range []string{"segment, fsync", "segment, relaxed", "commit, fsync", "commit, relaxed", ">10000<", "partitions"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the drawing does not say %q", want)
		}
	}
	if strings.Count(svg, "<circle") != 4*len(counts) || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("%d points:\n%s", strings.Count(svg, "<circle"), svg)
	}
}
