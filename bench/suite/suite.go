// Package suite is what the programs that try the broker with other people's software have in common: a command line, parts that are played one
// after the other, each in a directory of its own, and a line about each.
package suite

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
)

// FetchLimit bounds a download of what a part needs.
const FetchLimit = 10 * time.Minute

// ErrCannotRun is wrapped by parts that need what this machine does not have. It is a failure, except in the short form.
var ErrCannotRun = errors.New("cannot run here")

// Options are what every such program is told on its command line.
type Options struct {
	Binary string   // the broker's, an absolute path once Find was called
	Cache  string   // directory for what is fetched
	Short  bool     // the short form
	Keep   bool     // keep data after a failure
	Names  []string // of parts; none means those that the program takes then
}

// Flags returns the flags of all programs, to which one adds its own. short says what the short form is.
func (o *Options) Flags(program, short string) *flag.FlagSet {
	fs := flag.NewFlagSet(program, flag.ContinueOnError)
	fs.StringVar(&o.Binary, "penstock", "../bin/penstock", "the broker's binary")
	fs.StringVar(&o.Cache, "cache", ".cache", "directory for what is fetched")
	fs.BoolVar(&o.Short, "short", false, short)
	fs.BoolVar(&o.Keep, "keep", false, "keep data after a failure")
	return fs
}

// Parse reads the command line; flags may stand before and after the names.
func (o *Options) Parse(fs *flag.FlagSet, args []string) error {
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return err
		}
		if args = fs.Args(); len(args) > 0 {
			o.Names, args = append(o.Names, args[0]), args[1:]
		}
	}
	return nil
}

// Find looks whether the broker's binary is there.
func (o *Options) Find() error {
	path, err := filepath.Abs(o.Binary)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return fmt.Errorf("no broker to test: %w (build it with make build, or name it with -penstock)", err)
	}
	o.Binary = path
	return nil
}

// Place is the workplace of a program: what it was told, and the directory of the part that is played.
type Place struct {
	Options
	Dir string
}

// Start starts the broker on a directory below the part's.
func (p *Place) Start(ctx context.Context, data string, args ...string) (*broker.Broker, error) {
	return broker.Start(ctx, broker.Options{
		Binary: p.Binary, Data: filepath.Join(p.Dir, data), Output: filepath.Join(p.Dir, data+".log"), Args: args,
	})
}

// Stop stops the broker and adds what went wrong to err. If something did and the data is kept, the broker prints its goroutines.
func (p *Place) Stop(br *broker.Broker, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%w\nthe broker's last words:\n%s", *err, br.Tail())
		if p.Keep {
			_ = syscall.Kill(br.PID(), syscall.SIGQUIT)
		}
	}
	*err = errors.Join(*err, br.Stop())
}

// Part is one check of a program whose workplace is a B. Run returns what it did, in words.
type Part[B any] struct {
	Name string
	Run  func(context.Context, B) (string, error)
}

// Choose returns the parts that names stand for, "all" among them, in the order of the names; without names it returns otherwise.
func Choose[B any](parts []Part[B], names []string, otherwise []Part[B]) ([]Part[B], error) {
	if len(names) == 0 {
		return otherwise, nil
	}
	var out []Part[B]
	for _, n := range names {
		before := len(out)
		for _, p := range parts {
			if n == "all" || n == p.Name {
				out = append(out, p)
			}
		}
		if len(out) == before {
			var known []string
			for _, p := range parts {
				known = append(known, p.Name)
			}
			return nil, fmt.Errorf("unknown part %q: want %s or all", n, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// Play plays parts at a workplace of which place is a part, each in a directory of its own, which it removes afterwards, and prints how each went. It reports
// whether all is well.
func Play[B any](ctx context.Context, program string, place *Place, b B, parts []Part[B]) bool {
	well := true
	for _, p := range parts {
		start := time.Now()
		text, err := one(ctx, program, place, b, p)
		took := time.Since(start).Round(100 * time.Millisecond)
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			fmt.Printf("interrupted in %s after %s\n", p.Name, took)
			return false
		case err == nil:
			fmt.Printf("ok       %-8s %s in %s\n", p.Name, text, took)
		case errors.Is(err, ErrCannotRun):
			fmt.Printf("NOT RUN  %-8s %v\n", p.Name, err)
			well = well && place.Short
		default:
			fmt.Printf("FAILED   %-8s after %s: %v\n", p.Name, took, err)
			well = false
		}
	}
	return well && ctx.Err() == nil
}

// one plays a part.
func one[B any](ctx context.Context, program string, place *Place, b B, p Part[B]) (text string, err error) {
	if place.Dir, err = os.MkdirTemp("", "penstock-"+program+"-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil && place.Keep {
			Note("kept: %s", place.Dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(place.Dir))
	}()
	return p.Run(ctx, b)
}

// Main runs a program for limit at most, and ends the process: with 2 if err says that the command line is wrong, with 1 if run reports that not all is
// well.
func Main(program string, limit time.Duration, err error, run func(context.Context) bool) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if !run(ctx) {
		os.Exit(1)
	}
}

// NeedJava looks for a Java development kit.
func NeedJava() error {
	for _, name := range []string{"java", "javac"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w (a Java development kit of version 17 or later is needed)", ErrCannotRun, err)
		}
	}
	return nil
}

// Note prints a line of progress that stays.
func Note(format string, args ...any) { fmt.Printf("         "+format+"\n", args...) }
