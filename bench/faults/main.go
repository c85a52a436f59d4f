// Command faults breaks brokers in many ways and checks that nothing acknowledged is lost, doubled or reordered:
//
//	kill    kill -9 under load, again and again
//	power   power cuts of ext4 and xfs under load, with a control that must lose
//	full    a disk that fills up and gets its space back
//	inject  system calls that fail, one after the other
//
// Usage: faults -penstock BINARY [-short] [-cycles N] [-seed S] [kill|power|full|inject|all]
//
// Each prints one line. The exit code is 1 if a fault was not survived, and, except with -short, if a part could not run
// on this machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// errCannotRun is wrapped by the parts that need what this machine does not have.
var errCannotRun = errors.New("cannot run here")

// part is one sort of faults. It returns what it counted, in words.
type part struct {
	name  string
	run   func(context.Context, *rig) (string, error)
	limit time.Duration // of the long form
}

// parts are what "all" runs, in this order.
func parts() []part {
	return []part{
		{"kill", runKill, 30 * time.Minute},
		{"power", runPower, 30 * time.Minute},
		{"full", runFull, 15 * time.Minute},
		{"inject", runInject, 30 * time.Minute},
	}
}

// shortLimit bounds each part of the short form.
const shortLimit = 3 * time.Minute

// options are the command line.
type options struct {
	binary string
	short  bool
	keep   bool
	cycles int
	seed   uint64
	names  []string
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if !isolated() {
		os.Exit(isolate(ctx))
	}
	if !runAll(ctx, o) {
		os.Exit(1)
	}
}

// parse reads the command line; flags may stand before and after the names.
func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("faults", flag.ContinueOnError)
	fs.StringVar(&o.binary, "penstock", "../bin/penstock", "the broker's binary")
	fs.BoolVar(&o.short, "short", false, "a few cycles of each")
	fs.BoolVar(&o.keep, "keep", false, "keep the data directory after a failure")
	fs.IntVar(&o.cycles, "cycles", 0, "cycles; 0 means 300 kills, 200 power cuts and so on, or a few with -short")
	fs.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "seed of everything random")
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return o, err
		}
		if args = fs.Args(); len(args) > 0 {
			o.names, args = append(o.names, args[0]), args[1:]
		}
	}
	if len(o.names) == 0 {
		o.names = []string{"all"}
	}
	abs, err := filepath.Abs(o.binary)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		return o, fmt.Errorf("no broker to test: %w (build it with make build, or name it with -penstock)", err)
	}
	o.binary = abs
	_, err = choose(o.names)
	return o, err
}

// choose finds the parts by name.
func choose(names []string) ([]part, error) {
	var chosen []part
	for _, n := range names {
		found := false
		for _, p := range parts() {
			if n == p.name || n == "all" {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("unknown fault %q: want kill, power, full, inject or all", n)
		}
	}
	return chosen, nil
}

// runAll runs the chosen parts and reports whether all is well.
func runAll(ctx context.Context, o options) bool {
	chosen, err := choose(o.names)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return false
	}
	fmt.Printf("faults: seed %d, broker %s\n", o.seed, filepath.Base(o.binary))
	well := true
	for _, p := range chosen {
		start := time.Now()
		text, err := runOne(ctx, o, p)
		took := time.Since(start).Round(100 * time.Millisecond)
		switch {
		case ctx.Err() != nil:
			fmt.Printf("interrupted in %s after %s\n", p.name, took)
			return false
		case err == nil:
			fmt.Printf("ok       %-7s %s in %s\n", p.name, text, took)
		case errors.Is(err, errCannotRun):
			fmt.Printf("NOT RUN  %-7s %s\n", p.name, oneLine(err))
			well = well && o.short
		default:
			fmt.Printf("FAILED   %-7s after %s: %v\n", p.name, took, err)
			well = false
		}
	}
	return well
}

// runOne runs one part in a directory of its own, which it removes.
func runOne(ctx context.Context, o options, p part) (text string, err error) {
	limit := p.limit
	if o.short {
		limit = shortLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := newRig(o, p.name)
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := r.close(err != nil); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}()
	return p.run(ctx, r)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
