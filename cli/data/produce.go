package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

const (
	// defaultBatch is the largest batch where the topic does not say, Kafka's default of max.message.bytes.
	defaultBatch = 1 << 20
	// maxBatch bounds what a topic may make this process hold in one batch; --max-bytes goes beyond, up to what fits a request.
	maxBatch  = 32 << 20
	mostBatch = 99 << 20
	// buffered is what may wait to be sent, in bytes; two batches at least.
	buffered = 32 << 20
	// told bounds the failures that are told one by one.
	told = 10
)

// produceFlags are the flags of produce.
type produceFlags struct {
	key, separator, delimiter, codec, acks string
	headers                                []string
	json, whole, count, tombstones         bool
	partition                              int32
	maxBytes                               int
}

func newProduce(e *cli.Env) *cobra.Command {
	f := &produceFlags{}
	c := &cobra.Command{
		Use:   "produce TOPIC [FILE...]",
		Short: "Send records from lines, files or JSON lines",
		Long: `Sends each line of the files, or of standard input when there are none (- is standard input), as a record. A line is
sent byte for byte without its delimiter.

A line of JSON (--json) has key, value, headers, partition and timestamp, and key_base64 and value_base64 for bytes that are
no text; null is null. That is the form in which penstock consume -o json prints.

Records that cannot be sent are told with their line, the others are sent, and the exit code is 1.`,
		Example: `  penstock produce orders
  penstock produce orders lines.txt --key-separator : --codec zstd
  penstock produce images a.png b.png --whole-files -H kind=png --count
  penstock produce orders records.jsonl --json --acks all -o json`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return e.CompleteTopics()(c, args, begun)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(c *cobra.Command, args []string) error { return produce(c.Context(), e, f, args[0], args[1:]) },
	}
	fl := c.Flags()
	fl.StringVarP(&f.key, "key", "k", "", "`key` of every record")
	fl.StringVarP(&f.separator, "key-separator", "K", "", "`text` between key and value of a line; a line without it has no key")
	fl.StringVarP(&f.delimiter, "delimiter", "D", `\n`, "`character` that ends a record; \\n, \\t, \\0 and \\xNN are understood")
	fl.StringArrayVarP(&f.headers, "header", "H", nil, "`name=value` that every record gets; may be repeated")
	fl.BoolVar(&f.json, "json", false, "each line is a JSON object")
	fl.BoolVar(&f.whole, "whole-files", false, "each file is one record")
	fl.BoolVarP(&f.tombstones, "tombstones", "Z", false, "an empty key or value is sent as null")
	fl.Int32VarP(&f.partition, "partition", "p", noPartition, "`partition` to send to; -1: by the key, as Kafka's clients do")
	fl.StringVarP(&f.codec, "codec", "z", "none", "`compression`: "+strings.Join(codecNames, ", "))
	fl.StringVar(&f.acks, "acks", "all", "who must have a record before it counts as sent: "+strings.Join(acksNames, ", "))
	fl.IntVar(&f.maxBytes, "max-bytes", 0, "largest batch in `bytes`; 0: the topic's max.message.bytes")
	fl.BoolVar(&f.count, "count", false, "print how much was sent at the end; -o json always does")
	complete(c, "codec", values(codecNames))
	complete(c, "acks", values(acksNames))
	return c
}

// check looks for flags that contradict each other.
func (f *produceFlags) check(files []string) error {
	switch {
	case f.json && f.whole:
		return cli.Usage("--json and --whole-files: a record is either a line or a file")
	case f.json && (f.separator != "" || f.key != ""):
		return cli.Usage("--json has its keys in the lines: leave --key and --key-separator out")
	case f.key != "" && f.separator != "":
		return cli.Usage("--key and --key-separator: a key comes from the one or the other")
	case f.whole && f.separator != "":
		return cli.Usage("--whole-files has no lines to separate: use --key")
	case f.whole && len(files) == 0:
		return cli.Usage("--whole-files: name the files")
	case f.partition < noPartition:
		return cli.Usage("--partition %d: want 0 or more", f.partition)
	case f.maxBytes < 0 || f.maxBytes > mostBatch:
		return cli.Usage("--max-bytes %d: want at most %d, or 0 for what the topic takes", f.maxBytes, mostBatch)
	}
	return nil
}

