package kafka

import (
	"sync/atomic"
	"time"

	"penstock/metric"
)

// What is counted. Every metric has the listener as a label besides those named.
var (
	descRequests = metric.Desc{Name: "kafka_requests_total", Help: "Requests answered, by API; those with acks=0 are counted when appended."}
	descTime     = metric.Desc{Name: "kafka_request_seconds", Help: "Time from the last byte of a request to its answer, by API; long polls wait in it.", Scale: 1e-9}
	descErrors   = metric.Desc{Name: "kafka_errors_total", Help: "Error codes given, by API and code; one answer may give several."}
	descBytes    = metric.Desc{Name: "kafka_produced_bytes_total", Help: "Bytes of batches appended, by topic."}
	descRecords  = metric.Desc{Name: "kafka_produced_records_total", Help: "Records appended, by topic."}
	descBatches  = metric.Desc{Name: "kafka_produced_batches_total", Help: "Batches appended, by topic."}
	descSessions = metric.Desc{Name: "kafka_fetch_sessions", Help: "Incremental fetch sessions kept."}
	descWaiting  = metric.Desc{Name: "kafka_fetches_waiting", Help: "Fetch requests waiting for data."}
)

// apiStats are the figures of one API.
type apiStats struct {
	registry *metric.Registry
	labels   []metric.Label
	requests *metric.Counter
	took     *metric.Histogram
	errors   [lastCode - firstCode + 1]atomic.Pointer[metric.Counter] // made on first use
}

// open finds the metrics of an API. Those of error codes come with the first error.
func (s *apiStats) open(r *metric.Registry, listener, api string) {
	s.registry, s.labels = r, []metric.Label{{Name: "listener", Value: listener}, {Name: "api", Value: api}}
	s.requests = r.Counter(descRequests, s.labels...)
	s.took = r.Histogram(descTime, s.labels...)
}

// done counts a request by the time from its last byte to its answer.
func (s *apiStats) done(arrived, now time.Time) {
	s.requests.Inc()
	s.took.Observe(int64(now.Sub(arrived)))
}

// failed counts one error code in an answer.
func (s *apiStats) failed(c code) {
	if c < firstCode || c > lastCode {
		c = codeUnknownServerError
	}
	slot := &s.errors[c-firstCode]
	n := slot.Load()
	if n == nil {
		// Two at once get the same counter of the registry.
		labels := append([]metric.Label{{Name: "error", Value: c.String()}}, s.labels...)
		n = s.registry.Counter(descErrors, labels...)
		slot.Store(n)
	}
	n.Inc()
}

// traffic counts what producers of one topic sent and had appended.
type traffic struct {
	bytes   *metric.Counter
	records *metric.Counter
	batches *metric.Counter
}

// topicLabels are the labels of a topic's metrics.
func (f *Front) topicLabels(topic string) []metric.Label {
	return []metric.Label{{Name: "listener", Value: f.o.Listener}, {Name: "topic", Value: topic}}
}

// newTraffic finds the metrics of a topic. A topic that is changed keeps its figures.
func (f *Front) newTraffic(topic string) traffic {
	l := f.topicLabels(topic)
	return traffic{f.o.Metrics.Counter(descBytes, l...), f.o.Metrics.Counter(descRecords, l...), f.o.Metrics.Counter(descBatches, l...)}
}

// forgetTraffic drops the figures of a topic that is gone.
func (f *Front) forgetTraffic(topic string) {
	for _, d := range []metric.Desc{descBytes, descRecords, descBatches} {
		f.o.Metrics.Forget(d.Name, f.topicLabels(topic)...)
	}
}
