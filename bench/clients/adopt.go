package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/broker"
	"penstock/bench/suite"
)

const (
	// adoptTxTopic is written by transactions.
	adoptTxTopic = "adopt-transactions"
	transactions = 12
	// adoptTimes is how many look-ups by time are compared for each partition.
	adoptTimes = 5
	// apacheStop bounds the wait for Apache Kafka to end.
	apacheStop = 60 * time.Second
)

// picture is everything of a topic that a client sees.
type picture struct {
	First, Next []int64 // by partition
	All         []uint64
	Committed   []uint64
	Records     int64
	Times       []int64 // answers to look-ups by time
}

// take asks a broker for the picture of a topic.
func take(ctx context.Context, addr, topic string) (*picture, error) {
	p := &picture{}
	var err error
	if p.First, p.Next, err = ends(ctx, addr, topic); err != nil {
		return nil, err
	}
	p.All, p.Committed = make([]uint64, len(p.Next)), make([]uint64, len(p.Next))
	var times []int64
	err = goConsume(ctx, addr, topic, false, func(r *kgo.Record) error {
		p.All[r.Partition] = chain(p.All[r.Partition], r)
		if p.Records%997 == 0 && len(times) < adoptTimes {
			times = append(times, r.Timestamp.UnixMilli())
		}
		p.Records++
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = goConsume(ctx, addr, topic, true, func(r *kgo.Record) error {
		p.Committed[r.Partition] = chain(p.Committed[r.Partition], r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("committed records: %w", err)
	}
	p.Times, err = lookups(ctx, addr, topic, times)
	return p, err
}

// lookups asks for the first offset at or after each time, in every partition.
func lookups(ctx context.Context, addr, topic string, times []int64) ([]int64, error) {
	cl, err := goClient(addr)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []int64
	for _, at := range times {
		found, err := kadm.NewClient(cl).ListOffsetsAfterMilli(ctx, at, topic)
		if err == nil {
			err = found.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("offsets of %s at %d: %w", topic, at, err)
		}
		for p := range int32(len(found[topic])) {
			o, _ := found.Lookup(topic, p)
			out = append(out, o.Offset, o.Timestamp)
		}
	}
	return out, nil
}

// chain adds a record with everything that a client sees of it to a sum that depends on the order.
func chain(sum uint64, r *kgo.Record) uint64 {
	h := fnv.New64a()
	var b []byte
	b = binary.BigEndian.AppendUint64(b, sum)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Timestamp.UnixMilli()))
	b = append(b, byte(r.Attrs.CompressionType()), byte(r.Attrs.TimestampType()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.ProducerID))
	for _, x := range append([][]byte{r.Key, r.Value}, headers(r)...) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(x)))
		b = append(b, x...)
	}
	h.Write(b)
	return h.Sum64()
}

func headers(r *kgo.Record) [][]byte {
	var out [][]byte
	for _, h := range r.Headers {
		out = append(out, []byte(h.Key), h.Value)
	}
	return out
}

// differ compares two pictures. A topic with aborted transactions, whose records a broker without transactions cannot hide, may
// show all its records to those who ask for committed ones, if penstock adopt said so in its output.
func differ(topic string, got, want *picture, said string) error {
	if slices.Equal(got.Committed, got.All) && strings.Contains(said, topic) && strings.Contains(said, "aborted transactions") {
		same := *want
		same.Committed = got.Committed
		want = &same
	}
	if g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *want); g != w {
		return fmt.Errorf("%s: the broker serves\n%s\nwhere Apache Kafka served\n%s", topic, g, w)
	}
	return nil
}

// runAdopt has a real Apache Kafka write a log directory, takes it over, and compares what the broker serves of it.
func runAdopt(ctx context.Context, b *bench) (_ string, err error) {
	if err := b.needJava(ctx); err != nil {
		return "", err
	}
	want, err := b.apacheWrites(ctx)
	if err != nil {
		return "", fmt.Errorf("with Apache Kafka: %w", err)
	}
	copied := filepath.Join(b.Dir, "copy")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(b.Dir, "apache", "logs"))); err != nil {
		return "", fmt.Errorf("copy the log directory: %w", err)
	}
	out, err := exec.CommandContext(ctx, b.Binary, "adopt", copied, "--data", filepath.Join(b.Dir, "data")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("penstock adopt: %w\n%s", err, out)
	}
	br, err := b.Start(ctx, "data")
	if err != nil {
		return "", err
	}
	defer b.Stop(br, &err)
	var records int64
	hidden := "records of aborted transactions are hidden from readers of committed ones, as Kafka hides them"
	for topic, w := range want {
		got, err := take(ctx, br.Kafka, topic)
		if err != nil {
			return "", err
		}
		if err := differ(topic, got, w, string(out)); err != nil {
			return "", err
		}
		if !slices.Equal(got.Committed, w.Committed) {
			hidden = "records of aborted transactions are shown to readers of committed ones, as penstock adopt warned"
		}
		records += w.Records
	}
	if err := b.adoptedWrites(ctx, br.Kafka, want); err != nil {
		return "", err
	}
	files, err := logFiles(filepath.Join(b.Dir, "data"))
	if err != nil {
		return "", err
	}
	d, err := b.dump(ctx, files)
	if err != nil {
		return "", fmt.Errorf("adopted files: %w", err)
	}
	suite.Note("adopted: %s", d)
	suite.Note("%s", hidden)
	return fmt.Sprintf("a directory of Apache Kafka %s with %d topics, %d segments and %s records is served as Kafka served it: offsets, records, look-ups by time",
		broker.ApacheVersion, len(want), d.Files[".log"], count(int(records))), nil
}

