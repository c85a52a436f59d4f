package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"penstock/bench/broker"
	"penstock/bench/lab"
	"penstock/bench/load"
)

// Names of what is measured.
const (
	penstock = "penstock"
	apache   = "kafka"
	floor    = "floor"
	oddFloor = "floor, odd"
)

// session is one run of the program: what the command line said, and the directory that it works in.
type session struct {
	binary, dir, peers, cache, jars string
	rocketJars                      string
	peer                            string // the other broker that may be measured
	short, lab                      bool
	rocket                          bool // penstock serves RocketMQ's clients too
	rounds, partitions              int
	wide, connections               int    // of scale
	plot                            string // of layouts
	only                            *regexp.Regexp
	out                             io.Writer
	work                            string // made by open, removed by close
	count                           int    // directories and topics made so far; it keeps their names apart
}

func (s *session) validate() error {
	if s.rounds == 0 {
		s.rounds = choose(s.short, 1, 3)
	}
	if s.wide == 0 {
		s.wide = choose(s.short, 500, 10_000)
	}
	if s.connections == 0 {
		s.connections = choose(s.short, 500, 10_000)
	}
	if s.wide < 1 || s.connections < 1 {
		return fmt.Errorf("%d partitions, %d connections: at least one of each", s.wide, s.connections)
	}
	if s.rounds < 1 || s.partitions < 1 {
		return fmt.Errorf("rounds %d, partitions %d: at least one of each", s.rounds, s.partitions)
	}
	for _, name := range s.names() {
		if name != penstock && name != s.peer {
			return fmt.Errorf("broker %q: %s and %s are known", name, penstock, s.peer)
		}
	}
	if !s.starts(penstock) {
		return nil
	}
	if _, err := os.Stat(s.binary); err != nil {
		return fmt.Errorf("the penstock binary: %w", err)
	}
	return nil
}

// choose is a where yes, else b.
func choose[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}

// names are the brokers to measure.
func (s *session) names() []string {
	return strings.FieldsFunc(s.peers, func(r rune) bool { return r == ',' })
}

func (s *session) starts(name string) bool {
	for _, n := range s.names() {
		if n == name {
			return true
		}
	}
	return false
}

// open makes the directory that everything goes to.
func (s *session) open() (err error) {
	s.work, err = os.MkdirTemp(s.dir, "penstock-bench-")
	return err
}

func (s *session) close() error {
	if s.work == "" {
		return nil
	}
	return os.RemoveAll(s.work)
}

// place makes a fresh directory.
func (s *session) place(name string) (string, error) {
	s.count++
	dir := filepath.Join(s.work, fmt.Sprintf("%s-%d", name, s.count))
	return dir, os.Mkdir(dir, 0o755)
}

// machine says on what the figures were taken.
func (s *session) machine() string {
	control, err := lab.Congestion()
	if err != nil {
		control = err.Error()
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	where := choose(lab.Inside(), "a network namespace of its own", "the machine's own network")
	return fmt.Sprintf("%d processors, Linux %s, loopback of %s, congestion control %s; load: franz-go, built by %s",
		runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), where, control, runtime.Version())
}

// A contender is a running broker that is measured.
type contender struct {
	*broker.Broker
	name string
	s    *session
	dir  string // of its data and its output
}

