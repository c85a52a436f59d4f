// Command rocket shows that unchanged RocketMQ clients and tools work with penstock.
//
// Part clients plays scenarios with the Java client of versions 5.5.0 and 4.9.8 and with rocketmq-client-go: every kind of sending, push
// consumers in all models with retries and dead letters, pull and lite pull consumers, filters by tag, delays, look-ups. What comes out is
// judged: nothing lost, the order within queues, filters exact, retries counted, delays never early. The long form plays them against a
// real RocketMQ too, to see that the judge is right, and compares facts of both: codes, statuses, names of properties.
//
// Part programs runs the benchmark programs that come with RocketMQ, Producer, BatchProducer and Consumer, as they are: nothing may be refused, and
// everything must be consumed.
//
// Part tools runs commands of mqadmin against a real RocketMQ and penstock and compares what they print line by line; script.txt has the
// commands, differences.txt what may differ and why. With -on real both are RocketMQ: what differs then is chance.
//
// Part kill kills the broker with SIGKILL while clients send one message at a time, and looks for every message that was acknowledged.
//
// Part store takes what clients wrote to one broker to the other, by penstock rocketmq export and import, and back: the real RocketMQ must have every message
// of a store that penstock wrote, at its offset and by its keys and ids, with topics, groups and offsets, and must be able to go on; and the other way round.
//
// Usage: rocket -penstock BINARY [-short] [-cache DIR] [-only CLIENT,...] [-run PATTERN] [-on real|penstock] [-v] [clients|programs|tools|kill|store|all]
//
// The jars come from Maven into the cache. Where they cannot be had the parts are reported as NOT RUN, which is a failure except with
// -short. The exit code is 0 only if everything that ran is right.
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
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"penstock/bench/broker"
	"penstock/bench/rocket/gorocket"
)

const (
	// limit bounds the whole run.
	limit = 40 * time.Minute
	// fetchLimit bounds the download of the jars.
	fetchLimit = 10 * time.Minute
	// goDriver is the argument that makes this program the driver of the Go client.
	goDriver = "go-driver"
)

// errCannotRun is wrapped by parts that need what this machine does not have.
var errCannotRun = errors.New("cannot run here")

// options are the command line.
type options struct {
	binary  string
	cache   string
	short   bool
	keep    bool
	verbose bool
	only    string
	on      string
	layout  string
	doc     string
	run     *regexp.Regexp
	names   []string
}

// part is one check. It returns what it did, in words.
type part struct {
	name string
	run  func(context.Context, *bench) (string, error)
}

func parts() []part {
	return []part{{"clients", runClients}, {"programs", runPrograms}, {"tools", runTools}, {"kill", runKill}, {"store", runStore}}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == goDriver {
		if err := gorocket.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "driver:", err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rocket:", err)
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
	var run string
	fs := flag.NewFlagSet("rocket", flag.ContinueOnError)
	fs.StringVar(&o.binary, "penstock", "../bin/penstock", "the broker's binary")
	fs.StringVar(&o.cache, "cache", ".cache", "directory for what is fetched")
	fs.BoolVar(&o.short, "short", false, "few messages, penstock alone")
	fs.BoolVar(&o.keep, "keep", false, "keep data after a failure")
	fs.BoolVar(&o.verbose, "v", false, "print every fact and what every command printed")
	fs.StringVar(&o.only, "only", "", "names of clients, with commas; empty means all")
	fs.StringVar(&o.on, "on", "", "real or penstock alone; empty means both, with -short penstock")
	fs.StringVar(&o.layout, "layout", "", "layout of topics that RocketMQ's clients create: segment or commit; empty means the default")
	fs.StringVar(&o.doc, "doc", "", "file that takes the table of mqadmin's commands and differences")
	fs.StringVar(&run, "run", "", "play only scenarios whose names match this regular expression")
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return o, err
		}
		if args = fs.Args(); len(args) > 0 {
			o.names, args = append(o.names, args[0]), args[1:]
		}
	}
	var err error
	if o.run, err = regexp.Compile(run); err != nil {
		return o, err
	}
	if o.on != "" && o.on != "real" && o.on != "penstock" {
		return o, fmt.Errorf("-on %s: want real or penstock", o.on)
	}
	if o.binary, err = filepath.Abs(o.binary); err == nil && o.on != "real" {
		_, err = os.Stat(o.binary)
	}
	if err != nil {
		return o, fmt.Errorf("no broker to test: %w (build it with make build, or name it with -penstock)", err)
	}
	if err := o.checkOnly(); err != nil {
		return o, err
	}
	_, err = o.chosen()
	return o, err
}

// checkOnly complains of names of clients that do not exist.
func (o options) checkOnly() error {
	if o.only == "" {
		return nil
	}
	for _, n := range strings.Split(o.only, ",") {
		if !slices.ContainsFunc(fleet(), func(c client) bool { return c.name == n }) {
			return fmt.Errorf("unknown client %q: want some of %s", n, fleetNames())
		}
	}
	return nil
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
			return nil, fmt.Errorf("unknown part %q: want clients, programs, tools, kill, store or all", n)
		}
	}
	return out, nil
}

// bench is the workplace: options, jars, and a directory for each part.
type bench struct {
	options
	dir  string
	jars broker.RocketJars
}

// runAll runs the chosen parts and reports whether all is well.
func runAll(ctx context.Context, o options) bool {
	chosen, err := o.chosen()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rocket:", err)
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
	if b.dir, err = os.MkdirTemp("", "penstock-rocket-"); err != nil {
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
	note("fetching Apache RocketMQ %s and client %s, if they are not in %s yet", broker.RocketVersion, broker.RocketOldClient, b.cache)
	var err error
	if b.jars, err = broker.FetchRocket(ctx, b.cache); err != nil {
		return fmt.Errorf("%w: %w", errCannotRun, err)
	}
	return nil
}

// note prints a line of progress that stays.
func note(format string, args ...any) { fmt.Printf("         "+format+"\n", args...) }
