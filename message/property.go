package message

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"penstock"
)

// Between a property's key and its value, and after each property but, with some clients, the last.
const (
	propertyMid = 1
	propertyEnd = 2
)

// The names of properties that the broker reads or writes.
const (
	PropertyTags         = "TAGS"
	PropertyKeys         = "KEYS" // with spaces between
	PropertyUniqueID     = "UNIQ_KEY"
	PropertyWait         = "WAIT"
	PropertyDelayLevel   = "DELAY"
	PropertyRealTopic    = "REAL_TOPIC"
	PropertyRealQueue    = "REAL_QID"
	PropertyRetryTopic   = "RETRY_TOPIC"
	PropertyOriginID     = "ORIGIN_MESSAGE_ID"
	PropertyMaxReconsume = "MAX_RECONSUME_TIMES"
	PropertyReconsumed   = "RECONSUME_TIME"
)

// KeySeparator stands between the keys of a message.
const KeySeparator = " "

// Property returns the value of the first property with that key. It is a part of props.
func Property(props []byte, key string) (value []byte, ok bool) {
	for len(props) > 0 {
		one, rest, _ := bytes.Cut(props, []byte{propertyEnd})
		k, v, found := bytes.Cut(one, []byte{propertyMid})
		if found && string(k) == key {
			return v, true
		}
		props = rest
	}
	return nil, false
}

// Properties calls visit with each property in order until it returns false. What has no value is passed over, as by RocketMQ.
func Properties(props []byte, visit func(key, value []byte) bool) {
	for len(props) > 0 {
		one, rest, _ := bytes.Cut(props, []byte{propertyEnd})
		if k, v, found := bytes.Cut(one, []byte{propertyMid}); found && !visit(k, v) {
			return
		}
		props = rest
	}
}

// AppendProperty appends a property. Key and value must not contain the bytes 1 and 2, which stand between properties: the error wraps
// penstock.ErrInvalidRecord.
func AppendProperty(props []byte, key, value string) ([]byte, error) {
	if key == "" || strings.ContainsAny(key, "\x01\x02") || strings.ContainsAny(value, "\x01\x02") {
		return props, fmt.Errorf("%w: property %q with a separator in it", penstock.ErrInvalidRecord, key)
	}
	if n := len(props); n > 0 && props[n-1] != propertyEnd {
		props = append(props, propertyEnd)
	}
	props = append(append(props, key...), propertyMid)
	return append(append(props, value...), propertyEnd), nil
}

// DropProperty returns props without the properties of that key, in new bytes if there were any.
func DropProperty(props []byte, key string) []byte {
	if _, ok := Property(props, key); !ok {
		return props
	}
	var out []byte
	Properties(props, func(k, v []byte) bool {
		if string(k) != key {
			out = append(append(append(append(out, k...), propertyMid), v...), propertyEnd)
		}
		return true
	})
	return out
}

// TagCode is what a consume queue holds of a tag: Java's String.hashCode, 0 without a tag. Different tags may share one.
func TagCode(tag string) int64 { return int64(JavaHash(tag)) }

// JavaHash is Java's String.hashCode of s.
func JavaHash(s string) int32 {
	var h int32
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r1 != '\uFFFD' {
			h = 31*(31*h+r1) + r2
			continue
		}
		h = 31*h + r
	}
	return h
}

// HashOn goes on with Java's String.hashCode h of what stands before s, whose text is s in UTF-8: HashOn(JavaHash(a), b) is JavaHash(a + b).
func HashOn(h int32, s []byte) int32 {
	for len(s) > 0 {
		if s[0] < utf8.RuneSelf {
			h, s = 31*h+int32(s[0]), s[1:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			h, r = 31*h+r1, r2
		}
		h, s = 31*h+r, s[n:]
	}
	return h
}

// OffsetID is the name by which clients ask for a message: the host that stored it and its position, in hex.
func OffsetID(host netip.AddrPort, at penstock.Position) string {
	b := appendHost(nil, plainHost(host))
	return strings.ToUpper(hex.EncodeToString(binary.BigEndian.AppendUint64(b, uint64(at))))
}

// ParseOffsetID reads what OffsetID writes, in either case. Errors wrap penstock.ErrInvalidRecord.
func ParseOffsetID(s string) (netip.AddrPort, penstock.Position, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != hostV4+8 && len(b) != hostV6+8 {
		return netip.AddrPort{}, 0, fmt.Errorf("%w: message id %.64q: want 32 or 56 hex digits", penstock.ErrInvalidRecord, s)
	}
	n := len(b) - 8
	return host(b[:n]), penstock.Position(binary.BigEndian.Uint64(b[n:])), nil
}

// Item is one message of the body of a batch, as a producer sends it.
type Item struct {
	Flag       int32
	Body       []byte
	Properties []byte
}

// itemHead is what stands before an item's body: length, magic, CRC, flag, length of the body.
const itemHead = 5 * 4

// Items calls visit with each message of the body of a batch. Their bytes are parts of b. Errors wrap penstock.ErrCorrupt, or are
// visit's.
func Items(b []byte, visit func(Item) error) error {
	be := binary.BigEndian
	for n := 0; len(b) > 0; n++ {
		if len(b) < itemHead+2 {
			return corrupt("item %d of a batch: %d bytes are left", n, len(b))
		}
		total, body := int(int32(be.Uint32(b))), int(int32(be.Uint32(b[16:])))
		if total < itemHead+2 || total > len(b) || body < 0 || body > total-itemHead-2 {
			return corrupt("item %d of a batch: %d bytes with a body of %d, %d are left", n, total, body, len(b))
		}
		props := int(int16(be.Uint16(b[itemHead+body:])))
		if props < 0 || itemHead+body+2+props != total {
			return corrupt("item %d of a batch: properties of %d bytes", n, props)
		}
		it := Item{Flag: int32(be.Uint32(b[12:])), Body: b[itemHead : itemHead+body : itemHead+body], Properties: b[itemHead+body+2 : total : total]}
		if err := visit(it); err != nil {
			return err
		}
		b = b[total:]
	}
	return nil
}
