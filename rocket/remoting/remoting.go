// Package remoting is the codec of RocketMQ's remoting protocol: frames into commands, and commands into frames. It
// does no I/O and knows no request's meaning, but for the two heads of sending and pulling, which are read for every message.
//
// A frame, as wire gives it without its length:
//
//	u8 kind of header | u24 length of header | header | body
//
// A header is of one of two kinds, and every answer is of its request's kind:
//
//	JSON    {"code":310,"language":"JAVA","version":479,"opaque":7,"flag":0,"remark":"...","extFields":{"a":"..."}}
//	binary  i16 code | u8 language | i16 version | i32 opaque | i32 flag | i32 length, remark | i32 length, fields
//	        a field: i16 length, key | i32 length, value
//
// Bit 0 of the flag says that it is an answer, bit 1 that none is wanted. The opaque number ties an answer to its request. The
// binary header cuts the code to 16 bits, so that the requests of pop consumption, from 200050 on, come under other numbers: see Command.Code.
//
// # Memory
//
// Parse keeps no copy: keys, values and the remark are parts of the frame, and a string of JSON with escapes is unescaped where it stands,
// since it only gets shorter. All that it may allocate is the list of fields, which is bounded by MaxFields whatever a frame announces.
// Answers are appended to a slice.
package remoting

import (
	"errors"
	"fmt"
)

// Kind is how a header is written.
type Kind uint8

// The kinds, with RocketMQ's numbers.
const (
	JSON   Kind = 0
	Binary Kind = 1
)

// Bits of Command.Flag.
const (
	FlagResponse = 1 // an answer
	FlagOneWay   = 2 // no answer is wanted
)

// Limits of what is read. A header holds the properties of a message, at most 32,767 bytes, which JSON may write with six bytes for one.
const (
	MaxHeader = 256 << 10
	MaxFields = 128
	maxDepth  = 16 // of values in JSON that are passed over
)

// headBytes is the word in front of the header.
const headBytes = 4

// ErrMalformed says that a frame is no command. What follows on its connection cannot be trusted.
var ErrMalformed = errors.New("malformed remoting command")

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

// Field is one of a command's own fields. The bytes are the frame's.
type Field struct{ Key, Value []byte }

// Command is a frame taken apart. It can be used again for the next. Everything but numbers belongs to the frame.
type Command struct {
	Kind     Kind
	Code     int32
	Language []byte // as JSON has it; nil if the header is binary, see LanguageCode
	Version  int32
	Opaque   int32
	Flag     int32
	Remark   []byte
	Fields   []Field
	Body     []byte

	LanguageCode int8 // of a binary header; -1 in JSON
}

// Split reads the word in front of a frame: the kind of the header and its length.
func Split(frame []byte) (kind Kind, header int, err error) {
	if len(frame) < headBytes {
		return 0, 0, malformed("%d bytes", len(frame))
	}
	kind, header = Kind(frame[0]), int(frame[1])<<16|int(frame[2])<<8|int(frame[3])
	if kind > Binary {
		return 0, 0, malformed("header of kind %d, only JSON (0) and binary (1) are known", kind)
	}
	if header > MaxHeader {
		return 0, 0, malformed("header of %d bytes, at most %d are taken", header, MaxHeader)
	}
	return kind, header, nil
}

// Parse takes a frame apart, and changes it where JSON has escapes. Errors wrap ErrMalformed.
func (c *Command) Parse(frame []byte) error {
	kind, n, err := Split(frame)
	if err != nil {
		return err
	}
	rest := frame[headBytes:]
	if n > len(rest) {
		return malformed("header of %d bytes in %d", n, len(rest))
	}
	*c = Command{Kind: kind, Fields: c.Fields[:0], Body: rest[n:len(rest):len(rest)], LanguageCode: -1}
	if kind == JSON {
		return c.parseJSON(rest[:n])
	}
	return c.parseBinary(rest[:n])
}

// Reset lets go of the frame and keeps the list's memory.
func (c *Command) Reset() {
	clear(c.Fields)
	*c = Command{Fields: c.Fields[:0]}
}

// Is reports whether all bits of flag are set.
func (c *Command) Is(flag int32) bool { return c.Flag&flag == flag }

// Get returns the value of the first field with that key.
func (c *Command) Get(key string) (value []byte, ok bool) {
	for i := range c.Fields {
		if string(c.Fields[i].Key) == key {
			return c.Fields[i].Value, true
		}
	}
	return nil, false
}

// Text returns the value of a field as a string of its own, empty if it is absent.
func (c *Command) Text(key string) string {
	v, _ := c.Get(key)
	return string(v)
}

// addField notes a field.
func (c *Command) addField(key, value []byte) error {
	if len(c.Fields) == MaxFields {
		return malformed("more than %d fields", MaxFields)
	}
	c.Fields = append(c.Fields, Field{key, value})
	return nil
}

// PeekCode reads the code from the first bytes of a frame, if they show it: a binary header begins with it, and one in JSON does with the
// clients that there are. Who relies on it looks again at what Parse found.
func PeekCode(kind Kind, peek []byte) (code int32, ok bool) {
	if kind == Binary {
		if len(peek) < headBytes+2 {
			return 0, false
		}
		return wholeCode(int16(uint16(peek[headBytes])<<8 | uint16(peek[headBytes+1]))), true
	}
	const begin = `{"code":`
	if len(peek) <= headBytes+len(begin) || string(peek[headBytes:headBytes+len(begin)]) != begin {
		return 0, false
	}
	digits := peek[headBytes+len(begin):]
	n := 0
	for n < len(digits) && n < 10 && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	if n == len(digits) {
		return 0, false // it may go on
	}
	return int32Of(digits[:n])
}
