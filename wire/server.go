package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server serves one protocol on one listener.
type Server struct {
	ln    net.Listener
	p     Protocol
	o     Options
	pool  pool
	pipes pipes

	senders sync.Pool      // of *sender, for connections that flush
	running sync.WaitGroup // readers, flushers and the sweeper

	accepted atomic.Int64
	refused  atomic.Int64
	cutOff   atomic.Int64
	idled    atomic.Int64
	panics   atomic.Int64

	// mu guards everything below.
	mu       sync.Mutex
	conns    map[*Conn]struct{}
	perIP    map[netip.Addr]int
	most     int   // connections
	mostIP   int   // of one address; 0 is no limit
	gone     Stats // what the connections that have ended did
	stopping bool
	stop     chan struct{} // closed by Shutdown
	empty    chan struct{} // closed when stopping and the last connection is forgotten
}

// NewServer makes a server that is not yet serving. The listener is closed by Shutdown; its connections must have
// descriptors (TCP, unix streams).
func NewServer(ln net.Listener, p Protocol, o Options) *Server {
	s := &Server{
		ln: ln, p: p, o: o.withDefaults(),
		conns: map[*Conn]struct{}{},
		perIP: map[netip.Addr]int{},
		stop:  make(chan struct{}),
		empty: make(chan struct{}),
	}
	s.most, s.mostIP = s.o.MaxConns, s.o.MaxConnsPerIP
	s.pool.budget = o.Budget
	s.senders.New = func() any { return new(sender) }
	return s
}

// Longest and shortest pauses of an accept loop that lacks descriptors or memory.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts until Shutdown, then returns nil, or until the listener fails. It is called once.
func (s *Server) Serve() error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return nil
	}
	s.running.Add(1)
	s.mu.Unlock()
	go s.sweepLoop()
	pause := time.Duration(0)
	for {
		nc, err := s.ln.Accept()
		if err == nil {
			pause = 0
			s.welcome(nc)
			continue
		}
		if s.isStopping() {
			return nil
		}
		if !passing(err) {
			return fmt.Errorf("listener %s: %w", s.o.Listener, err)
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		s.o.Logger.Warn("cannot accept for now", "listener", s.o.Listener, "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-s.stop:
		}
	}
}

// passing tells errors of accept that pass by themselves.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// welcome starts a connection, or closes it at once when there are too many.
func (s *Server) welcome(nc net.Conn) {
	t, err := newTransport(nc)
	if err != nil {
		s.o.Logger.Error("connection refused", "listener", s.o.Listener, "error", err)
		s.refuse(nc)
		return
	}
	c := newConn(s, t)
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.ip = a.AddrPort().Addr().Unmap().WithZone("")
	}
	c.watch.begin(time.Now())
	s.mu.Lock()
	counted := c.ip.IsValid()
	if s.stopping || len(s.conns) >= s.most || counted && s.mostIP > 0 && s.perIP[c.ip] >= s.mostIP {
		s.mu.Unlock()
		s.refuse(nc)
		return
	}
	s.conns[c] = struct{}{}
	if counted {
		s.perIP[c.ip]++
	}
	s.running.Add(1)
	s.mu.Unlock()
	s.accepted.Add(1)
	go c.run()
}

// SetMaxConns changes how many connections there may be, and how many of one address, 0 for any number, as Options.MaxConns and
// MaxConnsPerIP say it at first. Those that are open stay. It may be called at any time.
func (s *Server) SetMaxConns(conns, perIP int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most, s.mostIP = conns, perIP
}

func (s *Server) refuse(nc net.Conn) {
	s.refused.Add(1)
	_ = nc.Close()
}

// forget takes a connection that has ended off the books. It is the last thing that its reader does.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if n := s.perIP[c.ip]; n > 1 {
		s.perIP[c.ip] = n - 1
	} else {
		delete(s.perIP, c.ip)
	}
	s.gone.count(c)
	if s.stopping && len(s.conns) == 0 {
		s.signalEmpty()
	}
}

// signalEmpty tells Shutdown that no connection is left. The caller holds mu.
func (s *Server) signalEmpty() {
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// Shutdown stops accepting, reads no further requests, lets those under way be answered until ctx ends, and closes. It
// returns when all connections have ended; the error is that of ctx if some had to be cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopping {
		s.stopping = true
		close(s.stop)
		_ = s.ln.Close() // nothing is lost with it
		if len(s.conns) == 0 {
			s.signalEmpty()
		}
	}
	for c := range s.conns {
		// Readers that wait for the peer wake up; those in a round find out when they come to read again.
		c.stopping.Store(true)
		_ = c.t.interrupt() // fails only when the connection is closed already
	}
	s.mu.Unlock()
	var err error
	select {
	case <-s.empty:
	case <-ctx.Done():
		err = fmt.Errorf("listener %s: %w", s.o.Listener, ctx.Err())
		for _, c := range s.list() {
			c.Close(ErrShutdown)
		}
		<-s.empty
	}
	s.running.Wait()
	s.pipes.trim(s.o.Kernel, true)
	return err
}

func (s *Server) list() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Stats are figures of a server, since its start unless said otherwise.
type Stats struct {
	Conns    int // now
	Accepted int64
	Refused  int64 // by a limit
	CutOff   int64 // slow readers and writers
	Idled    int64 // closed for idleness
	Panics   int64 // of sessions
	Requests int64
	Received int64 // bytes
	Sent     int64 // bytes
	Buffers  int64 // bytes of buffers in use now
	Free     int64 // bytes of buffers kept for use now
}

// count adds what one connection did.
func (st *Stats) count(c *Conn) {
	st.Requests += c.served.Load()
	st.Received += c.received.Load()
	st.Sent += c.sent.Load()
}

// Stats reads the figures.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.gone
	for c := range s.conns {
		st.count(c)
	}
	st.Conns = len(s.conns)
	st.Accepted, st.Refused, st.CutOff = s.accepted.Load(), s.refused.Load(), s.cutOff.Load()
	st.Idled, st.Panics = s.idled.Load(), s.panics.Load()
	st.Buffers, st.Free = s.pool.live.Load(), s.pool.kept.Load()
	return st
}

// logClose notes the end of a connection: what a peer does every day quietly, the rest for the operator to see.
func (s *Server) logClose(c *Conn, why error) {
	level := slog.LevelInfo
	if why == nil || errors.Is(why, io.EOF) || errors.Is(why, ErrIdle) || errors.Is(why, ErrShutdown) ||
		errors.Is(why, syscall.ECONNRESET) || errors.Is(why, syscall.EPIPE) || errors.Is(why, net.ErrClosed) {
		level = slog.LevelDebug
	}
	s.o.Logger.Log(context.Background(), level, "connection closed",
		"listener", s.o.Listener, "protocol", s.p.Name(), "peer", c.RemoteAddr(), "cause", why)
}
