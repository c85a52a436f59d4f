package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/metric"
	"penstock/node"
)

const (
	// askTime bounds a question to a running broker.
	askTime = 10 * time.Second
	// maxAnswer bounds its answer.
	maxAnswer = 64 << 20
)

// reasons explain why bytes went through the process.
var reasons = map[string]string{
	"small":     "cheaper to copy than to hand to the kernel",
	"tls":       "encrypted in the process",
	"converted": "translated for a client of the other protocol",
	"nofile":    "not in a file of the kernel's",
}

func newCopies() *cobra.Command {
	c := &cobra.Command{
		Use:   "copies",
		Short: "Show which bytes went out without a copy, and why the others did not",
		Long: `Asks a running broker for its copy account: every payload byte that left since it started, by listener and
topic, by the way it took (sendfile; splice, where scattered pieces are gathered in a pipe; or copied through the
process) and the reason.`,
		Example: `  penstock copies
  penstock copies --http 127.0.0.1:18080 -o json`,
		Args: cobra.NoArgs,
	}
	var addr string
	c.Flags().StringVar(&addr, "http", "127.0.0.1:8080", "the broker's http.listen `address`")
	e := local(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		copies, err := askCopies(c.Context(), addr)
		if err != nil {
			return err
		}
		if a := summarise(copies); !e.JSON() {
			return printCopies(e.Stdout(), a)
		}
		return e.Emit(summarise(copies), nil)
	}
	return c
}

func askCopies(ctx context.Context, addr string) (*node.Copies, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/copies", nil)
	if err != nil {
		return nil, cli.Usage("--http %s: want host:port", addr)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, fmt.Errorf("no broker answers at %s: %w. Is it running? --http names its http.listen address", addr, err)
	}
	defer func() { _ = r.Body.Close() }() // everything of use has been read
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: that is no penstock broker, or an old one. --http names its http.listen address", addr, r.Status)
	}
	var copies node.Copies
	if err := json.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(&copies); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", addr, err)
	}
	return &copies, nil
}

// account is the copy account with its sums.
type account struct {
	Bytes    int64             `json:"bytes"`
	ZeroCopy int64             `json:"zero_copy_bytes"`
	Share    float64           `json:"zero_copy_share"` // 0 to 1, 0 when there are no bytes
	Lines    []metric.CopyLine `json:"lines"`
}

func summarise(c *node.Copies) *account {
	a := &account{Lines: c.Lines}
	for _, l := range c.Lines {
		a.Bytes += l.Bytes
		if l.Path != metric.PathCopied.String() {
			a.ZeroCopy += l.Bytes
		}
	}
	if a.Bytes > 0 {
		a.Share = float64(a.ZeroCopy) / float64(a.Bytes)
	}
	return a
}

func printCopies(out io.Writer, a *account) error {
	if a.Bytes == 0 {
		_, err := fmt.Fprintln(out, "No payload has left the broker since it started.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LISTENER\tTOPIC\tPATH\tBYTES\tSHARE\tREASON")
	for _, l := range a.Lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f %%\t%s\n",
			l.Listener, l.Topic, l.Path, humanBytes(l.Bytes), 100*float64(l.Bytes)/float64(a.Bytes), reasonText(l.Reason))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s out, %s of it by the kernel: %.2f %% without a copy\n", humanBytes(a.Bytes), humanBytes(a.ZeroCopy), 100*a.Share)
	return err
}

func reasonText(reason string) string {
	if why := reasons[reason]; why != "" {
		return reason + ": " + why
	}
	return reason
}

// humanBytes shows a number of bytes in the largest unit that leaves at least one.
func humanBytes(n int64) string {
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
