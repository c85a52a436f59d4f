// Bench measures a broker from outside, as a customer would: through public clients and the kernel's account of its process,
// beside the floors and beside Apache Kafka in the same run.
//
//	bench cpu       processor seconds per GiB produced and consumed
//	bench acks      one record at a time with acks=all: rate, latency, processor time per acknowledgement
//	bench latency   end to end at a steady rate, open loop
//	bench syscalls  which bytes leave by sendfile and splice, in both layouts and by both protocols, and whether segment files are read
//	bench idle      start to first answer, memory at rest
//	bench scale     many partitions and many connections: creation, restarts, memory, throughput kept
//	bench layouts   both layouts from one partition to ten thousand, with a plot
//	bench rocket    beside Apache RocketMQ, with RocketMQ's own benchmark programs
//	bench floors    the floors alone
//	bench profile   where penstock spends its processor time
//	bench all       cpu, acks, latency, syscalls and idle, one after the other
//
// Every command states its settings, prints a table, and closes with one line of JSON that holds the same figures. -short takes
// seconds and shows that the measurement works; its figures mean little. The long form, without -short, is for a machine on which
// nothing else runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"penstock/bench/broker"
	"penstock/bench/floors"
	"penstock/bench/lab"
)

// command is one measurement.
type command struct {
	name  string
	what  string
	peers string // the brokers it starts unless -peers says otherwise
	run   func(context.Context, *session) error
}

func commands() []command {
	both := penstock + "," + apache
	list := []command{
		{"cpu", "processor seconds per GiB produced and consumed", both, cpu},
		{"acks", "one record at a time with acks=all", both, acks},
		{"latency", "end to end at a steady rate", both, latency},
		{"syscalls", "which bytes leave by sendfile", penstock, syscalls},
		{"idle", "start to first answer, memory at rest", both, idle},
		{"scale", "many partitions and connections", both, scale},
		{"layouts", "both layouts from one partition to ten thousand", penstock, layouts},
		{"rocket", "beside RocketMQ: sends and push consumers of its own benchmark programs", penstock + "," + rocketmq, rocket},
		{"floors", "the floors alone", "", floorsAlone},
		{"profile", "where penstock spends its processor time", penstock, profile},
	}
	all := func(ctx context.Context, s *session) error {
		for _, c := range list[:5] {
			if err := c.run(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		return nil
	}
	return append(list, command{"all", "cpu, acks, latency, syscalls and idle", both, all})
}

func main() {
	if child, err := floors.Child(os.Args[1:]); child {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// run is main with its surroundings as arguments. It returns the exit status.
func run(ctx context.Context, args []string, out, complaints io.Writer) int {
	c, s, err := parse(args, complaints)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(complaints, "bench:", err)
		return 2
	}
	s.out = out
	if s.starts(apache) && s.jars == "" { // before the lab, which has no way out
		if s.jars, err = broker.FetchApache(ctx, s.cache); err != nil {
			fmt.Fprintf(complaints, "bench: %v\nbench: -peers %s goes on without it\n", err, penstock)
			return 1
		}
	}
	if c.name == "rocket" && s.rocketJars == "" {
		jars, err := broker.FetchRocket(ctx, s.cache)
		if err != nil {
			fmt.Fprintf(complaints, "bench: %v\n", err)
			return 1
		}
		s.rocketJars = jars.Whole
	}
	if s.lab && !lab.Inside() {
		code, err := lab.Enter()
		if err == nil {
			return code
		}
		fmt.Fprintf(complaints, "bench: %v\nbench: measuring on the loopback of this machine as it is\n", err)
	}
	if lab.Inside() {
		err = lab.Furnish()
	}
	if err == nil {
		err = s.open()
	}
	if err == nil {
		err = c.run(ctx, s)
	}
	if err := errors.Join(err, s.close()); err != nil {
		fmt.Fprintf(complaints, "bench %s: %v\n", c.name, err)
		return 1
	}
	return 0
}

// parse reads the command line.
func parse(args []string, complaints io.Writer) (command, *session, error) {
	list := commands()
	usage := func() {
		fmt.Fprintln(complaints, "usage: bench COMMAND [flags]")
		for _, c := range list {
			fmt.Fprintf(complaints, "  %-9s %s\n", c.name, c.what)
		}
		fmt.Fprintln(complaints, "bench COMMAND -h shows the flags.")
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		usage()
		return command{}, nil, flag.ErrHelp
	}
	at := slices.IndexFunc(list, func(c command) bool { return c.name == args[0] })
	if at < 0 {
		usage()
		return command{}, nil, fmt.Errorf("no command %q", args[0])
	}
	c, s := list[at], &session{peer: apache}
	if c.name == "rocket" {
		s.peer = rocketmq
	}
	var only string
	f := flag.NewFlagSet("bench "+c.name, flag.ContinueOnError)
	f.SetOutput(complaints)
	f.StringVar(&s.binary, "penstock", "../bin/penstock", "the penstock `binary`")
	f.BoolVar(&s.short, "short", false, "take seconds: little data, one round")
	f.IntVar(&s.rounds, "rounds", 0, "rounds of each measurement; 0: 3, with -short 1")
	f.IntVar(&s.partitions, "partitions", 6, "partitions of each topic")
	if c.name == "scale" {
		f.IntVar(&s.wide, "wide", 0, "partitions of the wide topic; 0: 10,000, with -short 500")
		f.IntVar(&s.connections, "connections", 0, "connections that say nothing; 0: 10,000, with -short 500")
	}
	if c.name == "layouts" {
		f.StringVar(&s.plot, "plot", "", "`file` that gets the rates as a drawing in SVG")
	}
	f.StringVar(&s.dir, "dir", os.TempDir(), "`directory` below which the brokers keep their data; it is removed afterwards")
	f.StringVar(&s.peers, "peers", c.peers, "brokers to measure, with commas between them")
	f.StringVar(&only, "only", "", "measure only cases whose name matches this regular `expression`")
	f.StringVar(&s.cache, "cache", ".cache", "`directory` that keeps Apache Kafka and profiles")
	f.StringVar(&s.jars, "kafka-jars", os.Getenv("BENCH_KAFKA_JARS"), "`directory` with the jars of Apache Kafka; empty: from the cache, through Maven")
	f.BoolVar(&s.lab, "lab", true, "measure in a network namespace of its own with cubic (needs root)")
	if err := f.Parse(args[1:]); err != nil {
		return c, nil, err
	}
	if f.NArg() > 0 {
		return c, nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return c, nil, err
	}
	return c, s, s.validate()
}
