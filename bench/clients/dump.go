package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"penstock/bench/screen"
	"penstock/bench/suite"
)

const (
	// dumpSegment is the segment size of the topics that are dumped: the smallest that Kafka takes, so that there are several.
	dumpSegment = "1048576"
	// dumpFiles bounds the files of one run of the tool, so that its command line stays short.
	dumpFiles = 200
	// zeroComplaint is what the tool says where zeros were written ahead of a log's end.
	zeroComplaint = "Found record size 0"
	// restLimit bounds the wait for the logs of a running broker to come to rest.
	restLimit = 10 * time.Second
)

// usual are the beginnings of the lines of files that are right, apart from what a batch's line says at its end. They are nearly
// all lines of long files, so they are told apart before any expression is matched.
var usual = []string{"| offset: ", "offset: ", "timestamp: ", "baseOffset: "}

// complaints are what DumpLogSegments prints when something is wrong with a file.
var complaints = []*regexp.Regexp{
	regexp.MustCompile(`^Mismatches in`),
	regexp.MustCompile(`^Found timestamp mismatch`),
	regexp.MustCompile(`^Found out of order timestamp`),
	regexp.MustCompile(`^The following indexed offsets are not found`),
	regexp.MustCompile(`^Non-consecutive offsets`),
	regexp.MustCompile(`^Found \d+ invalid bytes`),
	regexp.MustCompile(`isvalid: false`),
	regexp.MustCompile(`(?i)exception`),
	regexp.MustCompile(`(?i)corrupt`),
	regexp.MustCompile(`^Ignoring unknown file`),
	regexp.MustCompile(`does not match`),
}

// dumped is what DumpLogSegments says of a set of files.
type dumped struct {
	Files    map[string]int // by suffix
	Batches  int64
	Records  int64 // records, of control batches too
	Offsets  int64 // entries of offset indexes
	Times    int64 // entries of time indexes
	Faults   int64
	Examples []string
	kind     string // suffix of the file that the lines are of
}

const maxExamples = 5

// read takes in one line of the output.
func (d *dumped) read(l []byte) {
	if !isUsual(l) {
		d.complain(l)
	}
	switch {
	case bytes.HasPrefix(l, []byte("Dumping ")):
		d.kind = filepath.Ext(string(bytes.TrimSpace(l)))
		d.Files[d.kind]++
	case bytes.HasPrefix(l, []byte("baseOffset: ")):
		d.Batches++
	case bytes.HasPrefix(l, []byte("| offset: ")):
		d.Records++
	case d.kind == ".index" && bytes.HasPrefix(l, []byte("offset: ")):
		d.Offsets++
	case d.kind == ".timeindex" && bytes.HasPrefix(l, []byte("timestamp: ")):
		d.Times++
	}
}

func isUsual(l []byte) bool {
	for _, u := range usual {
		if bytes.HasPrefix(l, []byte(u)) {
			return !bytes.Contains(l, []byte("isvalid: false"))
		}
	}
	return false
}

// complain counts a line that is a complaint.
func (d *dumped) complain(l []byte) {
	for _, c := range complaints {
		if c.Match(l) {
			d.Faults++
			if len(d.Examples) < maxExamples {
				d.Examples = append(d.Examples, string(l[:min(len(l), 300)]))
			}
			return
		}
	}
}

func (d *dumped) err() error {
	if d.Faults == 0 {
		return nil
	}
	return fmt.Errorf("DumpLogSegments complains %d times, for example: %s", d.Faults, strings.Join(d.Examples, "; "))
}

// String counts what was dumped, in words.
func (d *dumped) String() string {
	return fmt.Sprintf("%d .log, %d .index, %d .timeindex: %s batches, %s records, %s + %s index entries",
		d.Files[".log"], d.Files[".index"], d.Files[".timeindex"], screen.Count(d.Batches), screen.Count(d.Records), screen.Count(d.Offsets), screen.Count(d.Times))
}

