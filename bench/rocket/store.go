package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"penstock/bench/broker"
	"penstock/bench/compare"
	"penstock/bench/suite"
)

// Sizes of files, small enough that the log and the index have several, and the same for both brokers.
const (
	storeFile    = 4 << 20
	storeSlots   = 500
	storeEntries = 2000
	storeQueue   = 6_000_000 // bytes of a file of a consume queue, which penstock has no setting for
)

// stop is a broker on a journey.
type stop struct {
	real bool
	kill bool // ended with SIGKILL; else with SIGTERM
}

func (s stop) String() string {
	switch {
	case s.real && s.kill:
		return "real, killed"
	case s.real:
		return "real"
	}
	return "penstock"
}

// journey is a store that goes from broker to broker. Each takes over what the one before has left, is looked at, and adds its own.
type journey struct {
	*bench
	name  string
	stops []stop
	dir   string

	data        string // directory of the store as it is now
	addr, names string // the same for all brokers: ids of messages hold the address
	hands       []*hand
	jvm         *compare.JVM        // nil in the short form
	told        map[string][]string // what mqadmin printed when the last broker was left
}

// journeys are those of the long form and of the short one. With -on they stay with one kind of broker, to see that what is looked for can be
// seen; -run chooses among them, as in -run '^.penstock real'.
func journeys(b *bench) []*journey {
	ours, real, killed := stop{}, stop{real: true}, stop{real: true, kill: true}
	var ways [][]stop
	switch {
	case b.on == "real":
		ways = [][]stop{{real, real}}
	case b.on == "penstock":
		ways = [][]stop{{ours, ours}}
	case b.Short:
		ways = [][]stop{{ours, real, ours}}
	default:
		ways = [][]stop{{ours, real, ours}, {real, ours, real}, {killed, ours}}
	}
	var all []*journey
	for i, w := range ways {
		name := fmt.Sprintf("j%d", i)
		if !b.run.MatchString(fmt.Sprint(w)) {
			continue
		}
		all = append(all, &journey{bench: b, name: name, stops: w, dir: filepath.Join(b.Dir, name)})
	}
	return all
}

// runStore has clients write a store with penstock, has a real RocketMQ serve it, and the other way round: what one wrote the other must have, message by
// message, at the same offsets, found by the same keys and ids, with the same topics, groups and offsets of groups, and must be able to go on.
func runStore(ctx context.Context, b *bench) (string, error) {
	text, messages := "", 0
	all := journeys(b)
	if len(all) == 0 {
		return "", errors.New("no store went anywhere: look at -run")
	}
	for _, j := range all {
		n, err := j.run(ctx)
		if err != nil {
			return "", fmt.Errorf("%v: %w", j.stops, err)
		}
		messages += n
		text += fmt.Sprintf(", %v", j.stops)
	}
	return fmt.Sprintf("stores went from broker to broker%s: %d messages written and found again", text, messages), nil
}

// run goes the whole way.
func (j *journey) run(ctx context.Context) (messages int, err error) {
	for _, c := range fleet() {
		if !j.wants(c) {
			continue
		}
		d, err := j.hire(ctx, c, filepath.Join(j.dir, c.name))
		if err != nil {
			return 0, err
		}
		defer dismiss(d)
		j.hands = append(j.hands, newHand(j, c, d))
	}
	if !j.Short {
		if j.jvm, err = j.adminJVM(j.name + "-admin"); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, j.jvm.Close()) }()
	}
	for i, s := range j.stops {
		began := time.Now()
		if err := j.visit(ctx, i, s); err != nil {
			return 0, fmt.Errorf("stop %d, %v: %w", i, s, err)
		}
		j.took(began, "stop %d, %v", i, s)
	}
	for _, h := range j.hands {
		messages += h.count()
	}
	return messages, nil
}

