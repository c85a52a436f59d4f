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
	"fmt"
	"os"
	"path/filepath"
	"time"

	"penstock/bench/broker"
	"penstock/bench/clients/drive"
	"penstock/bench/screen"
	"penstock/bench/suite"
)

const (
	// limit bounds the whole run.
	limit = 90 * time.Minute

	longRecords  = 1_000_000
	shortRecords = 20_000
)

// bench is the workplace: what the command line says, jars once they are there, and what was found.
type bench struct {
	suite.Place
	records int
	sources string
	only    string
	apache  bool
	seed    uint64
	churn   time.Duration

	jars    string
	jarsErr error
	asked   bool

	clients    []*drive.Client // that can run, once they are installed
	clientsErr error
	asked2     bool
	rows       []row
}

// partitions is the number of partitions of each topic. A tool of the Java client reads one at a time, and starting it is most
// of the short form's time.
func (b *bench) partitions() int {
	if b.Short {
		return 1
	}
	return 3
}

// thorough reports whether to do with a codec what need not be done with each in the short form.
func (b *bench) thorough(codec string) bool { return !b.Short || codec == "none" }

type part = suite.Part[*bench]

func parts() []part {
	return []part{
		{Name: "go", Run: runGo}, {Name: "java", Run: runJava}, {Name: "dump", Run: runDump}, {Name: "adopt", Run: runAdopt},
		{Name: "codecs", Run: runCodecs}, {Name: "exactly", Run: runExactly}, {Name: "groups", Run: runGroups}, {Name: "admin", Run: runAdmin},
	}
}

func main() {
	b, chosen, err := parse(os.Args[1:])
	suite.Main("clients", limit, err, func(ctx context.Context) bool {
		well := suite.Play(ctx, "clients", &b.Place, b, chosen)
		printRows(b.rows)
		return well
	})
}

// parse reads the command line, and returns the parts that it names.
func parse(args []string) (*bench, []part, error) {
	b := &bench{}
	fs := b.Flags("clients", "few records")
	fs.IntVar(&b.records, "records", 0, "records for each codec; 0 means a million, or 20,000 with -short")
	fs.StringVar(&b.sources, "drivers", filepath.Join("clients", "drivers"), "directory of the drivers' sources")
	fs.StringVar(&b.only, "only", "", "names of clients, with commas; empty means all")
	fs.BoolVar(&b.apache, "apache", false, "play parts groups and admin against Apache Kafka instead, to see what it answers")
	fs.Uint64Var(&b.seed, "seed", 0, "seed of what happens to groups; 0 takes one from the clock")
	fs.DurationVar(&b.churn, "churn", 0, "how long members come and go; 0 means two minutes, or ten seconds with -short")
	if err := b.Parse(fs, args); err != nil {
		return nil, nil, err
	}
	if b.records == 0 {
		b.records = longRecords
		if b.Short {
			b.records = shortRecords
		}
	}
	chosen, err := suite.Choose(parts(), b.Names, parts())
	if err == nil {
		err = b.Find()
	}
	if err == nil {
		err = b.checkOnly()
	}
	return b, chosen, err
}

// quick are arguments of a broker whose groups begin at once, in the short form.
func (b *bench) quick() []string {
	if b.Short {
		return []string{"--set", "group.initial.delay=0s"}
	}
	return nil
}

// quickApache is the same for Apache Kafka.
func (b *bench) quickApache() []string {
	if b.Short {
		return []string{"group.initial.rebalance.delay.ms=0"}
	}
	return nil
}

// needJava makes sure that Java and the jars are there.
func (b *bench) needJava(ctx context.Context) error {
	if b.asked {
		return b.jarsErr
	}
	b.asked = true
	if b.jarsErr = suite.NeedJava(); b.jarsErr != nil {
		return b.jarsErr
	}
	ctx, cancel := context.WithTimeout(ctx, suite.FetchLimit)
	defer cancel()
	fmt.Printf("         fetching Apache Kafka %s, if it is not in %s yet\n", broker.ApacheVersion, b.Cache)
	jars, err := broker.FetchApache(ctx, b.Cache)
	if err != nil {
		b.jarsErr = fmt.Errorf("%w: %w", suite.ErrCannotRun, err)
		return b.jarsErr
	}
	b.jars = jars
	return nil
}

func count(n int) string { return screen.Count(int64(n)) }
