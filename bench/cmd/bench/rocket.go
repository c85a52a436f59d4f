package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"penstock/bench/broker"
	"penstock/bench/stat"
)

// rocketmq is the name of the peer of the command rocket.
const rocketmq = "rocketmq"

// The main classes of RocketMQ's own benchmark programs.
const (
	rocketProducer = "org.apache.rocketmq.example.benchmark.Producer"
	rocketConsumer = "org.apache.rocketmq.example.benchmark.Consumer"
	rocketAdmin    = "org.apache.rocketmq.tools.command.MQAdminStartup"
)

const (
	// rocketValue is the size of a message's body.
	rocketValue = 1 << 10
	// rocketQueues is the number of queues of each topic.
	rocketQueues = 4
	// rocketLimit bounds one run of a program.
	rocketLimit = 3 * time.Minute
)

// Targets beside RocketMQ: processor time per message and round trip of sends, rate of sends that wait for the disk, processor time of
// consuming.
const (
	rocketSendTarget    = 0.3
	rocketTripTarget    = 0.6
	rocketFlushTarget   = 1.3
	rocketConsumeTarget = 0.2
)

// rocketRow is a row of the report in JSON.
type rocketRow struct {
	Work       string      `json:"work"`
	Who        string      `json:"who"`
	Durability durability  `json:"durability"`
	Rate       stat.Spread `json:"messages_per_s"`
	Trip       stat.Spread `json:"round_trip_ms"`
	CPU        stat.Spread `json:"cpu_us_per_message"`
	PerGiB     stat.Spread `json:"cpu_s_per_gib"`
	Verdicts   []verdict   `json:"verdicts,omitempty"`

	rates, trips, costs, gibs []float64
}

// rocketWork is one kind of work: sends by so many threads, or consuming if there are none.
type rocketWork struct {
	name    string
	d       durability
	threads int
	count   int
}

// rocketRun is a run of the command.
type rocketRun struct {
	s    *session
	rows map[string]map[string]*rocketRow // by work and broker
	work []rocketWork
}

// rocketSide is a running broker.
type rocketSide struct {
	name, names, addr string
	pid               int
	end               func() error
}

// rocket measures penstock beside RocketMQ with RocketMQ's own benchmark programs.
func rocket(ctx context.Context, s *session) error {
	r := &rocketRun{s: s, rows: map[string]map[string]*rocketRow{}}
	for _, w := range []rocketWork{
		{"send-1", relaxed, 1, choose(s.short, 12_000, 40_000)},
		{"send-64", relaxed, 64, choose(s.short, 64_000, 256_000)},
		{"consume", relaxed, 0, choose(s.short, 64_000, 512_000)},
		{"flush-1", durable, 1, choose(s.short, 6_000, 20_000)},
		{"flush-64", durable, 64, choose(s.short, 64_000, 192_000)},
	} {
		if s.only.MatchString(w.name) {
			r.work = append(r.work, w)
		}
	}
	if len(r.work) == 0 {
		return errors.New("no case matches -only: there are send-1, send-64, consume, flush-1 and flush-64")
	}
	for _, d := range []durability{relaxed, durable} {
		if err := r.all(ctx, d); err != nil {
			return errors.Join(err, r.report()) // what was measured until then took minutes
		}
	}
	return r.report()
}

