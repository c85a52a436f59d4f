package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/bench/faults/load"
	"penstock/bench/screen"
)

const (
	injectPartitions = 3
	// injectTries bounds the records sent until the fault is felt.
	injectTries = 400
	// attachLimit bounds the wait for strace to hold every thread.
	attachLimit = 10 * time.Second
	// detachLimit bounds the wait for strace to let go politely.
	detachLimit = 2 * time.Second
	// brokenStart bounds the wait for a broker whose calls fail while it starts.
	brokenStart = 5 * time.Second
)

// Calls that make bytes durable, and calls that write them, as strace names them.
const (
	syncCalls  = "fdatasync,fsync,syncfs,sync_file_range"
	writeCalls = "pwrite64,pwritev,pwritev2,write,writev"
)

// after is what a broker must do after a fault.
type after int

const (
	staysOffline after = iota // no write is acknowledged until a restart
	comesBack                 // writes are taken again without a restart
	eitherWay                 // both are right, as long as nothing acknowledged is lost
)

// injection is a fault that strace puts into a running broker, in the files of one topic only.
type injection struct {
	calls string
	errno string
	after after

	stored combination // of the topic
}

func injections() []injection {
	return []injection{
		{calls: syncCalls, errno: "EIO", after: staysOffline},
		{calls: writeCalls, errno: "ENOSPC", after: comesBack},
		{calls: writeCalls, errno: "EIO", after: eitherWay},
		{calls: "fallocate", errno: "ENOSPC", after: comesBack},
		{calls: "fallocate", errno: "EIO", after: eitherWay},
		{calls: "ftruncate", errno: "EIO", after: eitherWay},
	}
}

// injectCount is what the inject part counts.
type injectCount struct {
	live, felt, starts, refused int
	acked                       int64
}

func (n *injectCount) text() string {
	return fmt.Sprintf("%d faults put into a running broker (%d felt by a producer), %d brokers with the nth call failing from their start (%d refused to start), %s acknowledged, 0 lost, no acknowledgement after a failed fsync",
		n.live, n.felt, n.starts, n.refused, screen.Count(n.acked))
}

// runInject fails system calls from outside, with strace.
func runInject(ctx context.Context, r *rig) (string, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return "", fmt.Errorf("%w: strace is not installed", errCannotRun)
	}
	var n injectCount
	nths := r.count(1, 8)
	all := injections()
	bar := screen.NewBar(int64(nths*len(all)), "failing calls", false)
	defer bar.Close()
	for nth := 1; nth <= nths; nth++ {
		for i, in := range all {
			dir := filepath.Join(r.dir, fmt.Sprintf("live-%d-%d", nth, i))
			in.stored = combinations[(nth-1+i)%len(combinations)]
			if err := r.injectLive(ctx, dir, in, nth, &n); err != nil {
				return n.text(), fmt.Errorf("%s %s, call %d, %s: %w", in.errno, in.calls, nth, in.stored, err)
			}
			bar.Add(1)
		}
	}
	starts := r.count(3, 60)
	for i := range starts {
		in := all[i%3]
		// A broker makes dozens of calls of each kind before it serves: short steps first, then wider ones.
		step := i / 3
		if r.short {
			step = 6 // most brokers serve by then
		}
		nth := 1 + step + step*step/8
		dir := filepath.Join(r.dir, fmt.Sprintf("start-%d", i))
		in.stored = combinations[(i+i/len(combinations))%len(combinations)]
		if err := r.injectFromStart(ctx, dir, in, nth, &n); err != nil {
			return n.text(), fmt.Errorf("%s %s from the start, call %d: %w", in.errno, in.calls, nth, err)
		}
	}
	return n.text(), nil
}

