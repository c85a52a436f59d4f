package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"penstock/bench/clients/drive"
	"penstock/bench/clients/spec"
	"penstock/bench/suite"
)

const (
	codecPartitions   = 3
	longCodecRecords  = 100_000
	shortCodecRecords = 3_000
)

// written is a topic that a client filled.
type written struct {
	client, codec, topic string
}

// runCodecs has every client write and read with each of its codecs. What it wrote must be what franz-go reads, compressed as was
// asked for, and in the long form what every other client reads.
func runCodecs(ctx context.Context, b *bench) (_ string, err error) {
	fleet, err := b.fleet(ctx)
	if err != nil {
		return "", err
	}
	n := int64(longCodecRecords)
	if b.Short {
		n = shortCodecRecords
	}
	br, err := b.Start(ctx, "data", b.quick()...)
	if err != nil {
		return "", err
	}
	defer b.Stop(br, &err)
	base := time.Now().UnixMilli() - n
	want := spec.Want(n, codecPartitions, base)
	var topics []written
	var failed error
	clients := 0
	for _, c := range fleet {
		w, err := hire(ctx, c, nil)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		clients++
		done, err := b.codecsOf(ctx, w, br.Kafka, n, base, want)
		w.dismiss()
		suite.Note("%s: %d codecs", c.Name, len(done))
		topics = append(topics, done...)
		failed = errors.Join(failed, err)
	}
	if failed == nil && !b.Short {
		failed = b.cross(ctx, br.Kafka, topics, want)
	}
	if b.only == "" {
		failed = errors.Join(failed, b.refuses(ctx, br.Kafka))
	}
	return fmt.Sprintf("%d clients wrote and read %s records with each codec they have, %d topics, sums equal", clients, count(int(n)), len(topics)), failed
}

// codecsOf is runCodecs for one client.
func (b *bench) codecsOf(ctx context.Context, w *crewman, addr string, n, base int64, want []spec.Sum) ([]written, error) {
	var out []written
	for _, codec := range w.info.Codecs {
		topic := fmt.Sprintf("codec-%s-%s", strings.ReplaceAll(w.Client.Name, "@", "-as-"), codec)
		begin := time.Now()
		err := createTopic(ctx, addr, topic, codecPartitions, nil)
		cmd := spec.Command{Do: "produce", Addr: addr, Topic: topic, Partitions: codecPartitions, Codec: codec, Count: n, Base: base}
		if err == nil {
			_, err = w.do(ctx, cmd)
		}
		wrote := time.Since(begin)
		if err == nil {
			err = compare(ctx, addr, topic, codec, want)
		}
		if err == nil {
			begin = time.Now()
			err = consumes(ctx, w, addr, topic, want)
		}
		if err != nil {
			b.report(w, codec, n, "FAILED")
			return out, fmt.Errorf("%s with %s: %w", w.Client.Name, codec, err)
		}
		b.report(w, codec, n, fmt.Sprintf("ok, wrote in %.1f s, read in %.1f s", wrote.Seconds(), time.Since(begin).Seconds()))
		out = append(out, written{w.Client.Name, codec, topic})
	}
	return out, nil
}

// compare reads a topic with franz-go and demands the sums, and the codec on more than half of the records: some clients send a batch
// as it is where compressing does not make it smaller.
func compare(ctx context.Context, addr, topic, codec string, want []spec.Sum) error {
	got, by, err := read(ctx, addr, topic, len(want))
	if err != nil {
		return err
	}
	if d := spec.Differ(got, want); d != "" {
		return fmt.Errorf("what franz-go reads is not what was written: %s", d)
	}
	var all int64
	for c, n := range by {
		all += n
		if c != codec && c != "none" {
			return fmt.Errorf("%d records are compressed with %s", n, c)
		}
	}
	if by[codec]*2 < all {
		return fmt.Errorf("only %d of %d records are compressed with %s: %v", by[codec], all, codec, by)
	}
	return nil
}

// consumes has a client read a topic and demands the sums.
func consumes(ctx context.Context, w *crewman, addr, topic string, want []spec.Sum) error {
	a, err := w.do(ctx, spec.Command{Do: "consume", Addr: addr, Topic: topic, Partitions: len(want)})
	if err != nil {
		return err
	}
	if d := spec.Differ(a.Sums, want); d != "" {
		return fmt.Errorf("what %s reads of %s is not what was written: %s", w.Client.Name, topic, d)
	}
	return nil
}

// cross has every client read what the others wrote. Those made to speak old versions are left out: they have read and written already.
func (b *bench) cross(ctx context.Context, addr string, topics []written, want []spec.Sum) error {
	var failed error
	for _, c := range b.clients {
		if c.Old {
			continue
		}
		w, err := hire(ctx, c, nil)
		if err != nil {
			return err
		}
		read := 0
		for _, t := range topics {
			if t.client == c.Name || strings.Contains(t.client, "@") || !slices.Contains(w.info.Codecs, t.codec) {
				continue
			}
			if err = consumes(ctx, w, addr, t.topic, want); err != nil {
				break
			}
			read++
		}
		w.dismiss()
		result := fmt.Sprintf("ok, %d topics that others wrote", read)
		if err != nil {
			result, failed = "FAILED", errors.Join(failed, err)
		}
		suite.Note("%s: read %d topics of others", c.Name, read)
		b.report(w, "read all others", int64(read)*longCodecRecords, result)
	}
	return failed
}

// ancient speaks a protocol from before the record batch of Kafka 0.11.
const ancient = "sarama@0.10"

// refuses demands that a producer of the message formats 0 and 1 is refused, as by Kafka 4, and that nothing of it is stored.
func (b *bench) refuses(ctx context.Context, addr string) error {
	in, err := drive.NewInstaller(b.Cache, b.sources)
	if err != nil {
		return err
	}
	c := drive.Ancient(ancient)
	if err := in.Install(ctx, c); err != nil {
		return err
	}
	w, err := hire(ctx, c, nil)
	if err != nil {
		return err
	}
	defer w.dismiss()
	const topic = "ancient"
	if err := createTopic(ctx, addr, topic, codecPartitions, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	a, err := w.Ask(ctx, spec.Command{Do: "produce", Addr: addr, Topic: topic, Partitions: codecPartitions, Codec: "none", Count: 100})
	if err != nil {
		return err
	}
	_, next, err := ends(ctx, addr, topic)
	if err == nil && (a.Error == "" || slices.Max(next) != 0) {
		err = fmt.Errorf("%s wrote with answer %+v, and the partitions end at %v: want an error, and nothing stored", ancient, a, next)
	}
	result := "ok, refused: " + a.Error
	if err != nil {
		result = "FAILED"
	}
	b.report(w, "message format 1", 0, result)
	return err
}