// launch starts a broker in a fresh directory and does not wait until it answers.
func (s *session) launch(ctx context.Context, name string) (*contender, error) {
	dir, err := s.place(name)
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, s: s, dir: dir}
	if name == apache {
		c.Broker, err = broker.LaunchApache(ctx, broker.ApacheOptions{Jars: s.jars, Data: dir, Output: filepath.Join(dir, "output")})
	} else {
		c.Broker, err = broker.Launch(broker.Options{Binary: s.binary, WithRocket: s.rocket, Data: filepath.Join(dir, "data"), Output: filepath.Join(dir, "output")})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// start starts all brokers of the session and waits until they answer. The function that it returns ends them and removes what they have written, so that the next
// find room.
func (s *session) start(ctx context.Context) ([]*contender, func(), error) {
	var list []*contender
	end := func() {
		for _, c := range list {
			_ = c.Kill()
			_ = os.RemoveAll(c.dir) // else with the session's
		}
	}
	for _, name := range s.names() {
		c, err := s.launch(ctx, name)
		if err == nil {
			list = append(list, c)
			err = c.Answers(ctx)
		}
		if err == nil && name == penstock {
			err = c.Ready(ctx)
		}
		if err != nil {
			end()
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return list, end, nil
}

// durability is what an acknowledgement with acks=all means. Only equal ones are compared.
type durability string

const (
	durable durability = "fsync before the acknowledgement"
	relaxed durability = "acknowledged from the page cache"
)

// config is the topic configuration that gives a broker the durability: each has one of the two by default.
func (c *contender) config(d durability) map[string]string {
	switch {
	case c.name == apache && d == durable:
		return map[string]string{"flush.messages": "1"}
	case c.name == penstock && d == relaxed:
		return map[string]string{"penstock.durability": "relaxed"}
	default:
		return nil
	}
}

// topic creates a topic with a new name.
func (c *contender) topic(ctx context.Context, d durability) (load.Target, error) {
	return c.topicOf(ctx, d, c.s.partitions)
}

// topicOf is topic with a number of partitions.
func (c *contender) topicOf(ctx context.Context, d durability, partitions int) (load.Target, error) {
	c.s.count++
	t := load.Target{Addr: c.Kafka, Topic: fmt.Sprintf("bench-%d", c.s.count), Partitions: partitions}
	if err := t.Create(ctx, c.config(d)); err != nil {
		return t, fmt.Errorf("%s: %w", c.name, err)
	}
	return t, nil
}

// A processor that is used for less than restShare of a restWindow is at rest; settle waits for that, but not longer than restLimit.
const (
	restWindow = 300 * time.Millisecond
	restShare  = 0.05
	restLimit  = 4 * time.Second
)

// settle waits until the broker is done with what it does behind its answers, such as the removal of a topic.
func (c *contender) settle() error {
	for end := time.Now().Add(restLimit); time.Now().Before(end); {
		before, err := c.CPU()
		if err != nil {
			return err
		}
		time.Sleep(restWindow)
		after, err := c.CPU()
		if err != nil {
			return err
		}
		if (after - before).Seconds() < restShare*restWindow.Seconds() {
			return nil
		}
	}
	return nil
}

// drop deletes a topic and waits until the broker has done so.
func (c *contender) drop(ctx context.Context, t load.Target) error {
	if err := t.Delete(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if c.name == apache {
		time.Sleep(deleteDelay)
	}
	return c.settle()
}

// deleteDelay is how long Apache Kafka, as it is started here, keeps the files of a deleted topic.
const deleteDelay = 1200 * time.Millisecond

// cost is the processor time that the broker spends while do runs.
func (c *contender) cost(do func() error) (time.Duration, error) {
	before, err := c.CPU()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, fmt.Errorf("%s: %w", c.name, err)
	}
	after, err := c.CPU()
	return after - before, err
}

// memoryUsed is how many times the bytes of a measurement useMemory uses with each of its units: the load takes its own share of
// what is free.
const memoryUsed = 2

// useMemory makes the kernel's free memory memory that was used a moment ago: it writes as many files as a topic has partitions in
// turn, and removes them. The host of a virtual machine may take back pages that are free for seconds; then the first write to each
// costs about ten times a second one, outside of the machine and on the account of whoever writes.
//
// Which free pages a write gets depends on its size and place, so these are alike: batches one after the other, of the size given
// and of 1 MiB, out of step with pages as batches are; and in step, as the floor's are.
func (s *session) useMemory(bytes int64, batch int) error {
	dir, err := s.place("memory")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, unit := range []int{odd(batch), odd(1 << 20), 1 << 20} {
		b := make([]byte, unit)
		files := make([]*os.File, s.partitions)
		for i := range files {
			if files[i], err = os.Create(filepath.Join(dir, fmt.Sprintf("%d-%d", unit, i))); err != nil {
				return err
			}
			defer files[i].Close() // with those of the other unit: what is free must not be used twice
		}
		for i, left := 0, memoryUsed*bytes; left > 0; i, left = i+1, left-int64(len(b)) {
			if _, err := files[i%len(files)].Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// progress prints a line about what goes on to the standard error, so that the standard output holds results alone.
func (s *session) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "  "+format+"\n", args...)
}

// errMissed is the error of a run whose figures are wrong, not slow.
var errMissed = errors.New("a claim does not hold")
