package rocket

import (
	"context"
	"fmt"

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

	req request // the one being served; the reader's own
}

var _ wire.Session = (*session)(nil)

// FrameLimit bounds the next frame: a header that is too long is refused before it is read, and what lies behind it by the largest request served.
func (s *session) FrameLimit(peek []byte) int {
	if _, _, err := remoting.Split(peek); err != nil {
		return tinyFrame
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
		w.Skip() // to nothing that was asked
		return
	}
	r.api = s.side.apis.find(r.Code)
	if r.api == nil {
		s.refuse(r, codeNotSupported, fmt.Sprintf("request code %d is not served by this %s", r.Code, s.side.name))
		return
	}
	r.api.handle(s, r)
}

// codeNotSupported is REQUEST_CODE_NOT_SUPPORTED.
const codeNotSupported = 3

// refuse answers with a code and a remark, or with nothing if no answer is wanted.
func (s *session) refuse(r *request, code int32, remark string) {
	if r.Is(remoting.FlagOneWay) {
		r.wire.Skip()
		return
	}
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, r.Answer(code, remark))
	a.B = w.End()
	r.wire.Reply(a)
}

// Drained has nothing gathered to let go.
func (s *session) Drained() {}

// Close ends what waits for the connection.
func (s *session) Close(error) {
	s.end()
	s.front.mu.Lock()
	delete(s.front.open, s)
	s.front.mu.Unlock()
}