// adoptedWrites writes on to adopted topics: the next offset is the next one.
func (b *bench) adoptedWrites(ctx context.Context, addr string, want map[string]*picture) error {
	cl, err := goClient(addr)
	if err != nil {
		return err
	}
	defer cl.Close()
	for topic, w := range want {
		for p := range w.Next {
			r := &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte("after the adoption")}
			if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
				return fmt.Errorf("write to adopted %s-%d: %w", topic, p, err)
			}
			if r.Offset != w.Next[p] {
				return fmt.Errorf("adopted %s-%d goes on at offset %d, want %d", topic, p, r.Offset, w.Next[p])
			}
		}
	}
	return nil
}

// apacheWrites runs Apache Kafka, fills its log directory, takes a picture of each topic and stops it.
func (b *bench) apacheWrites(ctx context.Context) (_ map[string]*picture, err error) {
	dir := filepath.Join(b.Dir, "apache")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	k, err := broker.StartApache(ctx, broker.ApacheOptions{Jars: b.jars, Data: dir, Output: filepath.Join(b.Dir, "apache.log")})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = k.Kill()
		}
	}()
	small := map[string]string{"segment.bytes": dumpSegment}
	n := min(b.records, 100_000)
	topics := []string{adoptTxTopic}
	if err := createTopic(ctx, k.Kafka, adoptTxTopic, b.partitions(), small); err != nil {
		return nil, err
	}
	if err := b.transact(ctx, k.Kafka, n/10); err != nil {
		return nil, err
	}
	for _, codec := range codecNames {
		topic := "adopt." + codec + "_Topic-1"
		topics = append(topics, topic)
		if err := createTopic(ctx, k.Kafka, topic, b.partitions(), small); err != nil {
			return nil, err
		}
		if _, err := b.goProduce(ctx, k.Kafka, topic, codec, n); err != nil {
			return nil, err
		}
		if !b.thorough(codec) {
			continue
		}
		if err := b.javaProduce(ctx, k.Kafka, topic, codec, n, "--record-size", "100"); err != nil {
			return nil, err
		}
	}
	want := map[string]*picture{}
	for _, topic := range topics {
		if want[topic], err = take(ctx, k.Kafka, topic); err != nil {
			return nil, err
		}
	}
	return want, stopApache(k)
}

// transact writes n records in transactions, every other of which it aborts.
func (b *bench) transact(ctx context.Context, addr string, n int) error {
	cl, err := goClient(addr, kgo.TransactionalID("adopt"), kgo.DefaultProduceTopic(adoptTxTopic))
	if err != nil {
		return err
	}
	defer cl.Close()
	each := max(1, n/transactions)
	for t := range transactions {
		if err := cl.BeginTransaction(); err != nil {
			return fmt.Errorf("transaction %d: %w", t, err)
		}
		for i := range each {
			r := &kgo.Record{Partition: int32(i % b.partitions()), Key: fmt.Appendf(nil, "t%d", t), Value: fmt.Appendf(nil, "record %d of transaction %d", i, t)}
			r.Headers = []kgo.RecordHeader{{Key: "fate", Value: fmt.Appendf(nil, "%d", t%2)}}
			cl.Produce(ctx, r, nil)
		}
		err := cl.Flush(ctx)
		if err == nil {
			err = cl.EndTransaction(ctx, kgo.TransactionEndTry(t%2 == 0))
		}
		if err != nil {
			return fmt.Errorf("transaction %d: %w", t, err)
		}
	}
	return nil
}

// stopApache ends Apache Kafka politely: a JVM that was told to end by SIGTERM exits with 143.
func stopApache(k *broker.Broker) error {
	if err := syscall.Kill(k.PID(), syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-k.Done():
		return nil
	case <-time.After(apacheStop):
		return errors.Join(errors.New("kafka.Kafka did not stop in time"), k.Kill())
	}
}
