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
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"penstock/bench/broker"
	"penstock/bench/rocket/gorocket"
	"penstock/bench/suite"
)

const (
	// limit bounds the whole run.
	limit = 40 * time.Minute
	// goDriver is the argument that makes this program the driver of the Go client.
	goDriver = "go-driver"
)

// bench is the workplace: what the command line says, and the jars.
type bench struct {
	suite.Place
	verbose bool
	only    string
	on      string
	layout  string
	doc     string
	run     *regexp.Regexp

	jars broker.RocketJars
}

type part = suite.Part[*bench]

func parts() []part {
	return []part{
		{Name: "clients", Run: runClients}, {Name: "programs", Run: runPrograms}, {Name: "tools", Run: runTools}, {Name: "kill", Run: runKill},
		{Name: "store", Run: runStore},
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == goDriver {
		if err := gorocket.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "driver:", err)
			os.Exit(1)
		}
		return
	}
	b, chosen, err := parse(os.Args[1:])
	suite.Main("rocket", limit, err, func(ctx context.Context) bool {
		if err := b.fetch(ctx); err != nil {
			fmt.Printf("NOT RUN  %v\n", err)
			return b.Short && errors.Is(err, suite.ErrCannotRun)
		}
		return suite.Play(ctx, "rocket", &b.Place, b, chosen)
	})
}

// parse reads the command line, and returns the parts that it names.
func parse(args []string) (*bench, []part, error) {
	b := &bench{}
	var run string
	fs := b.Flags("rocket", "few messages, penstock alone")
	fs.BoolVar(&b.verbose, "v", false, "print every fact and what every command printed")
	fs.StringVar(&b.only, "only", "", "names of clients, with commas; empty means all")
	fs.StringVar(&b.on, "on", "", "real or penstock alone; empty means both, with -short penstock")
	fs.StringVar(&b.layout, "layout", "", "layout of topics that RocketMQ's clients create: segment or commit; empty means the default")
	fs.StringVar(&b.doc, "doc", "", "file that takes the table of mqadmin's commands and differences")
	fs.StringVar(&run, "run", "", "play only scenarios whose names match this regular expression")
	if err := b.Parse(fs, args); err != nil {
		return nil, nil, err
	}
	otherwise := parts()
	if b.Short {
		otherwise = slices.DeleteFunc(otherwise, func(p part) bool { return p.Name != "clients" && p.Name != "tools" })
	}
	chosen, err := suite.Choose(parts(), b.Names, otherwise)
	if err == nil {
		b.run, err = regexp.Compile(run)
	}
	if err == nil && b.on != "" && b.on != "real" && b.on != "penstock" {
		err = fmt.Errorf("-on %s: want real or penstock", b.on)
	}
	if err == nil && b.on != "real" {
		err = b.Find()
	}
	if err == nil {
		err = b.checkOnly()
	}
	return b, chosen, err
}

// checkOnly complains of names of clients that do not exist.
func (b *bench) checkOnly() error {
	if b.only == "" {
		return nil
	}
	for _, n := range strings.Split(b.only, ",") {
		if !slices.ContainsFunc(fleet(), func(c client) bool { return c.name == n }) {
			return fmt.Errorf("unknown client %q: want some of %s", n, fleetNames())
		}
	}
	return nil
}

// fetch makes sure that Java and the jars are there.
func (b *bench) fetch(ctx context.Context) error {
	if err := suite.NeedJava(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, suite.FetchLimit)
	defer cancel()
	suite.Note("fetching Apache RocketMQ %s and client %s, if they are not in %s yet", broker.RocketVersion, broker.RocketOldClient, b.Cache)
	var err error
	if b.jars, err = broker.FetchRocket(ctx, b.Cache); err != nil {
		return fmt.Errorf("%w: %w", suite.ErrCannotRun, err)
	}
	return nil
}
