package remoting

import "encoding/binary"

// The POP requests' codes do not fit in the 16 bits that a binary header has for them, and come cut off.
const (
	popFirst = 200050
	popLast  = 200151
	popCut   = popFirst & 0xFFFF // 3442
	popUpTo  = popLast & 0xFFFF  // 3543
)

// wholeCode is the code that a binary header means. Of those that RocketMQ has given out none lies where the cut ones do.
func wholeCode(code int16) int32 {
	if c := int32(uint16(code)); c >= popCut && c <= popUpTo {
		return c - popCut + popFirst
	}
	return int32(code)
}

// binaryHead is the part of a binary header before its remark.
const binaryHead = 2 + 1 + 2 + 4 + 4

// parseBinary reads a binary header.
func (c *Command) parseBinary(b []byte) error {
	if len(b) < binaryHead {
		return malformed("binary header of %d bytes", len(b))
	}
	be := binary.BigEndian
	c.Code = wholeCode(int16(be.Uint16(b)))
	c.LanguageCode = int8(b[2])
	c.Version = int32(int16(be.Uint16(b[3:])))
	c.Opaque = int32(be.Uint32(b[5:]))
	c.Flag = int32(be.Uint32(b[9:]))
	b = b[binaryHead:]
	var ok bool
	if c.Remark, b, ok = take32(b); !ok {
		return malformed("length of the remark")
	}
	fields, b, ok := take32(b)
	if !ok || len(b) > 0 {
		return malformed("length of the fields")
	}
	for len(fields) > 0 {
		var f Field
		if f.Key, fields, ok = take16(fields); ok {
			f.Value, fields, ok = take32(fields)
		}
		if !ok {
			return malformed("length of field %d", len(c.Fields))
		}
		if err := c.addField(f.Key, f.Value); err != nil {
			return err
		}
	}
	return nil
}

// take32 takes what a length of 32 bits announces off the front of b.
func take32(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, b, false
	}
	n := int64(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	if n < 0 || n > int64(len(b)) {
		return nil, b, false
	}
	return b[:n:n], b[n:], true
}

// take16 takes what a length of 16 bits announces off the front of b.
func take16(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, b, false
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	if n < 0 || n > len(b) {
		return nil, b, false
	}
	return b[:n:n], b[n:], true
}
