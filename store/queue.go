package store

import "penstock"

// Queue is what a Partition is besides where each single batch has an entry of its own: the partitions of a commit layout, and those of the
// message format in any layout. It gives out a number of batches, chosen by the code of their tag, without looking at them (RocketMQ: consume queue). It
// may be called concurrently with everything.
type Queue interface {
	// Pull adds to dst the extents of the batches that r asks for, whole ones only, neighbours in one extent. Each extent has its reference,
	// given up by whoever spends it. With an error nothing is added. Errors: penstock.ErrOffsetOutOfRange, ErrCorrupt (the
	// place is quarantined), ErrClosed.
	Pull(r PullRequest, dst []penstock.Extent) ([]penstock.Extent, Pulled, error)
}

// PullRequest says which batches to pull.
type PullRequest struct {
	From  penstock.Offset // the first batch wanted holds it
	Limit penstock.Offset // nothing at or above it is returned
	Max   int64           // bytes; the first batch is given whole even if it is larger
	Count int             // batches, at least 1
	Scan  int             // entries looked at, those passed over included; at least 1
	Tags  []int64         // codes of tags (message.TagCode) that are wanted; nil wants all
}

// Pulled is what a pull came to.
type Pulled struct {
	Next  penstock.Offset // where to go on: behind the last batch given or passed over; From if there was none
	Count int             // batches given
	Bytes int64           // of these
}

// Lot is what is appended to one partition together with others.
type Lot struct {
	To      Partition
	Batches []penstock.Batch
	Epoch   penstock.Epoch
}

// Gatherer is what a Log is besides to which batches of several of its partitions can be appended in one write.
type Gatherer interface {
	// AppendLots is Partition.Append for several partitions of the log, each of which is named once: all of it or nothing. What became of each is
	// added to dst, in the order of the lots. Callers are serialised as those of Append.
	AppendLots(lots []Lot, now penstock.Timestamp, dst []Appended) ([]Appended, error)
}

// Locator is what a Store is besides where a batch can be found by its position alone: the position that Stamp wrote into it.
type Locator interface {
	// Locate finds the batch that begins at the position. Errors: penstock.ErrOffsetOutOfRange if none does or it is gone,
	// ErrCorrupt.
	Locate(at penstock.Position) (penstock.PartitionID, penstock.Offset, error)
}

// Finder is what a Store is besides where records can be found by their keys.
type Finder interface {
	// FindKey calls visit with the places of the records of a topic that have the key, and a time between from and to, both included, the newest first, until it
	// returns false. Each was looked at: it is there and has the key. What was appended while nothing was indexed is not found. No more than limit are
	// visited. Errors: penstock.ErrUnsupported where the topic has no index of keys, ErrCorrupt where the index is damaged (the next Checkpoint makes
	// it again).
	FindKey(topic penstock.TopicID, key string, from, to penstock.Timestamp, limit int, visit func(penstock.PartitionID, penstock.Offset) bool) error
}
