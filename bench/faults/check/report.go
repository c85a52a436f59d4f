package check

import (
	"fmt"
	"strings"
)

// Kind is a sort of anomaly. See the package's comment.
type Kind uint8

// The kinds of anomalies.
const (
	Lost Kind = iota
	Vanished
	Inconsistent
	Duplicate
	Reordered
	Phantom
	Hole
	Backwards
	Corrupt
	kinds
)

// String is the kind's name.
func (k Kind) String() string {
	names := [kinds]string{"lost", "vanished", "inconsistent", "duplicate", "reordered", "phantom", "hole", "backwards", "corrupt"}
	if k < kinds {
		return names[k]
	}
	return "unknown"
}

// maxExamples bounds the anomalies that a report describes one by one.
const maxExamples = 8

// Report is what was found, of one log or of many.
type Report struct {
	Sent, Acked int64
	Read        int64 // records read by passes, each offset once
	Repeats     int64 // records that plain writers left twice, which is allowed
	Found       [kinds]int64
	Examples    []string // the first few anomalies in words
}

// Add takes in another report.
func (r *Report) Add(o Report) {
	r.Sent += o.Sent
	r.Acked += o.Acked
	r.Read += o.Read
	r.Repeats += o.Repeats
	for k, n := range o.Found {
		r.Found[k] += n
	}
	r.Examples = append(r.Examples, o.Examples[:min(len(o.Examples), maxExamples-len(r.Examples))]...)
}

// Anomalies is the number of things found wrong.
func (r *Report) Anomalies() int64 {
	var sum int64
	for _, n := range r.Found {
		sum += n
	}
	return sum
}

// Err is nil if nothing is wrong, else an error that counts the anomalies and gives examples.
func (r *Report) Err() error {
	if r.Anomalies() == 0 {
		return nil
	}
	var b strings.Builder
	for k, n := range r.Found {
		if n > 0 {
			fmt.Fprintf(&b, "%d %s, ", n, Kind(k))
		}
	}
	return fmt.Errorf("%sfor example: %s", b.String(), strings.Join(r.Examples, "; "))
}

func (r *Report) found(k Kind, format string, args ...any) {
	r.Found[k]++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, k.String()+": "+fmt.Sprintf(format, args...))
	}
}

// Lost is the number of values that are gone.
func (r *Report) Lost() int64 { return r.Found[Lost] + r.Found[Vanished] }

// OutOfOrder is the number of values that stand behind a later one of their writer.
func (r *Report) OutOfOrder() int64 { return r.Found[Reordered] }

// Duplicates is the number of values that an exact writer finds twice.
func (r *Report) Duplicates() int64 { return r.Found[Duplicate] }