// all does the work of one durability.
func (r *rocketRun) all(ctx context.Context, d durability) error {
	var work []rocketWork
	for _, w := range r.work {
		if w.d == d {
			work = append(work, w)
		}
	}
	if len(work) == 0 {
		return nil
	}
	var sides []*rocketSide
	defer func() {
		for _, s := range sides {
			_ = s.end()
		}
	}()
	for _, name := range r.s.names() {
		side, err := r.start(ctx, name, d)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		sides = append(sides, side)
		r.s.progress("warming up %s", name) // the compiler of a JVM has to see the work first
		if _, err := r.send(ctx, side, rocketWork{threads: 64, count: choose(r.s.short, 6_400, 64_000)}, "warm"); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, w := range work {
		for round := range r.s.rounds {
			for _, side := range sides {
				r.s.progress("round %d of %d: %s, %s", round+1, r.s.rounds, w.name, side.name)
				if err := r.one(ctx, side, w, round); err != nil {
					return fmt.Errorf("%s: %s: %w", w.name, side.name, err)
				}
			}
		}
	}
	return nil
}

// start starts a broker whose acknowledgements mean d.
func (r *rocketRun) start(ctx context.Context, name string, d durability) (*rocketSide, error) {
	dir, err := r.s.place(name)
	if err != nil {
		return nil, err
	}
	if name == rocketmq {
		// The heap of its tests, not the 8 GiB of its start script; files of the size that it has by default.
		conf := []string{"mappedFileSizeCommitLog=1073741824", "mappedFileSizeConsumeQueue=6000000", "maxHashSlotNum=5000000", "maxIndexNum=20000000"}
		if d == durable {
			conf = append(conf, "flushDiskType=SYNC_FLUSH")
		}
		b, err := broker.StartRocket(ctx, broker.RocketOptions{Jars: r.s.rocketJars, Data: dir, Heap: "1g", Config: conf})
		if err != nil {
			return nil, err
		}
		return &rocketSide{name, b.NameServer, b.Addr, b.Broker.PID(), b.Kill}, nil
	}
	o := broker.Options{Binary: r.s.binary, Data: filepath.Join(dir, "data"), Output: filepath.Join(dir, "output"), WithRocket: true}
	if d == relaxed {
		o.Args = []string{"--set", "penstock.durability=relaxed"}
	}
	b, err := broker.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &rocketSide{name, b.NameServer, b.Rocket, b.PID(), b.Kill}, nil
}

// java runs one of RocketMQ's programs and gives its output, line by line, to read.
func (r *rocketRun) java(ctx context.Context, side *rocketSide, read func(string), class string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, rocketLimit)
	defer cancel()
	home := filepath.Join(r.s.work, "client")
	flags := append([]string{"-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-Duser.home=" + home, "-Drocketmq.client.logLevel=ERROR"}, broker.RocketJava()...)
	flags = append(flags, "-cp", filepath.Join(r.s.rocketJars, "*"), class)
	cmd := exec.CommandContext(ctx, "java", append(append(flags, args...), "-n", side.names)...)
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+home, "NAMESRV_ADDR="+side.names)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("java: %w", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		read(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", class[strings.LastIndexByte(class, '.')+1:], errors.Join(err, ctx.Err()), tailOf(said.String()))
	}
	return nil
}

func tailOf(s string) string { return s[max(0, len(s)-2000):] }

// sendDone is the last line of the producer. It tells rate and round trip only if it ran for more than a second.
var sendDone = regexp.MustCompile(`^\[Complete\] Send Total: ([0-9]+) (?:\| Send TPS: ([0-9]+) .*Average RT\(ms\): +([0-9.]+) \| )?Send Failed: ([0-9]+) (?:\| )?Response Failed: ([0-9]+)`)

// rocketSent is what the producer says of itself.
type rocketSent struct{ count, rate, trip float64 }

// send makes a topic and has the producer send into it; it must do so without a failure.
func (r *rocketRun) send(ctx context.Context, side *rocketSide, w rocketWork, topic string) (rocketSent, error) {
	var out rocketSent
	well := false
	err := r.java(ctx, side, func(l string) { well = well || strings.Contains(l, "success") },
		rocketAdmin, "updateTopic", "-b", side.addr, "-t", topic, "-r", strconv.Itoa(rocketQueues), "-w", strconv.Itoa(rocketQueues))
	if err == nil && !well {
		err = fmt.Errorf("topic %s was not made", topic)
	}
	if err != nil {
		return out, err
	}
	failed := 0.0
	err = r.java(ctx, side, func(l string) {
		if m := sendDone.FindStringSubmatch(l); m != nil {
			out = rocketSent{count: number(m[1])}
			if m[2] != "" {
				out.rate, out.trip = number(m[2]), number(m[3])
			}
			failed = number(m[4]) + number(m[5])
		}
	}, rocketProducer, "-t", topic, "-w", strconv.Itoa(w.threads), "-s", strconv.Itoa(rocketValue), "-q", strconv.Itoa(w.count))
	if err == nil && (out.count != float64(w.count) || failed > 0) {
		err = fmt.Errorf("%.0f of %d messages were sent, %.0f failed", out.count, w.count, failed)
	}
	return out, err
}

