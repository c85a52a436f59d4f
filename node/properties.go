package node

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// property is one entry of a file in the syntax of Java's properties.
type property struct {
	key, value string
	line       int // where its logical line begins, from 1
}

// badProperty is a line that Java would not read.
type badProperty struct {
	line int
	why  string
}

// parseProperties reads the syntax of java.util.Properties.load whole: # and ! begin a comment, a backslash at the end
// continues a line, key and value are parted by =, : or white space, \t \n \r \f and \uXXXX are escapes and a backslash before
// anything else is dropped. Entries come in their order, with those whose key is repeated. Java takes the bytes for Latin-1;
// here they are UTF-8 if they can be, which is the same for ASCII.
func parseProperties(file []byte) (entries []property, bad []badProperty) {
	text := string(file)
	if !utf8.ValidString(text) {
		runes := make([]rune, len(file))
		for i, b := range file {
			runes[i] = rune(b)
		}
		text = string(runes)
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		begin, logical := i+1, strings.TrimLeft(lines[i], blanks)
		if logical == "" || logical[0] == '#' || logical[0] == '!' {
			continue
		}
		for continued(logical) {
			logical = logical[:len(logical)-1]
			if i++; i == len(lines) {
				break
			}
			logical += strings.TrimLeft(lines[i], blanks)
		}
		key, value := splitProperty(logical)
		p := property{line: begin}
		var ok, ok2 bool
		p.key, ok = unescape(key)
		p.value, ok2 = unescape(value)
		if !ok || !ok2 {
			bad = append(bad, badProperty{begin, `\u must be followed by four hexadecimal digits`})
			continue
		}
		entries = append(entries, p)
	}
	return entries, bad
}

// blanks is what Java takes for white space within a line.
const blanks = " \t\f"

// continued reports whether the line ends in an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty parts a logical line at the first separator that is not escaped.
func splitProperty(line string) (key, value string) {
	end := 0
	for ; end < len(line) && !strings.ContainsRune("=:"+blanks, rune(line[end])); end++ {
		if line[end] == '\\' && end+1 < len(line) {
			end++
		}
	}
	value = strings.TrimLeft(line[end:], blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	return line[:end], value
}

// unescape is false if a \u is not followed by four digits.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var units []uint16
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			r, n := utf8.DecodeRuneInString(s[i:])
			units, i = utf16.AppendRune(units, r), i+n
			continue
		}
		if i++; i == len(s) {
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch r {
		case 'u':
			if len(s) < i+4 {
				return "", false
			}
			v, err := strconv.ParseUint(s[i:i+4], 16, 16)
			if err != nil {
				return "", false
			}
			units, i = append(units, uint16(v)), i+4
			continue
		case 't':
			r = '\t'
		case 'n':
			r = '\n'
		case 'r':
			r = '\r'
		case 'f':
			r = '\f'
		}
		units = utf16.AppendRune(units, r)
	}
	return string(utf16.Decode(units)), true
}
