package kafka

import (
	"sync/atomic"
	"time"
)

// Answered is one request that was answered or refused, as a log of requests tells it: everything but what it carried.
type Answered struct {
	Listener string
	API      string
	Version  int16
	Client   string        // client id, as the client sent it, at most maxClient bytes
	From     string        // address of the client
	Bytes    int           // of the request, after its length
	Took     time.Duration // from its last byte to its answer
	Waited   time.Duration // at most so much of it the client had asked for, in a long poll; negative: as long as others take
	Error    string        // first error code that the answer tells, or why the connection is closed; empty if all is well
}

// maxClient bounds what is kept of a client's name.
const maxClient = 255

// seen is what is kept of a request from its arrival to its answer, if somebody is told of requests. Its methods may be
// called on nil.
type seen struct {
	front  *Front
	client string
	bytes  int
	waits  time.Duration // as Answered.Waited
	first  atomic.Int32  // first error code; 0 is none
}

// see begins to keep what is told of r, whose frame is still there.
func (f *Front) see(r *request) {
	if f.o.Requests == nil {
		return
	}
	r.seen = &seen{front: f, client: string(r.client[:min(len(r.client), maxClient)]), bytes: len(r.wire.Frame())}
	if r.key == keyJoinGroup || r.key == keySyncGroup {
		r.seen.waits = -1
	}
}

// fail notes an error that the answer tells.
func (s *seen) fail(c code) {
	if s != nil && c != codeNone {
		s.first.CompareAndSwap(0, int32(c))
	}
}

// wait notes how long the request may wait for data.
func (s *seen) wait(d time.Duration) {
	if s != nil {
		s.waits = d
	}
}

// tell tells of the request, before it is answered: its connection is still there. err is why the connection is closed, if
// it is.
func (r *request) tell(err error) {
	s := r.seen
	if s == nil {
		return
	}
	o := &s.front.o
	a := Answered{
		Listener: o.Listener, API: r.api.name, Version: r.version, Client: s.client, From: r.wire.Conn().RemoteAddr().String(),
		Bytes: s.bytes, Took: o.Now().Sub(r.wire.Arrived()), Waited: s.waits,
	}
	if c := s.first.Load(); c != 0 {
		a.Error = code(c).String()
	}
	if err != nil {
		a.Error = err.Error()
	}
	o.Requests(a)
}

// refuse closes the connection over the request.
func (r *request) refuse(err error) {
	r.tell(err)
	r.wire.Fail(err)
}
