package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"penstock/bench/load"
	"penstock/bench/strace"
)

// A broker has to look for a batch that no index entry names, and may read so small a share of the payload for it. Where batches are as large as the distance of
// index entries there is an entry for each, but for the few smaller ones that a producer sends when it is held up. Payload itself is never read: all of it is
// counted in what leaves by sendfile.
const (
	largeBatch  = 64 << 10
	smallBatch  = 2 << 10
	lookUpShare = 0.01
	strayShare  = 0.001 // with large batches
)

// wholeAnswer is the size from which on every payload byte of an answer must leave by sendfile.
const wholeAnswer = 64 << 10

// kind is what is on the disk and who asks for it. Where partitions share a log, batches that follow each other in one need not do so in the log: what
// is large leaves by sendfile; small pieces are gathered by splice where they are many, and copied where they are few. The shares are reported.
type kind struct {
	Format string `json:"format"` // record or message
	Layout string `json:"layout"`
}

// kafkaKind is the only one that another broker has.
var kafkaKind = kind{"record", segmentLayout}

// kinds are those that are measured of penstock.
func kinds() []kind {
	return []kind{kafkaKind, {"record", commitLayout}, {"message", segmentLayout}, {"message", commitLayout}}
}

// pulls reports whether a client of RocketMQ asks.
func (k kind) pulls() bool { return k.Format == "message" }

// whole reports whether everything must leave by sendfile.
func (k kind) whole() bool { return k.Layout == segmentLayout }

func (k kind) String() string { return k.Format + ", " + k.Layout }

// config is the topic configuration that gives the kind.
func (k kind) config() map[string]string {
	if k == kafkaKind {
		return nil
	}
	return map[string]string{"penstock.format": k.Format, "penstock.layout": k.Layout}
}

// syscallRow is a row of the report in JSON.
type syscallRow struct {
	Who string `json:"who"`
	kind
	Batch   int            `json:"batch_bytes"`
	Fetch   int            `json:"partition_bytes"`
	Fetched load.Fetched   `json:"fetched"`
	Account strace.Account `json:"account"`
	Mapped  int            `json:"segment_files_mapped"`
	Share   float64        `json:"sendfile_share"`
	Spliced float64        `json:"splice_share"`
	Copied  float64        `json:"copied_share"`
	Pieces  int64          `json:"pieces"`
	Holds   bool           `json:"holds"`
}

// syscalls counts the system calls of a broker while a client fetches, and fails if penstock's payload does not all leave by
// sendfile or a segment file is read; from a shared log, if it is not each byte once by sendfile, splice or a read.
func syscalls(ctx context.Context, s *session) error {
	s.rocket = true
	defer func() { s.rocket = false }()
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	records := choose(s.short, int64(32<<10), int64(128<<10))
	out := s.report("syscalls", "who", "topic", "batch", "a partition", "answers", "smallest", "payload", "by sendfile", "by splice", "copied", "pieces", "bytes a piece",
		"log reads", "queue reads", "written beside", "mapped", "claim")
	out.set("strace on the whole broker while one client fetches %d MiB of values from %d partitions, page cache warm, no TLS", records>>10, s.partitions)
	out.set("topic: format and layout. Records are fetched by a Kafka client from all partitions at once, messages pulled by RocketMQ's protocol from one queue at a time")
	out.set("batch: bytes that a producer sent at once to one partition, to all in turn; of messages, of 1 KiB each, such a run. a partition: bytes asked for")
	out.set("payload: bytes of batches or messages that the client got, in answers of %d bytes and more; pieces: calls of sendfile, splice and read on the log", wholeAnswer)
	out.set("written beside: heads of answers, and what was copied. queue reads: of the files that say where messages, or batches on a shared log, lie")
	out.set("claim, layout segment: by sendfile = payload, no mapping of a file, no io_uring; look-ups between index entries read at most")
	out.set("  %g of the payload with batches of %d bytes, and %g with batches of %d; none for messages", strayShare, largeBatch, lookUpShare, smallBatch)
	out.set("claim, layout commit: by sendfile, by splice and copied = payload: every byte once; no mapping, no io_uring. The shares are what is reported")
	var strays []string
	holds := true
	for _, who := range list {
		for _, k := range choose(who.name == penstock, kinds(), []kind{kafkaKind}) {
			for _, batch := range []int{largeBatch, smallBatch} {
				rows, err := s.traceBatches(ctx, who, k, batch, records)
				if err != nil {
					return fmt.Errorf("%s, %v: %w", who.name, k, err)
				}
				for _, row := range rows {
					out.add(row, row.cells()...)
					if who.name != penstock || row.Holds {
						continue
					}
					holds = false
					strays = append(strays, row.Account.Strays...)
				}
			}
		}
	}
	if err := out.print(s.out); err != nil {
		return err
	}
	for _, line := range strays {
		fmt.Fprintf(s.out, "  %s\n", line)
	}
	if !holds {
		return errMissed
	}
	return nil
}

