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

// A broker has to look for a batch that no index entry names: where batches are as large as the distance of index entries there is
// one for each, and a read of a segment file is a fault; where they are small the look-ups may read so small a share of the payload.
const (
	largeBatch  = 64 << 10
	smallBatch  = 2 << 10
	lookUpShare = 0.01
)

// wholeAnswer is the size from which on every payload byte of an answer must leave by sendfile.
const wholeAnswer = 64 << 10

// syscallRow is a row of the report in JSON.
type syscallRow struct {
	Who     string         `json:"who"`
	Batch   int            `json:"batch_bytes"`
	Fetch   int            `json:"partition_bytes"`
	Fetched load.Fetched   `json:"fetched"`
	Account strace.Account `json:"account"`
	Mapped  int            `json:"segment_files_mapped"`
	Share   float64        `json:"sendfile_share"`
	Holds   bool           `json:"holds"`
}

// syscalls counts the system calls of a broker while a client fetches, and fails if penstock's payload does not all leave by
// sendfile or a segment file is read.
func syscalls(ctx context.Context, s *session) error {
	list, end, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer end()
	records := choose(s.short, int64(64<<10), int64(512<<10))
	out := s.report("syscalls", "who", "batch", "a partition", "answers", "smallest", "payload", "by sendfile", "share", "calls", "bytes a call",
		".log reads", "bytes", "spliced", "written beside", ".log mapped", "claim")
	out.set("strace on the whole broker while one client fetches %d MiB of values from %d partitions, page cache warm, no TLS", records>>10, s.partitions)
	out.set("payload: bytes of record batches that the client got, in answers of %d bytes and more; written beside: heads of answers", wholeAnswer)
	out.set("claim: by sendfile = payload, no mapping of a .log file, no io_uring; batches of %d bytes: no read of a .log file,", largeBatch)
	out.set("  batches of %d bytes: look-ups between index entries read less than %g of the payload", smallBatch, lookUpShare)
	var strays []string
	holds := true
	for _, who := range list {
		for _, batch := range []int{largeBatch, smallBatch} {
			rows, err := s.traceBatches(ctx, who, batch, records)
			if err != nil {
				return fmt.Errorf("%s: %w", who.name, err)
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
func (s *session) traceBatches(ctx context.Context, who *contender, batch int, records int64) ([]syscallRow, error) {
	t, err := who.topic(ctx, relaxed)
	if err != nil {
		return nil, err
	}
	each := max(1, batch/(1<<10)-1) // a record is somewhat larger than its value
	err = load.Fill{Target: t, ValueBytes: 1 << 10, Records: each, Batches: int(records) / each / s.partitions}.Run(ctx)
	if err == nil {
		err = who.settle()
	}
	var rows []syscallRow
	for _, fetch := range []int{64 << 10, 1 << 20} {
		if err != nil {
			return nil, err
		}
		var row syscallRow
		row, err = s.trace(ctx, who, load.Consuming{Target: t, PartitionBytes: fetch}, batch)
		rows = append(rows, row)
	}
	return rows, err
}

// cells are the row's cells in the table.
func (row syscallRow) cells() []string {
	a := row.Account
	numbers := func(list ...int64) (out []string) {
		for _, n := range list {
			out = append(out, fmt.Sprint(n))
		}
		return out
	}
	out := append([]string{row.Who}, numbers(int64(row.Batch), int64(row.Fetch), row.Fetched.Answers, row.Fetched.Smallest, row.Fetched.Payload,
		a.Sendfile.Bytes)...)
	out = append(out, fmt.Sprintf("%.2f %%", 100*row.Share))
	out = append(out, numbers(a.Sendfile.Calls, a.Sendfile.Bytes/max(a.Sendfile.Calls, 1), a.SegmentReads.Calls, a.SegmentReads.Bytes,
		a.Splice.Bytes, a.Written.Bytes, int64(row.Mapped)+a.SegmentMaps.Calls)...)
	if row.Who != penstock {
		return append(out, "not made")
	}
	return append(out, choose(row.Holds, "holds", "does not hold"))
}

// trace fetches once with strace attached.
func (s *session) trace(ctx context.Context, who *contender, c load.Consuming, batch int) (syscallRow, error) {
	row := syscallRow{Who: who.name, Batch: batch, Fetch: c.PartitionBytes}
	dir, err := s.place("trace")
	if err != nil {
		return row, err
	}
	tracer, err := strace.Attach(who.PID(), dir)
	if err != nil {
		return row, err
	}
	var failed error
	// Two answers' worth of records stay behind, so that the last answer is whole too.
	row.Fetched, failed = c.Fetch(ctx, int64(2*c.PartitionBytes>>10))
	if row.Account, err = tracer.Detach(who.Kafka); err != nil || failed != nil {
		return row, errors.Join(failed, err)
	}
	if row.Mapped, err = mappedSegments(who.PID()); err != nil {
		return row, err
	}
	a := row.Account
	row.Share = float64(a.Sendfile.Bytes) / float64(row.Fetched.Payload)
	looked := choose(batch < largeBatch, int64(lookUpShare*float64(row.Fetched.Payload)), 0)
	row.Holds = a.Sendfile.Bytes == row.Fetched.Payload && row.Fetched.Smallest >= wholeAnswer && a.SegmentReads.Bytes <= looked &&
		a.Splice.Calls == 0 && a.SegmentMaps.Calls == 0 && a.Rings.Calls == 0 && row.Mapped == 0
	return row, nil
}

// mappedSegments counts the mappings of segment files that a process has.
func mappedSegments(pid int) (int, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range bytes.Lines(maps) {
		if bytes.HasSuffix(bytes.TrimSpace(line), []byte(".log")) {
			n++
		}
	}
	return n, nil
}