// injectLive lets a broker serve, and then fails the nth call of each of its threads in the topic's files.
func (r *rig) injectLive(ctx context.Context, dir string, in injection, nth int, n *injectCount) error {
	r.broker = nil
	if err := r.start(ctx, dir); err != nil {
		return err
	}
	defer func() { _ = r.broker.Kill() }()
	t, err := load.Create(ctx, r.broker.Kafka, "inject", injectPartitions, in.stored.configs())
	if err != nil {
		return err
	}
	r.writers++
	probe, err := load.NewProbe(t, r.writers)
	if err != nil {
		return err
	}
	defer probe.Close()
	if err := r.warm(ctx, probe, injectPartitions); err != nil {
		return fmt.Errorf("before any fault: %w", err)
	}
	st, err := attach(ctx, r.broker.PID(), dir, in, nth)
	if err != nil {
		return err
	}
	defer st.detach()
	n.live++
	felt, err := feel(ctx, probe, in)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, r.broker.Tail())
	}
	if felt {
		n.felt++
		if err := r.afterwards(ctx, probe, st, in); err != nil {
			return err
		}
	} else if in.after == staysOffline {
		return fmt.Errorf("%d records were acknowledged, and no call of %s failed", injectTries, in.calls)
	}
	if err := verify(ctx, t, everything); err != nil {
		return fmt.Errorf("reading after the fault: %w", err)
	}
	st.detach()
	return r.rereadAfter(ctx, t, probe, dir, n)
}

// rereadAfter kills the broker, starts it without faults, and demands everything that was acknowledged, and service.
func (r *rig) rereadAfter(ctx context.Context, t *load.Target, probe *load.Probe, dir string, n *injectCount) error {
	if err := r.broker.Kill(); err != nil {
		return err
	}
	if err := r.doubt(ctx, dir); err != nil {
		return err
	}
	if err := r.start(ctx, dir); err != nil {
		return fmt.Errorf("starting after the fault: %w", err)
	}
	if err := verify(ctx, t, everything); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	if err := r.warm(ctx, probe, injectPartitions); err != nil {
		return fmt.Errorf("writing after a restart: %w", err)
	}
	rep := t.Report()
	n.acked += rep.Acked
	return r.broker.Stop()
}

// doubt looks whether the broker has noted that a sync failed. Then nobody may start before the machine has booted, as the kernel
// may take for clean what is not on the disk; here strace made the failure and the disk has everything, so that the note
// can be taken away.
func (r *rig) doubt(ctx context.Context, dir string) error {
	notes, err := filepath.Glob(filepath.Join(dir, "sync.failed.*"))
	if err != nil || len(notes) == 0 {
		return err
	}
	few, cancel := context.WithTimeout(ctx, brokenStart)
	defer cancel()
	if err := r.start(few, dir); err == nil {
		return errors.Join(errors.New("the broker starts again although a sync failed since the machine was booted"), r.broker.Kill())
	}
	if tail := r.broker.Tail(); !strings.Contains(tail, filepath.Base(notes[0])) {
		return errors.Join(fmt.Errorf("the broker does not say why it does not start:\n%s", tail), r.broker.Kill())
	}
	_ = r.broker.Kill() // it has ended, or is about to
	for _, n := range notes {
		if err := os.Remove(n); err != nil {
			return err
		}
	}
	return nil
}

// feel sends until the fault is felt: a record is refused, with an error that clients retry.
func feel(ctx context.Context, probe *load.Probe, in injection) (bool, error) {
	for i := range injectTries {
		// Large enough for files to grow and roll now and then.
		err := probe.Send(ctx, i%injectPartitions, 32<<10)
		switch {
		case err == nil:
		case errors.Is(err, kerr.KafkaStorageError):
			return true, nil
		default:
			return false, fmt.Errorf("%s is answered with %w, want KAFKA_STORAGE_ERROR", in.errno, err)
		}
	}
	return false, nil
}

// afterwards checks what a broker does once a record was refused.
func (r *rig) afterwards(ctx context.Context, probe *load.Probe, st *tracer, in injection) error {
	if !r.broker.Alive() {
		return fmt.Errorf("the broker ended\n%s", r.broker.Tail())
	}
	if in.after != staysOffline {
		st.detach()
	}
	var taken, refused int
	for i := range 10 * injectPartitions {
		if err := probe.Send(ctx, i%injectPartitions, 500); err != nil {
			if !kerr.IsRetriable(err) {
				return fmt.Errorf("after the fault: %w", err)
			}
			refused++
			r.pause(ctx, time.Millisecond, 10*time.Millisecond)
			continue
		}
		taken++
	}
	switch {
	case in.after == staysOffline && taken > 0:
		return fmt.Errorf("%d records were acknowledged after an fsync had failed", taken)
	case in.after == comesBack && taken == 0:
		return fmt.Errorf("writes are still refused after the disk recovered\n%s", r.broker.Tail())
	case taken == 0 && !saysSo(r.broker.Tail()):
		return fmt.Errorf("the broker refuses writes and does not say why:\n%s", r.broker.Tail())
	}
	return nil
}

