package remoting

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// parseJSON reads a header in JSON. Members may come in any order; unknown ones are passed over.
func (c *Command) parseJSON(b []byte) error {
	p := jsonReader{b: b}
	err := p.object(func(key []byte) error {
		switch string(key) {
		case "code":
			return p.number(&c.Code)
		case "version":
			return p.number(&c.Version)
		case "opaque":
			return p.number(&c.Opaque)
		case "flag":
			return p.number(&c.Flag)
		case "language":
			return p.textOrNull(&c.Language)
		case "remark":
			return p.textOrNull(&c.Remark)
		case "extFields":
			return c.fieldsJSON(&p)
		}
		return p.skip(0)
	})
	if err != nil {
		return err
	}
	if p.space(); p.at < len(b) {
		return malformed("%d bytes behind the JSON header", len(b)-p.at)
	}
	return nil
}

// fieldsJSON reads the fields: an object of strings. A number or a truth value counts as its text, null as absent.
func (c *Command) fieldsJSON(p *jsonReader) error {
	if p.null() {
		return nil
	}
	return p.object(func(key []byte) error {
		if p.null() {
			return nil
		}
		v, err := p.scalar()
		if err != nil {
			return err
		}
		return c.addField(key, v)
	})
}

// jsonReader reads JSON and unescapes strings in place.
type jsonReader struct {
	b  []byte
	at int
}

// fail is the error of a place.
func (p *jsonReader) fail(what string) error {
	return malformed("JSON header: %s at byte %d", what, p.at)
}

// space passes over white space.
func (p *jsonReader) space() {
	for p.at < len(p.b) && (p.b[p.at] == ' ' || p.b[p.at] == '\n' || p.b[p.at] == '\r' || p.b[p.at] == '\t') {
		p.at++
	}
}

// is takes one character, after white space, if it is the next.
func (p *jsonReader) is(ch byte) bool {
	p.space()
	if p.at < len(p.b) && p.b[p.at] == ch {
		p.at++
		return true
	}
	return false
}

// word takes a word if it is next.
func (p *jsonReader) word(w string) bool {
	p.space()
	if len(p.b)-p.at >= len(w) && string(p.b[p.at:p.at+len(w)]) == w {
		p.at += len(w)
		return true
	}
	return false
}

func (p *jsonReader) null() bool { return p.word("null") }

// object reads an object; member reads each value.
func (p *jsonReader) object(member func(key []byte) error) error {
	if !p.is('{') {
		return p.fail("no object")
	}
	if p.is('}') {
		return nil
	}
	for {
		key, err := p.text()
		if err != nil {
			return err
		}
		if !p.is(':') {
			return p.fail("no colon")
		}
		if err := member(key); err != nil {
			return err
		}
		if p.is('}') {
			return nil
		}
		if !p.is(',') {
			return p.fail("neither comma nor end of an object")
		}
	}
}

// number reads a number of 32 bits. A string that holds one is taken for it.
func (p *jsonReader) number(to *int32) error {
	v, err := p.scalar()
	if err != nil {
		return err
	}
	n, ok := Int(v)
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		return p.fail("no number of 32 bits")
	}
	*to = int32(n)
	return nil
}

// textOrNull reads a string; null leaves it nil.
func (p *jsonReader) textOrNull(to *[]byte) error {
	if p.null() {
		return nil
	}
	v, err := p.scalar()
	*to = v
	return err
}

// scalar reads a string, or the text of a number or truth value.
func (p *jsonReader) scalar() ([]byte, error) {
	if p.space(); p.at < len(p.b) && p.b[p.at] == '"' {
		return p.text()
	}
	start := p.at
	for p.at < len(p.b) && isScalar(p.b[p.at]) {
		p.at++
	}
	if p.at == start {
		return nil, p.fail("no value")
	}
	return p.b[start:p.at:p.at], nil
}

// isScalar tells the characters of numbers, true and false.
func isScalar(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch == '-' || ch == '+' || ch == '.' || ch == 'E'
}