// common is the key and the headers that every record gets.
func (f *produceFlags) common() (key []byte, headers []kgo.RecordHeader, err error) {
	if f.key != "" {
		key = []byte(f.key)
	}
	for _, h := range f.headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok {
			return nil, nil, cli.Usage("-H %s: want name=value", h)
		}
		headers = append(headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	return key, headers, nil
}

func produce(ctx context.Context, e *cli.Env, f *produceFlags, topic string, files []string) error {
	if err := f.check(files); err != nil {
		return err
	}
	key, headers, err := f.common()
	if err != nil {
		return err
	}
	delimiter, err := unescape(f.delimiter)
	if err != nil || len(delimiter) != 1 {
		return cli.Usage("--delimiter %q: want one character", f.delimiter)
	}
	in := &input{files: files, stdin: e.Stdin(), json: f.json, whole: f.whole, delimiter: delimiter[0],
		separator: []byte(f.separator), key: key, headers: headers, tombstones: f.tombstones, partition: f.partition}
	if err := in.find(); err != nil {
		return err
	}
	opts, err := f.options(topic, e.Timeout)
	if err != nil {
		return err
	}
	in.limit, err = f.limit(ctx, e, topic)
	if err != nil {
		return err
	}
	opts = append(opts, kgo.ProducerBatchMaxBytes(int32(in.limit)), kgo.MaxBufferedBytes(max(buffered, 2*in.limit)))
	cl, err := e.Client(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	s := &sender{e: e, cl: cl, limit: in.limit, started: time.Now(), hopeless: make(chan struct{})}
	if len(files) > 0 || !e.Interactive() {
		s.bar = e.Progress("sending", -1, false)
	}
	return s.run(ctx, in, f.count)
}

func (f *produceFlags) options(topic string, timeout time.Duration) ([]kgo.Opt, error) {
	codec, err := codecOption(f.codec)
	if err != nil {
		return nil, err
	}
	opts, err := acksOptions(f.acks)
	return append(opts, codec, kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(partitioner{}),
		kgo.ProduceRequestTimeout(min(timeout, 30*time.Second))), err
}

// limit is the largest batch that may be sent. A topic that is not there, or does not tell, takes Kafka's default.
func (f *produceFlags) limit(ctx context.Context, e *cli.Env, topic string) (int, error) {
	a, err := e.Admin(ctx)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	if f.maxBytes > 0 {
		return f.maxBytes, nil
	}
	asked, cancel := e.Within(ctx)
	defer cancel()
	return topicLimit(asked, a, topic), nil
}

func topicLimit(ctx context.Context, a *kadm.Client, topic string) int {
	all, err := a.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return defaultBatch
	}
	for _, r := range all {
		for _, c := range r.Configs {
			if n, err := strconv.Atoi(c.MaybeValue()); c.Key == "max.message.bytes" && err == nil && n > 0 {
				return min(n, maxBatch)
			}
		}
	}
	return defaultBatch
}

// sender sends records and counts what becomes of them.
//
// The client's own limit on the time of a record counts from the record's timestamp, which the user may set to any. So the
// sender watches by itself: when for the time limit nothing is settled of what it gave, it takes all of it back.
type sender struct {
	e       *cli.Env
	cl      *kgo.Client
	bar     *cli.Progress
	limit   int
	started time.Time
	// hopeless is closed when fatal is set.
	hopeless chan struct{}

	// mu guards what is below.
	mu      sync.Mutex
	closed  bool      // nothing more is sent
	fatal   error     // that no other record will fare better
	waiting int64     // records that the client has
	settled time.Time // when one was last settled, or the client got the first
	sum     summary
	first   error // the first failure
}

// summary is what produce prints at the end.
type summary struct {
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"` // of keys and values
	Failed  int64   `json:"failed"`
	Seconds float64 `json:"seconds"`
}

// run sends the input to its end, or until the context ends or nothing more can be sent; then it waits for what is under way.
func (s *sender) run(ctx context.Context, in *input, count bool) error {
	given, takeBack := context.WithCancel(context.WithoutCancel(ctx)) // an interrupt still sends what was read
	defer takeBack()
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ended, takeBack) })
	read := make(chan error, 1)
	go func() { read <- s.read(given, in) }()
	var readErr error
	select {
	case readErr = <-read:
	case <-s.hopeless:
	case <-ctx.Done(): // a read of standard input cannot be woken up
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	flushErr := s.cl.Flush(given)
	s.cl.Close() // whatever is left fails
	close(ended)
	watching.Wait()
	s.bar.Done()
	return s.end(ctx, in, count, readErr, flushErr)
}

// watch takes back what the client has once nothing of it was settled for the time limit.
func (s *sender) watch(ended <-chan struct{}, takeBack func()) {
	t := time.NewTicker(min(tick, s.e.Timeout/4+1))
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
		}
		s.mu.Lock()
		late := s.waiting > 0 && time.Since(s.settled) > s.e.Timeout
		s.mu.Unlock()
		if late {
			s.giveUp(fmt.Errorf("no broker took them within %v", s.e.Timeout))
			takeBack()
			return
		}
	}
}

// giveUp ends sending.
func (s *sender) giveUp(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fatal == nil {
		s.fatal = why
		close(s.hopeless)
	}
}

