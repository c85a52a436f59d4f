package kafka

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/replica"
	"penstock/wire"
)

// session is one connection. Its wire.Session methods are called by the connection's reader, one at a time.
type session struct {
	front *Front
	user  string          // nobody until authenticated
	ctx   context.Context // ends with the connection
	end   context.CancelFunc

	tray     []*producePart // batches to be appended together; the reader's own
	lone     []*producePart // batches with a sequence, of one request, for partitions of a shared log; the reader's own
	bundles  []*bundle      // of the tray while it is appended; the reader's own
	together []replica.Part // while they are appended; the reader's own

	mu      sync.Mutex
	closed  bool               // guarded by mu
	waiting map[*poll]struct{} // guarded by mu: long polls under way
}

var _ wire.Session = (*session)(nil)

// What closes a connection, for the log.
var (
	errHeader         = errors.New("malformed request header")
	errUnknownAPI     = errors.New("api not served")
	errUnknownVersion = errors.New("version not served")
	errNotAllowedYet  = errors.New("not allowed before authentication")
)

// FrameLimit bounds the next frame by its API and by whether the client has authenticated. A frame that will be
// refused anyway is let through up to a small size, so that Serve can say why.
func (s *session) FrameLimit(peek []byte) int {
	r := reader{b: peek}
	a := s.front.apis.find(r.int16())
	switch {
	case r.bad || a == nil:
		return tinyFrame
	case s.user == nobody:
		return max(int(a.before), tinyFrame)
	}
	return int(a.after)
}

// Serve takes one request. An API that is not served closes the connection, and so does a version, as Kafka does; but
// ApiVersions answers any version, and Produce refuses the old ones that it must advertise.
func (s *session) Serve(w *wire.Request) {
	h, rest, ok := splitHeader(w.Frame())
	if !ok {
		w.Fail(errHeader)
		return
	}
	a := s.front.apis.find(h.key)
	if a == nil {
		w.Fail(fmt.Errorf("%w: key %d", errUnknownAPI, h.key))
		return
	}
	if s.user == nobody && a.before == refuse {
		w.Fail(fmt.Errorf("%w: %s", errNotAllowedYet, a.name))
		return
	}
	if h.key != keyProduce {
		s.appendTray() // requests take effect in their order
	}
	r := request{header: h, api: a, wire: w}
	if h.version < a.min || h.version > a.max {
		s.refuseVersion(r)
		return
	}
	if r.body, ok = r.finish(rest, r.flex()); !ok {
		w.Fail(errHeader)
		return
	}
	s.front.see(&r)
	a.handle(s, r)
}

// refuseVersion answers ApiVersions in the one version that every client reads, and closes for anything else.
func (s *session) refuseVersion(r request) {
	if r.key != keyAPIVersions {
		r.wire.Fail(fmt.Errorf("%w: %s %d", errUnknownVersion, r.api.name, r.version))
		return
	}
	answerUnknownVersion(s, r)
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
}

// wakeAll ends the waits of the session's long polls.
func (s *session) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.waiting {
		go p.wake() // it takes mu
	}
}

// decode reads the body into q after checking its shape. If it cannot it closes the connection and returns false: what
// follows on it could not be trusted. Strings in q are copies, so the frame may be released.
func (r *request) decode(q kmsg.Request) bool {
	check := r.api.shape.check
	if r.api.spare {
		check = func(body []byte, version int16, flex bool) error {
			_, err := r.api.shape.measure(body, version, flex)
			return err
		}
	}
	err := check(r.body, r.version, r.flex())
	if err == nil {
		q.SetVersion(r.version)
		err = q.ReadFrom(r.body)
	}
	if err != nil {
		r.refuse(fmt.Errorf("%s %d: %w", r.api.name, r.version, err))
		return false
	}
	return true
}

// reply answers with what kmsg encodes.
func (s *session) reply(r request, resp kmsg.Response) {
	a := wire.NewAnswer()
	// The response header of ApiVersions is version 0 for ever: its reader does not know yet what the broker speaks.
	a.B = appendResponseHeader(a.B, r.correlation, r.flex() && r.key != keyAPIVersions)
	resp.SetVersion(r.version)
	a.B = resp.AppendTo(a.B)
	s.front.send(r, a)
}

// send counts a request as done and gives its answer to the connection.
func (f *Front) send(r request, a *wire.Answer) {
	f.apis.stats[r.key].done(r.wire.Arrived(), f.o.Now())
	r.tell(nil)
	r.wire.Reply(a)
}

// count notes an error that an answer to r reports, and returns it in kmsg's type.
func (s *session) count(r request, c code) int16 {
	if c != codeNone {
		s.front.apis.stats[r.key].failed(c)
		r.seen.fail(c)
	}
	return int16(c)
}

// control runs f, which may wait for the metadata store, in a goroutine of its own, to answer r. Its context ends with the
// connection, and in any case after the limit.
func (s *session) control(r request, f func(ctx context.Context)) {
	conn := r.wire.Conn()
	go func() {
		defer s.front.contain(conn)
		ctx, cancel := context.WithTimeout(s.ctx, s.front.o.Limits.ControlTime)
		defer cancel()
		f(ctx)
	}()
}

// contain makes a panic end one connection and not the broker, as wire does for what runs in its reader.
func (f *Front) contain(conn *wire.Conn) {
	if p := recover(); p != nil {
		f.o.Logger.Error("panic while serving a request", "listener", f.o.Listener, "panic", p, "stack", string(debug.Stack()))
		conn.Close(fmt.Errorf("%w: %v", wire.ErrPanic, p))
	}
}
