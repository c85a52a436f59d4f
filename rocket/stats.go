package rocket

import (
	"sync/atomic"
	"time"

	"penstock/metric"
)

// What is counted. Every metric has the listener as a label besides those named.
var (
	descRequests = metric.Desc{Name: "rocket_requests_total", Help: "Requests answered, by API; one-way ones are counted when done."}
	descTime     = metric.Desc{Name: "rocket_request_seconds", Help: "Time from the last byte of a request to its answer, by API; long polls wait in it.", Scale: 1e-9}
	descErrors   = metric.Desc{Name: "rocket_errors_total", Help: "Response codes given other than SUCCESS, by API and code."}
	descBytes    = metric.Desc{Name: "rocket_sent_bytes_total", Help: "Bytes of messages stored, by topic."}
	descMessages = metric.Desc{Name: "rocket_sent_messages_total", Help: "Messages stored, by topic."}
	descWaiting  = metric.Desc{Name: "rocket_pulls_waiting", Help: "Pulls waiting for messages."}
)

// apiStats are the figures of one API.
type apiStats struct {
	registry *metric.Registry
	labels   []metric.Label
	requests *metric.Counter
	took     *metric.Histogram
	errors   [lastCode + 1]atomic.Pointer[metric.Counter] // made on first use
}

// open finds the metrics of an API. Those of codes come with the first.
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

// answered counts the code of an answer.
func (s *apiStats) answered(c code) {
	if c == codeSuccess {
		return
	}
	if c < 0 || c > lastCode {
		c = codeSystemError
	}
	n := s.errors[c].Load()
	if n == nil {
		// Two at once get the same counter of the registry.
		labels := append([]metric.Label{{Name: "error", Value: c.String()}}, s.labels...)
		n = s.registry.Counter(descErrors, labels...)
		s.errors[c].Store(n)
	}
	n.Inc()
}

// failed is how many requests were answered with another code than SUCCESS.
func (s *apiStats) failed() (n int64) {
	for i := range s.errors {
		if c := s.errors[i].Load(); c != nil {
			n += c.Value()
		}
	}
	return n
}

// traffic counts what producers of one topic sent and had stored.
type traffic struct {
	bytes    *metric.Counter
	messages *metric.Counter
	meters   [4]*meter // of the topic's messages and bytes, and of all topics' messages and bytes
}

// add counts what was stored.
func (t *traffic) add(messages, bytes int) {
	t.messages.Add(int64(messages))
	t.bytes.Add(int64(bytes))
	t.meters[0].add(int64(messages))
	t.meters[1].add(int64(bytes))
	t.meters[2].add(int64(messages))
	t.meters[3].add(int64(bytes))
}

func topicLabels(topic string) []metric.Label {
	return []metric.Label{{Name: "listener", Value: brokerName}, {Name: "topic", Value: topic}}
}

// newTraffic finds the metrics of a topic. A topic that is changed keeps its figures.
func (f *Front) newTraffic(topic string) traffic {
	l := topicLabels(topic)
	now := f.o.Now()
	return traffic{f.o.Metrics.Counter(descBytes, l...), f.o.Metrics.Counter(descMessages, l...), [4]*meter{
		f.meters.find(meterKey{statTopicPut, topic}, now), f.meters.find(meterKey{statTopicPutSize, topic}, now),
		f.meters.find(meterKey{statBrokerPut, f.o.ClusterName}, now), f.meters.find(meterKey{statBrokerPutSize, f.o.ClusterName}, now),
	}}
}

// forgetTraffic drops the figures of a topic that is gone.
func (f *Front) forgetTraffic(topic string) {
	for _, d := range []metric.Desc{descBytes, descMessages} {
		f.o.Metrics.Forget(d.Name, topicLabels(topic)...)
	}
	f.meters.forget(topic)
}
