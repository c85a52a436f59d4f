package store

import "penstock"

// Format knows what a batch looks like. record and message implement it; a layout uses it to walk, check and stamp
// batches without knowing the protocol. Implementations hold no state and may be used concurrently. They never keep a
// reference to the bytes.
type Format interface {
	// Kind names the format.
	Kind() penstock.Format
	// HeaderSize is the number of bytes that Header wants to see, fewer than any batch has.
	HeaderSize() int
	// Header reads the header at the front of b, of which HeaderSize bytes are present. An impossible one wraps
	// penstock.ErrCorrupt. It does not look at the checksum.
	Header(b []byte) (penstock.BatchHeader, error)
	// Verify checks the checksum, and everything else that Header cannot see, of the whole batch b.
	Verify(b []byte) error
	// Stamp writes what only the log knows into the batch b, in place.
	Stamp(b []byte, s Stamp)
	// FindTime returns the offset and time of the first record in the batch b whose timestamp is at least t. ok is
	// false if there is none.
	FindTime(b []byte, t penstock.Timestamp) (off penstock.Offset, at penstock.Timestamp, ok bool, err error)
}

// Keyer is what a Format is besides whose records can be found by keys.
type Keyer interface {
	// EachKey calls visit with the keys of the records in the whole batch b, in their order, each with the offset and the time of its record, until visit
	// returns false. A record may have several keys or none; empty ones are left out. What b holds compressed is decompressed within the format's
	// limits. The key is valid until visit returns. Errors: penstock.ErrCorrupt, ErrTooLarge.
	EachKey(b []byte, visit func(off penstock.Offset, at penstock.Timestamp, key []byte) bool) error
}

// Stamp is what the log writes into a batch. It is the vocabulary's, so that a format satisfies Format without importing
// this room.
type Stamp = penstock.Stamp
