// Package penstock is the vocabulary of the broker: the nouns that every room shares, each with its own type. It
// imports nothing of the project and does no I/O.
//
// One word for one idea, in both protocols, in code, documents, command line and metrics:
//
//	record      one thing a producer sent (RocketMQ: message)
//	batch       what is appended and delivered whole: 1..n records (RocketMQ: one stored message)
//	topic       a named stream; partition: one ordered sequence of it (RocketMQ: queue)
//	offset      place of a record in its partition (RocketMQ: queue offset)
//	log         one ordered sequence of batches in files: the unit of leadership, replication and fsync
//	position    place of a byte in a log (RocketMQ: physical offset)
//	segment     one file of a log (RocketMQ: mapped file)
//	extent      a run of bytes in a segment, held by reference
//	layout      how partitions lie on logs: segment (one log each) or commit (many share one)
//	format      what a batch looks like: record (Kafka's) or message (RocketMQ's)
//	epoch       the reign of one leader over a log
//	end         log end offset: the offset the next record will get
//	high watermark, last stable offset, in-sync set, leader, follower, group, member: as in Kafka
package penstock
