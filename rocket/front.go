package rocket

import (
	"context"
	"sync"
	"sync/atomic"

	"penstock/wire"
)

// Front serves RocketMQ's protocol, as name server and as broker. Make one with New; it lives as long as the process. All methods may be
// called concurrently.
type Front struct {
	o      Options
	broker side
	names  side

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
	f.broker = side{f, brokerName, newDispatcher(brokerAPIs(f.o.Limits))}
	f.names = side{f, nameServerName, newDispatcher(nameServerAPIs())}
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
}

// Name labels metrics and logs.
func (d *side) Name() string { return d.name }

// Open begins a session on a new connection.
func (d *side) Open(c *wire.Conn) wire.Session {
	f := d.front
	s := &session{front: f, side: d, conn: c}
	s.ctx, s.end = context.WithCancel(context.Background())
	f.mu.Lock()
	f.open[s] = struct{}{}
	f.mu.Unlock()
	return s
}