// saysSo reports whether the broker's output names the failure.
func saysSo(tail string) bool {
	low := strings.ToLower(tail)
	return strings.Contains(low, "input/output error") || strings.Contains(low, "no space left")
}

// injectFromStart fails the nth call of every thread of the whole process, its metadata store included, from its start.
// The broker may refuse to start or to serve; what it acknowledges must be there afterwards.
func (r *rig) injectFromStart(ctx context.Context, dir string, in injection, nth int, n *injectCount) error {
	r.broker = nil
	n.starts++
	if err := r.start(ctx, dir); err != nil {
		return err
	}
	defer func() { _ = r.broker.Kill() }()
	t, err := load.Create(ctx, r.broker.Kafka, "inject", injectPartitions, in.stored.configs())
	if err != nil {
		return err
	}
	r.writers++
	probe, err := load.NewProbe(t, r.writers)
	if err != nil {
		return err
	}
	defer probe.Close()
	if err := r.broker.Kill(); err != nil {
		return err
	}
	wrap := []string{"strace", "-D", "-f", "--seccomp-bpf", "-q", "-o", "/dev/null", "-e", "trace=" + in.calls,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", in.calls, in.errno, nth)}
	few, cancel := context.WithTimeout(ctx, brokenStart)
	err = r.start(few, dir, wrap...)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		n.refused++
	}
	for i := range 30 {
		if !r.broker.Alive() {
			break
		}
		// Any refusal is right here; only acknowledgements are judged.
		_ = probe.Send(ctx, i%injectPartitions, 4000)
	}
	return r.rereadAfter(ctx, t, probe, dir, n)
}

// tracer is an strace that is attached to a broker.
type tracer struct{ cmd *exec.Cmd }

var attached = regexp.MustCompile(`Process \d+ attached`)

// attach puts a fault into the running process pid: the nth of the calls, counted for each thread, fails in the log files
// under dir.
func attach(ctx context.Context, pid int, dir string, in injection, nth int) (*tracer, error) {
	args := []string{"-f", "-p", fmt.Sprint(pid), "-o", "/dev/null", "-e", "trace=" + in.calls,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", in.calls, in.errno, nth)}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && isLog(path) {
			args = append(args, "-P", path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("strace", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t := &tracer{cmd: cmd}
	ready, ended := make(chan struct{}), make(chan string, 1)
	go func() {
		var said strings.Builder
		first := true
		for s := bufio.NewScanner(pipe); s.Scan(); {
			if first && attached.MatchString(s.Text()) {
				close(ready)
				first = false
			}
			fmt.Fprintln(&said, s.Text())
		}
		ended <- said.String()
	}()
	select {
	case <-ready:
		return t, nil
	case said := <-ended:
		t.detach()
		return nil, fmt.Errorf("%w: strace could not attach: %s", errCannotRun, said)
	case <-time.After(attachLimit):
	case <-ctx.Done():
	}
	t.detach()
	return nil, errors.New("strace did not attach in time")
}

// isLog reports whether a file belongs to a log: Kafka's twenty digits and a suffix, or RocketMQ's without one.
func isLog(path string) bool {
	name := filepath.Base(path)
	return len(name) >= 20 && strings.Trim(name[:20], "0123456789") == "" && (len(name) == 20 || name[20] == '.')
}

// detach lets the broker go. It may be called again.
func (t *tracer) detach() {
	if t.cmd.ProcessState != nil {
		return
	}
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	// strace may wait for a thread that does not stop; killed, it lets go of all of them at once.
	kill := time.AfterFunc(detachLimit, func() { _ = t.cmd.Process.Kill() })
	defer kill.Stop()
	_ = t.cmd.Wait()
}
