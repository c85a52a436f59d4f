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
	"fmt"
	"os"
	"time"

	"penstock/bench/broker"
	"penstock/bench/suite"
)

// limit bounds the whole run.
const limit = 30 * time.Minute

// bench is the workplace: what the command line says, and the jars.
type bench struct {
	suite.Place
	doc     string
	verbose bool

	jars   string // Apache Kafka and its tools
	around string // Streams and Connect's connectors
}

type part = suite.Part[*bench]

func parts() []part {
	return []part{{Name: "compare", Run: runCompare}, {Name: "streams", Run: runStreams}, {Name: "connect", Run: runConnect}}
}

func main() {
	b, chosen, err := parse(os.Args[1:])
	suite.Main("tools", limit, err, func(ctx context.Context) bool {
		if err := b.fetch(ctx); err != nil {
			fmt.Printf("NOT RUN  %v\n", err)
			return b.Short && errors.Is(err, suite.ErrCannotRun)
		}
		return suite.Play(ctx, "tools", &b.Place, b, chosen)
	})
}

// parse reads the command line, and returns the parts that it names.
func parse(args []string) (*bench, []part, error) {
	b := &bench{}
	fs := b.Flags("tools", "a handful of commands, compare alone")
	fs.StringVar(&b.doc, "doc", "", "file that takes the table of commands and differences")
	fs.BoolVar(&b.verbose, "v", false, "print what every command printed, and expected differences too")
	if err := b.Parse(fs, args); err != nil {
		return nil, nil, err
	}
	otherwise := parts()
	if b.Short {
		otherwise = otherwise[:1]
	}
	chosen, err := suite.Choose(parts(), b.Names, otherwise)
	if err == nil {
		err = b.Find()
	}
	return b, chosen, err
}

// fetch makes sure that Java and the jars are there.
func (b *bench) fetch(ctx context.Context) error {
	if err := suite.NeedJava(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, suite.FetchLimit)
	defer cancel()
	suite.Note("fetching Apache Kafka %s, if it is not in %s yet", broker.ApacheVersion, b.Cache)
	var err error
	if b.jars, err = broker.FetchApache(ctx, b.Cache); err == nil && !b.Short {
		b.around, err = fetchAround(ctx, b.Cache)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", suite.ErrCannotRun, err)
	}
	return nil
}
