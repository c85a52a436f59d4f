// Package rocket is the RocketMQ front: it speaks RocketMQ's remoting protocol to unchanged clients, as their name server and as their
// broker, and turns it into calls of the rooms below. It owns no data and no socket.
//
// A Front gives two wire.Protocols, Broker and NameServer; each connection of either is a session. The dispatcher (dispatch.go) is a table that
// names for every request code its frame limit, the right it needs and its handler, for the broker and for the name server. There is one file per API,
// api_<name>.go. A code that is not in the table is answered with REQUEST_CODE_NOT_SUPPORTED, which RocketMQ's clients understand and
// show.
//
// # The way of a request
//
//	wire reads a frame
//	  -> session.FrameLimit   bounds it by its code where that is seen, before it is read
//	  -> session.Serve        takes the head apart (rocket/remoting), finds the code in the table
//	  -> the handler answers at once, or later from another goroutine; answers leave in any order, each with the number of its request
//
// Who owns the bytes: a frame belongs to wire and is given back as soon as its message is appended or its fields are read. Nothing here keeps
// a slice of a frame after that.
//
// # Concurrency
//
// A session's methods are called by its connection's reader, one at a time. Calls that wait (sends that wait for the disk, long polls, changes
// of metadata) are objects of their own, which finish from whatever goroutine ends the wait. The route table is immutable and swapped by one
// atomic store when the cluster's image changes.
package rocket