// skip passes over any value.
func (p *jsonReader) skip(depth int) error {
	if depth > maxDepth {
		return p.fail("nested too deeply")
	}
	p.space()
	switch {
	case p.at == len(p.b):
		return p.fail("no value")
	case p.b[p.at] == '{':
		return p.object(func([]byte) error { return p.skip(depth + 1) })
	case p.b[p.at] == '[':
		p.at++
		if p.is(']') {
			return nil
		}
		for {
			if err := p.skip(depth + 1); err != nil {
				return err
			}
			if p.is(']') {
				return nil
			}
			if !p.is(',') {
				return p.fail("neither comma nor end of an array")
			}
		}
	}
	_, err := p.scalar()
	return err
}

// text reads a string. Without escapes it is the bytes as they are.
func (p *jsonReader) text() ([]byte, error) {
	if !p.is('"') {
		return nil, p.fail("no string")
	}
	start := p.at
	for p.at < len(p.b) {
		switch p.b[p.at] {
		case '"':
			p.at++
			return p.b[start : p.at-1 : p.at-1], nil
		case '\\':
			return p.unescape(start)
		}
		p.at++
	}
	return nil, p.fail("no end of a string")
}

// unescape reads the rest of a string from its first escape on, and moves what it means forward: an escape is never shorter than what it
// stands for.
func (p *jsonReader) unescape(start int) ([]byte, error) {
	out := p.b[start:p.at]
	for p.at < len(p.b) {
		ch := p.b[p.at]
		p.at++
		switch ch {
		case '"':
			return out[:len(out):len(out)], nil
		case '\\':
			r, err := p.escape()
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, ch)
		}
	}
	return nil, p.fail("no end of a string")
}

// escape reads what follows a backslash.
func (p *jsonReader) escape() (rune, error) {
	if p.at == len(p.b) {
		return 0, p.fail("no end of an escape")
	}
	ch := p.b[p.at]
	p.at++
	switch ch {
	case '"', '\\', '/', '\'':
		return rune(ch), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	}
	return 0, p.fail("unknown escape")
}

// unicode reads four hex digits, and those of the second half of a pair.
func (p *jsonReader) unicode() (rune, error) {
	r, err := p.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	at := p.at
	if !p.next("\\u") {
		return utf8.RuneError, nil
	}
	low, err := p.hex()
	if err != nil {
		return 0, err
	}
	if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
		return both, nil
	}
	p.at = at // not its other half: a character of its own
	return utf8.RuneError, nil
}

// next takes w if it is next, without white space before.
func (p *jsonReader) next(w string) bool {
	if len(p.b)-p.at < len(w) || string(p.b[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

// hex reads four hex digits.
func (p *jsonReader) hex() (rune, error) {
	if len(p.b)-p.at < 4 {
		return 0, p.fail("no end of an escape")
	}
	v := rune(0)
	for _, ch := range p.b[p.at : p.at+4] {
		switch {
		case ch >= '0' && ch <= '9':
			v = v<<4 | rune(ch-'0')
		case ch >= 'a' && ch <= 'f':
			v = v<<4 | rune(ch-'a'+10)
		case ch >= 'A' && ch <= 'F':
			v = v<<4 | rune(ch-'A'+10)
		default:
			return 0, p.fail("no hex digit")
		}
	}
	p.at += 4
	return v, nil
}

// Int reads a decimal number of 64 bits.
func Int(b []byte) (n int64, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var u uint64
	for _, ch := range b {
		if ch < '0' || ch > '9' {
			return 0, false
		}
		u = u*10 + uint64(ch-'0')
	}
	if neg {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u <= math.MaxInt64
}

// appendText appends s as a string of JSON.
func appendText(dst []byte, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		ch := s[i]
		switch {
		case ch == '"' || ch == '\\':
			dst = append(dst, '\\', ch)
		case ch < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[ch>>4], digits[ch&15])
		case ch < utf8.RuneSelf:
			dst = append(dst, ch)
		default:
			r, n := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r) // of bytes that are no character the sign for that
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}

// appendNumber appends a number in decimal.
func appendNumber(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
