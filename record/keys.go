package record

import (
	"bytes"
	"errors"

	"penstock"
)

// propertyUniqueID is the header that holds the unique id of a message that became a record (room convert).
const propertyUniqueID = "UNIQ_KEY"

// maxWords is how many words of one key count as keys.
const maxWords = 64

// errEnough ends a walk.
var errEnough = errors.New("enough")

// EachKey calls visit with the keys of the batch's records, each with the offset and time of its record, until it returns false: a record's key, its words if it
// has spaces (that is how RocketMQ's clients, to whom it is KEYS, have several; the first 64), and the header UNIQ_KEY. Empty and missing ones are left
// out, and control batches have none. A key is valid until visit returns. Compressed batches are decompressed as by Each with the
// limits that it has by default. Errors wrap penstock.ErrCorrupt, or ErrTooLarge where a limit is met.
func (Format) EachKey(b []byte, visit func(off penstock.Offset, at penstock.Timestamp, key []byte) bool) error {
	if len(b) >= headerSize && attributesOf(b)&attrControl != 0 {
		return nil
	}
	err := Each(b, Limits{}, func(r *Record) error {
		if !r.eachKey(visit) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// eachKey visits the keys of one record.
func (r *Record) eachKey(visit func(off penstock.Offset, at penstock.Timestamp, key []byte) bool) (more bool) {
	if len(r.Key) > 0 && !visit(r.Offset, r.Timestamp, r.Key) {
		return false
	}
	if bytes.IndexByte(r.Key, ' ') >= 0 {
		rest := r.Key
		for n := 0; n < maxWords && len(rest) > 0; {
			var word []byte
			if word, rest, _ = bytes.Cut(rest, []byte{' '}); len(word) == 0 {
				continue
			}
			n++
			if !visit(r.Offset, r.Timestamp, word) {
				return false
			}
		}
	}
	more = true
	if r.Headers > 0 {
		r.EachHeader(func(name, value []byte) bool {
			if string(name) != propertyUniqueID {
				return true
			}
			more = len(value) == 0 || visit(r.Offset, r.Timestamp, value)
			return false
		})
	}
	return more
}
