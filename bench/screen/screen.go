// Package screen shows progress to people: bars on a terminal, nothing elsewhere, so that logs stay readable.
package screen

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// Bar is a progress bar on standard error. Its methods may be called concurrently; those of a nil Bar do nothing.
type Bar struct{ bar *progressbar.ProgressBar }

// NewBar starts a bar that is full at total; bytes says that it counts bytes. It is nil where standard error is no terminal.
func NewBar(total int64, what string, bytes bool) *Bar {
	if !isatty.IsTerminal(os.Stderr.Fd()) {
		return nil
	}
	return &Bar{bar: newBar(os.Stderr, total, what, bytes)}
}

func newBar(w io.Writer, total int64, what string, bytes bool) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
}

// Add moves the bar on.
func (b *Bar) Add(n int64) {
	if b != nil {
		_ = b.bar.Add64(n)
	}
}

// Describe changes the text beside the bar.
func (b *Bar) Describe(what string) {
	if b != nil {
		b.bar.Describe(what)
	}
}

// Close takes the bar off the screen.
func (b *Bar) Close() {
	if b != nil {
		_ = b.bar.Clear()
		_ = b.bar.Exit()
		fmt.Fprint(os.Stderr, "\r")
	}
}

// Count writes a number with commas between its thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes writes a size in MiB or GiB.
func Bytes(n int64) string {
	const mib = 1 << 20
	if n >= 1<<30 {
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mib)
}