// end tells what was done.
func (s *sender) end(ctx context.Context, in *input, count bool, readErr, flushErr error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Seconds = time.Since(s.started).Seconds()
	s.sum.Failed += s.waiting // that the client never answered for
	if s.sum.Failed > told {
		s.e.Remark("… and %d more", s.sum.Failed-told)
	}
	if count || s.e.JSON() {
		if err := s.e.Emit(s.sum, func(t *cli.Table) {
			t.Note("%d records, %s in %.1f s, %d failed", s.sum.Records, cli.Bytes(s.sum.Bytes), s.sum.Seconds, s.sum.Failed)
		}); err != nil {
			return cli.Fail("the summary cannot be written", err, "")
		}
	}
	what := fmt.Sprintf("%d of %d records were not sent", s.sum.Failed, s.sum.Records+s.sum.Failed)
	switch {
	case s.fatal != nil:
		next := "The input was read up to " + in.place() + ", what follows was not sent. penstock doctor looks closer"
		return cli.Fail(what, s.fatal, next)
	case readErr != nil:
		return cli.Fail(fmt.Sprintf("%d records were sent, then the input ended early", s.sum.Records), readErr, "")
	case flushErr != nil:
		return cli.Fail("not all records were sent", flushErr, "")
	case s.sum.Failed > 0:
		// The failure of single records is exit code 1, whatever the reason.
		return &cli.Error{What: what, Why: errors.New("the first: " + s.first.Error()), Code: cli.ExitFailed}
	case ctx.Err() != nil:
		return &cli.Error{What: fmt.Sprintf("interrupted after %d records", s.sum.Records), Code: cli.ExitFailed}
	}
	return nil
}

// read gives the input to the client, which holds it back while its buffer is full.
func (s *sender) read(given context.Context, in *input) error {
	defer in.close()
	for {
		r, where, err := in.next()
		var bad *badRecord
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			s.failed(where, bad)
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", where, err)
		}
		if !s.give() {
			return nil
		}
		s.cl.Produce(given, r, func(r *kgo.Record, err error) { s.promised(r, where, err) })
	}
}

// give counts a record that the client is about to get, unless nothing more is sent.
func (s *sender) give() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.fatal != nil {
		return false
	}
	if s.waiting == 0 {
		s.settled = time.Now()
	}
	s.waiting++
	return true
}

// promised hears what became of a record.
func (s *sender) promised(r *kgo.Record, where string, err error) {
	s.mu.Lock()
	s.waiting--
	s.settled = time.Now()
	if err == nil {
		s.sum.Records++
		s.sum.Bytes += int64(len(r.Key) + len(r.Value))
	}
	s.mu.Unlock()
	if err != nil {
		s.refused(r, where, err)
		return
	}
	s.bar.Add(1)
}

// refused takes the failure of a record, and stops the input if it is not the record's own.
func (s *sender) refused(r *kgo.Record, where string, err error) {
	size := len(r.Key) + len(r.Value)
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		s.failed(where, s.tooLarge(size))
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp):
		s.failed(where, cli.Fail("refused", err, ""))
	case strings.Contains(err.Error(), noSuchPartition):
		s.failed(where, fmt.Errorf("the topic has no partition %d", r.Partition))
	default:
		s.giveUp(err)
		s.failed(where, cli.Fail("not sent", err, ""))
	}
}

// overhead is the most that a record without headers takes beside its key and value, with its batch.
const overhead = 128

// tooLarge says who found a record too large: the client, which keeps to the limit, or the broker.
func (s *sender) tooLarge(size int) error {
	if size+overhead < s.limit {
		return fmt.Errorf("too large for the topic: %d bytes of key and value, the broker refuses it. Raise the topic's max.message.bytes", size)
	}
	return fmt.Errorf("too large: %d bytes of key and value, a batch may have %d. Raise the topic's max.message.bytes or --max-bytes", size, s.limit)
}

// failed counts a failure, and tells the first ones.
func (s *sender) failed(where string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Failed++
	if s.first == nil {
		s.first = fmt.Errorf("%s: %w", where, err)
	}
	if s.sum.Failed <= told {
		s.e.Remark("%s: %v", where, err)
	}
}

// noPartition is the partition of a record whose key decides.
const noPartition = -1

// noSuchPartition is what the client says of a record for a partition that the topic does not have; it has no value for it.
const noSuchPartition = "invalid record partitioning choice"

// partitioner sends a record to the partition that it names, and the others as Kafka's Java client does.
type partitioner struct{}

// ForTopic makes a topic's partitioner.
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return &topicPartitioner{byKey: kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

type topicPartitioner struct{ byKey kgo.TopicPartitioner }

var _ kgo.TopicPartitionerOnNewBatch = (*topicPartitioner)(nil)

// RequiresConsistency is true for a record that may go to one partition only.
func (p *topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != noPartition || p.byKey.RequiresConsistency(r)
}

// Partition chooses the partition.
func (p *topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition != noPartition {
		return int(r.Partition)
	}
	return p.byKey.Partition(r, n)
}

// OnNewBatch lets records without a key move on to another partition.
func (p *topicPartitioner) OnNewBatch() {
	if on, ok := p.byKey.(kgo.TopicPartitionerOnNewBatch); ok {
		on.OnNewBatch()
	}
}
