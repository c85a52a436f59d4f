package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Kind is what a metric is.
type Kind uint8

// The kinds.
const (
	KindCounter Kind = iota
	KindGauge
	KindHistogram
)

// String is the kind's name in exposition formats.
func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Label is one dimension of a metric.
type Label struct{ Name, Value string }

// Desc describes all metrics of one name.
type Desc struct {
	Name string // lower case with underscores and the unit at the end, without the program's prefix
	Help string // one sentence
	// Scale turns the integers counted into the unit of the name: 1e-9 for nanoseconds shown as seconds. 0 means 1.
	Scale float64
}

// Sample is one metric at one moment.
type Sample struct {
	Desc
	Kind      Kind
	Labels    []Label   // sorted by name; not to be changed
	Value     int64     // of a counter or gauge
	Histogram *Snapshot // of a histogram
}

// Registry knows metrics by name and labels. Whoever raises a metric keeps the pointer that it got here: nothing is
// looked up on a hot path. All methods may be called concurrently.
type Registry struct {
	// mu guards everything below.
	mu       sync.Mutex
	families map[string]*family
}

// family is all metrics of one name.
type family struct {
	desc    Desc
	kind    Kind
	members map[string]*member // by encoded labels
}

// member is one metric; exactly one of the fields below labels is set.
type member struct {
	labels    []Label
	counter   *Counter
	gauge     *Gauge
	histogram *Histogram
	read      func() int64 // for values kept elsewhere
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry { return &Registry{families: map[string]*family{}} }

// Counter returns the counter of that name and labels, making it if needed. Labels are given in any order. One name
// used for two kinds is a fault of the program and panics.
func (r *Registry) Counter(d Desc, labels ...Label) *Counter {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.member(d, KindCounter, labels)
	if m.counter == nil {
		m.counter = new(Counter)
	}
	return m.counter
}

// Gauge returns the gauge of that name and labels, making it if needed.
func (r *Registry) Gauge(d Desc, labels ...Label) *Gauge {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.member(d, KindGauge, labels)
	if m.gauge == nil {
		m.gauge = new(Gauge)
	}
	return m.gauge
}

// Histogram returns the histogram of that name and labels, making it if needed.
func (r *Registry) Histogram(d Desc, labels ...Label) *Histogram {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.member(d, KindHistogram, labels)
	if m.histogram == nil {
		m.histogram = new(Histogram)
	}
	return m.histogram
}

// Func names a value that is kept elsewhere, a counter or a gauge: read is called at every walk, from any goroutine,
// without a lock of the registry. A second function of the same name and labels replaces the first.
func (r *Registry) Func(d Desc, k Kind, read func() int64, labels ...Label) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.member(d, k, labels).read = read
}

// Forget drops the metric of that name and labels, for things that are gone: a topic deleted.
func (r *Registry) Forget(name string, labels ...Label) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.families[name]
	if f == nil {
		return
	}
	delete(f.members, encode(sorted(labels)))
	if len(f.members) == 0 {
		delete(r.families, name)
	}
}

// member finds or makes a member. The caller holds mu.
func (r *Registry) member(d Desc, k Kind, labels []Label) *member {
	f := r.families[d.Name]
	if f == nil {
		f = &family{desc: d, kind: k, members: map[string]*member{}}
		r.families[d.Name] = f
	}
	if f.kind != k {
		panic(fmt.Sprintf("metric %s is a %v and a %v", d.Name, f.kind, k))
	}
	labels = sorted(labels)
	key := encode(labels)
	m := f.members[key]
	if m == nil {
		m = &member{labels: labels}
		f.members[key] = m
	}
	return m
}

func sorted(labels []Label) []Label {
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return labels
}

// encode makes a key of labels that no other labels have: each string goes with its length.
func encode(labels []Label) string {
	var b strings.Builder
	for _, l := range labels {
		fmt.Fprintf(&b, "%d:%s%d:%s", len(l.Name), l.Name, len(l.Value), l.Value)
	}
	return b.String()
}

// Walk calls visit with a sample of every metric, by name and then by labels. Metrics made or dropped meanwhile may be
// missed or seen; visit may use the registry.
func (r *Registry) Walk(visit func(Sample)) {
	for _, e := range r.entries() {
		s := Sample{Desc: e.f.desc, Kind: e.f.kind, Labels: e.m.labels}
		switch {
		case e.m.read != nil:
			s.Value = e.m.read()
		case e.m.counter != nil:
			s.Value = e.m.counter.Value()
		case e.m.gauge != nil:
			s.Value = e.m.gauge.Value()
		case e.m.histogram != nil:
			h := e.m.histogram.Snapshot()
			s.Histogram = &h
		}
		visit(s)
	}
}

// entry is a member as it was when a walk began.
type entry struct {
	f *family
	m member
}

func (r *Registry) entries() []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []entry
	for _, f := range r.families {
		for _, m := range f.members {
			all = append(all, entry{f, *m})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.f.desc.Name, b.f.desc.Name), slices.CompareFunc(a.m.labels, b.m.labels, compareLabel))
	})
	return all
}

func compareLabel(a, b Label) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
}
