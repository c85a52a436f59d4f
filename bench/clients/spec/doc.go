// Package spec is what the drivers of all clients have in common: the language in which they are told what to do, and the
// records they write.
//
// A driver is a program around one client. It reads commands from its standard input, one JSON object a line, and writes
// answers to its standard output, one JSON object a line. It ends when its input ends. A command is answered by any number of
// events and then by one line that has done or error:
//
//	{"done":true, ...}
//	{"error":"text","code":36}         code is Kafka's error code, -2 if the client does not give one
//	{"error":"text","unsupported":true} the client has no such call
//
// The commands:
//
//	info     client, version, codecs, assignors (eager, cooperative), static, plain (no idempotent producer), stutters, admin (names
//	         of operations)
//	produce  write records From..From+Count-1 to Topic with Codec and acks=all, wait for all acknowledgements
//	consume  read Topic from the beginning to the ends that the client finds, answer a sum per partition. Offsets must begin at 0
//	         and have no gap, else it is an error
//	stream   as produce, idempotent, from record 0 on at about Rate a second until the command stop; events acked with the
//	         number acknowledged; answers the number written once all are acknowledged
//	group    be a member of Group until the command stop, commit after every Every batches read, and what a refused commit did not
//	         commit again while the partition is there, even if no more is read; static if Instance is set; Events: see Event.
//	         At the end it commits and leaves (a static member does not leave)
//	admin    one administrative operation; see the Admin fields of Command
//
// A record is a function of its number, so that any program can say what must be read: see Record. A sum is the SHA-256 of the
// canonical lines of a partition's records in order: see Line.
package spec
