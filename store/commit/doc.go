// Package commit is the layout with one log for many partitions, as RocketMQ has it: Store is the type to begin with. All
// partitions of a store share its Log; each has a queue that says where in the log its batches lie.
//
//	commit/<format>/
//	    log/00000000000000000000            batches of all partitions; the name is the position of the first byte
//	    queues/<topic id in hex>/<partition>/
//	        00000000000000000000            the queue: one entry for each batch; the name is the place of the first byte
//	        owner                           whose batches in the log are this partition's, and from where on
//	        facts                           start, history of epochs, truncations, damaged places
//	        <offset>.state                  owner's states
//	    index/                              where those with a key lie (store/index): messages, and records whose topics ask for it
//	    checkpoint                          how far log and queues are durable and vouched for, checksums of queues
//	    clean                               there only after a clean stop
//
// Log and queue files of the message format are byte for byte RocketMQ's. In the record format batches lie in the log in
// frames, which name their partition. docs/formats draws each of them.
//
// What holds at every moment, and what each part rests on:
//
//  1. A frame, or a message, lies whole in one file of the log. Where one does not fit the rest of the file is blank, which
//     eight bytes say. What the log has behind its end is zeros: what a failed write leaves is cut off before anything else is written.
//
//  2. An entry of a queue is written when its batch is in the log, and published with it: in memory first, in the queue's file
//     in passing. Only the part of a queue's file that the checkpoint vouches for is believed after an unclean stop. It is durable, and
//     so is the log up to the place that it was taken at, before the checkpoint is. The rest comes from the log again.
//
//  3. Which partition a batch belongs to is a function of the log and of the files "owner": a frame names the partition, a message
//     topic and queue. What lies before the position in "owner" belonged to somebody who was removed.
//
//  4. A truncation takes nothing out of the shared log. It drops entries, after "facts" has said durably that batches from
//     this offset on and before this position are void.
//
//  5. The index of keys is made of the log alone: a frame says whether its records' keys are in it. It has entries for what is void, for what was
//     removed and for what is trimmed: whoever finds one looks at the message, or the record, and at its queue (FindKey). It is durable no further
//     than the log.
//
//  6. A file of the log is removed when no partition keeps anything in it, after the delay that the topics ask for. A topic that is kept for ever
//     keeps the log, unless the disk gets too full (Options.ForcePercent).
//
//  7. Behind the file that is written there may be one more, made ahead of need: blocks and zeros. It is no part of the log until it is
//     needed; an unclean stop throws it away.
//
// Locks: Partition.own serialises what changes a partition, Store.w is held over the write to the log, Partition.mu and Log.mu
// guard what readers look at and are never held over a call to the disk. Order: Store.checking, Store.mu, Partition.own (several by
// id), Store.w, Partition.hmu, Partition.mu, Log.mu.
package commit
