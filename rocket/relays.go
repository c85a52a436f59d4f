package rocket

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"penstock/rocket/remoting"
	"penstock/wire"
)

// relays are the requests of this broker to clients that have no answer yet. A client's answer is known by its opaque number, and counts only if it
// comes by the connection that the request left by.
type relays struct {
	last atomic.Int32

	// mu guards waiting.
	mu      sync.Mutex
	waiting map[int32]*relay
}

// relay is one of them.
type relay struct {
	to    *session
	timer *time.Timer
	then  func(a *answer, err error)
}

// answer is what a client said. It is a copy.
type answer struct {
	code   code
	remark string
	fields [][2]string
	body   []byte
}

const (
	// maxRelays bounds what waits: administrators ask, and no more often than people look.
	maxRelays = 1000
	// relayTime is how long a client may take: RocketMQ's.
	relayTime = 10 * time.Second
)

// number is the next opaque number.
func (r *relays) number() int32 { return r.last.Add(1) & 0x7fffffff }

// take takes a request that waits out; nil if it was answered, or given up.
func (r *relays) take(n int32, by *session) *relay {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[n]
	if w == nil || by != nil && w.to != by {
		return nil
	}
	delete(r.waiting, n)
	w.timer.Stop()
	return w
}

// closed gives up what waits for a connection that has ended.
func (r *relays) closed(s *session) {
	r.mu.Lock()
	var gone []*relay
	for n, w := range r.waiting {
		if w.to == s {
			w.timer.Stop()
			delete(r.waiting, n)
			gone = append(gone, w)
		}
	}
	r.mu.Unlock()
	for _, w := range gone {
		w.then(nil, fmt.Errorf("the client's connection has ended: %w", wire.ErrClosed))
	}
}

// errRelayTime is that a client did not answer.
var errRelayTime = fmt.Errorf("no answer within %v", relayTime)

// ask sends a request to the client of a connection. then is called once, with a copy of the answer or why there is none, from any goroutine, and
// possibly before ask returns.
func (f *Front) ask(to *session, request int32, fields func(w *remoting.Writer), body []byte, then func(a *answer, err error)) {
	r := &f.relays
	n := r.number()
	w := &relay{to: to, then: then}
	r.mu.Lock()
	if len(r.waiting) >= maxRelays {
		r.mu.Unlock()
		then(nil, fmt.Errorf("%d requests to clients wait for their answers, which is as many as may", maxRelays))
		return
	}
	if r.waiting == nil {
		r.waiting = map[int32]*relay{}
	}
	r.waiting[n] = w
	w.timer = time.AfterFunc(relayTime, func() {
		if r.take(n, nil) != nil {
			then(nil, errRelayTime)
		}
	})
	r.mu.Unlock()
	if err := to.push(request, n, 0, body, fields); err != nil {
		if r.take(n, nil) != nil {
			then(nil, err)
		}
		return
	}
	if to.ctx.Err() != nil { // it may have ended before the request was noted
		r.closed(to)
	}
}

// push sends a frame to the client that answers none of its requests.
func (s *session) push(request, opaque, flag int32, body []byte, fields func(w *remoting.Writer)) error {
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, remoting.Head{Kind: remoting.Kind(s.kind.Load()), Code: request, Opaque: opaque, Flag: flag})
	if fields != nil {
		fields(&w)
	}
	a.B = append(w.End(), body...)
	return s.conn.Push(a)
}

// answered takes what a client answers to a request of this broker.
func (s *session) answered(r *request) {
	w := s.front.relays.take(r.Opaque, s)
	if w == nil {
		s.front.o.Logger.Debug("a client answered what nobody asked", "code", r.Code, "opaque", r.Opaque, "client", s.born.String())
		r.wire.Skip()
		return
	}
	a := &answer{code: code(r.Code), remark: string(r.Remark), body: append([]byte(nil), r.Body...)}
	for _, field := range r.Fields {
		a.fields = append(a.fields, [2]string{string(field.Key), string(field.Value)})
	}
	r.wire.Skip()
	w.then(a, nil)
}

// newAnswerOf is a client's answer as it is passed on.
func newAnswerOf(h remoting.Head, a *answer) *wire.Answer {
	out := wire.NewAnswer()
	w := remoting.Begin(out.B, h)
	write(&w, a.fields)
	out.B = append(w.End(), a.body...)
	return out
}