// dump has DumpLogSegments read files, the records of compressed batches included.
func (b *bench) dump(ctx context.Context, files []string) (*dumped, error) {
	d := &dumped{Files: map[string]int{}}
	for group := range slices.Chunk(files, dumpFiles) {
		err := b.tool(ctx, func(l []byte) error { d.read(l); return nil }, dumpClass, "--deep-iteration", "--files", strings.Join(group, ","))
		if err != nil {
			return d, err
		}
	}
	if d.Files[".log"]+d.Files[".index"]+d.Files[".timeindex"] != len(files) {
		return d, fmt.Errorf("DumpLogSegments read %v of %d files", d.Files, len(files))
	}
	return d, d.err()
}

// logFiles are the logs and indexes below a directory.
func logFiles(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name := filepath.Base(path)
		stem, ext, _ := strings.Cut(name, ".")
		if len(stem) == 20 && strings.Trim(stem, "0123456789") == "" && slices.Contains([]string{"log", "index", "timeindex"}, ext) {
			out = append(out, path)
		}
		return nil
	})
	return out, err
}

// runDump has DumpLogSegments read the files of a running broker, and again when it has stopped.
func runDump(ctx context.Context, b *bench) (_ string, err error) {
	if err := b.needJava(ctx); err != nil {
		return "", err
	}
	// Behind the end of a log that is synced in small pieces lie zeros, which the tool cannot read, for a second or two after its
	// last append.
	br, err := b.Start(ctx, "data")
	if err != nil {
		return "", err
	}
	stopped := false
	defer func() {
		if !stopped {
			b.Stop(br, &err)
		}
	}()
	records, err := b.writeSegments(ctx, br.Kafka)
	if err != nil {
		return "", err
	}
	data := filepath.Join(b.Dir, "data")
	live, err := b.dumpAtRest(ctx, data, records)
	if err != nil {
		return "", fmt.Errorf("files of a running broker: %w", err)
	}
	suite.Note("running: %s", live)
	stopped = true
	if err := br.Stop(); err != nil {
		return "", err
	}
	still, err := b.dumpAll(ctx, data, records)
	if err != nil {
		return "", fmt.Errorf("files of a stopped broker: %w", err)
	}
	suite.Note("stopped: %s", still)
	return fmt.Sprintf("DumpLogSegments --deep-iteration read %d files of a running and of a stopped broker without a complaint",
		still.Files[".log"]+still.Files[".index"]+still.Files[".timeindex"]), nil
}

// dumpAtRest dumps the files of a running broker, again and again until its logs have come to rest.
func (b *bench) dumpAtRest(ctx context.Context, data string, records int64) (*dumped, error) {
	for begin := time.Now(); ; {
		d, err := b.dumpAll(ctx, data, records)
		if err == nil || !strings.Contains(err.Error(), zeroComplaint) || time.Since(begin) > restLimit {
			return d, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
}

// writeSegments fills topics of several small segments, with each codec, by both clients, and returns the number of records.
func (b *bench) writeSegments(ctx context.Context, addr string) (int64, error) {
	n := min(b.records, 100_000)
	var records int64
	for _, codec := range codecNames {
		topic := "dump-" + codec
		if err := createTopic(ctx, addr, topic, b.partitions(), map[string]string{"segment.bytes": dumpSegment}); err != nil {
			return 0, err
		}
		if _, err := b.goProduce(ctx, addr, topic, codec, n); err != nil {
			return 0, err
		}
		records += int64(n)
		if !b.thorough(codec) {
			continue
		}
		if err := b.javaProduce(ctx, addr, topic, codec, n, "--record-size", "100"); err != nil {
			return 0, err
		}
		records += int64(n)
	}
	return records, nil
}

// dumpAll dumps every log and index below data, demanding that many records.
func (b *bench) dumpAll(ctx context.Context, data string, records int64) (*dumped, error) {
	files, err := logFiles(data)
	if err != nil {
		return nil, err
	}
	d, err := b.dump(ctx, files)
	switch {
	case err != nil:
		return d, err
	case d.Records != records:
		return d, fmt.Errorf("DumpLogSegments counts %d records, want %d (%s)", d.Records, records, d)
	case d.Files[".log"] <= b.partitions()*len(codecNames):
		return d, fmt.Errorf("%d logs in %d partitions: no segment was rolled", d.Files[".log"], b.partitions()*len(codecNames))
	case d.Files[".index"] < d.Files[".log"] || d.Files[".timeindex"] < d.Files[".log"]:
		return d, fmt.Errorf("logs without their indexes: %s", d)
	}
	return d, nil
}
