package main

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"penstock/bench/compare"
	"penstock/bench/rocket/talk"
)

// scriptText is what is run against both brokers, differencesText what may differ, with a reason each.
//
//go:embed script.txt
var scriptText string

//go:embed differences.txt
var differencesText string

const (
	// againFor is how long a step that only asks is asked again while the answers differ unexpectedly: indexes and consumers take a
	// moment.
	againFor = 20 * time.Second
	// againEvery is the pause before it is asked again.
	againEvery = 300 * time.Millisecond
)

// step is one line of the script.
type step struct {
	line      string
	words     []string
	again     bool // it changes nothing, and may be repeated until the brokers agree
	unordered bool // its lines come in no particular order
	short     bool // part of the short form
}

// readScript reads the script: a command of mqadmin a line, with holes like {broker} that are filled in for each broker, or a directive that
// starts with "!". Marks before a line: "?" it only asks, "~" its lines have no order, "*" it is part of the short form.
func readScript(s string) ([]step, error) {
	var out []step
	for n, line := range strings.Split(s, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var st step
		for strings.ContainsRune("?~* ", rune(line[0])) {
			st.again = st.again || line[0] == '?'
			st.unordered = st.unordered || line[0] == '~'
			st.short = st.short || line[0] == '*'
			line = line[1:]
		}
		var err error
		if st.words, err = compare.Split(line); err == nil && strings.HasPrefix(line, "!") && directives[st.words[0]] == nil {
			err = fmt.Errorf("no directive %s", st.words[0])
		}
		if err != nil {
			return nil, fmt.Errorf("script, line %d: %w", n+1, err)
		}
		st.line = line
		out = append(out, st)
	}
	return out, nil
}

// side is one of the two brokers.
type side struct {
	*target
	d     *talk.Driver // a client that produces and consumes for the directives
	kept  map[string]string
	words *strings.Replacer
	began time.Time
	last  string // what the last command printed
	jvm   *compare.JVM
}

// newSide fills in what is known of a broker from the beginning.
func newSide(t *target, d *talk.Driver, began time.Time) *side {
	host, port, _ := strings.Cut(t.addr, ":")
	return &side{
		target: t, d: d, began: began,
		kept:  map[string]string{"broker": t.addr, "names": t.names, "host": host, "port": port},
		words: strings.NewReplacer(t.addr, "BROKER", t.names, "NAMES", host+":"+port, "BROKER"),
	}
}

var holeShape = regexp.MustCompile(`\{([a-z]+)(?::([^}]*))?\}`)

// fill fills the holes of a word: {broker}, {names}, {ms:-1h} (a time before the run in milliseconds), {NAME} (kept by !keep).
func (s *side) fill(word string) (string, error) {
	var bad error
	out := holeShape.ReplaceAllStringFunc(word, func(h string) string {
		m := holeShape.FindStringSubmatch(h)
		if m[1] == "ms" {
			d, err := time.ParseDuration(m[2])
			bad = errors.Join(bad, err)
			return fmt.Sprint(s.began.Add(d).UnixMilli())
		}
		v, ok := s.kept[m[1]]
		if !ok {
			bad = errors.Join(bad, fmt.Errorf("nothing is kept as %s", m[1]))
		}
		return v
	})
	return out, bad
}

// directives are what the script does besides commands of mqadmin, on each broker.
var directives = map[string]func(context.Context, *side, []string) error{
	"!keep":      keep,
	"!id":        offsetID,
	"!produce":   produce,
	"!consume":   consume,
	"!reads":     reads,
	"!committed": committed,
	"!close":     closeClient,
	"!warm":      warm,
}

// keep keeps what a group of a pattern matched in the last output: !keep NAME PATTERN.
func keep(_ context.Context, s *side, words []string) error {
	re, err := regexp.Compile(words[2])
	if err != nil {
		return err
	}
	m := re.FindStringSubmatch(s.last)
	if m == nil {
		return fmt.Errorf("%s is not in\n%s", words[2], s.last)
	}
	s.kept[words[1]] = m[len(m)-1]
	return nil
}

// offsetID keeps the id that a broker gives to the message at the position that the last output names: its address and that position.
func offsetID(_ context.Context, s *side, words []string) error {
	m := positionShape.FindStringSubmatch(s.last)
	if m == nil {
		return fmt.Errorf("no position in\n%s", s.last)
	}
	position, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddrPort(s.addr)
	if err != nil {
		return err
	}
	id := binary.BigEndian.AppendUint32(addr.Addr().AsSlice(), uint32(addr.Port()))
	s.kept[words[1]] = fmt.Sprintf("%X", binary.BigEndian.AppendUint64(id, position))
	return nil
}

