// Package node is one broker: it reads the configuration, builds every room in order, connects them, and stops them in
// order. Node is the type to begin with. It is the only room that knows which layouts, formats and engines there are.
//
// Start:  lock the data directory, listen, open metadata and logs, bring partitions up, register, serve.
// Stop:   stop listening, answer what is under way, make logs durable, close metadata, give up the lock.
package node
