package screen

import (
	"bytes"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567", 100000: "100,000"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0.0 MiB", 3 << 19: "1.5 MiB", 5 << 28: "1.25 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	var none *Bar
	none.Add(1)
	none.Describe("x")
	none.Close()
	var out bytes.Buffer
	b := newBar(&out, 10, "files", false)
	if err := b.Add(5); err != nil || !strings.Contains(out.String(), "files") {
		t.Errorf("%v, printed %q", err, out.String())
	}
}
