package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/screen"
	"penstock/bench/suite"
)

// codecs are Kafka's compressions by the names that both clients use.
var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

func codecOf(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// goClient is franz-go with what all uses here have in common.
func goClient(addr string, more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, more...)...)
}

// createTopic makes a topic with n partitions.
func createTopic(ctx context.Context, addr, topic string, n int, configs map[string]string) error {
	cl, err := goClient(addr)
	if err != nil {
		return err
	}
	defer cl.Close()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = &v
	}
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, int32(n), 1, values, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// line is what ConsoleConsumer prints for a record with print.key.
func line(dst, key, value []byte) []byte {
	if key == nil {
		dst = append(dst, "null"...)
	}
	dst = append(dst, key...)
	dst = append(dst, '\t')
	return append(dst, value...)
}

// goProduce writes n records of about 100 bytes, idempotent and with acks=all, and returns the sums of what it wrote.
func (b *bench) goProduce(ctx context.Context, addr, topic, codec string, n int) ([]sum, error) {
	partitions := b.partitions()
	cl, err := goClient(addr, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codecOf(codec)))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bar := screen.NewBar(int64(n), "franz-go writes "+codec, false)
	defer bar.Close()
	sums := make([]sum, partitions)
	rng := rand.New(rand.NewPCG(uint64(n), uint64(codec[0])))
	var buf []byte
	for i := range n {
		p := i % partitions
		r := &kgo.Record{Partition: int32(p), Key: fmt.Appendf(nil, "%d", i), Value: letters(rng, 60+rng.IntN(60))}
		buf = line(buf[:0], r.Key, r.Value)
		sums[p].add(buf, len(r.Key)+len(r.Value))
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("record %s: %w", r.Key, err))
			}
			bar.Add(1)
		})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return sums, context.Cause(ctx)
}

// letters are n random bytes that a text tool prints as they are, half of them repeated so that codecs have work.
func letters(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		if i > n/2 {
			b[i] = b[i-n/2]
			continue
		}
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return b
}

// ends asks for the first and the next offset of every partition.
func ends(ctx context.Context, addr, topic string) (first, next []int64, err error) {
	cl, err := goClient(addr)
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("start offsets of %s: %w", topic, err)
	}
	last, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = last.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("end offsets of %s: %w", topic, err)
	}
	n := len(last[topic])
	for p := range int32(n) {
		s, ok1 := starts.Lookup(topic, p)
		e, ok2 := last.Lookup(topic, p)
		if !ok1 || !ok2 {
			return nil, nil, fmt.Errorf("offsets of %s: no partition %d", topic, p)
		}
		first, next = append(first, s.Offset), append(next, e.Offset)
	}
	return first, next, nil
}

// stall is how long a reader waits for the next record before it gives up.
const stall = 15 * time.Second

// goConsume reads every partition of a topic from its beginning to its end and calls visit with each record, in order by
// partition. With committed it reads committed records only.
func goConsume(ctx context.Context, addr, topic string, committed bool, visit func(*kgo.Record) error) error {
	first, next, err := ends(ctx, addr, topic)
	if err != nil {
		return err
	}
	from, left := map[int32]kgo.Offset{}, int64(0)
	for p := range next {
		if first[p] < next[p] {
			from[int32(p)] = kgo.NewOffset().At(first[p])
			left++
		}
	}
	if left == 0 {
		return nil
	}
	opts := []kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	cl, err := goClient(addr, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	done := make([]bool, len(next))
	for left > 0 {
		wait, cancel := context.WithTimeout(ctx, stall)
		fs := cl.PollFetches(wait)
		cancel()
		for _, e := range fs.Errors() {
			return fmt.Errorf("read %s: %d partitions do not come to their end: %w", topic, left, e.Err)
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if done[r.Partition] || r.Offset >= next[r.Partition] {
				continue
			}
			if !r.Attrs.IsControl() {
				if err := visit(r); err != nil {
					return err
				}
			}
			if r.Offset == next[r.Partition]-1 {
				done[r.Partition] = true
				left--
			}
		}
	}
	return nil
}

// goSums reads a topic without transactions, demands offsets without gaps, and sums it up.
func goSums(ctx context.Context, addr, topic string) ([]sum, error) {
	var sums []sum
	var want []int64
	var buf []byte
	err := goConsume(ctx, addr, topic, false, func(r *kgo.Record) error {
		for int(r.Partition) >= len(sums) {
			sums, want = append(sums, sum{}), append(want, 0)
		}
		if r.Offset != want[r.Partition] {
			return fmt.Errorf("%s-%d: offset %d came, want %d", topic, r.Partition, r.Offset, want[r.Partition])
		}
		want[r.Partition]++
		buf = line(buf[:0], r.Key, r.Value)
		sums[r.Partition].add(buf, len(r.Key)+len(r.Value))
		return nil
	})
	return sums, err
}

// runGo writes and reads with franz-go alone.
func runGo(ctx context.Context, b *bench) (_ string, err error) {
	br, err := b.Start(ctx, "data")
	if err != nil {
		return "", err
	}
	defer b.Stop(br, &err)
	for _, codec := range codecNames {
		topic := "go-" + codec
		if err := createTopic(ctx, br.Kafka, topic, b.partitions(), nil); err != nil {
			return "", err
		}
		want, err := b.goProduce(ctx, br.Kafka, topic, codec, b.records)
		if err != nil {
			return "", fmt.Errorf("%s: produce: %w", codec, err)
		}
		got, err := goSums(ctx, br.Kafka, topic)
		if err != nil {
			return "", fmt.Errorf("%s: consume: %w", codec, err)
		}
		if err := same(codec, got, want); err != nil {
			return "", err
		}
		t := total(got)
		suite.Note("franz-go %-6s %s records, %s, set %016x, order %016x", codec, screen.Count(t.Records), screen.Bytes(t.Bytes), t.Set, t.Order)
	}
	return fmt.Sprintf("franz-go wrote and read %s records with each of %d codecs, sums equal", count(b.records), len(codecNames)), nil
}
