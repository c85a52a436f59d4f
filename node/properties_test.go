package node

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestProperties holds the reader to what java.util.Properties.load gives; each case was read with Java 21 first.
func TestProperties(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // key=value pairs, parted by |
	}{
		{"a=b", "a=b"},
		{"a = b \n", "a=b "},
		{"a:b\nc d\ne\tf\ng\fh", "a=b|c=d|e=f|g=h"},
		{"a\n\nb=\nc:\n", "a=|b=|c="},
		{"# x\n ! y\n\t#z\na=#b", "a=#b"},
		{"a=b\\\n   c\\\n\td", "a=bcd"},
		{"a=b\\\\\nc=d", "a=b\\|c=d"},
		{"a=b\\\\\\\nc=d", "a=b\\c=d"},
		{"a=b\\", "a=b"},
		{"a=b\\\n\nc=d", "a=b|c=d"},
		{"# x\\\na=b", "a=b"},
		{"a=b\\\n#c", "a=b#c"},
		{`a\=b=c` + "\n" + `d\:\ e:f`, "a=b=c|d: e=f"},
		{`a=\t\n\r\f\q\"`, "a=\t\n\r\fq\""},
		{`\u0061\u00e9=\u20AC\ud83d\ude00`, "aé=€😀"},
		{"a==b\nc = : d\ne  f=g", "a==b|c=: d|e=f=g"},
		{"=v\n:w", "=v|=w"},
		{"a=1\r\nb=2\rc=3", "a=1|b=2|c=3"},
		{"a=1\na=2", "a=1|a=2"},
		{"a=b=c:d e", "a=b=c:d e"},
		{"\n\n", ""},
		{"a=\\u00", "bad"},
		{"a=\\uzzzz", "bad"},
		{"\xe9=\xfc", "é=ü"},
		{"é=ü", "é=ü"},
	} {
		entries, bad := parseProperties([]byte(c.in))
		var got []string
		for _, p := range entries {
			got = append(got, p.key+"="+p.value)
		}
		if len(bad) > 0 {
			got = append(got, "bad")
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%q: %q, want %q", c.in, s, c.want)
		}
	}
}

// TestPropertyLines demands that an entry is found where it begins, whatever stands before it.
func TestPropertyLines(t *testing.T) {
	entries, bad := parseProperties([]byte("# one\n\na=1\\\n  2\\\n  3\nb=\\u1\r\nc=4\n"))
	if len(entries) != 2 || entries[0] != (property{"a", "123", 3}) || entries[1] != (property{"c", "4", 7}) || len(bad) != 1 || bad[0].line != 6 {
		t.Errorf("%+v, %+v", entries, bad)
	}
}

// FuzzProperties demands that no file makes the reader panic, and that every entry has a place in the file.
func FuzzProperties(f *testing.F) {
	f.Add([]byte("a=b\\\n c\n\\u0041:x"))
	f.Fuzz(func(t *testing.T, file []byte) {
		entries, bad := parseProperties(file)
		last := strings.Count(string(file), "\n") + strings.Count(string(file), "\r") + 1
		for _, e := range entries {
			if e.line < 1 || e.line > last || !utf8.ValidString(e.key) || !utf8.ValidString(e.value) {
				t.Fatalf("%+v of %d lines", e, last)
			}
		}
		for _, b := range bad {
			if b.line < 1 || b.line > last {
				t.Fatalf("%+v of %d lines", b, last)
			}
		}
	})
}
