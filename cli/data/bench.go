package data

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

const (
	// stampBytes is what a record of bench both begins with: the run that it belongs to and when it was due.
	stampBytes = 16
	// fillBytes is how much is written for bench consume where --count does not say.
	fillBytes = 256 << 20
	// maxClients and maxRecord bound what a load takes of this machine's memory.
	maxClients = 1000
	maxRecord  = 64 << 20
)

// benchFlags are the flags of bench.
type benchFlags struct {
	topic, codec, acks string
	partitions         int32
	size, clients      int
	batch              int32
	rate, count        int64
	duration, linger   time.Duration
}

func newBench(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure a cluster with a quick load",
		Long: `Sends and reads as fast as the cluster takes it, or at a --rate, and prints rates, latencies and the processor time that
this program itself took: a load is only as good as the machine that makes it.`,
		Example: `  penstock bench produce
  penstock bench consume --size 100 --codec zstd
  penstock bench both --rate 1000 --acks 1 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		newBenchOf(e, "produce", "Measure sending", `Sends records until --duration is over or --count is reached. A record's latency begins when it is given to the client,
or with --rate when it was due, and ends with its acknowledgement: at full speed most of it is waiting in the client.`),
		newBenchOf(e, "consume", "Measure reading", `Reads a topic from its start to its end, again and again, until --duration is over or --count is reached. A topic of its
own is filled first. The latency is that of a fetch, from the request's last byte to the answer's.`),
		newBenchOf(e, "both", "Measure sending and reading at once", `Sends records and reads them at the same time. The latency of consume is end to end: from when a record was given to the
client, or with --rate was due, until a consumer has it.`))
	return c
}

func newBenchOf(e *cli.Env, mode, short, long string) *cobra.Command {
	f := &benchFlags{}
	c := &cobra.Command{
		Use:     mode,
		Short:   short,
		Long:    long + "\n\nIt makes a topic and deletes it at the end, unless --topic names one that is there.",
		Example: "  penstock bench " + mode + " --duration 5s\n  penstock bench " + mode + " --clients 4 --size 100 --count 1000000 -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(mode); err != nil {
				return err
			}
			return (&bench{e: e, f: f, mode: mode}).run(c.Context())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.topic, "topic", "", "use that `topic`, and keep it")
	fl.Int32Var(&f.partitions, "partitions", 6, "partitions of its own topic")
	fl.IntVar(&f.size, "size", 1024, "`bytes` of a record's value; it compresses to about half")
	fl.IntVar(&f.clients, "clients", 1, "producers, and consumers")
	fl.Int64Var(&f.rate, "rate", 0, "records a second, all clients together; 0: as fast as it goes")
	fl.Int64Var(&f.count, "count", 0, "records in all; 0: until the duration is over")
	fl.DurationVar(&f.duration, "duration", 10*time.Second, "how long; with --count at most")
	fl.StringVarP(&f.codec, "codec", "z", "none", "compression")
	fl.StringVar(&f.acks, "acks", "all", "who must have a record: all, 1 or 0")
	fl.Int32Var(&f.batch, "batch-bytes", 1<<20-12, "largest batch")
	fl.DurationVar(&f.linger, "linger", 0, "how long a batch waits for more records")
	complete(c, "topic", cobra.CompletionFunc(e.CompleteTopics()))
	complete(c, "codec", values(codecNames))
	complete(c, "acks", values(acksNames))
	return c
}

func (f *benchFlags) check(mode string) error {
	least := 0
	if mode == "both" {
		least = stampBytes
	}
	switch {
	case f.size < least || f.size > maxRecord:
		return cli.Usage("--size %d: want %d to %d", f.size, least, maxRecord)
	case f.clients < 1 || f.clients > maxClients:
		return cli.Usage("--clients %d: want 1 to %d", f.clients, maxClients)
	case f.partitions < 1:
		return cli.Usage("--partitions %d: want 1 or more", f.partitions)
	case f.rate < 0 || f.count < 0 || f.linger < 0:
		return cli.Usage("--rate, --count and --linger must not be negative")
	case f.duration <= 0:
		return cli.Usage("--duration %v: want more than nothing, such as 10s", f.duration)
	case f.batch < 1024 || f.batch > mostBatch:
		return cli.Usage("--batch-bytes %d: want 1024 to %d", f.batch, mostBatch)
	}
	if _, err := codecOption(f.codec); err != nil {
		return err
	}
	_, err := acksOptions(f.acks)
	return err
}

// bench is one run.
type bench struct {
	e    *cli.Env
	f    *benchFlags
	mode string

	adm      *kadm.Client
	topic    string
	parts    int32
	run64    uint64    // names this run in the records of both
	epoch    time.Time // stamps count from here
	payloads [][]byte

	sent, got meter
	cpu       time.Duration
}

// run makes the topic, measures, deletes the topic, and prints.
func (b *bench) run(ctx context.Context) (err error) {
	if b.adm, err = b.e.Admin(ctx); err != nil {
		return err
	}
	defer b.adm.Close()
	drop, err := b.findTopic(ctx)
	if err != nil {
		return err
	}
	b.epoch, b.payloads = time.Now(), newPayloads(b.f.size)
	switch b.mode {
	case "produce":
		err = b.measure(ctx, func(ctx context.Context) error { return b.produce(ctx, b.limits()) })
	case "consume":
		err = b.consumeAll(ctx)
	default:
		err = b.both(ctx)
	}
	if dropErr := drop(context.WithoutCancel(ctx)); err == nil {
		err = dropErr
	}
	if err != nil {
		return err
	}
	return b.report()
}

// findTopic makes the topic, or finds the one that is named. The function that it returns deletes what it made.
func (b *bench) findTopic(ctx context.Context) (drop func(context.Context) error, err error) {
	ctx, cancel := b.e.Within(ctx)
	defer cancel()
	if b.topic = b.f.topic; b.topic != "" {
		found, err := b.adm.ListTopics(ctx, b.topic)
		if err == nil {
			err = found[b.topic].Err
		}
		b.parts = int32(len(found[b.topic].Partitions))
		return func(context.Context) error { return nil }, cli.Fail("topic "+b.topic+" cannot be used", err, "Leave --topic out and a topic is made")
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	b.topic, b.parts = "penstock-bench-"+hex.EncodeToString(id[:]), b.f.partitions
	if _, err := b.adm.CreateTopic(ctx, b.parts, -1, nil, b.topic); err != nil {
		return nil, cli.Fail("topic "+b.topic+" was not created", err, "--topic names one that is there")
	}
	return func(ctx context.Context) error {
		ctx, cancel := b.e.Within(ctx)
		defer cancel()
		_, err := b.adm.DeleteTopic(ctx, b.topic)
		return cli.Fail("topic "+b.topic+" was not deleted", err, fmt.Sprintf("penstock topic delete %s does", b.topic))
	}, nil
}

// newPayloads makes values that compress to about half: text of sixteen letters. They are all alike to the broker and
// differ from each other.
func newPayloads(size int) [][]byte {
	const letters = "etaoin shrdlucmf"
	out := make([][]byte, max(1, min(64, (16<<20)/max(size, 1))))
	for i := range out {
		out[i] = make([]byte, size)
		_, _ = rand.Read(out[i]) // it never fails
		for j, c := range out[i] {
			out[i][j] = letters[c%16]
		}
	}
	return out
}
