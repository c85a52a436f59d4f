// Package store says what a store of partitions is, whatever its layout and format. It imports no protocol and holds
// no files; store/segment and store/commit are the layouts, store/storetest the suite that every combination passes.
//
// Three nouns. A Store is all partitions of one layout on one disk. A Partition is one ordered sequence of batches, as
// producers and consumers see it. A Log is the unit of leadership, replication and fsync: in the segment layout every
// partition has its own and is it, in the commit layout many partitions share one.
package store

import (
	"time"

	"penstock"
)

// Store holds the partitions of one layout on one disk. All methods may be called concurrently.
type Store interface {
	// Open opens a partition, with recovery where the last stop was not clean, or makes it if it does not exist. That may
	// cost nothing until the first append. A partition that is open already is returned as it is.
	Open(id penstock.PartitionID, c Config) (Partition, error)
	// Remove forgets a partition and deletes its files; readers that hold extents finish undisturbed.
	Remove(id penstock.PartitionID) error
	// List names the partitions that have files, open or not.
	List() ([]penstock.PartitionID, error)
	// Checkpoint makes every open log durable up to its end and notes the recovery points. It may take long.
	Checkpoint() error
	// Close makes everything durable, writes indexes and the clean-shutdown marker, and closes. After it a start needs no scan.
	Close() error
	// Clean reports whether the stop before this start was clean.
	Clean() bool
}

// Config is what a topic says about how its partitions are stored. Zero values mean Kafka's defaults.
type Config struct {
	SegmentBytes    int64         // roll at this size; default 1 GiB
	SegmentAge      time.Duration // roll when older by record time; default 7 days
	SegmentJitter   time.Duration // up to this is taken off SegmentAge, at random, per segment
	IndexBytes      int64         // size of an index at which the segment rolls; default 10 MiB
	IndexInterval   int64         // bytes of log between index entries; default 4096
	RetentionAge    time.Duration // delete segments whose newest record is older; default 7 days, negative: never
	RetentionBytes  int64         // delete oldest segments while the partition is larger; 0 or negative: never
	FileDeleteDelay time.Duration // between a segment's retirement and its unlinking; default 60 s
	NoPreallocate   bool          // do not reserve blocks ahead of the end
	AppendTime      bool          // stamp the broker's clock into each batch (message.timestamp.type=LogAppendTime)
	TimestampBefore time.Duration // accepted age of a record; 0 means no bound
	TimestampAfter  time.Duration // accepted lead of a record; 0 means one hour, negative no bound
	MaxBatchBytes   int32         // largest batch; default 1 MiB + 12
	IndexKeys       bool          // index what is appended by the keys of its records; see Keyer and Finder
}

// Partition is one ordered sequence of batches. Reading methods may be called concurrently with everything. The
// writing ones (Append, SetStart, Truncate) are serialised by the caller for each Log: the replica that leads or
// follows the log holds its own lock, so that the log needs none of its own on that path.
type Partition interface {
	// ID is the partition's name.
	ID() penstock.PartitionID
	// Log is the log that the partition lies on.
	Log() Log
	// Append writes batches at the end in one write, after stamping consecutive offsets, the epoch and, if so
	// configured, the time into their bytes. On return they are in the page cache, visible to Read, and not yet
	// durable (see Log). The batches' headers are updated to what was stamped. Either all are appended or none. Errors: penstock.ErrDiskFull, ErrOffline, ErrTooLarge, ErrCorrupt.
	Append(batches []penstock.Batch, epoch penstock.Epoch, now penstock.Timestamp) (Appended, error)
	// Read adds to dst the extents that hold the batches from the one containing r.From. See ReadRequest. Each extent
	// has its reference, given up by whoever spends it. Errors: penstock.ErrOffsetOutOfRange, ErrCorrupt (the
	// place is quarantined).
	Read(r ReadRequest, dst []penstock.Extent) ([]penstock.Extent, error)
	// Bounds are the first offset still kept and the end.
	Bounds() (start, end penstock.Offset)
	// Find returns the first record whose timestamp is at least t, or the one with the largest timestamp for
	// FindMax; Offset is NoOffset when there is none.
	Find(t penstock.Timestamp) (Found, error)
	// Scan calls visit with the header of each batch from the one containing from up to the end, in order, until visit
	// returns an error, which it returns.
	Scan(from penstock.Offset, visit func(*penstock.BatchHeader) error) error
	// Configure changes the configuration from the next append or retention pass on.
	Configure(c Config)
	Upkeep
}

