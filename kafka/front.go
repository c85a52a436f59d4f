package kafka

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/meta"
	"penstock/metric"
	"penstock/wire"
)

// Front serves the Kafka protocol on one listener. Make one with New; it lives as long as the process. All methods may be
// called concurrently.
type Front struct {
	o        Options
	apis     *dispatcher
	routes   atomic.Pointer[routes]
	sessions *sessionCache
	ids      producerIDs
	waiting  *metric.Gauge // long polls
	fetches  sync.Pool     // of *fetchCall
	produces sync.Pool     // of *produceCall
	bundles  sync.Pool     // of *bundle
	reached  elsewhere
	logLevel slog.Level // as configured

	leaving atomic.Bool // set before the polls are woken; see Leave
	mu      sync.Mutex
	open    map[*session]struct{} // guarded by mu
}

var _ wire.Protocol = (*Front)(nil)

// New makes a front and subscribes it to the cluster's image. It panics if Topics or Partitions is missing: that is a fault of the
// program, not of its user.
func New(o Options) *Front {
	if o.Topics == nil || o.Partitions == nil {
		panic("kafka: Topics and Partitions are demanded")
	}
	f := &Front{o: o.withDefaults()}
	f.build()
	f.o.Topics.Subscribe(f.follow)
	return f
}

// build makes what a front has besides its subscription.
func (f *Front) build() {
	if f.o.LogLevel != nil {
		f.logLevel = f.o.LogLevel.Level()
	}
	f.apis = newDispatcher(f.o.Limits)
	if f.o.Groups == nil {
		f.apis.without(groupAPIs[:])
	}
	if f.o.LogDir == nil {
		f.apis.without([]int16{keyDescribeLogDirs})
	}
	for _, a := range f.apis.list {
		f.apis.stats[a.key].open(f.o.Metrics, f.o.Listener, a.name)
	}
	f.sessions = newSessionCache(f.o.Limits, f.o.Now)
	f.routes.Store(&routes{names: map[string]*route{}, ids: map[penstock.TopicID]*route{}})
	listener := metric.Label{Name: "listener", Value: f.o.Listener}
	f.waiting = f.o.Metrics.Gauge(descWaiting, listener)
	f.o.Metrics.Func(descSessions, metric.KindGauge, func() int64 { return int64(f.sessions.len()) }, listener)
	f.open = map[*session]struct{}{}
	f.fetches.New = func() any { return &fetchCall{} }
	f.produces.New = func() any { return &produceCall{} }
	f.bundles.New = func() any { return newBundle() }
}

// Name labels metrics and logs.
func (f *Front) Name() string { return "kafka" }

// Open begins a session on a new connection. No listener asks for authentication yet, so a session begins as the
// user that Kafka calls ANONYMOUS.
func (f *Front) Open(c *wire.Conn) wire.Session {
	f.noteAddress(c)
	return f.newSession(anonymous)
}

// Leave says that the broker is about to stop: fetches that wait for data are answered with what there is, members of
// groups that wait for others are sent away, and no more will wait. It is called before wire.Server.Shutdown, which would else wait for them. It does not block.
func (f *Front) Leave() {
	f.leaving.Store(true)
	if f.o.Groups != nil {
		f.o.Groups.Leave()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.open {
		s.wakeAll()
	}
}

// newSession begins a session as the given user, nobody if it has yet to authenticate.
func (f *Front) newSession(user string) *session {
	s := &session{front: f, user: user}
	s.ctx, s.end = context.WithCancel(context.Background())
	f.mu.Lock()
	f.open[s] = struct{}{}
	f.mu.Unlock()
	return s
}

// endpoint is where clients reach a broker on this listener.
func (f *Front) endpoint(b *meta.Broker) (host string, port int32, ok bool) {
	if b.ID == f.o.Broker && f.o.Advertised != nil {
		host, port = f.o.Advertised()
		return host, port, true
	}
	host, digits, err := net.SplitHostPort(b.Endpoints[f.o.Listener])
	if err != nil {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return host, int32(n), err == nil
}

// elsewhere remembers by which addresses clients reached this node other than the advertised one, to log each once.
type elsewhere struct {
	mu   sync.Mutex
	seen map[string]bool // guarded by mu; at most maxElsewhere
}

const maxElsewhere = 64

// noteAddress helps a user whose client connects, is told another address, and then hangs: the log names both, once for
// each address.
func (f *Front) noteAddress(c *wire.Conn) {
	if f.o.Advertised == nil {
		return
	}
	host, port := f.o.Advertised()
	local := c.LocalAddr().String()
	if sameEndpoint(local, host, port) {
		return
	}
	f.reached.mu.Lock()
	known := f.reached.seen[local] || len(f.reached.seen) >= maxElsewhere
	if !known {
		if f.reached.seen == nil {
			f.reached.seen = map[string]bool{}
		}
		f.reached.seen[local] = true
	}
	f.reached.mu.Unlock()
	if !known {
		f.o.Logger.Info("a client reached this broker by another address than the advertised one, to which it will be sent",
			slog.String("listener", f.o.Listener), slog.String("reached", local),
			slog.String("advertised", net.JoinHostPort(host, strconv.Itoa(int(port)))))
	}
}

// sameEndpoint reports whether the local end of a connection is the advertised endpoint, as far as can be told without
// a look-up: an advertised name is taken to be right if the port is.
func sameEndpoint(local, host string, port int32) bool {
	ip, digits, err := net.SplitHostPort(local)
	if err != nil || digits != strconv.Itoa(int(port)) {
		return err != nil
	}
	advertised := net.ParseIP(host)
	return advertised == nil || advertised.Equal(net.ParseIP(ip))
}
