package rocket

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"penstock/replica"
	"penstock/rocket/remoting"
	"penstock/wire"
)

// session is one connection. Its wire.Session methods are called by the connection's reader, one at a time.
type session struct {
	front *Front
	side  *side
	conn  *wire.Conn
	ctx   context.Context // ends with the connection
	end   context.CancelFunc
	born  netip.AddrPort // the client's end
	store netip.AddrPort // the broker's address as messages name it
	kind  atomic.Uint32  // remoting.Kind of the last request: how the client is spoken to

	req       request        // the one being served; the reader's own
	tray      []*sendCall    // messages to be appended together; the reader's own
	together  []replica.Part // of the tray while it is appended; the reader's own
	lots      []trayLot      // as together
	trayBytes int            // of them

	mu      sync.Mutex
	closed  bool               // guarded by mu
	waiting map[*poll]struct{} // guarded by mu: long polls under way
}

var _ wire.Session = (*session)(nil)

// newSession begins a session on a connection.
func (d *side) newSession(c *wire.Conn) *session {
	f := d.front
	s := &session{front: f, side: d, conn: c, born: addrPort(c.RemoteAddr())}
	s.store = f.storeHost(c)
	s.ctx, s.end = context.WithCancel(context.Background())
	f.mu.Lock()
	f.open[s] = struct{}{}
	f.mu.Unlock()
	return s
}

// addrPort is an end of a connection as numbers.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	return netip.AddrPort{}
}

// storeHost is the address that messages name as that of the broker: the advertised one or, if that is a name, the one that the client
// reached.
func (f *Front) storeHost(c *wire.Conn) netip.AddrPort {
	host, port := f.o.Advertised()
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(port))
	}
	return netip.AddrPortFrom(addrPort(c.LocalAddr()).Addr(), uint16(port))
}

// FrameLimit bounds the next frame: a header that is too long is refused before it is read, and what lies behind it by the request, where its
// code is seen already, which it is in a binary header; else by the largest request served.
func (s *session) FrameLimit(peek []byte) int {
	kind, _, err := remoting.Split(peek)
	if err != nil {
		return tinyFrame
	}
	if c, ok := remoting.PeekCode(kind, peek); ok {
		if a := s.side.apis.find(c); a != nil {
			return a.frame
		}
		return smallFrame
	}
	return s.side.apis.limit
}

// tinyFrame is let through of what will be refused anyway, so that Serve can say why.
const tinyFrame = 4 << 10

// Serve takes one request. What cannot be read closes the connection; what is not served is answered so.
func (s *session) Serve(w *wire.Request) {
	r := &s.req
	if err := r.Parse(w.Frame()); err != nil {
		w.Fail(err)
		return
	}
	r.wire = w
	if r.Is(remoting.FlagResponse) {
		s.answered(r)
		return
	}
	s.kind.Store(uint32(r.Kind))
	r.api = s.side.apis.find(r.Code)
	if r.api == nil {
		s.appendTray()
		s.refuse(r.ticket(), codeNotSupported, notServed(r.Code, s.side.name))
		return
	}
	if len(w.Frame()) > r.api.frame {
		w.Fail(fmt.Errorf("%w: %s of %d bytes, at most %d are taken", wire.ErrFrameTooLarge, r.api.name, len(w.Frame()), r.api.frame))
		return
	}
	if !r.api.gathers {
		s.appendTray() // requests take effect in their order
	}
	r.api.handle(s, r)
}

// Drained appends what was gathered over the read.
func (s *session) Drained() { s.appendTray() }

// Close ends what waits for the connection. What was gathered is appended: it came before the end.
func (s *session) Close(error) {
	s.appendTray()
	s.end()
	s.front.mu.Lock()
	delete(s.front.open, s)
	s.front.mu.Unlock()
	s.mu.Lock()
	s.closed = true
	polls := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for p := range polls {
		p.abandon()
	}
	if roster := s.front.o.Roster; roster != nil {
		roster.Closed(s)
	}
	s.front.relays.closed(s)
}

// wakeAll ends the waits of the session's long polls.
func (s *session) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.waiting {
		go p.timeUp() // it takes mu
	}
}

// ticket is what is needed to answer a request once its frame is gone.
type ticket struct {
	wire   *wire.Request
	api    *api
	kind   remoting.Kind
	opaque int32
	silent bool // no answer is wanted
	bytes  int  // of the request's frame
}

// ticket copies what is needed to answer r.
func (r *request) ticket() ticket {
	return ticket{wire: r.wire, api: r.api, kind: r.Kind, opaque: r.Opaque, silent: r.Is(remoting.FlagOneWay), bytes: len(r.wire.Frame())}
}

// head is the head of an answer.
func (t *ticket) head(c code, remark string) remoting.Head {
	return remoting.Head{Kind: t.kind, Code: int32(c), Opaque: t.opaque, Flag: remoting.FlagResponse, Remark: remark}
}

// send counts a request as done and gives its answer to the connection, or nothing if none is wanted.
func (f *Front) send(t ticket, c code, a *wire.Answer) {
	if t.api != nil {
		t.api.stats.done(t.wire.Arrived(), f.o.Now())
		t.api.stats.answered(c)
		f.tell(&t, c)
	}
	if t.silent {
		a.Discard()
		t.wire.Skip()
		return
	}
	t.wire.Reply(a)
}

// refuse answers with a code and a remark.
func (s *session) refuse(t ticket, c code, remark string) {
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, t.head(c, remark))
	a.B = w.End()
	s.front.send(t, c, a)
}

// fail answers with what an error means.
func (s *session) fail(t ticket, err error) { s.refuse(t, codeOf(err), err.Error()) }

// reply answers with success, the fields that f writes, which may be nil, and a body.
func (s *session) reply(t ticket, fields func(w *remoting.Writer), body []byte) {
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, t.head(codeSuccess, ""))
	if fields != nil {
		fields(&w)
	}
	a.B = append(w.End(), body...)
	s.front.send(t, codeSuccess, a)
}

// control runs f, which may wait for the metadata store, in a goroutine of its own. Its context ends with the connection, and in any case after
// the limit.
func (s *session) control(f func(ctx context.Context)) {
	go func() {
		defer s.front.contain(s.conn)
		ctx, cancel := context.WithTimeout(s.ctx, s.front.o.Limits.ControlTime)
		defer cancel()
		f(ctx)
	}()
}

// contain makes a panic end one connection and not the broker, as wire does for what runs in its reader.
func (f *Front) contain(conn *wire.Conn) {
	if p := recover(); p != nil {
		f.o.Logger.Error("panic while serving a request", "panic", p, "stack", string(debug.Stack()))
		conn.Close(fmt.Errorf("%w: %v", wire.ErrPanic, p))
	}
}
