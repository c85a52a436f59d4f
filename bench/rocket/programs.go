package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"penstock/bench/broker"
)

const (
	// programTopic is what RocketMQ's benchmark programs work on. Nobody creates it: it comes with its first message.
	programTopic = "programs"
	// programGroup is the group of Consumer.
	programGroup = "program-readers"
	// programQueues is how many queues it then has: as many as the programs' producers ask for.
	programQueues = 4
	// programCount is how many messages Producer sends.
	programCount = 20_000
	// programBatch is how many messages BatchProducer sends at once.
	programBatch = 32
	// programLimit bounds the wait for a program to do what it is waited for.
	programLimit = 2 * time.Minute
	// programOutput bounds what is kept of a program's output.
	programOutput = 1 << 20
)

// The last line of Producer, and the lines of the two programs that never end by themselves: rates of the last ten seconds.
var (
	producerDone = regexp.MustCompile(`(?m)^\[Complete\] Send Total: ([0-9]+) .*Send Failed: ([0-9]+) .*?Response Failed: ([0-9]+)`)
	batchTells   = regexp.MustCompile(`(?m)^Current Time: .*\| Send MPS: ([0-9]+) .*\| Send Failed: ([0-9]+) \| Send Message Failed: ([0-9]+)$`)
	consumeTells = regexp.MustCompile(`(?m)^Current Time: .*\| Consume TPS: ([0-9]+) .*\| Consume Fail: ([0-9]+)$`)
)

// runPrograms runs the benchmark programs of rocketmq-example as they are: Producer sends a number of messages; then BatchProducer sends and
// Consumer reads until both have told of ten seconds of work, and Consumer's group has committed every message there is.
func runPrograms(ctx context.Context, b *bench) (_ string, err error) {
	start := b.ours
	if b.on == "real" {
		start = b.real
	}
	t, err := start(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	if err := b.produceAlone(ctx, t); err != nil {
		return "", fmt.Errorf("program Producer: %w", err)
	}
	batches, err := b.program(t, "BatchProducer", "-b", strconv.Itoa(programBatch), "-w", "1", "-ri", "2000")
	if err != nil {
		return "", err
	}
	defer batches.kill()
	reader, err := b.program(t, "Consumer", "-g", programGroup, "-ri", "2000")
	if err != nil {
		return "", err
	}
	defer reader.kill()
	if err := batches.says(ctx, batchTells); err != nil {
		return "", err
	}
	if err := reader.says(ctx, consumeTells); err != nil {
		return "", err
	}
	batches.kill()
	sent, err := programOffsets(getMaxOffset).sum(ctx, t.addr)
	if err != nil {
		return "", err
	}
	if sent <= programCount || (sent-programCount)%programBatch != 0 {
		return "", fmt.Errorf("%d messages are there, want %d and some batches of %d", sent, programCount, programBatch)
	}
	if err := programOffsets(getCommitted).until(ctx, t.addr, sent); err != nil {
		return "", err
	}
	return fmt.Sprintf("Producer, BatchProducer and Consumer of rocketmq-example %s on %s: %d messages sent, none refused, all consumed", broker.RocketVersion, t.name, sent), nil
}

func programOffsets(code int) offsetQuery {
	return offsetQuery{programTopic, programQueues, code, programGroup}
}

// produceAlone runs Producer to its end.
func (b *bench) produceAlone(ctx context.Context, t *target) error {
	p, err := b.program(t, "Producer", "-q", strconv.Itoa(programCount), "-w", "8", "-s", "300", "-k", "true", "-l", "3")
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.says(ctx, producerDone); err != nil {
		return err
	}
	sent, err := programOffsets(getMaxOffset).sum(ctx, t.addr)
	if err == nil && sent != programCount {
		err = fmt.Errorf("%d messages are there, want %d", sent, programCount)
	}
	return err
}

// offsetQuery asks for an offset of each queue of a topic.
type offsetQuery struct {
	topic  string
	queues int
	code   int
	group  string // of committed offsets
}

// Codes of RocketMQ's protocol that ask for an offset of a queue.
const (
	getCommitted = 14
	getMaxOffset = 30
)

// sum is the sum of the offsets. A queue of which nothing is committed counts as 0.
func (q offsetQuery) sum(ctx context.Context, addr string) (int64, error) {
	const notFound = 22
	var sum int64
	for i := range q.queues {
		a, err := broker.AskRocket(ctx, addr, q.code, map[string]string{"topic": q.topic, "queueId": strconv.Itoa(i), "consumerGroup": q.group})
		if err != nil {
			return 0, err
		}
		if a.Code == notFound {
			continue
		}
		if a.Code != 0 {
			return 0, fmt.Errorf("offset of %s, queue %d: code %d: %s", q.topic, i, a.Code, a.Remark)
		}
		n, err := strconv.ParseInt(a.Fields["offset"], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("offset of %s, queue %d: %w", q.topic, i, err)
		}
		sum += n
	}
	return sum, nil
}

// until waits until the sum is what it should be.
func (q offsetQuery) until(ctx context.Context, addr string, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, arriveLimit)
	defer cancel()
	for {
		n, err := q.sum(ctx, addr)
		if err != nil || n == want {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has committed %d of %d messages of %s: %w", q.group, n, want, q.topic, ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// program is one of the benchmark programs, running.
type program struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	once sync.Once

	mu   sync.Mutex // guards what follows
	said bytes.Buffer
}

// Write takes what the program prints.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said.Len() < programOutput {
		p.said.Write(b)
	}
	return len(b), nil
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// program starts a benchmark program on the topic.
func (b *bench) program(t *target, name string, args ...string) (*program, error) {
	home := filepath.Join(b.Dir, strings.ToLower(name))
	classes := filepath.Join(home, "classes")
	if err := os.MkdirAll(classes, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(classes, "rmq.logback.xml"), []byte(silence), 0o644); err != nil {
		return nil, err
	}
	line := append(b.java(b.jars.Whole, classes, home), "org.apache.rocketmq.example.benchmark."+name, "-n", t.names, "-t", programTopic)
	p := &program{name: name, cmd: exec.Command(line[0], append(line[1:], args...)...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+home, "NAMESRV_ADDR="+t.names)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // what it printed says how it went
		close(p.done)
	}()
	return p, nil
}

// kill ends the program and waits for its end. It may be called again.
func (p *program) kill() {
	p.once.Do(func() { _ = p.cmd.Process.Kill() })
	<-p.done
}

// says waits until the program prints a line of that shape. The first number in it is what it did and must not be 0, the others are failures
// and must be 0.
func (p *program) says(ctx context.Context, shape *regexp.Regexp) error {
	ctx, cancel := context.WithTimeout(ctx, programLimit)
	defer cancel()
	for ended := false; ; {
		if m := shape.FindStringSubmatch(p.output()); m != nil {
			return wellDone(m)
		}
		if ended {
			return fmt.Errorf("%s ended and printed\n%s", p.name, p.output())
		}
		select {
		case <-p.done:
			ended = true
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; it printed\n%s", p.name, ctx.Err(), p.output())
		case <-time.After(askEvery):
		}
	}
}

// wellDone judges a line of a program: work, then failures.
func wellDone(m []string) error {
	if m[1] == "0" {
		return fmt.Errorf("nothing was done: %s", m[0])
	}
	for _, failed := range m[2:] {
		if failed != "0" {
			return fmt.Errorf("something failed: %s", m[0])
		}
	}
	return nil
}