func number(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// one does a piece of work once.
func (r *rocketRun) one(ctx context.Context, side *rocketSide, w rocketWork, round int) error {
	if r.rows[w.name] == nil {
		r.rows[w.name] = map[string]*rocketRow{}
	}
	row := r.rows[w.name][side.name]
	if row == nil {
		row = &rocketRow{Work: w.name, Who: side.name, Durability: w.d}
		r.rows[w.name][side.name] = row
	}
	topic := fmt.Sprintf("%s-%d", w.name, round)
	if w.threads == 0 {
		return r.consume(ctx, side, w, topic, row)
	}
	before, err := broker.CPU(side.pid)
	if err != nil {
		return err
	}
	sent, err := r.send(ctx, side, w, topic)
	if err != nil {
		return err
	}
	after, err := broker.CPU(side.pid)
	if err != nil {
		return err
	}
	row.rates, row.trips = append(row.rates, sent.rate), append(row.trips, sent.trip)
	row.costs = append(row.costs, (after-before).Seconds()*1e6/float64(w.count))
	return nil
}

// readEvery is the pause between two looks at how far a group is.
const readEvery = 100 * time.Millisecond

// consume fills a topic and has the push consumer read it, until its group has committed everything, which it does every five seconds.
func (r *rocketRun) consume(ctx context.Context, side *rocketSide, w rocketWork, topic string, row *rocketRow) error {
	if _, err := r.send(ctx, side, rocketWork{threads: 64, count: w.count}, topic); err != nil {
		return err
	}
	before, err := broker.CPU(side.pid)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rocketLimit)
	defer cancel()
	program, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- r.java(program, side, func(string) {}, rocketConsumer, "-t", topic, "-g", "group-"+topic)
	}()
	read := 0
	for err == nil && read < w.count {
		select {
		case err = <-ended:
			return fmt.Errorf("the consumer ended with %d of %d messages read: %w", read, w.count, err)
		case <-ctx.Done():
			err = fmt.Errorf("%d of %d messages were read: %w", read, w.count, ctx.Err())
		case <-time.After(readEvery):
			read, err = committed(ctx, side, "group-"+topic, topic)
		}
	}
	after, cpu := broker.CPU(side.pid)
	stop()
	<-ended
	if err := errors.Join(err, cpu); err != nil {
		return err
	}
	row.costs = append(row.costs, (after-before).Seconds()*1e6/float64(w.count))
	row.gibs = append(row.gibs, (after-before).Seconds()/(float64(w.count)*rocketValue/(1<<30)))
	return nil
}

// committed is how many messages a group has committed. A group that has not yet committed has none.
func committed(ctx context.Context, side *rocketSide, group, topic string) (int, error) {
	const queryOffset = 14
	sum := 0
	for q := range rocketQueues {
		a, err := broker.AskRocket(ctx, side.addr, queryOffset, map[string]string{"consumerGroup": group, "topic": topic, "queueId": strconv.Itoa(q)})
		if err != nil {
			return 0, err
		}
		if a.Code != 0 {
			return 0, nil
		}
		n, err := strconv.Atoi(a.Fields["offset"])
		if err != nil {
			return 0, fmt.Errorf("offset of queue %d: %w", q, err)
		}
		sum += n
	}
	return sum, nil
}

// report prints the figures.
func (r *rocketRun) report() error {
	out := r.s.report("rocket", "work", "who", "acknowledged", "messages/s", "round trip ms", "broker CPU us/message", "CPU s/GiB", "targets")
	out.set("RocketMQ %s, its own benchmark programs as load, bodies of %d bytes, %d queues; the JVM of the load starts within what is measured", broker.RocketVersion, rocketValue, rocketQueues)
	out.set("acknowledged from the page cache: RocketMQ's default, ASYNC_FLUSH, and penstock.durability=relaxed; by fsync: SYNC_FLUSH, and penstock's default")
	out.set("consume: benchmark.Consumer reads by push what was written just before, measured until its group has committed all, which it does every 5 s; %d rounds, median (least-most)", r.s.rounds)
	for _, w := range r.work {
		own, theirs := r.rows[w.name][penstock], r.rows[w.name][rocketmq]
		for _, row := range []*rocketRow{own, theirs} {
			if row == nil || len(row.costs) == 0 {
				continue
			}
			row.Rate, row.Trip, row.CPU, row.PerGiB = stat.Of(row.rates), stat.Of(row.trips), stat.Of(row.costs), stat.Of(row.gibs)
		}
		if own != nil && theirs != nil && len(own.costs) > 0 && len(theirs.costs) > 0 {
			own.Verdicts = rocketVerdicts(w, own, theirs)
		}
		for _, name := range r.s.names() {
			row := r.rows[w.name][name]
			if row == nil || len(row.costs) == 0 {
				continue
			}
			rate, trip, gib := "", "", ""
			if w.threads > 0 {
				rate, trip = spread(row.Rate, 0), spread(row.Trip, 3)
			} else {
				gib = spread(row.PerGiB, 2)
			}
			out.add(row, w.name, name, string(w.d), rate, trip, spread(row.CPU, 1), gib, verdicts(row.Verdicts))
		}
	}
	return out.print(r.s.out)
}

// rocketVerdicts compares one kind of work.
func rocketVerdicts(w rocketWork, own, theirs *rocketRow) []verdict {
	switch {
	case w.threads == 0:
		return []verdict{judge("rocketmq's CPU", own.PerGiB.Median/theirs.PerGiB.Median, rocketConsumeTarget, true)}
	case w.d == durable && w.threads == 64:
		return []verdict{judge("rocketmq's rate", own.Rate.Median/theirs.Rate.Median, rocketFlushTarget, false)}
	case w.d == durable:
		return nil
	default:
		return []verdict{
			judge("rocketmq's CPU", own.CPU.Median/theirs.CPU.Median, rocketSendTarget, true),
			judge("rocketmq's round trip", own.Trip.Median/theirs.Trip.Median, rocketTripTarget, true),
		}
	}
}