// FindMax asks Find for the record with the largest timestamp (KIP-734).
const FindMax penstock.Timestamp = -3

// Upkeep is what the owner of a partition does to it besides appending and reading.
type Upkeep interface {
	// SetStart moves the first kept offset forward (DeleteRecords); whole segments below it go at the next Retain.
	// It is durable on return.
	SetStart(start penstock.Offset) error
	// Retain deletes whole segments that the configuration no longer keeps, none at or above limit, and reports the
	// bytes given back.
	Retain(now time.Time, limit penstock.Offset) (int64, error)
	// Truncate cuts everything from the offset on. It is durable on return.
	Truncate(end penstock.Offset) error
	// Epochs is the history of leader epochs, oldest first: each with the first offset appended in it.
	Epochs() []EpochStart
	// SetEpoch notes that the leader of epoch starts at the partition's end. It is durable on return.
	SetEpoch(epoch penstock.Epoch) error
	// SaveState stores a small state of the owner's that is true at the given offset, durably, with a checksum.
	// The newest few are kept.
	SaveState(at penstock.Offset, state []byte) error
	// KeepState says that the newest saved state, or that there is none, is still true at until, which is not behind the end. The next
	// Checkpoint or Close makes it durable; a crash before, or Truncate, takes it back. Errors: penstock.ErrOffsetOutOfRange, ErrClosed.
	KeepState(until penstock.Offset) error
	// LoadState returns the newest saved state at or below the end with the offset that it holds until, as far as that is known.
	// Where none was saved it is nil, with the offset that KeepState said, else with NoOffset.
	LoadState() (at penstock.Offset, state []byte)
	// Stats are figures for metrics and administration.
	Stats() Stats
}

// Log is the unit of durability. All methods may be called concurrently.
type Log interface {
	// Written is the mark of the end of the log as written, Synced the mark up to which it is durable.
	Written() Mark
	Synced() Mark
	// Commit asks for durability up to what is written now, by the disk's group commit. It returns at once; the
	// function given to Notify hears of it.
	Commit()
	// Notify sets the one function that is called after each round of group commit with the mark up to which the
	// log is durable, or with the error that took the disk offline. It is called from the committing goroutine and
	// must not block.
	Notify(func(synced Mark, err error))
}

// Trimmer is a Store that writes ahead of its logs what others who read its files take for damage.
type Trimmer interface {
	// Trim cuts what was written ahead of logs that have not grown since the call before. Its owner calls it every second or so;
	// it waits for nobody, and what fails is tried again at the next Checkpoint.
	Trim()
}

// Mark is a place in a log that only grows: an offset in the segment layout, a position in the commit layout. Marks of
// one log compare; nothing else may be read from them.
type Mark int64

// Appended is what an append did.
type Appended struct {
	First penstock.Offset    // offset of the first record
	Next  penstock.Offset    // the partition's new end
	End   Mark               // mark of the log's new end: durable once Synced reaches it
	Time  penstock.Timestamp // the time stamped, NoTimestamp if none
	Bytes int64
}

// ReadRequest says what to read.
type ReadRequest struct {
	From  penstock.Offset // an offset inside the first batch wanted
	Limit penstock.Offset // nothing at or above it is returned: high watermark or last stable offset, at a batch's edge
	Max   int64           // bytes; the answer is cut at a batch's edge where that is known without reading, else anywhere
	// Whole returns the first batch whole even if it is larger than Max, so that a reader always gets on.
	Whole bool
}

// Found is the answer to a look-up by time.
type Found struct {
	Offset    penstock.Offset
	Timestamp penstock.Timestamp
	Epoch     penstock.Epoch
}

// EpochStart is one entry of the history of leader epochs.
type EpochStart struct {
	Epoch penstock.Epoch
	Start penstock.Offset
}

// Stats are figures of a partition.
type Stats struct {
	Bytes       int64 // on disk, logs only
	Segments    int
	Quarantined int // damaged places that reads refuse
}
