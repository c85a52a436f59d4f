package wire

import "errors"

// Protocol is what a front gives a listener.
type Protocol interface {
	// Name labels metrics and logs.
	Name() string
	// Open begins a session on a new connection.
	Open(c *Conn) Session
}

// Session is one connection as its front sees it. Its methods are called by one goroutine, the reader, one at a time.
// A panic in one of them ends the connection and nothing else.
type Session interface {
	// FrameLimit is the largest frame accepted next, in bytes after the length, given the frame's first bytes: at
	// least min(8, length) of them. A larger frame closes the connection, once the requests before it are answered. It
	// is how limits depend on the API and on authentication. It is called once for each frame, after Serve of the
	// frame before.
	FrameLimit(peek []byte) int
	// Serve takes one request. It may answer later and from elsewhere, and must not wait for disk or data.
	Serve(r *Request)
	// Drained is called when all frames of one read have been served, and before the reader waits in the middle of
	// them (see Options.InFlight): whatever was gathered over them goes out now.
	Drained()
	// Close tells that the connection has ended. Requests not yet answered may still be answered, to no effect.
	Close(cause error)
}

// The reasons for which wire itself ends a connection. They reach Session.Close wrapped.
var (
	// ErrFrameTooLarge says that a frame was announced larger than Session.FrameLimit.
	ErrFrameTooLarge = errors.New("frame larger than the limit")
	// ErrTooSlow says that the peer made no progress in time: no first byte, a frame that stops, answers not taken.
	ErrTooSlow = errors.New("peer too slow")
	// ErrIdle says that nothing happened on the connection for Options.Idle.
	ErrIdle = errors.New("connection idle")
	// ErrShutdown says that the server stops.
	ErrShutdown = errors.New("server shuts down")
	// ErrTruncated says that a file ended before the extent that an answer sends of it.
	ErrTruncated = errors.New("file shorter than the extent")
	// ErrClosed says that a frame was pushed on a connection that has ended, or that ends as the server stops.
	ErrClosed = errors.New("connection closed")
	// ErrPushesFull says that the peer has not taken the frames pushed before.
	ErrPushesFull = errors.New("too many frames pushed and not taken by the peer")
	// ErrPanic says that the session panicked.
	ErrPanic = errors.New("session panicked")
)