var positionShape = regexp.MustCompile(`CommitLog Offset: *([0-9]+)`)

// produce starts a producer and sends so many messages: !produce NAME TOPIC COUNT.
func produce(ctx context.Context, s *side, words []string) error {
	var n int
	if _, err := fmt.Sscan(words[3], &n); err != nil {
		return err
	}
	for _, c := range []talk.Command{
		{Op: "producer", Name: words[1], Group: "group-" + words[1]},
		{Op: "send", Name: words[1], Mode: "ordered", Topic: words[2], Prefix: words[1], Count: n, Tags: []string{"A", "B"}, Key: "key-", Thread: 4},
	} {
		c.Names, c.Expr, c.Batch = s.names, "*", 1
		if _, err := s.d.Do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// consume starts a push consumer and waits until it has read so many messages: !consume NAME GROUP TOPIC COUNT.
func consume(ctx context.Context, s *side, words []string) error {
	var n int
	if _, err := fmt.Sscan(words[4], &n); err != nil {
		return err
	}
	c := talk.Command{Op: "push", Kind: "concurrent", Name: words[1], Group: words[2], Topic: words[3], Names: s.names, Expr: "*", Batch: 1, Thread: 2, Every: 1}
	if _, err := s.d.Do(ctx, c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, arriveLimit)
	defer cancel()
	_, err := s.d.Until(ctx, words[1], func(got []talk.Answer) bool { return len(those(got, "read")) >= n })
	return err
}

// reads waits until a consumer has read so many messages in all: !reads NAME COUNT.
func reads(ctx context.Context, s *side, words []string) error {
	var n int
	if _, err := fmt.Sscan(words[2], &n); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, arriveLimit)
	defer cancel()
	_, err := s.d.Until(ctx, words[1], func(got []talk.Answer) bool { return len(those(got, "read")) >= n })
	return err
}

// committed waits until a group has committed so many messages of a topic, which has at most maxQueues queues: !committed GROUP TOPIC COUNT. What a
// consumer has read when it ends it may not have committed.
func committed(ctx context.Context, s *side, words []string) error {
	const maxQueues = 8
	var n int64
	if _, err := fmt.Sscan(words[3], &n); err != nil {
		return err
	}
	q := offsetQuery{topic: words[2], queues: maxQueues, code: getCommitted, group: words[1]}
	return q.until(ctx, s.addr, n)
}

// warm runs a command until it has sent a message: !warm COMMAND. On a busy machine the first producer of a JVM may not be ready within the three
// seconds that a send has.
func warm(ctx context.Context, s *side, words []string) error {
	ctx, cancel := context.WithTimeout(ctx, arriveLimit)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := s.lines(ctx, step{line: strings.Join(words[1:], " "), words: words[1:]}); err != nil {
			return err
		}
		if strings.Contains(s.last, "SEND_OK") {
			return nil
		}
	}
	return fmt.Errorf("nothing was sent: %w\n%s", ctx.Err(), s.last)
}

// closeClient ends a producer or consumer: !close NAME.
func closeClient(ctx context.Context, s *side, words []string) error {
	_, err := s.d.Do(ctx, talk.Command{Op: "close", Name: words[1]})
	return err
}

// told is what became of a step.
type told struct {
	step    step
	real    []string
	ours    []string
	changes []compare.Change
	bad     []compare.Change // those that no entry expects
}

// comparison runs steps.
type comparison struct {
	real, ours *side
	table      []*compare.Difference
}

// runTools runs the script against both brokers.
func runTools(ctx context.Context, b *bench) (_ string, err error) {
	table, err := compare.ReadDifferences(differencesText)
	if err != nil {
		return "", err
	}
	steps, err := readScript(scriptText)
	if err != nil {
		return "", err
	}
	if b.Short {
		steps = slices.DeleteFunc(steps, func(s step) bool { return !s.short })
	}
	began := time.Now()
	var sides []*side
	second := b.ours
	if b.on == "real" { // to see that two RocketMQs print the same
		second = b.real
	}
	for i, start := range []func(context.Context, ...string) (*target, error){b.real, second} {
		t, err := start(ctx)
		if err != nil {
			return "", err
		}
		defer t.end()
		d, err := b.hire(ctx, fleet()[0], filepath.Join(b.Dir, fmt.Sprintf("client-%d", i)))
		if err != nil {
			return "", err
		}
		defer dismiss(d)
		s := newSide(t, d, began)
		if s.jvm, err = b.adminJVM(fmt.Sprintf("admin-%d", i)); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, s.jvm.Close()) }()
		sides = append(sides, s)
	}
	c := &comparison{real: sides[0], ours: sides[1], table: table}
	all, err := c.all(ctx, steps)
	text, bad := b.judgeTools(all, table)
	if err != nil {
		return "", fmt.Errorf("%w\nthe broker's last words:\n%s", errors.Join(err, bad), sides[1].tail())
	}
	return text, bad
}

