package convert

import (
	"bytes"
	"unicode/utf8"
)

// text reports whether a property can hold p as it is.
func text(p []byte) bool {
	return utf8.Valid(p) && !bytes.ContainsAny(p, separators)
}

// plainByte reports whether a byte stands for itself in what is escaped.
func plainByte(c byte) bool { return c > ' ' && c <= '~' && c != '%' && c != '=' }

const hexDigits = "0123456789ABCDEF"

// appendEscaped appends p with %XX in place of every byte that is not plain.
func appendEscaped(dst, p []byte) []byte {
	for _, c := range p {
		if plainByte(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// appendName is appendEscaped for what may not come to nothing: an empty p is a single %, as clients drop empty properties.
func appendName(dst, p []byte) []byte {
	if len(p) == 0 {
		return append(dst, '%')
	}
	return appendEscaped(dst, p)
}

// unescape is the way back of appendEscaped. ok is false for what that does not write.
func unescape(p []byte) (out []byte, ok bool) {
	out = make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case plainByte(c):
		case c == '%' && i+2 < len(p):
			high, low := bytes.IndexByte([]byte(hexDigits), p[i+1]), bytes.IndexByte([]byte(hexDigits), p[i+2])
			if high < 0 || low < 0 || plainByte(byte(high<<4|low)) {
				return nil, false
			}
			c = byte(high<<4 | low)
			i += 2
		default:
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}

// unname is the way back of appendName.
func unname(p []byte) (out []byte, ok bool) {
	if string(p) == "%" {
		return []byte{}, true
	}
	out, ok = unescape(p)
	return out, ok && len(out) > 0
}

// appendHeader appends a header in one text: name=value, or the name of a null.
func appendHeader(dst, name, value []byte) []byte {
	dst = appendName(dst, name)
	if value == nil {
		return dst
	}
	return appendEscaped(append(dst, '='), value)
}

// unheader is the way back of appendHeader.
func unheader(p []byte) (name, value []byte, ok bool) {
	head, tail, has := bytes.Cut(p, []byte{'='})
	if name, ok = unname(head); !ok || !has {
		return name, nil, ok
	}
	value, ok = unescape(tail)
	return name, value, ok
}
