// Package index finds batches by the keys of their records: RocketMQ's index files, byte for byte, and for Kafka's records files of the same
// form. Index is the type to begin with. It knows neither formats nor layouts: an owner adds the hash of a key with the position of its batch, a
// number of the owner's, and the time, and asks for the positions under a hash, the newest first. Whoever gets a position looks at the batch
// itself: hashes are shared, and batches go.
//
//	<directory>/
//	    20261121153000123         a file: when it was made, in UTC, to the millisecond
//	    20261121153000123.sums    checksums of a file that is full
//	    vouched                   what is believed at the next start, checksums of the file that is written, and the owner's mark
//
// A file is a header of 40 bytes, a table of slots, and entries. A slot holds the number of the newest entry whose hash falls on it, an
// entry that of the one before it. Files are sparse and of full length from the beginning.
//
// How it is written. An entry is there for whoever asks when Add returns. In memory are the slots of the file that is written, as far as they were
// touched (20 MB at most), and the last block of entries; a block of entries goes to the file when it is full, within Add, and
// everything else with Checkpoint. Nothing is mapped into memory: see docs/decisions/0009.
//
// What holds at every moment, and what each part rests on:
//
//  1. An entry never changes. Its place in the file is written once, or again with the same bytes. Positions never go back within a file: where an
//     owner's do, another file begins.
//
//  2. "vouched" names a count of entries that are durable with their checksums, and a count from which on the slots may lack entries. These are
//     filed again at a start. A block of slots that does not match its checksum, as after a crash within a checkpoint, is made from the entries.
//
//  3. Bytes are compared with their checksum when they are first read by a process. A file that fails is named damaged, whoever asks
//     is told, and the next Checkpoint makes it again from what Options.Walk gives.
//
// Locks: Index.checking, then Index.mu, then Index.writing. mu is held over the writing of a full block, and over no other call to the disk
// but the first look at a block of slots.
package index
