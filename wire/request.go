package wire

import (
	"sync"
	"time"
)

// Request is one frame and the place of its answer in the order. It ends by exactly one of Reply, Skip and Fail, from
// any goroutine, and must not be touched after that.
type Request struct {
	c       *Conn
	buf     *buffer // nil once released
	frame   []byte
	arrived time.Time
	push    bool // no request at all: a frame pushed, which takes a place in the order like an answer

	// Guarded by Conn.mu.
	done   bool
	inRing bool    // of the connection
	answer *Answer // nil for Skip and Fail
	fail   error
}

var requests = sync.Pool{New: func() any { return new(Request) }}

// Frame is the bytes after the length. They belong to the connection and are valid until Release, Reply, Skip or Fail.
// The caller may change them. It is nil after Release.
func (r *Request) Frame() []byte { return r.frame }

// Arrived is when the frame was complete.
func (r *Request) Arrived() time.Time { return r.arrived }

// Conn is the connection the request came on.
func (r *Request) Conn() *Conn { return r.c }

// Release says that the frame's bytes are no longer needed, before the answer is ready: a waiting request holds no
// memory. It must be called before a request waits for long, because the bytes lie in a buffer shared with the frames
// that came in the same read. Calling it again has no effect.
func (r *Request) Release() {
	b := r.buf
	r.buf, r.frame = nil, nil
	b.release()
}

// Reply gives the answer; wire owns it from here, releases its extents and recycles it.
func (r *Request) Reply(a *Answer) {
	if err := a.seal(); err != nil {
		a.Discard()
		r.c.end(r, nil, err)
		return
	}
	r.c.end(r, a, nil)
}

// Skip ends a request that has no answer.
func (r *Request) Skip() { r.c.end(r, nil, nil) }

// Fail closes the connection once the answers before this one are out.
func (r *Request) Fail(err error) { r.c.end(r, nil, err) }

// recycle puts the request back; nobody may hold it.
func (r *Request) recycle() {
	if r.answer != nil {
		r.answer.Discard()
	}
	*r = Request{}
	requests.Put(r)
}
