// Package segment is the layout with a log for each partition, as Kafka has it: Store is the type to begin with, and
// every Partition is its own store.Log.
//
//	logs/<topic id in hex>/<partition>/
//	    00000000000000000000.log        batches, one after the other          } byte for byte
//	    00000000000000000000.index      offset index                          } what Kafka
//	    00000000000000000000.timeindex  time index                            } writes
//	    leader-epoch-checkpoint         where each leader's reign began       }
//	    partition.metadata              the topic's id                        }
//	    00000000000000000000.bases      base offsets of the batches that the offset index names
//	    segments                        facts of the sealed segments: lengths, ends, checksums of their indexes
//	    <offset>.state                  owner's states
//	    keys/                           index of keys, where the topic asks for it (store/index, keys.go)
//	segment.checkpoint                  recovery points of all partitions of the disk
//	segment.clean                       there only after a clean stop
//
// That is Kafka's format; the same names of messages lie below segment/message, where each segment has a dense queue in place of the
// three indexes, the partitions give out single messages (store.Queue), and the store finds one by its position (store.Locator):
//
//	00000000000000000000.queue          an entry for each message
//	numbers                             which numbers of partitions, part of positions, may have been given
//
// docs/formats draws each of them.
//
// What holds at every moment, and what each part rests on:
//
//  1. Index entries are a function of the log's bytes and of the interval that the segment began with. Each index file has
//     its length and checksum elsewhere; one that does not fit is built again from the log.
//
//  2. The file "segments" names only segments that are durable, with their indexes. What it names and the disk does not
//     have is damage: reported and quarantined, never cut. What lies after it and after the recovery point may be torn:
//     recovery walks it batch by batch and cuts at the first that is not whole.
//
//  3. The published end of a partition moves only after the write succeeded. Bytes behind it are never served, and are
//     cut off before anything else is written there.
//
//  4. A truncation is first made known ("segments" is replaced, and every recovery point noted before is void), then
//     done, then synced. Offsets that were cut cannot come back with their old content.
//
//  5. A partition that nothing was appended to has no files. The first append makes them without waiting; their names are durable
//     before a round of group commit tells that its first record is (disk.CreateLater), and before there is a second log.
//
//  6. The index of keys has everything below its mark, unless the log was cut since, and whatever else: what it finds is looked at (FindKey). It is
//     durable no further than the log.
//
// Locks: Partition.w serialises everything that writes files, Partition.mu guards what readers look at and is never
// held over a call to the disk. Order: Store.mu, Partition.w, Partition.mu, cache.mu.
package segment
