// Command demo streams real data through a broker: every file of the Go toolchain's source tree, plain and with each
// codec. It starts the broker on free ports and a fresh directory, writes with franz-go, reads everything back, compares the
// SHA-256 of what came out with that of what went in, partition by partition, and prints what it cost in copies.
//
// Usage: demo -penstock BINARY [-tree DIR] [-partitions N]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"penstock/bench/broker"
	"penstock/bench/screen"
)

// limit bounds the whole run.
const limit = 5 * time.Minute

func main() {
	var o options
	flag.StringVar(&o.binary, "penstock", "../bin/penstock", "the broker's binary")
	flag.StringVar(&o.tree, "tree", "", "directory whose files are streamed; default: the source tree of the Go toolchain")
	flag.IntVar(&o.partitions, "partitions", 6, "partitions of each topic")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	binary     string
	tree       string
	partitions int
}

// run is the demo from an empty directory to none.
func run(ctx context.Context, o options) (err error) {
	if o.partitions < 1 {
		return fmt.Errorf("-partitions %d: want at least 1", o.partitions)
	}
	if _, err := os.Stat(o.binary); err != nil {
		return fmt.Errorf("no broker to show: %w (build it with make build, or name it with -penstock)", err)
	}
	if o.tree == "" {
		if o.tree, err = goSource(ctx); err != nil {
			return err
		}
	}
	begin := time.Now()
	c, err := loadCorpus(o.tree, o.partitions)
	if err != nil {
		return err
	}
	fmt.Printf("%s files of %s: %s records, %s, read in %.1f s\n",
		screen.Count(int64(c.files)), o.tree, screen.Count(c.records), screen.Bytes(c.bytes), time.Since(begin).Seconds())

	dir, err := os.MkdirTemp("", "penstock-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begin = time.Now()
	b, err := broker.Start(ctx, broker.Options{
		Binary: o.binary, Data: filepath.Join(dir, "data"), Output: filepath.Join(dir, "broker.log"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	fmt.Printf("broker on %s, ready after %d ms\n\n", b.Kafka, time.Since(begin).Milliseconds())

	if err := streamAll(ctx, b, c); err != nil {
		return fmt.Errorf("%w\nthe broker's last words:\n%s", err, b.Tail())
	}
	fmt.Printf("\nSHA-256 of what came out equals that of what went in: %d partitions of %d topics\n\n", o.partitions*len(codecs()), len(codecs()))
	return copies(ctx, o.binary, b)
}

// goSource is the source tree of the Go toolchain at hand.
func goSource(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w (name a directory with -tree)", err)
	}
	// The tree may be a link, which a walk would not follow.
	return filepath.EvalSymlinks(filepath.Join(strings.TrimSpace(string(out)), "src"))
}

// streamAll sends the corpus through one topic for each codec and prints a line for each.
func streamAll(ctx context.Context, b *broker.Broker, c *corpus) error {
	fmt.Printf("%-8s %9s %12s %12s %8s %12s %12s\n", "codec", "records", "bytes", "on the wire", "batches", "in", "out")
	var in, out time.Duration
	for _, codec := range codecs() {
		s, err := stream(ctx, b.Kafka, codec, c)
		if err != nil {
			return fmt.Errorf("%s: %w", codec.name, err)
		}
		in, out = in+s.in, out+s.out
		fmt.Printf("%-8s %9s %12s %12s %8s %12s %12s\n", codec.name, screen.Count(s.records), screen.Bytes(s.bytes), screen.Bytes(s.wire),
			screen.Count(s.batches), rate(s.bytes, s.in), rate(s.bytes, s.out))
	}
	n := int64(len(codecs()))
	fmt.Printf("%-8s %9s %12s %12s %8s %12s %12s\n", "all", screen.Count(n*c.records), screen.Bytes(n*c.bytes), "", "", rate(n*c.bytes, in), rate(n*c.bytes, out))
	return nil
}

func rate(bytes int64, took time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(bytes)/1e6/took.Seconds())
}

// copies shows the copy account of the broker.
func copies(ctx context.Context, binary string, b *broker.Broker) error {
	cmd := exec.CommandContext(ctx, binary, "copies", "--http", b.HTTP)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("penstock copies: %w\n%s", err, out)
	}
	fmt.Printf("penstock copies\n%s", out)
	return nil
}
