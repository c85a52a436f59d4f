// Command sarama drives Sarama as package spec says. Its one argument is the version of Kafka that Sarama shall speak, the
// newest that it knows without one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"penstock/bench/clients/spec"
)

const (
	// limit bounds every command but those that run until they are stopped.
	limit = 5 * time.Minute
	// readBatch is how many records are told of at once, if so many are there.
	readBatch = 100
	// retries lets a producer outlast any restart of the broker.
	retries = 10_000
	// commitAgain is the pause before a refused commit is tried again.
	commitAgain = 200 * time.Millisecond
)

func main() {
	spec.Serve(os.Stdin, os.Stdout, map[string]func(*spec.Session) (spec.Answer, error){
		"info": info, "produce": produce, "consume": consume, "stream": stream, "group": member, "admin": admin,
	})
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func info(*spec.Session) (spec.Answer, error) {
	c, err := config()
	if err != nil {
		return spec.Answer{}, err
	}
	out := spec.Answer{Client: "sarama", Version: spec.Module("github.com/IBM/sarama"), Codecs: []string{"none", "gzip", "snappy", "lz4"}, Assignors: []string{"eager"}, Admin: operations()}
	if !c.Version.IsAtLeast(sarama.V2_1_0_0) {
		out.Admin = nil // Kafka 4 does not serve DescribeConfigs and others in versions so low either
	} else {
		out.Codecs = append(out.Codecs, "zstd")
	}
	if c.Version.IsAtLeast(sarama.V2_4_0_0) {
		out.Static, out.Assignors = true, append(out.Assignors, "cooperative")
	}
	return out, nil
}

func config() (*sarama.Config, error) {
	c := sarama.NewConfig()
	c.ClientID = "sarama"
	c.Version = sarama.MaxVersion
	if len(os.Args) > 1 {
		v, err := sarama.ParseKafkaVersion(os.Args[1])
		if err != nil {
			return nil, err
		}
		c.Version = v
	}
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.MaxWaitTime = 250 * time.Millisecond
	c.Consumer.Return.Errors = true
	return c, nil
}

func coded(err error) error {
	if k, ok := errors.AsType[sarama.KError](err); ok {
		return &spec.Coded{Code: int(k), Err: err}
	}
	return err
}

// message makes a record Sarama's; the formats before version 0.11 have no headers.
func message(topic string, r spec.Record, headers bool) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: topic, Partition: int32(r.Partition), Timestamp: time.UnixMilli(r.Time)}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	if r.Header != "" && headers {
		m.Headers = []sarama.RecordHeader{{Key: []byte(r.Header), Value: r.HeaderValue}}
	}
	return m
}

func produce(s *spec.Session) (spec.Answer, error) {
	c, err := config()
	if err != nil {
		return spec.Answer{}, err
	}
	c.Producer.Compression = codecs[s.Codec]
	if c.Version.IsAtLeast(sarama.V0_11_0_0) { // a retry that nobody asked for must not write a record twice
		c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	}
	return send(s, c, func(i int64) bool { return i < s.Count })
}

func stream(s *spec.Session) (spec.Answer, error) {
	c, err := config()
	if err != nil {
		return spec.Answer{}, err
	}
	c.Producer.Compression = codecs[s.Codec]
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Retry.Max = retries
	c.Metadata.Retry.Max = retries
	pace := spec.NewPace(s.Rate)
	return send(s, c, func(int64) bool {
		pace.Wait()
		return !s.Stopped()
	})
}

// send writes records while more says so and waits until all are acknowledged.
func send(s *spec.Session, c *sarama.Config, more func(i int64) bool) (spec.Answer, error) {
	p, err := sarama.NewAsyncProducer([]string{s.Addr}, c)
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	type result struct {
		acked int64
		err   error
	}
	done := make(chan result)
	var out sync.WaitGroup // what has been sent and has no answer
	go func() {
		var r result
		var said time.Time
		successes, errs := p.Successes(), p.Errors()
		for successes != nil || errs != nil {
			select {
			case _, ok := <-successes:
				if !ok {
					successes = nil
					continue
				}
				r.acked++
				out.Done()
				if s.Do == "stream" && time.Since(said) > 100*time.Millisecond {
					said = time.Now()
					s.Tell(spec.Event{E: "acked", N: r.acked})
				}
			case e, ok := <-errs:
				if !ok {
					errs = nil
					continue
				}
				out.Done()
				if r.err == nil {
					r.err = e.Err
				}
			}
		}
		done <- r
	}()
	n := int64(0)
	for ; more(n); n++ {
		out.Add(1)
		p.Input() <- message(s.Topic, spec.Of(s.From+n, s.Partitions, s.Base), c.Version.IsAtLeast(sarama.V0_11_0_0))
	}
	out.Wait() // a producer that is being closed does not try again, and does not say what was wrong
	p.AsyncClose()
	r := <-done
	if r.err == nil && r.acked != n {
		r.err = fmt.Errorf("%d of %d records were acknowledged", r.acked, n)
	}
	return spec.Answer{Count: n}, coded(r.err)
}

