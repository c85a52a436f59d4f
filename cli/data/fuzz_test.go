package data

import (
	"testing"
	"time"
)

// FuzzText reads anything as each of the small languages: a line of JSON, a format, a place. What is read as JSON is printed
// and read again as the same.
func FuzzText(f *testing.F) {
	for _, s := range []string{`{"key":"a","value":{"b":1},"headers":[{"key":"h","value_base64":"/w=="}],"timestamp":1}`, `%p:%o\t%k\x41%%`, "-10", "@1767366245000", "2026-01-02"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if form, err := parseFormat(s, "null"); err == nil {
			form.append(nil, sample())
		}
		if p, err := parsePlace("from", s, time.Unix(1767366245, 0)); err == nil {
			if at := p.offset(bounds{10, 20}); at < 10 || at > 20 {
				t.Errorf("%q is offset %d, outside of 10 to 20", s, at)
			}
		}
		r, err := parseLine([]byte(s))
		if err != nil {
			return
		}
		if r.Partition == noPartition {
			r.Partition = 0
		}
		out, err := appendLine(nil, r)
		if err != nil {
			t.Fatalf("%q cannot be printed: %v", s, err)
		}
		again, err := parseLine(out)
		if err != nil || string(again.Key) != string(r.Key) || string(again.Value) != string(r.Value) || len(again.Headers) != len(r.Headers) {
			t.Errorf("%q prints %q, which is %+v, %v", s, out, again, err)
		}
	})
}
