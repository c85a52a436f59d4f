// Command clients shows that unchanged clients work.
//
// Parts codecs, exactly, groups and admin drive clients of six kinds through drivers of their own (package spec says how, package
// drive what is installed): each writes and reads with every codec it has; idempotent producers go through kill -9 of the broker;
// consumers of mixed groups come and go at random; every administrative call of each client is answered as Kafka answers it.
//
// Parts go, java, dump and adopt need no drivers: franz-go and the tools of the Java client (ProducerPerformance,
// ConsoleConsumer, GetOffsetShell, DumpLogSegments) write and read a million records with each codec, each what the other
// wrote, with equal sums; DumpLogSegments reads the broker's files; and the broker takes over the files of a real Apache
// Kafka.
//
// Usage: clients -penstock BINARY [-short] [-only CLIENT,...] [-seed N] [-churn TIME] [-apache] [-cache DIR] [-records N] [PART...]
//
// What is needed comes from its registry into the cache: jars from Maven, packages of Python and JavaScript. What cannot be had is
// reported as NOT RUN, which is a failure except with -short. The exit code is 0 only if everything that ran is right.
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
	"penstock/bench/clients/drive"
	"penstock/bench/screen"
)

const (
	// limit bounds the whole run.
	limit = 90 * time.Minute
	// fetchLimit bounds the download of the jars.
	fetchLimit = 10 * time.Minute

	longRecords  = 1_000_000
	shortRecords = 20_000
)

// partitions is the number of partitions of each topic. A tool of the Java client reads one at a time, and starting it is most
// of the short form's time.
func (o options) partitions() int {
	if o.short {
		return 1
	}
	return 3
}

// thorough reports whether to do with a codec what need not be done with each in the short form.
func (o options) thorough(codec string) bool { return !o.short || codec == "none" }

// errCannotRun is wrapped by parts that need what this machine does not have.
var errCannotRun = errors.New("cannot run here")

// options are the command line.
type options struct {
	binary  string
	cache   string
	short   bool
	keep    bool
	records int
	sources string
	only    string
	apache  bool
	seed    uint64
	churn   time.Duration
	names   []string
}

// part is one check. It returns what it did, in words.
type part struct {
	name string
	run  func(context.Context, *bench) (string, error)
}

func parts() []part {
	return []part{
		{"go", runGo}, {"java", runJava}, {"dump", runDump}, {"adopt", runAdopt},
		{"codecs", runCodecs}, {"exactly", runExactly}, {"groups", runGroups}, {"admin", runAdmin},
	}
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
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
	fs := flag.NewFlagSet("clients", flag.ContinueOnError)
	fs.StringVar(&o.binary, "penstock", "../bin/penstock", "the broker's binary")
	fs.StringVar(&o.cache, "cache", ".cache", "directory for what is fetched")
	fs.BoolVar(&o.short, "short", false, "few records")
	fs.BoolVar(&o.keep, "keep", false, "keep data and the broker's goroutines after a failure")
	fs.IntVar(&o.records, "records", 0, "records for each codec; 0 means a million, or 20,000 with -short")
	fs.StringVar(&o.sources, "drivers", filepath.Join("clients", "drivers"), "directory of the drivers' sources")
	fs.StringVar(&o.only, "only", "", "names of clients, with commas; empty means all")
	fs.BoolVar(&o.apache, "apache", false, "play parts groups and admin against Apache Kafka instead, to see what it answers")
	fs.Uint64Var(&o.seed, "seed", 0, "seed of what happens to groups; 0 takes one from the clock")
	fs.DurationVar(&o.churn, "churn", 0, "how long members come and go; 0 means two minutes, or ten seconds with -short")
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return o, err
		}
		if args = fs.Args(); len(args) > 0 {
			o.names, args = append(o.names, args[0]), args[1:]
		}
	}
	if o.records == 0 {
		o.records = longRecords
		if o.short {
			o.records = shortRecords
		}
	}
	var err error
	if o.binary, err = filepath.Abs(o.binary); err == nil {
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

// chosen are the parts that the names stand for.
func (o options) chosen() ([]part, error) {
	if len(o.names) == 0 {
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
			return nil, fmt.Errorf("unknown part %q: want go, java, dump, adopt, codecs, exactly, groups, admin or all", n)
		}
	}
	return out, nil
}

// bench is the workplace: options, jars once they are there, and a directory for each part.
type bench struct {
	options
	dir     string
	jars    string
	jarsErr error
	asked   bool

	clients    []*drive.Client // that can run, once they are installed
	clientsErr error
	asked2     bool
	rows       []row
}

// runAll runs the chosen parts and reports whether all is well.
func runAll(ctx context.Context, o options) bool {
	chosen, err := o.chosen()
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		return false
	}
	b := &bench{options: o}
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
			fmt.Printf("ok       %-7s %s in %s\n", p.name, text, took)
		case errors.Is(err, errCannotRun):
			fmt.Printf("NOT RUN  %-7s %v\n", p.name, err)
			well = well && o.short
		default:
			fmt.Printf("FAILED   %-7s after %s: %v\n", p.name, took, err)
			well = false
		}
	}
	printRows(b.rows)
	return well && ctx.Err() == nil
}

// runOne runs a part in a directory of its own, which it removes.
func (b *bench) runOne(ctx context.Context, p part) (text string, err error) {
	if b.dir, err = os.MkdirTemp("", "penstock-clients-"); err != nil {
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

// start starts the broker on a directory below the part's.
func (b *bench) start(ctx context.Context, data string, args ...string) (*broker.Broker, error) {
	return broker.Start(ctx, broker.Options{
		Binary: b.binary, Data: filepath.Join(b.dir, data), Output: filepath.Join(b.dir, data+".log"), Args: args,
	})
}

// quick are arguments of a broker whose groups begin at once, in the short form.
func (o options) quick() []string {
	if o.short {
		return []string{"--set", "group.initial.delay=0s"}
	}
	return nil
}

// quickApache is the same for Apache Kafka.
func (o options) quickApache() []string {
	if o.short {
		return []string{"group.initial.rebalance.delay.ms=0"}
	}
	return nil
}

// stop stops the broker and adds what went wrong to err. If something did and the data is kept, the broker prints its
// goroutines.
func (b *bench) stop(br *broker.Broker, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%w\nthe broker's last words:\n%s", *err, br.Tail())
	}
	if *err != nil && b.keep {
		_ = syscall.Kill(br.PID(), syscall.SIGQUIT)
	}
	*err = errors.Join(*err, br.Stop())
}

// needJava makes sure that Java and the jars are there.
func (b *bench) needJava(ctx context.Context) error {
	if b.asked {
		return b.jarsErr
	}
	b.asked = true
	if _, err := exec.LookPath("java"); err != nil {
		b.jarsErr = fmt.Errorf("%w: there is no java: %w", errCannotRun, err)
		return b.jarsErr
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	fmt.Printf("         fetching Apache Kafka %s, if it is not in %s yet\n", broker.ApacheVersion, b.cache)
	jars, err := broker.FetchApache(ctx, b.cache)
	if err != nil {
		b.jarsErr = fmt.Errorf("%w: %w", errCannotRun, err)
		return b.jarsErr
	}
	b.jars = jars
	return nil
}

// note prints a line of progress that stays.
func note(format string, args ...any) { fmt.Printf("         "+format+"\n", args...) }

func count(n int) string { return screen.Count(int64(n)) }
