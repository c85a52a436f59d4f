// Package talk is the language between the program that plays scenarios and the drivers of RocketMQ's clients, and it starts drivers.
//
// A driver reads commands from its standard input and writes answers to its standard output, a line of JSON each. Commands run at
// the same time; an answer carries its command's id. What push consumers read are events: answers without an id, with Event set.
//
//	info         Version
//	producer     start a producer Name in Group; Kind "vip" sends to the broker's second port; Max retries (default 2), Wait ms a send
//	create       create Topic with Queues through producer Name
//	send         Count messages from number From: Mode sync, async, oneway, batch (of Batch), or ordered (number modulo Threads, or Queue,
//	             chooses the queue); Tags in turn, key Key+number, delay level Level, bodies of Size bytes
//	transaction  one message in a transaction that is committed at once
//	push         start a push consumer Name in Group: Kind concurrent, orderly or broadcast, Expr, Batch, Max deliveries again; messages whose
//	             number Every divides fail while they were consumed fewer than Fail times; Level is the delay of what failed
//	puller       start a pull consumer; queues, pull (Mode block waits), offsets, commit, back (send back) act on it
//	lite         start a lite pull consumer: Kind subscribe or assign; poll and seek act on it
//	query        look up through producer Name: Kind key, or an id in Key
//	close        end client Name
package talk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// maxLine bounds a line that a driver writes.
	maxLine = 64 << 20
	// maxSaid is how much of a driver's standard error is kept for error messages.
	maxSaid = 8 << 10
)

