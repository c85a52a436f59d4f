package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/broker"
	"penstock/bench/screen"
	"penstock/bench/suite"
)

// The tools, by class.
const (
	perfClass    = "org.apache.kafka.tools.ProducerPerformance"
	consoleClass = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	offsetsClass = "org.apache.kafka.tools.GetOffsetShell"
	dumpClass    = "org.apache.kafka.tools.DumpLogSegments"
)

const (
	// toolLimit bounds one run of a tool.
	toolLimit = 5 * time.Minute
	// javaRecord is the size of a record that ProducerPerformance makes, of random capital letters.
	javaRecord = 100
	// maxLine bounds a line that a tool prints.
	maxLine = 4 << 20
)

// tool runs a Java tool and gives its output, line by line, to read. What it prints to standard error goes into the error.
func (b *bench) tool(ctx context.Context, read func(line []byte) error, class string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, toolLimit)
	defer cancel()
	args = append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(b.jars, "*"), class}, args...)
	cmd := exec.CommandContext(ctx, "java", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said tail
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("java: %w", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for err == nil && lines.Scan() {
		err = read(lines.Bytes())
	}
	if err == nil {
		err = lines.Err()
	}
	_, _ = io.Copy(io.Discard, out)
	if werr := cmd.Wait(); werr != nil && err == nil {
		err = fmt.Errorf("%w\n%s", werr, said.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", class[strings.LastIndexByte(class, '.')+1:], err)
	}
	return nil
}

// tail keeps the last few kilobytes written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const keep = 4096
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-keep):]
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }

// javaProduce has ProducerPerformance write n records; payload is --record-size N or --payload-monotonic.
func (b *bench) javaProduce(ctx context.Context, addr, topic, codec string, n int, payload ...string) error {
	args := append([]string{
		"--topic", topic, "--num-records", strconv.Itoa(n), "--throughput", "-1",
		"--bootstrap-server", addr, "--command-property", "compression.type=" + codec, "linger.ms=5", "batch.size=65536",
	}, payload...)
	want, done := strconv.Itoa(n)+" records sent", false
	var said tail
	err := b.tool(ctx, func(l []byte) error {
		_, _ = said.Write(append(l, '\n'))
		done = done || bytes.HasPrefix(l, []byte(want))
		return nil
	}, perfClass, args...)
	if err == nil && !done {
		err = fmt.Errorf("ProducerPerformance did not say %q but:\n%s", want, said.String())
	}
	return err
}

// javaConsume has ConsoleConsumer read n records of a partition from an offset on and sums them up. Their offsets must have no
// gaps.
func (b *bench) javaConsume(ctx context.Context, addr, topic string, partition int, from, n int64) (sum, error) {
	var s sum
	if n == 0 {
		return s, nil
	}
	next := from
	err := b.tool(ctx, func(l []byte) error {
		rest, ok := bytes.CutPrefix(l, []byte("Offset:"))
		num, rest, ok2 := bytes.Cut(rest, []byte("\t"))
		if !ok || !ok2 {
			return fmt.Errorf("unexpected line %.200q", l)
		}
		if off, err := strconv.ParseInt(string(num), 10, 64); err != nil || off != next {
			return fmt.Errorf("offset %s came, want %d", num, next)
		}
		next++
		key, value, _ := bytes.Cut(rest, []byte("\t"))
		size := len(key) + len(value)
		if string(key) == "null" {
			size = len(value)
		}
		s.add(rest, size)
		return nil
	}, consoleClass,
		"--bootstrap-server", addr, "--topic", topic, "--partition", strconv.Itoa(partition), "--offset", strconv.FormatInt(from, 10),
		"--max-messages", strconv.FormatInt(n, 10), "--timeout-ms", "20000",
		"--formatter-property", "print.key=true", "--formatter-property", "print.offset=true")
	if err == nil && s.Records != n {
		err = fmt.Errorf("ConsoleConsumer: %d records of %s-%d, want %d", s.Records, topic, partition, n)
	}
	return s, err
}

// javaSums has ConsoleConsumer read every partition from its beginning.
func (b *bench) javaSums(ctx context.Context, addr, topic string, want []sum) ([]sum, error) {
	var got []sum
	for p := range want {
		s, err := b.javaConsume(ctx, addr, topic, p, 0, want[p].Records)
		if err != nil {
			return nil, err
		}
		got = append(got, s)
	}
	return got, nil
}

// javaOffsets compares GetOffsetShell's ends with the records of each partition.
func (b *bench) javaOffsets(ctx context.Context, addr, topic string, want []sum) error {
	got := map[string]bool{}
	err := b.tool(ctx, func(l []byte) error {
		got[string(l)] = true
		return nil
	}, offsetsClass, "--bootstrap-server", addr, "--topic", topic, "--time", "-1")
	if err != nil {
		return err
	}
	for p, s := range want {
		if l := fmt.Sprintf("%s:%d:%d", topic, p, s.Records); !got[l] {
			return fmt.Errorf("GetOffsetShell does not print %s but %v", l, got)
		}
	}
	return nil
}