// visit starts a broker on the store, looks at it, adds to it, and ends the broker.
func (j *journey) visit(ctx context.Context, i int, s stop) (err error) {
	var before *stop
	if i > 0 {
		before = &j.stops[i-1]
	}
	began := time.Now()
	if err := j.carry(ctx, i, before, s); err != nil {
		return err
	}
	j.took(began, "stop %d, store carried", i)
	began = time.Now()
	t, err := j.start(ctx, s)
	if err != nil {
		return err
	}
	j.took(began, "stop %d, %v started", i, s)
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(fmt.Errorf("%w\nthe broker's last words:\n%s", err, t.tail()), t.end())
		}
	}()
	sure := before == nil || !before.kill // what is not durable at once is there too
	if err := j.mqadmin(ctx, t, i > 0 && sure); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, len(j.hands))
	for n, h := range j.hands {
		all.Go(func() {
			if err := h.visit(ctx, t, i, sure); err != nil {
				errs[n] = fmt.Errorf("%s: %w", h.d.Client, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := j.mqadmin(ctx, t, false); err != nil {
		return err
	}
	ended, began = true, time.Now()
	err = t.end()
	j.took(began, "stop %d, %v ended", i, s)
	return err
}

// took says with -v what took how long.
func (j *journey) took(began time.Time, format string, args ...any) {
	if j.verbose {
		suite.Note("%s %s: %s", j.name, fmt.Sprintf(format, args...), time.Since(began).Round(time.Millisecond))
	}
}

// carry brings the store to where the next broker looks for it.
func (j *journey) carry(ctx context.Context, i int, from *stop, to stop) error {
	was := j.data
	if from == nil || from.real != to.real {
		j.data = filepath.Join(j.dir, strconv.Itoa(i))
	}
	if from == nil || from.real == to.real {
		return os.MkdirAll(j.data, 0o755)
	}
	args := []string{"rocketmq", "export", filepath.Join(j.data, "store"), "--data", was}
	if from.real {
		args = []string{"rocketmq", "import", filepath.Join(was, "store"), "--data", j.data}
	}
	out, err := exec.CommandContext(ctx, j.Binary, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("penstock %v: %w\n%s", args, err, out)
	}
	if j.verbose {
		suite.Note("%s", out)
	}
	return nil
}

// start starts the broker on what lies in the directory.
func (j *journey) start(ctx context.Context, s stop) (*target, error) {
	if s.real {
		r, err := broker.StartRocket(ctx, broker.RocketOptions{
			Jars: j.jars.Whole, Data: j.data, Addr: j.addr, NameServer: j.names,
			Config: []string{
				fmt.Sprint("mappedFileSizeCommitLog=", storeFile), fmt.Sprint("mappedFileSizeConsumeQueue=", storeQueue),
				fmt.Sprint("maxHashSlotNum=", storeSlots), fmt.Sprint("maxIndexNum=", storeEntries),
			},
		})
		if err != nil {
			return nil, err
		}
		j.addr, j.names = r.Addr, r.NameServer
		end := r.Stop
		if s.kill {
			end = r.Kill
		}
		return &target{name: "real", names: r.NameServer, addr: r.Addr, pid: r.Broker.PID, end: end, tail: r.Broker.Tail, data: j.data}, nil
	}
	br, err := broker.Start(ctx, broker.Options{
		Binary: j.Binary, Data: j.data, Output: filepath.Join(j.dir, "penstock.log"), WithRocket: true, Rocket: j.addr, NameServer: j.names,
		Args: []string{
			"--set", fmt.Sprint("commit.file.bytes=", storeFile), "--set", fmt.Sprint("rocket.index.slots=", storeSlots),
			"--set", fmt.Sprint("rocket.index.entries=", storeEntries),
		},
	})
	if err != nil {
		return nil, err
	}
	j.addr, j.names = br.Rocket, br.NameServer
	return &target{name: "penstock", names: br.NameServer, addr: br.Rocket, pid: br.PID, end: br.Stop, tail: br.Tail, broker: br, data: j.data}, nil
}

// mqadmin runs commands that look at what the first hand has written, if it has written anything. With same they must print what they printed before.
func (j *journey) mqadmin(ctx context.Context, t *target, same bool) error {
	if j.jvm == nil || len(j.hands) == 0 || len(j.hands[0].shelf) == 0 {
		return nil
	}
	s := newSide(t, j.hands[0].d, time.Now())
	s.jvm = j.jvm
	told := map[string][]string{}
	for _, words := range j.hands[0].commands() {
		st := step{words: words, line: fmt.Sprint(words)}
		lines, err := s.lines(ctx, st)
		if err != nil {
			return err
		}
		told[st.line] = lines
	}
	for _, line := range slices.Sorted(maps.Keys(told)) {
		if same && !slices.Equal(told[line], j.told[line]) {
			return fmt.Errorf("mqadmin %s: prints %q, printed %q with the broker before", line, told[line], j.told[line])
		}
	}
	j.told = told
	return nil
}
