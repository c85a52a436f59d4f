package rocket

import "time"

// Answered is one request and what became of it, for a log of requests. It tells nothing of what the request carried.
type Answered struct {
	API    string        // RocketMQ's name of the request
	From   string        // address of the client
	Bytes  int           // of the request, after its length
	Took   time.Duration // from its last byte to its answer
	Polled bool          // a pull: the client may have asked to wait for messages
	Error  string        // name of the answer's code where something went wrong; empty if all is well
}

// tell tells of a request that is about to be answered, if somebody wants to hear of it.
func (f *Front) tell(t *ticket, c code) {
	if f.o.Requests == nil {
		return
	}
	a := Answered{API: t.api.name, Bytes: t.bytes, Took: f.o.Now().Sub(t.wire.Arrived()), Polled: t.api.code == codeOfPull || t.api.code == codeOfLitePull}
	if addr := t.wire.Conn().RemoteAddr(); addr != nil {
		a.From = addr.String()
	}
	switch c {
	case codeSuccess, codePullNotFound, codePullRetry, codePullOffsetMoved, codeQueryNotFound: // nothing there, or go on elsewhere
	default:
		a.Error = c.String()
	}
	f.o.Requests(a)
}

// The requests that may wait for messages.
const (
	codeOfPull     int32 = 11
	codeOfLitePull int32 = 361
)