// runJava has the Java tools and franz-go read what the other wrote.
func runJava(ctx context.Context, b *bench) (_ string, err error) {
	if err := b.needJava(ctx); err != nil {
		return "", err
	}
	br, err := b.Start(ctx, "data")
	if err != nil {
		return "", err
	}
	defer b.Stop(br, &err)
	codecs := codecNames[:]
	if b.Short {
		codecs = []string{"none", "zstd"} // part codecs has the Java client do the others
	}
	bar := screen.NewBar(int64(3*len(codecs)), "Java tools", false)
	defer bar.Close()
	for _, codec := range codecs {
		steps := []func(context.Context, string, string) (sum, error){b.goToJava, b.javaToBoth}
		if b.thorough(codec) {
			steps = append(steps, b.javaMonotonic)
		}
		var sums []sum
		for _, step := range steps {
			bar.Describe("Java tools, " + codec)
			s, err := step(ctx, br.Kafka, codec)
			if err != nil {
				return "", fmt.Errorf("%s: %w", codec, err)
			}
			sums = append(sums, s)
			bar.Add(1)
		}
		suite.Note("%-6s franz-go to Java %s records, order %016x; Java to both %s, order %016x", codec,
			screen.Count(sums[0].Records), sums[0].Order, screen.Count(sums[1].Records), sums[1].Order)
	}
	return fmt.Sprintf("ProducerPerformance, ConsoleConsumer and GetOffsetShell %s: %s records each way with each of %d codecs, sums equal to franz-go's",
		broker.ApacheVersion, count(b.records), len(codecs)), nil
}

// goToJava writes with franz-go and reads with ConsoleConsumer, once from an offset in the middle too.
func (b *bench) goToJava(ctx context.Context, addr, codec string) (sum, error) {
	topic := "go-to-java-" + codec
	if err := createTopic(ctx, addr, topic, b.partitions(), nil); err != nil {
		return sum{}, err
	}
	want, err := b.goProduce(ctx, addr, topic, codec, b.records)
	if err != nil {
		return sum{}, err
	}
	got, err := b.javaSums(ctx, addr, topic, want)
	if err == nil {
		err = same(topic, got, want)
	}
	if err == nil && b.thorough(codec) {
		err = b.javaOffsets(ctx, addr, topic, want)
	}
	if err == nil && b.thorough(codec) {
		last := len(want) - 1
		middle := want[last].Records / 2
		_, err = b.javaConsume(ctx, addr, topic, last, middle, want[last].Records-middle)
	}
	return total(want), err
}

// javaToBoth writes with ProducerPerformance, and compares what franz-go reads with what ConsoleConsumer reads.
func (b *bench) javaToBoth(ctx context.Context, addr, codec string) (sum, error) {
	topic := "java-" + codec
	if err := createTopic(ctx, addr, topic, b.partitions(), nil); err != nil {
		return sum{}, err
	}
	if err := b.javaProduce(ctx, addr, topic, codec, b.records, "--record-size", strconv.Itoa(javaRecord)); err != nil {
		return sum{}, err
	}
	byGo, err := goSums(ctx, addr, topic)
	if err != nil {
		return sum{}, err
	}
	t := total(byGo)
	if t.Records != int64(b.records) || t.Bytes != int64(b.records)*javaRecord {
		return t, fmt.Errorf("%s: %d records of %d bytes, want %d of %d each", topic, t.Records, t.Bytes, b.records, javaRecord)
	}
	byJava, err := b.javaSums(ctx, addr, topic, byGo)
	if err == nil {
		err = same(topic+", Java against Go", byJava, byGo)
	}
	if err == nil && b.thorough(codec) {
		err = b.javaOffsets(ctx, addr, topic, byGo)
	}
	return t, err
}

// javaMonotonic has ProducerPerformance write the numbers from 0 on, a payload that is known beforehand, and demands each of
// them once.
func (b *bench) javaMonotonic(ctx context.Context, addr, codec string) (sum, error) {
	topic, n := "java-numbers-"+codec, max(1, b.records/10)
	if err := createTopic(ctx, addr, topic, b.partitions(), nil); err != nil {
		return sum{}, err
	}
	if err := b.javaProduce(ctx, addr, topic, codec, n, "--payload-monotonic"); err != nil {
		return sum{}, err
	}
	var want, got sum
	for i := range n {
		v := strconv.AppendInt(nil, int64(i), 10)
		want.add(line(nil, nil, v), len(v))
	}
	last := map[int32]int64{}
	err := goConsume(ctx, addr, topic, false, func(r *kgo.Record) error {
		v, err := strconv.ParseInt(string(r.Value), 10, 64)
		if before, ok := last[r.Partition]; err != nil || ok && v <= before {
			return fmt.Errorf("%s-%d offset %d: %q after %d", topic, r.Partition, r.Offset, r.Value, before)
		}
		last[r.Partition] = v
		got.add(line(nil, r.Key, r.Value), len(r.Value))
		return nil
	})
	if err == nil && (got.Records != want.Records || got.Set != want.Set || got.Bytes != want.Bytes) {
		err = fmt.Errorf("%s: got %+v, want %+v", topic, got, want)
	}
	return got, err
}
