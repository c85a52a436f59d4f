package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"penstock/kafka"
	"penstock/rocket"
)

// The values of logs.requests.
const (
	requestsOff  = "off"
	requestsSlow = "slow"
	requestsAll  = "all"
)

// requestLog tells of clients' requests in the node's log: who asked what, how much, how long it took and what went wrong,
// and never what the request carried. All methods may be called concurrently.
type requestLog struct {
	log   *slog.Logger
	slow  time.Duration // 0: all requests, else those that took longer and those with errors
	every int64         // of all, one in so many
	count atomic.Int64
}

// newRequestLog is nil if nothing is to be logged, so that nothing is kept for it.
func newRequestLog(c *Config, log *slog.Logger) *requestLog {
	l := &requestLog{log: log, every: int64(c.RequestsEvery)}
	switch c.Requests {
	case requestsSlow:
		l.slow = c.RequestsSlow
	case requestsAll:
	default:
		return nil
	}
	return l
}

// ofKafka is what Kafka's front tells; nil if l is.
func (l *requestLog) ofKafka() func(kafka.Answered) {
	if l == nil {
		return nil
	}
	return l.told
}

// ofRocket is what RocketMQ's front tells; nil if l is. A pull takes as long as its client wants.
func (l *requestLog) ofRocket() func(rocket.Answered) {
	if l == nil {
		return nil
	}
	return func(a rocket.Answered) {
		k := kafka.Answered{Listener: rocketListener, API: a.API, From: a.From, Bytes: a.Bytes, Took: a.Took, Error: a.Error}
		if a.Polled {
			k.Waited = -1
		}
		l.told(k)
	}
}

// told logs one request if it is to be. A long poll is slow by what it took beyond what the client had asked for; one that takes as
// long as others take, as joining a group does, is never slow.
func (l *requestLog) told(a kafka.Answered) {
	if l.slow > 0 {
		late := a.Waited >= 0 && a.Took-a.Waited >= l.slow
		if !late && a.Error == "" {
			return
		}
	} else if (l.count.Add(1)-1)%l.every != 0 {
		return
	}
	attrs := []slog.Attr{
		slog.String("listener", a.Listener), slog.String("api", a.API), slog.Int("api_version", int(a.Version)), slog.String("client", a.Client),
		slog.String("from", a.From), slog.Int("bytes", a.Bytes), slog.Float64("took_ms", float64(a.Took.Microseconds())/1000),
	}
	if a.Error != "" {
		attrs = append(attrs, slog.String("error", a.Error))
	}
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
