// Package broker runs a broker as a process of its own, the way a user would: it picks free ports on the loopback
// address, waits until the broker says that it is ready, and ends it politely or not.
package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// startLimit bounds the wait for a broker to become ready.
	startLimit = 30 * time.Second
	// stopLimit bounds the wait for a broker to end after SIGTERM.
	stopLimit = 20 * time.Second
	// pollEvery is the pause between two looks at a broker that starts.
	pollEvery = 5 * time.Millisecond
	// tailBytes is how much of a broker's output an error quotes.
	tailBytes = 2048
)

// Options says how to start a broker. Binary and Data are needed.
type Options struct {
	Binary string   // the penstock binary
	Data   string   // its data directory
	Kafka  string   // address of the Kafka listener; empty: a free port on the loopback address
	HTTP   string   // address of the HTTP listener; empty likewise
	Args   []string // more arguments of "penstock serve"
	Env    []string // more environment, as NAME=value
	Wrap   []string // a command to run the broker under; it must keep the broker a direct child
	Output string   // file that takes the broker's output, appended to; empty: it is thrown away

	WithRocket bool   // serve RocketMQ's clients too
	Rocket     string // address of the RocketMQ listener; empty: free ports on the loopback address, its VIP listener two below
	NameServer string // address of the name server; empty likewise
}

// Broker is a running broker. Its methods may be called concurrently.
type Broker struct {
	Kafka string // address of the Kafka listener
	HTTP  string // address of the HTTP listener
	// Rocket and NameServer are the addresses for RocketMQ's clients; empty without WithRocket.
	Rocket, NameServer string

	opts  Options
	cmd   *exec.Cmd
	began time.Time     // just before the process was started
	done  chan struct{} // closed when the process has ended
	err   error         // how it ended; read after done
}

// Start starts a broker and waits until it is ready, for half a minute at most. The broker dies with this process.
func Start(ctx context.Context, o Options) (*Broker, error) {
	b, err := Launch(o)
	if err != nil {
		return nil, err
	}
	if err := b.Ready(ctx); err != nil {
		_ = b.Kill()
		return nil, err
	}
	return b, nil
}

// Launch starts a broker and does not wait.
func Launch(o Options) (*Broker, error) {
	b := &Broker{Kafka: o.Kafka, HTTP: o.HTTP, opts: o, done: make(chan struct{})}
	for _, addr := range []*string{&b.Kafka, &b.HTTP} {
		if *addr != "" {
			continue
		}
		free, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		*addr = free
	}
	args := append([]string{}, o.Wrap...)
	args = append(args, o.Binary, "serve", "--data", o.Data, "--kafka-listen", b.Kafka, "--http-listen", b.HTTP)
	rocket, err := b.rocketArgs()
	if err != nil {
		return nil, err
	}
	args = append(append(args, rocket...), o.Args...)
	if err := b.spawn(args); err != nil {
		return nil, err
	}
	return b, nil
}

// spawn starts the process and watches for its end.
func (b *Broker) spawn(args []string) error {
	b.cmd = exec.Command(args[0], args[1:]...)
	b.cmd.Env = append(os.Environ(), b.opts.Env...)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if b.opts.Output != "" {
		f, err := os.OpenFile(b.opts.Output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("broker output: %w", err)
		}
		defer f.Close()
		b.cmd.Stdout, b.cmd.Stderr = f, f
	}
	b.began = time.Now()
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	go func() {
		b.err = b.cmd.Wait()
		close(b.done)
	}()
	return nil
}

// FreeAddr is a loopback address with a port that was free a moment ago.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Ready waits until the broker answers /readyz with 200.
func (b *Broker) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if code, _ := b.Get(ctx, "/readyz"); code == http.StatusOK {
			return nil
		}
		select {
		case <-b.done:
			return fmt.Errorf("broker ended before it was ready: %w\n%s", orExit(b.err), b.Tail())
		case <-ctx.Done():
			return fmt.Errorf("broker is not ready: %w\n%s", ctx.Err(), b.Tail())
		case <-time.After(pollEvery):
		}
	}
}

func orExit(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// maxBody bounds what Get reads.
const maxBody = 1 << 20

// Get asks the HTTP listener for a path and returns the status and the start of the body.
func (b *Broker) Get(ctx context.Context, path string) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.HTTP+path, nil)
	if err != nil {
		return 0, ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return resp.StatusCode, string(body)
}

// PID is the broker's process id.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Began is when the process was started.
func (b *Broker) Began() time.Time { return b.began }

// Done is closed when the broker's process has ended.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Alive reports whether the process runs.
func (b *Broker) Alive() bool {
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// Kill ends the broker with SIGKILL and waits until it is gone.
func (b *Broker) Kill() error {
	err := b.cmd.Process.Kill()
	<-b.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop ends the broker with SIGTERM. It is an error if it takes too long (it is killed then) or exits with a failure.
func (b *Broker) Stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop broker: %w", err)
	}
	select {
	case <-b.done:
	case <-time.After(stopLimit):
		_ = b.Kill()
		return fmt.Errorf("broker did not stop within %s\n%s", stopLimit, b.Tail())
	}
	if b.err != nil {
		return fmt.Errorf("broker stopped badly: %w\n%s", b.err, b.Tail())
	}
	return nil
}

// Restart starts the broker again with the same options and addresses. It must have ended.
func (b *Broker) Restart(ctx context.Context) (*Broker, error) { return Start(ctx, b.Options()) }

// Relaunch starts the process again with the command that started it before, and does not wait. The process must have ended, and
// nobody else may use the broker meanwhile.
func (b *Broker) Relaunch() error {
	b.done, b.err = make(chan struct{}), nil
	return b.spawn(b.cmd.Args)
}

// Options are the options that start this broker again, at the same addresses.
func (b *Broker) Options() Options {
	o := b.opts
	o.Kafka, o.HTTP, o.Rocket, o.NameServer = b.Kafka, b.HTTP, b.Rocket, b.NameServer
	return o
}

// Tail is the end of the broker's output, for error messages.
func (b *Broker) Tail() string {
	if b.opts.Output == "" {
		return ""
	}
	out, err := os.ReadFile(b.opts.Output)
	if err != nil {
		return ""
	}
	if len(out) > tailBytes {
		out = out[len(out)-tailBytes:]
		if i := bytes.IndexByte(out, '\n'); i >= 0 {
			out = out[i+1:]
		}
	}
	return string(out)
}
