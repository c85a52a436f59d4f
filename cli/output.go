package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Emit prints a result: v as indented JSON, or what text puts into a table. Field names of v are an interface that scripts
// rely on: snake_case, never renamed.
func (e *Env) Emit(v any, text func(*Table)) error {
	if e.JSON() {
		enc := json.NewEncoder(e.Stdout())
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	var t Table
	text(&t)
	return t.print(e.Stdout())
}

// EmitLine prints one result of many: v as one line of JSON, or a line of text.
func (e *Env) EmitLine(v any, text string) error {
	if e.JSON() {
		return json.NewEncoder(e.Stdout()).Encode(v)
	}
	_, err := fmt.Fprintln(e.Stdout(), text)
	return err
}

// Table is text in columns, with lines of prose between the blocks.
type Table struct{ parts []part }

// part is a line of prose, or rows that share their columns.
type part struct {
	prose string
	rows  [][]string
}

// Header begins a block of rows and names its columns.
func (t *Table) Header(columns ...string) {
	up := make([]string, len(columns))
	for i, c := range columns {
		up[i] = strings.ToUpper(c)
	}
	t.parts = append(t.parts, part{rows: [][]string{up}})
}

// Row adds a row to the block, and begins one if none is open.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = clean(fmt.Sprint(c))
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].rows != nil {
		t.parts[n-1].rows = append(t.parts[n-1].rows, row)
		return
	}
	t.parts = append(t.parts, part{rows: [][]string{row}})
}

// Note adds a line of prose and ends the block.
func (t *Table) Note(format string, args ...any) {
	t.parts = append(t.parts, part{prose: clean(fmt.Sprintf(format, args...))})
}

// clean keeps what a name or a value from the network contains from moving the cursor of a terminal or the columns.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}

func (t *Table) print(out io.Writer) error {
	for _, p := range t.parts {
		if p.rows == nil {
			if _, err := fmt.Fprintln(out, p.prose); err != nil {
				return err
			}
			continue
		}
		var b bytes.Buffer
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, r := range p.rows {
			_, _ = fmt.Fprintln(w, strings.Join(r, "\t")) // a Buffer takes everything
		}
		_ = w.Flush()
		for line := range strings.Lines(b.String()) {
			if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bytes shows a number of bytes in the largest unit that leaves at least one.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/(1<<10), 0
	for v >= 1<<10 && i < len(units)-1 {
		v, i = v/(1<<10), i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// Progress is a bar on a terminal, and nothing elsewhere. Its methods may be called concurrently; those of nil do nothing.
type Progress struct{ bar *progressbar.ProgressBar }

// Progress starts a bar that is full at total; -1 is an unknown total. bytes says that it counts bytes.
func (e *Env) Progress(what string, total int64, bytes bool) *Progress {
	if !e.Terminal() {
		return nil
	}
	return &Progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(e.Stderr()),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)}
}

// Add moves the bar on by n.
func (p *Progress) Add(n int64) {
	if p != nil {
		_ = p.bar.Add64(n) // a bar that cannot be drawn is not drawn
	}
}

// Done takes the bar off the screen.
func (p *Progress) Done() {
	if p != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
	}
}
