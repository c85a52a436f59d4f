package rocket

import (
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/metric"
	"penstock/wire"
)

// Front serves RocketMQ's protocol, as name server and as broker. Make one with New; it lives as long as the process. All methods may be
// called concurrently.
type Front struct {
	o       Options
	broker  side
	names   side
	routes  atomic.Pointer[routes]
	unique  uniqueIDs
	waiting *metric.Gauge // long polls
	sends   sync.Pool     // of *sendCall
	bundles sync.Pool     // of *bundle
	pulls   sync.Pool     // of *pullCall
	meters  meters
	resets  resets

	unwritable atomic.Bool // routes tell producers to go elsewhere
	relays     relays

	leaving atomic.Bool // set before the polls are woken; see Leave
	mu      sync.Mutex
	open    map[*session]struct{} // guarded by mu
}

// side is one of the two things that a front is to its clients: a table of requests.
type side struct {
	front *Front
	name  string // labels metrics and logs, and is the listener in the copy account
	apis  *dispatcher
}

var _ wire.Protocol = (*side)(nil)

// New makes a front and subscribes it to the cluster's image. It panics if Topics or Partitions is missing: that is a fault of the program,
// not of its user.
func New(o Options) *Front {
	if o.Topics == nil || o.Partitions == nil {
		panic("rocket: Topics and Partitions are demanded")
	}
	f := &Front{o: o.withDefaults(), open: map[*session]struct{}{}}
	f.routes.Store(&routes{names: map[string]*route{}, ids: map[penstock.TopicID]*route{}})
	f.unique.begin(f.o.Now())
	f.waiting = f.o.Metrics.Gauge(descWaiting, metric.Label{Name: "listener", Value: brokerName})
	f.sends.New = func() any { return newSendCall() }
	f.bundles.New = func() any { return newBundle() }
	f.pulls.New = func() any { return &pullCall{} }
	f.broker = side{f, brokerName, newDispatcher(f.brokerAPIs(), f.o.Metrics, brokerName)}
	f.names = side{f, nameServerName, newDispatcher(f.nameServerAPIs(), f.o.Metrics, nameServerName)}
	f.o.Topics.Subscribe(f.follow)
	return f
}

// The names of the two sides, as listeners are labelled.
const (
	brokerName     = "rocket"
	nameServerName = "rocket.namesrv"
)

// Broker is the protocol of a broker's listener, and of its VIP listener. Its answers may leave in any order (wire.Options.AnyOrder).
func (f *Front) Broker() wire.Protocol { return &f.broker }

// NameServer is the protocol of a name server's listener. Its answers may leave in any order too.
func (f *Front) NameServer() wire.Protocol { return &f.names }

// Leave says that the broker is about to stop: pulls that wait for messages are answered with what there is, and no more will wait. It is
// called before wire.Server.Shutdown, which would else wait for them. It does not block.
func (f *Front) Leave() {
	f.leaving.Store(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.open {
		s.wakeAll()
	}
}

// Name labels metrics and logs.
func (d *side) Name() string { return d.name }

// Open begins a session on a new connection.
func (d *side) Open(c *wire.Conn) wire.Session { return d.newSession(c) }
