// Command tools shows that what people run around Kafka works with penstock. Its command line tools, from Apache Kafka's own
// archive, are run against penstock and against a real Apache Kafka, and what they print is compared line by line
// (compare); Kafka Streams counts words (streams) and Kafka Connect carries a file (connect) while the broker is killed and
// stopped under them.
//
// Usage: tools -penstock BINARY [-short] [-cache DIR] [-doc FILE] [-v] [compare|streams|connect|all]
//
// The steps of compare are in script.txt. What may differ is in differences.txt, each with a reason; any other difference
// is a failure, and one that no longer appears is reported. With -doc the table is written as a document.
//
// The jars come from Maven into the cache. Where they cannot be had the parts are reported as NOT RUN, which is a failure
// except with -short. The exit code is 0 only if everything that ran is right.
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
	"syscall"
	"time"

	"penstock/bench/broker"
)

const (
	// limit bounds the whole run.
	limit = 30 * time.Minute
	// fetchLimit bounds the download of the jars.
	fetchLimit = 10 * time.Minute
)

// errCannotRun is wrapped by parts that need what this machine does not have.
var errCannotRun = errors.New("cannot run here")

// options are the command line.
type options struct {
	binary  string
	cache   string
	doc     string
	short   bool
	keep    bool
	verbose bool
	names   []string
}

// part is one check. It returns what it did, in words.
type part struct {
	name string
	run  func(context.Context, *bench) (string, error)
}

func parts() []part {
	return []part{{"compare", runCompare}, {"streams", runStreams}, {"connect", runConnect}}
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tools:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if !runAll(ctx, o) {
		os.Exit(1)
	}
}

// parse reads the command line; flags may stand before and after the names.
func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("tools", flag.ContinueOnError)
	fs.StringVar(&o.binary, "penstock", "../bin/penstock", "the broker's binary")
	fs.StringVar(&o.cache, "cache", ".cache", "directory for what is fetched")
	fs.StringVar(&o.doc, "doc", "", "file that takes the table of commands and differences")
	fs.BoolVar(&o.short, "short", false, "a handful of commands, compare alone")
	fs.BoolVar(&o.keep, "keep", false, "keep data after a failure")
	fs.BoolVar(&o.verbose, "v", false, "print what every command printed, and expected differences too")
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return o, err
		}
		if args = fs.Args(); len(args) > 0 {
			o.names, args = append(o.names, args[0]), args[1:]
		}
	}
	var err error
	if o.binary, err = filepath.Abs(o.binary); err == nil {
		_, err = os.Stat(o.binary)
	}
	if err != nil {
		return o, fmt.Errorf("no broker to test: %w (build it with make build, or name it with -penstock)", err)
	}
	_, err = o.chosen()
	return o, err
}

// chosen are the parts that the names stand for.
func (o options) chosen() ([]part, error) {
	if len(o.names) == 0 {
		if o.short {
			return parts()[:1], nil
		}
		return parts(), nil
	}
	var out []part
	for _, n := range o.names {
		before := len(out)
		for _, p := range parts() {
			if n == "all" || n == p.name {
				out = append(out, p)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("unknown part %q: want compare, streams, connect or all", n)
		}
	}
	return out, nil
}

// bench is the workplace: options, jars, and a directory for each part.
type bench struct {
	options
	dir    string
	jars   string // Apache Kafka and its tools
	around string // Streams and Connect's connectors
}

// runAll runs the chosen parts and reports whether all is well.
func runAll(ctx context.Context, o options) bool {
	chosen, err := o.chosen()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tools:", err)
		return false
	}
	b := &bench{options: o}
	if err := b.fetch(ctx); err != nil {
		fmt.Printf("NOT RUN  %v\n", err)
		return o.short && errors.Is(err, errCannotRun)
	}
	well := true
	for _, p := range chosen {
		start := time.Now()
		text, err := b.runOne(ctx, p)
		took := time.Since(start).Round(100 * time.Millisecond)
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			fmt.Printf("interrupted in %s after %s\n", p.name, took)
			return false
		case err == nil:
			fmt.Printf("ok       %-8s %s in %s\n", p.name, text, took)
		default:
			fmt.Printf("FAILED   %-8s after %s: %v\n", p.name, took, err)
			well = false
		}
	}
	return well && ctx.Err() == nil
}

// runOne runs a part in a directory of its own, which it removes.
func (b *bench) runOne(ctx context.Context, p part) (text string, err error) {
	if b.dir, err = os.MkdirTemp("", "penstock-tools-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil && b.keep {
			note("kept: %s", b.dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	return p.run(ctx, b)
}

// fetch makes sure that Java and the jars are there.
func (b *bench) fetch(ctx context.Context) error {
	for _, name := range []string{"java", "javac"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w (a Java development kit of version 17 or later is needed)", errCannotRun, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	note("fetching Apache Kafka %s, if it is not in %s yet", broker.ApacheVersion, b.cache)
	var err error
	if b.jars, err = broker.FetchApache(ctx, b.cache); err == nil && !b.short {
		b.around, err = fetchAround(ctx, b.cache)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCannotRun, err)
	}
	return nil
}

// start starts the broker on a directory below the part's.
func (b *bench) start(ctx context.Context, data string, args ...string) (*broker.Broker, error) {
	return broker.Start(ctx, broker.Options{
		Binary: b.binary, Data: filepath.Join(b.dir, data), Output: filepath.Join(b.dir, data+".log"), Args: args,
	})
}

// stop stops the broker and adds what went wrong to err.
func (b *bench) stop(br *broker.Broker, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%w\nthe broker's last words:\n%s", *err, br.Tail())
	}
	*err = errors.Join(*err, br.Stop())
}

// note prints a line of progress that stays.
func note(format string, args ...any) { fmt.Printf("         "+format+"\n", args...) }
