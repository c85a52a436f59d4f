package spec

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// maxCommand bounds a command's line.
const maxCommand = 1 << 20

// ErrUnsupported is returned by handlers whose client has no such call.
var ErrUnsupported = errors.New("the client has no such call")

// Coded is an error with Kafka's code.
type Coded struct {
	Code int
	Err  error
}

func (c *Coded) Error() string { return c.Err.Error() }

func (c *Coded) Unwrap() error { return c.Err }

// Session is a command that runs. Its methods may be called concurrently.
type Session struct {
	Command
	stop chan struct{}
	mu   *sync.Mutex // guards the writer
	w    *bufio.Writer
}

// Stop is closed when the command shall end.
func (s *Session) Stop() <-chan struct{} { return s.stop }

// Stopped reports whether the command shall end.
func (s *Session) Stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Tell writes an event, with the present time.
func (s *Session) Tell(e Event) {
	e.T = time.Now().UnixMilli()
	s.write(e)
}

func (s *Session) write(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := json.Marshal(v)
	if err == nil {
		_, _ = s.w.Write(append(b, '\n'))
		err = s.w.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// Serve runs a driver: it reads commands from in and answers to out. Handlers are by command.
func Serve(in io.Reader, out io.Writer, handlers map[string]func(*Session) (Answer, error)) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxCommand)
	var mu sync.Mutex
	w := bufio.NewWriter(out)
	var last *Session
	for lines.Scan() {
		s := &Session{stop: make(chan struct{}), mu: &mu, w: w}
		if err := json.Unmarshal(lines.Bytes(), &s.Command); err != nil {
			fmt.Fprintln(os.Stderr, "driver:", err)
			os.Exit(1)
		}
		if s.Do == "stop" {
			if last != nil && !last.Stopped() {
				close(last.stop)
			}
			continue
		}
		last = s
		go func() { s.write(answer(s, handlers[s.Do])) }()
	}
}

// answer runs one command.
func answer(s *Session, h func(*Session) (Answer, error)) Answer {
	if h == nil {
		return Answer{Error: "unknown command " + s.Do, Code: Unknown, Unsupported: true}
	}
	a, err := h(s)
	if err == nil {
		a.Done = true
		return a
	}
	code := Unknown
	if c, ok := errors.AsType[*Coded](err); ok {
		code = c.Code
	}
	return Answer{Error: err.Error(), Code: code, Unsupported: errors.Is(err, ErrUnsupported)}
}

// Pace holds a loop to a rate.
type Pace struct {
	rate  int
	begin time.Time
	said  time.Time
	n     int64
}

// tellEvery is the time between two reports of progress.
const tellEvery = 100 * time.Millisecond

// NewPace holds to so many turns a second.
func NewPace(rate int) *Pace { return &Pace{rate: rate, begin: time.Now()} }

// Wait ends a turn, and reports whether it is time to tell of progress.
func (p *Pace) Wait() bool {
	p.n++
	due := p.begin.Add(time.Duration(p.n) * time.Second / time.Duration(p.rate))
	if d := time.Until(due); d > time.Millisecond {
		time.Sleep(d)
	}
	if time.Since(p.said) < tellEvery {
		return false
	}
	p.said = time.Now()
	return true
}

// Module is the version of a module that this program was built with.
func Module(path string) string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, m := range b.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}
