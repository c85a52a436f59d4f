package wire

import (
	"fmt"
	"net"
	"syscall"
	"time"
)

// transport is the socket of one connection: the one place where bytes pass between a connection and the kernel. It
// speaks to the descriptor itself, inside the callbacks of RawConn, because net.Conn can neither receive without a
// buffer in hand while it waits, nor send a file at an offset. An encrypted connection would be a second
// implementation: receive and send are all that the rest of the room asks for.
type transport struct {
	conn net.Conn
	raw  syscall.RawConn
}

// newTransport takes over a connection accepted: TCP or a unix stream.
func newTransport(c net.Conn) (transport, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return transport{}, fmt.Errorf("connection of type %T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return transport{}, fmt.Errorf("descriptor of connection: %w", err)
	}
	return transport{conn: c, raw: raw}, nil
}

// receive calls f with the descriptor, again each time that there is something to read, until f returns true. One
// goroutine may receive at a time.
func (t *transport) receive(f func(fd uintptr) bool) error { return t.raw.Read(f) }

// send calls f with the descriptor, again each time that there is room to write, until f returns true. One goroutine
// may send at a time, beside one that receives.
func (t *transport) send(f func(fd uintptr) bool) error { return t.raw.Write(f) }

// interrupt makes receive return, now and ever after.
func (t *transport) interrupt() error { return t.conn.SetReadDeadline(time.Unix(1, 0)) }

// close ends the connection; receive and send that wait return an error.
func (t *transport) close() error { return t.conn.Close() }
