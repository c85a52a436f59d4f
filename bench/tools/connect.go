package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"penstock/bench/broker"
	"penstock/bench/screen"
	"penstock/bench/suite"
)

const (
	connectClass = "org.apache.kafka.connect.cli.ConnectStandalone"
	connectTopic = "lines"
	// connectLines is the number of lines of each of the four rounds; they are written in connectBursts, connectPause apart, so that
	// there are lines under way whenever the broker is disturbed.
	connectLines  = 10_000
	connectBursts = 100
	connectPause  = 20 * time.Millisecond
)

// carry is a file under way through Connect: the source connector reads it into a topic, the sink connector writes the topic to
// another.
type carry struct {
	b       *bench
	br      *broker.Broker
	from    string
	to      string
	args    []string // the worker's and the connectors' configuration
	written int      // lines so far
}

// runConnect carries a growing file through a topic into another file with a standalone worker. Lines come in four rounds:
// undisturbed; while the broker is killed with kill -9; while it is stopped and started; and after the worker was stopped and
// started. After each round the sink's file must hold the source's lines, each once and in order.
func runConnect(ctx context.Context, b *bench) (_ string, err error) {
	br, err := b.Start(ctx, "connect")
	if err != nil {
		return "", err
	}
	c := &carry{b: b, br: br, from: filepath.Join(b.Dir, "source.txt"), to: filepath.Join(b.Dir, "sink.txt")}
	defer func() { b.Stop(c.br, &err) }()
	if err := c.prepare(); err != nil {
		return "", err
	}
	worker, err := b.startApp("worker", connectClass, c.args...)
	if err != nil {
		return "", err
	}
	defer func() { worker.end() }()
	rounds := []struct {
		name string
		do   func() error
	}{
		{"undisturbed", func() error { return nil }},
		{"kill -9 of the broker", func() error { return c.again(ctx, c.br.Kill) }},
		{"stop and start of the broker", func() error { return c.again(ctx, c.br.Stop) }},
		{"worker stopped and started", func() error {
			if err := worker.stop(); err != nil {
				return err
			}
			worker, err = b.startApp("worker-again", connectClass, c.args...)
			return err
		}},
	}
	for _, r := range rounds {
		suite.Note("%s: %s lines", r.name, screen.Count(connectLines))
		if err := c.round(ctx, &worker, r.do); err != nil {
			return "", fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return fmt.Sprintf("%s lines through Kafka Connect's file source and sink, through kill -9 and stop of the broker and stop of the worker: the sink's file equals the source's",
		screen.Count(int64(c.written))), nil
}

// prepare writes the configuration.
func (c *carry) prepare() error {
	rest, err := broker.FreeAddr()
	if err != nil {
		return err
	}
	files := []struct {
		name  string
		lines []string
	}{
		{"worker.properties", []string{
			"bootstrap.servers=" + c.br.Kafka,
			"listeners=http://" + rest,
			"key.converter=org.apache.kafka.connect.storage.StringConverter",
			"value.converter=org.apache.kafka.connect.storage.StringConverter",
			"offset.storage.file.filename=" + filepath.Join(c.b.Dir, "connect.offsets"),
			"offset.flush.interval.ms=1000",
			// Connect switches this off; without it a batch whose answer a kill -9 swallowed is written twice, on Kafka too.
			"producer.enable.idempotence=true",
		}},
		{"source.properties", []string{
			"name=source", "connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max=1",
			"file=" + c.from, "topic=" + connectTopic,
			"topic.creation.default.replication.factor=1", "topic.creation.default.partitions=1",
		}},
		{"sink.properties", []string{
			"name=sink", "connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max=1",
			"file=" + c.to, "topics=" + connectTopic,
		}},
	}
	for _, f := range files {
		path, err := c.b.properties(f.name, f.lines...)
		if err != nil {
			return err
		}
		c.args = append(c.args, path)
	}
	return os.WriteFile(c.from, nil, 0o644)
}

// again ends the broker and starts it at the same addresses.
func (c *carry) again(ctx context.Context, end func() error) error {
	if err := end(); err != nil {
		return err
	}
	br, err := c.br.Restart(ctx)
	if err != nil {
		return err
	}
	c.br = br
	return nil
}

// round writes lines, disturbs in the middle of them, waits until the sink has as many, and compares.
func (c *carry) round(ctx context.Context, worker **app, disturb func() error) error {
	written := make(chan error, 1)
	half := make(chan struct{})
	go func() { written <- c.write(ctx, half) }()
	select {
	case <-half:
	case err := <-written:
		return errors.Join(err, errors.New("the lines ended early"))
	}
	if err := errors.Join(disturb(), <-written); err != nil {
		return err
	}
	err := waitFor(ctx, "the sink has the lines", []*app{*worker}, func() (bool, error) {
		n, err := countLines(c.to)
		return n >= c.written, err
	})
	return errors.Join(err, c.same())
}

// write appends one round's lines to the source. It closes half in the middle.
func (c *carry) write(ctx context.Context, half chan<- struct{}) error {
	f, err := os.OpenFile(c.from, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range connectBursts {
		var text strings.Builder
		for range connectLines / connectBursts {
			fmt.Fprintf(&text, "line %d of what Connect carries\n", c.written)
			c.written++
		}
		if _, err := f.WriteString(text.String()); err != nil {
			return err
		}
		if i == connectBursts/2 {
			close(half)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(connectPause):
		}
	}
	return f.Close()
}

// countLines counts the lines of a file; one that is not there has none.
func countLines(file string) (int, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return strings.Count(string(text), "\n"), err
}

// same compares the sink's file with the source's and says what is missing, repeated or out of order.
func (c *carry) same() error {
	f, err := os.Open(c.to)
	if err != nil {
		return err
	}
	defer f.Close()
	seen := make([]int, c.written)
	last, back, foreign := -1, 0, 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "line %d of what Connect carries", &n); err != nil || n < 0 || n >= len(seen) {
			foreign++
			continue
		}
		seen[n]++
		if n <= last {
			back++
		}
		last = n
	}
	missing, repeated := 0, 0
	for _, n := range seen {
		switch {
		case n == 0:
			missing++
		case n > 1:
			repeated++
		}
	}
	if missing+repeated+back+foreign > 0 {
		return errors.Join(lines.Err(), fmt.Errorf("of %d lines the sink misses %d, has %d more than once, %d out of order, and %d that were never written",
			c.written, missing, repeated, back, foreign))
	}
	return lines.Err()
}