func consume(s *spec.Session) (spec.Answer, error) {
	c, err := config()
	if err != nil {
		return spec.Answer{}, err
	}
	cl, err := sarama.NewClient([]string{s.Addr}, c)
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	defer cl.Close()
	from, err := sarama.NewConsumerFromClient(cl)
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	defer from.Close()
	sums := spec.NewSummer(s.Partitions)
	parts := make([]sarama.PartitionConsumer, s.Partitions)
	for p := range parts {
		if parts[p], err = from.ConsumePartition(s.Topic, int32(p), sarama.OffsetOldest); err != nil {
			return spec.Answer{}, coded(err)
		}
		defer parts[p].AsyncClose()
	}
	late := time.After(limit)
	for p, pc := range parts {
		end, err := cl.GetOffset(s.Topic, int32(p), sarama.OffsetNewest)
		if err == nil {
			err = read(pc, int32(p), end, sums, late)
		}
		if err != nil {
			return spec.Answer{}, coded(err)
		}
	}
	return spec.Answer{Sums: sums.Sums()}, nil
}

// read reads one partition from its beginning to end.
func read(pc sarama.PartitionConsumer, p int32, end int64, sums *spec.Summer, late <-chan time.Time) error {
	for sums.Records(int(p)) < end {
		select {
		case e := <-pc.Errors():
			return e
		case <-late:
			return fmt.Errorf("partition %d does not come to its end %d", p, end)
		case m := <-pc.Messages():
			r := spec.Record{Partition: int(p), Key: m.Key, Value: m.Value, Time: m.Timestamp.UnixMilli()}
			if len(m.Headers) > 0 {
				r.Header, r.HeaderValue = string(m.Headers[0].Key), m.Headers[0].Value
			}
			if err := sums.Add(&r, m.Offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// member reads as part of a group.
func member(s *spec.Session) (spec.Answer, error) {
	c, err := config()
	if err != nil {
		return spec.Answer{}, err
	}
	c.Consumer.Group.Session.Timeout = time.Duration(s.Session) * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = time.Second
	c.Consumer.Group.InstanceId = s.Instance
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	if s.Assignor == "cooperative" {
		c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	}
	cl, err := sarama.NewClient([]string{s.Addr}, c)
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	defer cl.Close()
	g, err := sarama.NewConsumerGroupFromClient(s.Group, cl)
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	go func() {
		for err := range g.Errors() {
			s.Tell(spec.Event{E: "trouble", Text: err.Error()})
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-s.Stop(); cancel() }()
	for !s.Stopped() {
		if err := g.Consume(ctx, []string{s.Topic}, &handler{s: s, cl: cl}); err != nil && !s.Stopped() {
			s.Tell(spec.Event{E: "trouble", Text: err.Error()})
			time.Sleep(100 * time.Millisecond)
		}
	}
	return spec.Answer{}, g.Close()
}

type handler struct {
	s  *spec.Session
	cl sarama.Client
}

func (h *handler) Setup(sarama.ConsumerGroupSession) error { return nil }

func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim reads one partition while the member owns it.
func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	p := strconv.Itoa(int(claim.Partition()))
	h.s.Tell(spec.Event{E: "assigned", P: map[string]int64{p: 0}})
	defer h.s.Tell(spec.Event{E: "revoked", P: map[string]int64{p: 0}})
	again := time.NewTicker(commitAgain)
	defer again.Stop()
	batches, left := 0, int64(-1) // left is what a refused commit was to commit, -1 if there is none
	for {
		var m *sarama.ConsumerMessage
		select {
		case m = <-claim.Messages():
			if m == nil {
				return nil
			}
		case <-again.C:
			if left >= 0 && h.commit(session, claim.Partition(), left) {
				left = -1
			}
			continue
		}
		e := spec.Event{E: "read", Part: int(m.Partition)}
		for {
			e.O, e.K = append(e.O, m.Offset), append(e.K, string(m.Key))
			if len(e.O) == readBatch || len(claim.Messages()) == 0 {
				break
			}
			next, ok := <-claim.Messages()
			if !ok {
				break
			}
			m = next
		}
		h.s.Tell(e)
		if batches++; batches >= h.s.Every || m.Offset+1 >= claim.HighWaterMarkOffset() {
			batches, left = 0, m.Offset+1
			if h.commit(session, claim.Partition(), left) {
				left = -1
			}
		}
	}
}

// commit commits, and asks for the committed offset, because the client's own call does not say what came of it. It reports whether
// the offset is committed.
func (h *handler) commit(session sarama.ConsumerGroupSession, p int32, next int64) bool {
	e := spec.Event{E: "commit", P: map[string]int64{strconv.Itoa(int(p)): next}}
	h.s.Tell(e)
	session.MarkOffset(h.s.Topic, p, next, "")
	session.Commit()
	e.E = "committed"
	if got, err := h.committed(p); err != nil || got != next {
		e.E, e.Text = "refused", fmt.Sprintf("the group's offset is %d: %v", got, err)
	}
	h.s.Tell(e)
	return e.E == "committed"
}

func (h *handler) committed(p int32) (int64, error) {
	b, err := h.cl.Coordinator(h.s.Group)
	if err != nil {
		return 0, err
	}
	req := sarama.NewOffsetFetchRequest(h.cl.Config().Version, h.s.Group, map[string][]int32{h.s.Topic: {p}})
	r, err := b.FetchOffset(req)
	if err != nil {
		_ = h.cl.RefreshCoordinator(h.s.Group)
		return 0, err
	}
	block := r.GetBlock(h.s.Topic, p)
	if block == nil {
		return 0, errors.New("no answer for the partition")
	}
	if block.Err != sarama.ErrNoError {
		return 0, block.Err
	}
	return block.Offset, nil
}
