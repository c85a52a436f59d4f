package drive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"penstock/bench/clients/spec"
)

const (
	// maxLine bounds a line that a driver writes.
	maxLine = 16 << 20
	// maxSaid is how much of a driver's standard error is kept for error messages.
	maxSaid = 4 << 10
)

// Driver is a client's driver as a process. It dies with this one. Its methods may be called concurrently, but only one command
// runs at a time.
type Driver struct {
	Client *Client
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan line     // closed when the driver's output ends
	ended  chan struct{} // closed when the process is gone
	said   tail
	mu     sync.Mutex // guards in
	events func(spec.Event)
}

// line is what a driver writes.
type line struct {
	spec.Event
	spec.Answer
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex // guards b
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxSaid):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// Start starts a client's driver. Events are given to events, one at a time, in the order they were written.
func Start(c *Client, events func(spec.Event)) (*Driver, error) {
	d := &Driver{Client: c, lines: make(chan line), ended: make(chan struct{}), events: events}
	d.cmd = exec.Command(c.Command[0], c.Command[1:]...)
	d.cmd.Env = append(os.Environ(), c.Env...)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	d.cmd.Stderr = &d.said
	in, err := d.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.in = in
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the driver of %s: %w", c.Name, err)
	}
	go d.listen(out)
	return d, nil
}

// listen takes in the driver's output until it ends. A line that the process's death tore is dropped.
func (d *Driver) listen(out io.Reader) {
	defer close(d.ended)
	defer close(d.lines)
	s := bufio.NewScanner(out)
	s.Buffer(make([]byte, 64<<10), maxLine)
	for s.Scan() {
		var l line
		if json.Unmarshal(s.Bytes(), &l) != nil {
			continue
		}
		if !l.Done && l.Error == "" {
			if d.events != nil {
				d.events(l.Event)
			}
			continue
		}
		d.lines <- l
	}
	_ = d.cmd.Wait()
}

func (d *Driver) send(c spec.Command) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err = d.in.Write(append(b, '\n'))
	return err
}

// Tell sends a command and does not wait for its answer, which Wait returns.
func (d *Driver) Tell(c spec.Command) error {
	if err := d.send(c); err != nil {
		return d.dead(err)
	}
	return nil
}

// Wait waits for the answer to the command that runs. An answer with an error is returned as it is: the error is nil.
func (d *Driver) Wait(ctx context.Context) (spec.Answer, error) {
	select {
	case l, ok := <-d.lines:
		if !ok {
			<-d.ended
			return spec.Answer{}, d.dead(errors.New("the driver ended"))
		}
		return l.Answer, nil
	case <-ctx.Done():
		return spec.Answer{}, d.dead(fmt.Errorf("no answer: %w", ctx.Err()))
	}
}

// Ask sends a command and waits for its answer.
func (d *Driver) Ask(ctx context.Context, c spec.Command) (spec.Answer, error) {
	if err := d.Tell(c); err != nil {
		return spec.Answer{}, err
	}
	return d.Wait(ctx)
}

// Do is Ask, with an answer that has an error turned into one.
func (d *Driver) Do(ctx context.Context, c spec.Command) (spec.Answer, error) {
	a, err := d.Ask(ctx, c)
	if err == nil && a.Error != "" {
		err = fmt.Errorf("%s %s: %s (code %d)", d.Client.Name, c.Do, a.Error, a.Code)
	}
	return a, err
}

func (d *Driver) dead(err error) error {
	return fmt.Errorf("%s: %w\n%s", d.Client.Name, err, d.said.String())
}

// Stop tells the running command to end.
func (d *Driver) Stop() error { return d.Tell(spec.Command{Do: "stop"}) }

// Signal sends a signal to the process.
func (d *Driver) Signal(s syscall.Signal) error { return d.cmd.Process.Signal(s) }

// Kill ends the process with SIGKILL and takes in what it had written.
func (d *Driver) Kill() {
	_ = d.cmd.Process.Kill()
	for range d.lines {
	}
	<-d.ended
}

// Close ends the process politely, or not if ctx ends first.
func (d *Driver) Close(ctx context.Context) {
	d.mu.Lock()
	_ = d.in.Close()
	d.mu.Unlock()
	for {
		select {
		case _, ok := <-d.lines:
			if !ok {
				<-d.ended
				return
			}
		case <-ctx.Done():
			d.Kill()
			return
		}
	}
}
