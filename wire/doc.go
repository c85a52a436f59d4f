// Package wire owns listeners, connections, frames, limits and sendfile. It is the only room that touches sockets, and
// it knows no protocol: a front gives it a Protocol, and gets whole frames in order.
//
// A frame is a 32-bit big-endian length and that many bytes, in both of the protocols served. One goroutine reads a
// connection, in large pooled reads, and hands all whole frames of one read to the session, then calls Session.Drained.
// Answers are given from any goroutine and leave in the order of their requests; Conn.Push sends a frame
// that nobody asked for. While nothing arrives a connection
// holds no buffer.
//
// The way of a request and its answer, by file:
//
//	server.go    accept, limits on connections, shutdown; sweep.go cuts off the slow and the idle
//	transport.go the socket: the one place where bytes pass between a connection and the kernel; TLS would stand here
//	intake.go    received bytes into frames; buffer.go where they lie; budget.go how many there may be
//	reader.go    one round: read, cut, serve, drain, flush
//	conn.go      the order of requests, and who flushes; push.go frames that no request asked for
//	sender.go    answers into system calls: gather the small, sendfile the rest; plan.go decides which is which
//	gather.go    scattered pieces of files, gathered by reference in a pipe
//
// Server, Conn, Request and Budget may be used concurrently; an Answer belongs to one goroutine until it is given to
// Reply or Push.
package wire
