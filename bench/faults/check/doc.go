// Package check judges what a broker did with a history of sends, acknowledgements and reads. It is a light form of
// the Kafka workload of Jepsen: for each partition a map from offsets to values, filled by whoever claims to know (the
// producer by its acknowledgement, a reader by what it read), and judged by passes that read the partition from some
// offset to its end.
//
// A Value is unique in its partition: the number of its writer and a sequence number that grows by one with each
// record of that writer in that partition. What is found wrong is counted by Kind:
//
//	lost          a value that was acknowledged is not in the log
//	vanished      a value that a reader saw is not in the log any more
//	inconsistent  one offset has had two values
//	duplicate     one value of an exact (idempotent) writer stands at two offsets
//	reordered     a value first appears behind a later value of the same writer
//	phantom       a value that nobody sent
//	hole          an offset below the end that holds nothing
//	backwards     a reader was given an offset again within one pass
//	corrupt       bytes that are no value
//
// A plain writer (no idempotence, one request in flight) may leave repeats; they are counted and not held against the
// broker. Transactions are not judged here.
//
// Everything is streaming: 16 bytes of state for each record, and work proportional to the records read.
package check