// Command is a line to a driver.
type Command struct {
	ID     int64    `json:"id"`
	Op     string   `json:"op"`
	Name   string   `json:"name,omitempty"`
	Kind   string   `json:"kind,omitempty"`
	Names  string   `json:"names,omitempty"` // address of the name server
	Group  string   `json:"group,omitempty"`
	Topic  string   `json:"topic,omitempty"`
	Expr   string   `json:"expr,omitempty"` // empty: "*"
	Mode   string   `json:"mode,omitempty"`
	Prefix string   `json:"prefix,omitempty"`
	Key    string   `json:"key,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	From   int      `json:"from,omitempty"`
	Count  int      `json:"count,omitempty"`
	Size   int      `json:"size,omitempty"`
	Level  int      `json:"level,omitempty"`
	Batch  int      `json:"batch,omitempty"`
	Thread int      `json:"threads,omitempty"`
	Fail   int      `json:"fail,omitempty"`
	Every  int      `json:"every,omitempty"`
	Max    *int     `json:"max,omitempty"`
	Queue  *int     `json:"queue,omitempty"`
	Queues int      `json:"queues,omitempty"`
	Offset int64    `json:"offset,omitempty"`
	Begin  int64    `json:"begin,omitempty"`
	End    int64    `json:"end,omitempty"`
	Wait   int64    `json:"wait,omitempty"`
}

// Msg is a message as a client gave it to its user.
type Msg struct {
	Topic    string            `json:"topic"`
	Queue    int               `json:"queue"`
	Offset   int64             `json:"offset"`
	ID       string            `json:"id"`
	OffsetID string            `json:"offsetId"`
	Body     string            `json:"body"` // up to the first blank
	Size     int               `json:"size"`
	CRC      int64             `json:"crc"`
	Tag      string            `json:"tag"`
	Keys     string            `json:"keys"`
	N        string            `json:"n"`
	Again    int               `json:"again"` // how often it was consumed before
	Born     int64             `json:"born"`  // times in ms since 1970
	Stored   int64             `json:"stored"`
	Read     int64             `json:"read"`
	Props    map[string]string `json:"props"`
}

// Sent is what became of a message that was sent.
type Sent struct {
	I        int    `json:"i"`
	ID       string `json:"id"`
	OffsetID string `json:"offsetId"`
	Queue    int    `json:"queue"`
	Offset   int64  `json:"offset"`
	Status   string `json:"status"`
	Error    string `json:"error"`
	Code     int    `json:"code"`
}

// Answer is a line of a driver.
type Answer struct {
	ID      int64  `json:"id"`
	Done    bool   `json:"done"`
	Error   string `json:"error,omitempty"`
	Code    int    `json:"code,omitempty"`
	Event   string `json:"event,omitempty"` // begin, read, fail
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Sent    []Sent `json:"sent,omitempty"`
	Msgs    []Msg  `json:"msgs,omitempty"`
	M       *Msg   `json:"m,omitempty"`
	Status  string `json:"status,omitempty"`
	Next    int64  `json:"next"`
	Min     int64  `json:"min"`
	Max     int64  `json:"max"`
	At      int64  `json:"at"`
	Queues  []int  `json:"queues,omitempty"`
}

// Failure is an error that a client reported. Code is the broker's, 0 if it has none.
type Failure struct {
	Who, Op, Text string
	Code          int
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s %s: %s (code %d)", f.Who, f.Op, f.Text, f.Code)
}

// Body is the body of message number i as drivers send it.
func Body(prefix string, i, size int) []byte {
	b := append([]byte(prefix), ':')
	b = append(strconv.AppendInt(b, int64(i), 10), ' ')
	for len(b) < size {
		b = append(b, byte('a'+(len(b)*7+i)%26))
	}
	return b
}

// Sum is the checksum of a body as Msg.CRC has it.
func Sum(body []byte) int64 { return int64(crc32.ChecksumIEEE(body)) }

// Head is what Msg.Body holds of a body.
func Head(body []byte) string {
	head, _, _ := strings.Cut(string(body[:min(len(body), 200)]), " ")
	return head
}

// Driver is a client's driver as a process. It dies with this one. Its methods may be called concurrently.
type Driver struct {
	Client  string // as it is printed
	Version string // set by Start
	cmd     *exec.Cmd
	in      io.WriteCloser
	said    tail
	ended   chan struct{}

	mu     sync.Mutex // guards what follows
	next   int64
	wait   map[int64]chan Answer
	events []Answer
	wake   chan struct{} // closed and replaced when an event comes
	dead   bool
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

// Start starts a driver and asks for its client's version.
func Start(ctx context.Context, client string, command, env []string) (*Driver, error) {
	d := &Driver{Client: client, ended: make(chan struct{}), wait: map[int64]chan Answer{}, wake: make(chan struct{})}
	d.cmd = exec.Command(command[0], command[1:]...)
	d.cmd.Env = append(os.Environ(), env...)
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
		return nil, fmt.Errorf("start the driver of %s: %w", client, err)
	}
	go d.listen(out)
	a, err := d.Do(ctx, Command{Op: "info"})
	if err != nil {
		d.Kill()
		return nil, err
	}
	d.Version = a.Version
	return d, nil
}

// listen takes in the driver's output until it ends. A line that the process's death tore is dropped.
func (d *Driver) listen(out io.Reader) {
	s := bufio.NewScanner(out)
	s.Buffer(make([]byte, 64<<10), maxLine)
	for s.Scan() {
		var a Answer
		if json.Unmarshal(s.Bytes(), &a) != nil {
			continue
		}
		d.mu.Lock()
		if a.Event != "" {
			d.events = append(d.events, a)
			close(d.wake)
			d.wake = make(chan struct{})
		} else if c := d.wait[a.ID]; c != nil {
			delete(d.wait, a.ID)
			c <- a
		}
		d.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, out)
	_ = d.cmd.Wait()
	d.mu.Lock()
	d.dead = true
	d.mu.Unlock()
	close(d.ended)
}

// Ask sends a command and waits for its answer. An answer with an error is returned as it is: the error is nil.
func (d *Driver) Ask(ctx context.Context, c Command) (Answer, error) {
	got := make(chan Answer, 1)
	d.mu.Lock()
	d.next++
	c.ID = d.next
	d.wait[c.ID] = got
	b, err := json.Marshal(c)
	if err == nil && d.dead {
		err = errors.New("the driver has ended")
	}
	if err == nil {
		_, err = d.in.Write(append(b, '\n'))
	}
	d.mu.Unlock()
	if err != nil {
		return Answer{}, d.broken(c, err)
	}
	select {
	case a := <-got:
		return a, nil
	case <-d.ended:
		return Answer{}, d.broken(c, errors.New("the driver ended"))
	case <-ctx.Done():
		return Answer{}, d.broken(c, fmt.Errorf("no answer: %w", ctx.Err()))
	}
}

// Do is Ask, with an answer that has an error turned into a Failure.
func (d *Driver) Do(ctx context.Context, c Command) (Answer, error) {
	a, err := d.Ask(ctx, c)
	if err == nil && a.Error != "" {
		err = &Failure{Who: d.Client, Op: c.Op, Text: a.Error, Code: a.Code}
	}
	return a, err
}

func (d *Driver) broken(c Command, err error) error {
	return fmt.Errorf("%s %s: %w\n%s", d.Client, c.Op, err, d.said.String())
}

// Events are the events so far of the clients whose names start with prefix, in the order in which the driver wrote them, and a
// channel that is closed when there is another event of any client.
func (d *Driver) Events(prefix string) ([]Answer, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Answer
	for _, a := range d.events {
		if strings.HasPrefix(a.Name, prefix) {
			out = append(out, a)
		}
	}
	return out, d.wake
}

// Until waits until enough says so of the events of the clients whose names start with prefix, and returns them.
func (d *Driver) Until(ctx context.Context, prefix string, enough func([]Answer) bool) ([]Answer, error) {
	for {
		got, more := d.Events(prefix)
		if enough(got) {
			return got, nil
		}
		select {
		case <-more:
		case <-d.ended:
			return got, fmt.Errorf("%s: the driver ended\n%s", d.Client, d.said.String())
		case <-ctx.Done():
			return got, fmt.Errorf("%s: %w", d.Client, ctx.Err())
		}
	}
}

// PID is the driver's process id.
func (d *Driver) PID() int { return d.cmd.Process.Pid }

// Kill ends the driver with SIGKILL.
func (d *Driver) Kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// Close ends the driver politely, or not if ctx ends first.
func (d *Driver) Close(ctx context.Context) {
	_ = d.in.Close()
	select {
	case <-d.ended:
	case <-ctx.Done():
		d.Kill()
	}
}
