package message

import (
	"bytes"

	"penstock"
)

// tagPrefix stands before a tag in its key, as RocketMQ has it since 5.4.
const tagPrefix = "T#"

// EachKey calls visit with the keys of the message b, with its offset and the time it was stored at, until it returns false: its unique id, the words of its
// KEYS, and "T#" with its tag, in RocketMQ's order. Empty and missing ones are left out; a message that rolls a transaction back has none. A key is
// valid until visit returns. Errors wrap penstock.ErrCorrupt.
func (Format) EachKey(b []byte, visit func(off penstock.Offset, at penstock.Timestamp, key []byte) bool) error {
	m, err := Parse(b)
	if err != nil || m.SysFlag&FlagRollback == FlagRollback {
		return err
	}
	var unique, keys, tag []byte
	Properties(m.Properties, func(k, v []byte) bool {
		for _, p := range [...]struct {
			name string
			to   *[]byte
		}{{PropertyUniqueID, &unique}, {PropertyKeys, &keys}, {PropertyTags, &tag}} {
			if string(k) == p.name && *p.to == nil { // the first of a name counts
				*p.to = v[:len(v):len(v)]
			}
		}
		return true
	})
	if len(unique) > 0 && !visit(m.QueueOffset, m.StoreTime, unique) {
		return nil
	}
	for len(keys) > 0 {
		var word []byte
		if word, keys, _ = bytes.Cut(keys, []byte(KeySeparator)); len(word) > 0 && !visit(m.QueueOffset, m.StoreTime, word) {
			return nil
		}
	}
	if len(tag) > 0 {
		visit(m.QueueOffset, m.StoreTime, append([]byte(tagPrefix), tag...))
	}
	return nil
}