// traceBatches fills a topic with batches of one size and fetches it in answers of two sizes.
func (s *session) traceBatches(ctx context.Context, who *contender, k kind, batch int, records int64) ([]syscallRow, error) {
	s.count++
	t := load.Target{Addr: who.Kafka, Topic: fmt.Sprintf("bench-%d", s.count), Partitions: s.partitions}
	config := k.config()
	if config == nil {
		config = map[string]string{}
	}
	for name, v := range who.config(relaxed) {
		config[name] = v
	}
	if err := t.Create(ctx, config); err != nil {
		return nil, err
	}
	each := max(1, batch/(1<<10)-1) // a record is somewhat larger than its value
	err := load.Fill{Target: t, ValueBytes: 1 << 10, Records: each, Batches: int(records) / each / s.partitions}.Run(ctx)
	if err == nil {
		err = who.settle()
	}
	var rows []syscallRow
	for _, fetch := range []int{64 << 10, 1 << 20} {
		if err != nil {
			return nil, err
		}
		row := syscallRow{Who: who.name, kind: k, Batch: batch, Fetch: fetch}
		err = s.trace(ctx, who, t, &row)
		rows = append(rows, row)
	}
	return rows, err
}

// cells are the row's cells in the table.
func (row *syscallRow) cells() []string {
	a := row.Account
	numbers := func(list ...int64) (out []string) {
		for _, n := range list {
			out = append(out, fmt.Sprint(n))
		}
		return out
	}
	out := append([]string{row.Who, row.kind.String()}, numbers(int64(row.Batch), int64(row.Fetch), row.Fetched.Answers, row.Fetched.Smallest, row.Fetched.Payload)...)
	out = append(out, fmt.Sprintf("%.2f %%", 100*row.Share), fmt.Sprintf("%.2f %%", 100*row.Spliced), fmt.Sprintf("%.2f %%", 100*row.Copied))
	out = append(out, numbers(row.Pieces, row.Fetched.Payload/max(row.Pieces, 1), a.SegmentReads.Calls, a.QueueReads.Calls,
		a.Written.Bytes, int64(row.Mapped)+a.SegmentMaps.Calls)...)
	if row.Who != penstock {
		return append(out, "not made")
	}
	return append(out, choose(row.Holds, "holds", "does not hold"))
}

// trace fetches once with strace attached.
func (s *session) trace(ctx context.Context, who *contender, t load.Target, row *syscallRow) error {
	dir, err := s.place("trace")
	if err != nil {
		return err
	}
	tracer, err := strace.Attach(who.PID(), dir)
	if err != nil {
		return err
	}
	var failed error
	addr := who.Kafka
	margin := int64(2 * row.Fetch >> 10) // two answers' worth of records stay behind, so that the last answer is whole too
	if row.pulls() {
		addr = who.Rocket
		row.Fetched, failed = load.Pulling{Addr: addr, Topic: t.Topic, Queues: t.Partitions, Count: row.Fetch >> 10}.Pull(ctx, margin)
	} else {
		row.Fetched, failed = load.Consuming{Target: t, PartitionBytes: row.Fetch}.Fetch(ctx, margin)
	}
	if failed == nil {
		failed = who.settle() // the client has the bytes a little before strace has the end of the call that sent them
	}
	if row.Account, err = tracer.Detach(addr); err != nil || failed != nil {
		return errors.Join(failed, err)
	}
	if row.Mapped, err = mappedFiles(who.PID()); err != nil {
		return err
	}
	row.judge()
	return nil
}

// judge computes the shares and says whether the claim holds.
func (row *syscallRow) judge() {
	a, payload := &row.Account, row.Fetched.Payload
	row.Share, row.Spliced = float64(a.Sendfile.Bytes)/float64(payload), float64(a.Splice.Bytes)/float64(payload)
	row.Copied = float64(a.SegmentReads.Bytes) / float64(payload)
	row.Pieces = a.Sendfile.Calls + a.Splice.Calls + a.SegmentReads.Calls
	row.Holds = row.Fetched.Smallest >= wholeAnswer && a.SegmentMaps.Calls == 0 && a.Rings.Calls == 0 && row.Mapped == 0
	if !row.whole() {
		row.Holds = row.Holds && a.Sendfile.Bytes+a.Splice.Bytes+a.SegmentReads.Bytes == payload
		return
	}
	looked := int64(0)
	if row.kind == kafkaKind {
		looked = int64(choose(row.Batch < largeBatch, lookUpShare, strayShare) * float64(payload))
	}
	row.Holds = row.Holds && a.Sendfile.Bytes == payload && a.Splice.Calls == 0 && a.SegmentReads.Bytes <= looked
}

// mappedFiles counts the mappings of files with batches, and of queues, that a process has.
func mappedFiles(pid int) (int, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range bytes.Lines(maps) {
		_, file, ok := bytes.Cut(bytes.TrimSpace(line), []byte("/"))
		if name := "/" + string(file); ok && (strace.IsLog(name) || strace.IsQueue(name)) {
			n++
		}
	}
	return n, nil
}
