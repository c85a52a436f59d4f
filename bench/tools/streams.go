package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/broker"
	"penstock/bench/screen"
	"penstock/bench/suite"
)

// The word count of Kafka's own examples, unchanged, and its topics.
const (
	wordCountClass = "org.apache.kafka.streams.examples.wordcount.WordCountDemo"
	linesTopic     = "streams-plaintext-input"
	countsTopic    = "streams-wordcount-output"
)

const (
	// streamsLines is the number of lines of each of the four rounds.
	streamsLines = 10_000
	// streamsWords is how many words a line has.
	streamsWords = 5
	// streamsParts is the number of partitions of the topics.
	streamsParts = 2
	// streamsSeed makes the text.
	streamsSeed = 4
)

// wordCount is the word count under way.
type wordCount struct {
	b     *bench
	br    *broker.Broker
	rnd   *rand.Rand
	props string
	want  map[string]int64 // true counts of all lines acknowledged so far
	got   map[string]int64 // the last count of each word
	back  int              // counts that were not above the one before of the same word
	read  int64            // counts read
}

// runStreams counts words at least once. Lines come in four rounds: undisturbed; while the broker is killed with kill -9; while
// it is stopped and started; and after the application was stopped too and its state directory removed, so that it must read its
// state back from its changelog. After each round the last count of every word must have reached the true count; it may be
// above it only if Streams itself says that it started over (at-least-once); then that is reported.
func runStreams(ctx context.Context, b *bench) (_ string, err error) {
	br, err := b.Start(ctx, "streams")
	if err != nil {
		return "", err
	}
	w := &wordCount{b: b, br: br, rnd: rand.New(rand.NewPCG(streamsSeed, 0)), want: map[string]int64{}, got: map[string]int64{}}
	defer func() { b.Stop(w.br, &err) }()
	if err := w.prepare(ctx); err != nil {
		return "", err
	}
	reading, stop := context.WithCancel(ctx)
	results := make(chan *kgo.Record, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		readCounts(reading, br.Kafka, results)
	}()
	defer func() { stop(); <-done }()
	a, err := b.startApp("streams", wordCountClass, w.props)
	if err != nil {
		return "", err
	}
	defer func() { a.end() }()
	rounds := []struct {
		name string
		do   func() error
	}{
		{"undisturbed", func() error { return nil }},
		{"kill -9 of the broker", func() error { return w.again(ctx, w.br.Kill) }},
		{"stop and start of the broker", func() error { return w.again(ctx, w.br.Stop) }},
		{"application started again without its state", func() error {
			if err := a.stop(); err != nil {
				return err
			}
			if err := os.RemoveAll(filepath.Join(b.Dir, "state")); err != nil {
				return err
			}
			a, err = b.startApp("streams-again", wordCountClass, w.props)
			return err
		}},
	}
	above := int64(0)
	for _, r := range rounds {
		over, err := w.round(ctx, r.name, &a, results, r.do)
		if err != nil {
			return "", fmt.Errorf("%s: %w", r.name, err)
		}
		above = over
	}
	text := fmt.Sprintf("%s lines, %s words, %d different, counted by Kafka Streams' WordCountDemo through kill -9, stop and loss of its state: ",
		screen.Count(4*streamsLines), screen.Count(4*streamsLines*streamsWords), len(w.want))
	if above > 0 || w.back > 0 {
		return text + fmt.Sprintf("no word counted too low; %d too many and %d repeated, as at-least-once allows", above, w.back), nil
	}
	return text + "every count exact, no count twice", nil
}

// prepare makes the topics that the example wants to be there, and its configuration.
func (w *wordCount) prepare(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.br.Kafka))
	if err != nil {
		return err
	}
	defer cl.Close()
	made, err := kadm.NewClient(cl).CreateTopics(ctx, streamsParts, 1, nil, linesTopic, countsTopic)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		return err
	}
	w.props, err = w.b.properties("streams.properties",
		"bootstrap.servers="+w.br.Kafka,
		"processing.guarantee=at_least_once",
		"state.dir="+filepath.Join(w.b.Dir, "state"),
		"commit.interval.ms=200",
		// Streams asks for changelogs with cleanup.policy=compact. A changelog that is kept whole holds the same state and more.
		"topic.cleanup.policy=delete",
		"topic.retention.ms=-1",
	)
	return err
}

