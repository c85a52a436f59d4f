package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"penstock/bench/broker"
	"penstock/bench/clients/spec"
	"penstock/bench/screen"
)

const (
	exactPartitions = 3
	exactRate       = 300 // records a second of each client
	// exactAcks is how many more acknowledgements every client has before the next kill.
	exactAcks = 150
	// progressLimit bounds the wait for them.
	progressLimit = 2 * time.Minute
)

// streamer is a client's idempotent producer that goes through kills.
type streamer struct {
	*crewman
	topic string
	acked atomic.Int64
}

// runExactly has an idempotent producer of every client write while the broker is killed and started again. In the end each topic holds
// every record once and in order.
func runExactly(ctx context.Context, b *bench) (_ string, err error) {
	fleet, err := b.fleet(ctx)
	if err != nil {
		return "", err
	}
	kills := 10
	if b.Short {
		kills = 2
	}
	br, err := b.Start(ctx, "data")
	if err != nil {
		return "", err
	}
	defer func() { b.Stop(br, &err) }()
	base := time.Now().UnixMilli()
	var crew []*streamer
	defer func() {
		for _, s := range crew {
			s.dismiss()
		}
	}()
	for _, c := range fleet {
		s := &streamer{topic: "exactly-" + strings.ReplaceAll(c.Name, "@", "-as-")}
		if s.crewman, err = hire(ctx, c, func(e spec.Event) { s.acked.Store(e.N) }); err != nil {
			return "", err
		}
		if s.info.Plain {
			s.dismiss()
			continue
		}
		crew = append(crew, s)
		if err := createTopic(ctx, br.Kafka, s.topic, exactPartitions, nil); err != nil {
			return "", err
		}
		err := s.Tell(spec.Command{Do: "stream", Addr: br.Kafka, Topic: s.topic, Partitions: exactPartitions, Codec: "none", Rate: exactRate, Base: base})
		if err != nil {
			return "", err
		}
	}
	if err := b.killBroker(ctx, br, crew, kills); err != nil {
		return "", err
	}
	var total int64
	var failed error
	for _, s := range crew {
		n, err := s.settle(ctx, br.Kafka, base)
		result := fmt.Sprintf("ok through %d kills: no loss, no duplicate, in order", kills)
		if err != nil {
			result, failed = "FAILED", errors.Join(failed, fmt.Errorf("%s: %w", s.Client.Name, err))
		}
		b.report(s.crewman, "idempotent, kill -9", n, result)
		total += n
	}
	return fmt.Sprintf("%s records of %d clients' idempotent producers went through %d kills of the broker: each once, in order", count(int(total)), len(crew), kills), failed
}

// killBroker kills the broker and starts it again, each time after every producer got on.
func (b *bench) killBroker(ctx context.Context, br *broker.Broker, crew []*streamer, kills int) error {
	bar := screen.NewBar(int64(kills), "kill -9", false)
	defer bar.Close()
	for k := range kills + 1 {
		if err := progress(ctx, crew); err != nil {
			return fmt.Errorf("after %d kills: %w", k, err)
		}
		if k == kills {
			break
		}
		if err := br.Kill(); err != nil {
			return err
		}
		if err := br.Relaunch(); err != nil {
			return err
		}
		if err := br.Ready(ctx); err != nil {
			return err
		}
		bar.Add(1)
	}
	return nil
}

// progress waits until every producer has more acknowledgements.
func progress(ctx context.Context, crew []*streamer) error {
	ctx, cancel := context.WithTimeout(ctx, progressLimit)
	defer cancel()
	for _, s := range crew {
		begin := s.acked.Load()
		for s.acked.Load() < begin+exactAcks {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: %d acknowledgements, want %d more than %d within %s", s.Client.Name, s.acked.Load(), exactAcks, begin, progressLimit)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// settle ends a producer and compares its topic with what it says it wrote.
func (s *streamer) settle(ctx context.Context, addr string, base int64) (int64, error) {
	if err := s.Stop(); err != nil {
		return 0, err
	}
	wait, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	a, err := s.Wait(wait)
	if err == nil && a.Error != "" {
		err = fmt.Errorf("%s (code %d)", a.Error, a.Code)
	}
	if err != nil {
		return 0, err
	}
	got, _, err := read(ctx, addr, s.topic, exactPartitions)
	if err != nil {
		return a.Count, err
	}
	if d := spec.Differ(got, spec.Want(a.Count, exactPartitions, base)); d != "" {
		return a.Count, fmt.Errorf("of %d records: %s", a.Count, d)
	}
	return a.Count, nil
}
