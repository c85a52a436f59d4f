// Command franz drives franz-go as package spec says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"penstock/bench/clients/spec"
)

// limit bounds every command but those that run until they are stopped.
const limit = 5 * time.Minute

// idle is how long a member waits for records before it commits what it has.
const idle = 200 * time.Millisecond

func main() {
	spec.Serve(os.Stdin, os.Stdout, map[string]func(*spec.Session) (spec.Answer, error){
		"info": info, "produce": produce, "consume": consume, "stream": stream, "group": member, "admin": admin,
	})
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// info says that there are no static members where the driver is held to an old version: Kafka has them since 2.3.
func info(*spec.Session) (spec.Answer, error) {
	return spec.Answer{
		Client: "franz-go", Version: spec.Module("github.com/twmb/franz-go"), Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"},
		Assignors: []string{"eager", "cooperative"}, Static: len(os.Args) == 1, Admin: operations(),
	}, nil
}

// client is franz-go with what all commands have in common. The driver's one argument caps the versions, as 2.1 does.
func client(s *spec.Session, more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Addr), kgo.ClientID("franz-go"), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	if len(os.Args) > 1 {
		v := kversion.FromString(os.Args[1])
		if v == nil {
			return nil, fmt.Errorf("unknown version of Kafka %q", os.Args[1])
		}
		opts = append(opts, kgo.MaxVersions(v))
	}
	return kgo.NewClient(append(opts, more...)...)
}

func coded(err error) error {
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return &spec.Coded{Code: int(k.Code), Err: err}
	}
	return err
}

func record(r spec.Record) *kgo.Record {
	out := &kgo.Record{Partition: int32(r.Partition), Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Time)}
	if r.Header != "" {
		out.Headers = []kgo.RecordHeader{{Key: r.Header, Value: r.HeaderValue}}
	}
	return out
}

func produce(s *spec.Session) (spec.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cl, err := client(s, kgo.DefaultProduceTopic(s.Topic), kgo.ProducerBatchCompression(codecs[s.Codec]))
	if err != nil {
		return spec.Answer{}, err
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	for i := s.From; i < s.From+s.Count && failed.Load() == nil; i++ {
		cl.Produce(ctx, record(spec.Of(i, s.Partitions, s.Base)), func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	err = cl.Flush(ctx)
	if f := failed.Load(); f != nil {
		err = *f
	}
	return spec.Answer{Count: s.Count}, coded(err)
}

func stream(s *spec.Session) (spec.Answer, error) {
	ctx := context.Background()
	cl, err := client(s, kgo.DefaultProduceTopic(s.Topic), kgo.ProducerBatchCompression(codecs[s.Codec]), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return spec.Answer{}, err
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	var acked atomic.Int64
	pace := spec.NewPace(s.Rate)
	n := int64(0)
	for ; !s.Stopped() && failed.Load() == nil; n++ {
		cl.Produce(ctx, record(spec.Of(n, s.Partitions, s.Base)), func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
				return
			}
			acked.Add(1)
		})
		if pace.Wait() {
			s.Tell(spec.Event{E: "acked", N: acked.Load()})
		}
	}
	err = cl.Flush(ctx)
	if f := failed.Load(); f != nil {
		err = *f
	}
	if a := acked.Load(); err == nil && a != n {
		err = fmt.Errorf("%d of %d records were acknowledged", a, n)
	}
	return spec.Answer{Count: n}, coded(err)
}

func consume(s *spec.Session) (spec.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	from := map[int32]kgo.Offset{}
	for p := range s.Partitions {
		from[int32(p)] = kgo.NewOffset().AtStart()
	}
	cl, err := client(s, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Topic: from}))
	if err != nil {
		return spec.Answer{}, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, s.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	sums := spec.NewSummer(s.Partitions)
	for left > 0 {
		fs := cl.PollFetches(ctx)
		for _, e := range fs.Errors() {
			return spec.Answer{}, coded(e.Err)
		}
		for it := fs.RecordIter(); !it.Done(); left-- {
			r := it.Next()
			got := spec.Record{Partition: int(r.Partition), Key: r.Key, Value: r.Value, Time: r.Timestamp.UnixMilli()}
			if len(r.Headers) > 0 {
				got.Header, got.HeaderValue = r.Headers[0].Key, r.Headers[0].Value
			}
			if err := sums.Add(&got, r.Offset); err != nil {
				return spec.Answer{}, err
			}
		}
	}
	return spec.Answer{Sums: sums.Sums()}, nil
}

func names(m map[string][]int32, topic string) map[string]int64 {
	out := map[string]int64{}
	for _, p := range m[topic] {
		out[strconv.Itoa(int(p))] = 0
	}
	return out
}

func balancer(assignor string) kgo.GroupBalancer {
	if assignor == "cooperative" {
		return kgo.CooperativeStickyBalancer()
	}
	return kgo.RangeBalancer()
}

// member reads as part of a group. A rebalance waits while records that were polled are told and committed.
func member(s *spec.Session) (spec.Answer, error) {
	change := func(e string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			s.Tell(spec.Event{E: e, P: names(m, s.Topic)})
		}
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(s.Group), kgo.ConsumeTopics(s.Topic), kgo.Balancers(balancer(s.Assignor)), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(time.Duration(s.Session) * time.Millisecond), kgo.HeartbeatInterval(time.Second),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.OnPartitionsAssigned(change("assigned")), kgo.OnPartitionsRevoked(change("revoked")), kgo.OnPartitionsLost(change("lost")),
	}
	if s.Instance != "" {
		opts = append(opts, kgo.InstanceID(s.Instance))
	}
	cl, err := client(s, opts...)
	if err != nil {
		return spec.Answer{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-s.Stop(); cancel() }()
	read := 0
	for !s.Stopped() {
		poll, done := context.WithTimeout(ctx, idle)
		fs := cl.PollFetches(poll)
		done()
		for _, e := range fs.Errors() {
			if !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, context.DeadlineExceeded) {
				s.Tell(spec.Event{E: "trouble", Text: e.Err.Error()})
			}
		}
		fs.EachPartition(func(p kgo.FetchTopicPartition) {
			e := spec.Event{E: "read", Part: int(p.Partition)}
			for _, r := range p.Records {
				e.O, e.K = append(e.O, r.Offset), append(e.K, string(r.Key))
			}
			if len(e.O) > 0 {
				s.Tell(e)
				read++
			}
		})
		if read >= s.Every || fs.NumRecords() == 0 {
			read = 0
			commit(s, cl)
		}
		cl.AllowRebalance()
	}
	commit(s, cl)
	cl.CloseAllowingRebalance()
	return spec.Answer{}, nil
}

// commit commits what was told.
func commit(s *spec.Session, cl *kgo.Client) {
	offsets := cl.UncommittedOffsets()
	e := spec.Event{E: "commit", P: map[string]int64{}}
	for p, o := range offsets[s.Topic] {
		e.P[strconv.Itoa(int(p))] = o.Offset
	}
	if len(e.P) == 0 {
		return
	}
	s.Tell(e)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e.E = "committed"
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		e.E, e.Text = "refused", err.Error()
	}
	s.Tell(e)
}