// again ends the broker and starts it at the same addresses.
func (w *wordCount) again(ctx context.Context, end func() error) error {
	if err := end(); err != nil {
		return err
	}
	br, err := w.br.Restart(ctx)
	if err != nil {
		return err
	}
	w.br = br
	return nil
}

// round writes lines, disturbs in the middle of them, and waits until every word is counted. It returns by how much counts are too high.
func (w *wordCount) round(ctx context.Context, name string, a **app, results <-chan *kgo.Record, disturb func() error) (int64, error) {
	suite.Note("%s: %s lines", name, screen.Count(streamsLines))
	written := make(chan error, 1)
	half := make(chan struct{})
	go func() { written <- w.writeLines(ctx, half) }()
	select {
	case <-half:
	case err := <-written:
		return 0, errors.Join(err, errors.New("the lines ended early"))
	}
	err := errors.Join(disturb(), <-written)
	if err != nil {
		return 0, err
	}
	err = waitFor(ctx, "every word is counted", []*app{*a}, func() (bool, error) {
		return w.reached(results), nil
	})
	var low []string
	over := int64(0)
	for word, n := range w.want {
		if d := w.got[word] - n; d < 0 {
			low = append(low, fmt.Sprintf("%s %d of %d", word, w.got[word], n))
		} else {
			over += d
		}
	}
	if len(low) > 0 {
		slices.Sort(low)
		err = errors.Join(err, fmt.Errorf("%d words are counted too low: %s", len(low), strings.Join(low[:min(5, len(low))], ", ")))
	}
	for word := range w.got {
		if w.want[word] == 0 {
			err = errors.Join(err, fmt.Errorf("%q was counted and never written", word))
		}
	}
	if err == nil && over > 0 && !(*a).startedOver() {
		err = fmt.Errorf("counts are %d too high, and Streams does not say that it started over", over)
	}
	return over, err
}

// startedOver reports whether Streams says that it threw away work under way, to do it once more from its last commit.
func (a *app) startedOver() bool {
	return a.said("TaskCorruptedException")+a.said("TaskMigratedException")+a.said("StreamsException") > 0
}

// writeLines writes one round's lines with an idempotent producer and adds their words to want. It closes half in the middle.
func (w *wordCount) writeLines(ctx context.Context, half chan<- struct{}) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.br.Kafka), kgo.DefaultProduceTopic(linesTopic), kgo.RecordDeliveryTimeout(time.Minute))
	if err != nil {
		return err
	}
	defer cl.Close()
	const burst = 100
	for i := 0; i < streamsLines; i += burst {
		var records []*kgo.Record
		words := map[string]int64{}
		for range burst {
			line := make([]string, streamsWords)
			for k := range line {
				line[k] = fmt.Sprintf("word%d", int(w.rnd.ExpFloat64()*40))
				words[line[k]]++
			}
			records = append(records, &kgo.Record{Value: []byte(strings.Join(line, " "))})
		}
		if i == streamsLines/2 {
			close(half)
		}
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("write lines: %w", err)
		}
		for word := range maps.Keys(words) {
			w.want[word] += words[word]
		}
	}
	return nil
}

// readCounts hands on every record of the output topic, through the broker's restarts.
func readCounts(ctx context.Context, addr string, to chan<- *kgo.Record) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(countsTopic))
	if err != nil {
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		fs := cl.PollFetches(ctx)
		fs.EachRecord(func(r *kgo.Record) {
			select {
			case to <- r:
			case <-ctx.Done():
			}
		})
	}
}

// reached takes the counts that are there and reports whether each word has reached its true count.
func (w *wordCount) reached(results <-chan *kgo.Record) bool {
	for {
		select {
		case r := <-results:
			w.read++
			word, n := string(r.Key), int64(0)
			if len(r.Value) == 8 {
				n = int64(binary.BigEndian.Uint64(r.Value))
			}
			if n <= w.got[word] {
				w.back++
			}
			w.got[word] = n
		default:
			for word, n := range w.want {
				if w.got[word] < n {
					return false
				}
			}
			return true
		}
	}
}