// adminJVM starts the JVM that runs mqadmin.
func (b *bench) adminJVM(name string) (*compare.JVM, error) {
	dir := filepath.Join(b.Dir, name)
	classes := filepath.Join(dir, "classes")
	if err := os.MkdirAll(classes, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(classes, "rmq.logback.xml"), []byte(silence), 0o644); err != nil {
		return nil, err
	}
	source, err := sources.ReadFile("driver/AdminDriver.java")
	if err != nil {
		return nil, err
	}
	return compare.StartJVM(dir, source, b.java(b.jars.Whole, classes, dir, "-Djava.security.manager=allow")[1:])
}

func (c *comparison) all(ctx context.Context, steps []step) ([]told, error) {
	var out []told
	for _, st := range steps {
		if do := directives[st.words[0]]; do != nil {
			err := both(func(s *side) error { return do(ctx, s, st.words) }, c.real, c.ours)
			if err != nil {
				return out, fmt.Errorf("%s: %w", st.line, err)
			}
			continue
		}
		o, err := c.one(ctx, st)
		if err != nil {
			return out, err
		}
		out = append(out, o)
	}
	return out, nil
}

// both does something for both brokers at the same time.
func both(do func(*side) error, a, b *side) error {
	var wait sync.WaitGroup
	errs := make([]error, 2)
	for i, s := range []*side{a, b} {
		wait.Go(func() {
			if err := do(s); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// one runs a command against both brokers, and again while they differ unexpectedly if it only asks.
func (c *comparison) one(ctx context.Context, st step) (told, error) {
	o := told{step: st}
	for began := time.Now(); ; {
		if err := both(func(s *side) (err error) {
			if s == c.real {
				o.real, err = s.lines(ctx, st)
			} else {
				o.ours, err = s.lines(ctx, st)
			}
			return err
		}, c.real, c.ours); err != nil {
			return o, err
		}
		o.changes, o.bad = compare.Lines(o.real, o.ours), nil
		for _, ch := range o.changes {
			if compare.Explain(c.table, st.line, ch, false) == nil {
				o.bad = append(o.bad, ch)
			}
		}
		if len(o.bad) == 0 || !st.again || time.Since(began) > againFor {
			break
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-time.After(againEvery):
		}
	}
	for _, ch := range o.changes {
		compare.Explain(c.table, st.line, ch, true)
	}
	return o, nil
}

// lines runs a command against one broker.
func (s *side) lines(ctx context.Context, st step) ([]string, error) {
	args := make([]string, 0, len(st.words)+2)
	for _, w := range st.words {
		f, err := s.fill(w)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.name, st.line, err)
		}
		args = append(args, f)
	}
	args = append(args, "-n", s.names)
	r, err := s.jvm.Run(ctx, "mqadmin", args, "")
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s.name, st.line, err)
	}
	s.last = r.Out
	return s.normal(r, st), nil
}

// judgeTools prints what is unexpected, writes the document, and says how it went.
func (b *bench) judgeTools(all []told, table []*compare.Difference) (string, error) {
	unexpected, same, lines := 0, 0, 0
	for _, o := range all {
		lines += len(o.real)
		if len(o.changes) == 0 {
			same++
		}
		unexpected += len(o.bad)
		compare.Tell(os.Stdout, o.step.line, o.real, o.changes, o.bad, b.verbose)
	}
	gone := 0
	if !b.Short {
		gone = compare.Unseen(os.Stdout, table)
	}
	if b.doc != "" && unexpected == 0 && !b.Short {
		if err := writeDoc(b.doc, all, table); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("%d commands of mqadmin against RocketMQ and penstock, %d lines: %d alike, %d with expected differences (%d kinds)",
		len(all), lines, same, len(all)-same, len(table))
	if unexpected > 0 {
		return "", fmt.Errorf("%d lines differ unexpectedly (-: RocketMQ alone prints it, +: penstock alone). %s", unexpected, text)
	}
	if gone > 0 {
		text += fmt.Sprintf("; %d expected differences did not appear", gone)
	}
	return text, nil
}
