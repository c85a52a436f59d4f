// Package kafka is the Kafka front: it speaks the Kafka protocol to unchanged clients and turns it into calls of the
// rooms below. It owns no data and no socket.
//
// A Front is a wire.Protocol; each connection of it is a session. The dispatcher (dispatch.go) is a table that names for
// every API its versions, its frame limits, the right it needs and its handler; nothing outside the table is answered. There is one
// file per API, api_<name>.go, whose head comment lists the versions served and what each of them added.
//
// # The way of a request
//
//	wire reads a frame
//	  -> session.FrameLimit   bounds it by its API, before it is read
//	  -> session.Serve        reads the header, finds the API and the version in the table
//	  -> Produce, Fetch       are decoded and encoded by hand: no allocation per batch
//	     everything else      is checked by its shape (shape.go), then decoded by kmsg
//	  -> the handler answers at once, or later from another goroutine; wire keeps the order
//
// Who owns the bytes: a frame belongs to wire and is given back as soon as its batches are appended or its fields are
// read. Nothing here keeps a slice of a frame after that; topic names that outlive it are those of the route table, or copies.
//
// # Concurrency
//
// A session's methods are called by its connection's reader, one at a time. Calls that wait (acks=all, long polls, changes
// of metadata) are objects of their own, which finish from whatever goroutine ends the wait. The route table is
// immutable and swapped by one atomic store when the cluster's image changes.
package kafka
