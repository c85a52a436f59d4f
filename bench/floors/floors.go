// Package floors measures what the kernel alone costs for the work of a broker, so that a broker's processor time can be read as
// a multiple of it. Nothing here parses a protocol or keeps an index.
//
//	Fetch      one request of 100 bytes, one held-back header, one sendfile of Unit bytes from a cached file
//	Produce    large reads, CRC-32C of each batch, one pwritev per read into a preallocated file, one small answer per batch
//	Fsync      appends of 1 KiB acknowledged after fdatasync, grouped: the sync in flight is the linger
//	RoundTrip  100 bytes there and back between two processes
//
// Server and load are processes of their own, both this program started again, so that the time printed is the server's alone.
// Loopback charges the receiver's TCP work to the sender. A floor means something only beside a broker that was measured in the
// same network namespace, with the same congestion control and in the same minutes.
package floors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Kind is what a floor does.
type Kind string

// The kinds of work; the package comment says what each does.
const (
	Fetch     Kind = "fetch"
	Produce   Kind = "produce"
	Fsync     Kind = "fsync"
	RoundTrip Kind = "rtt"
)

const (
	// segmentBytes is the size of the data file, that of a segment; for less work than that it is as large as the work.
	segmentBytes = 1 << 30
	// requestBytes and headBytes are the sizes of a small request and of an answer without its payload.
	requestBytes, headBytes = 100, 60
	// recordBytes is what one waiter of Fsync appends.
	recordBytes = 1 << 10
	// DefaultDepth is how many requests are in flight on the one connection.
	DefaultDepth = 5
)

// Spec says which floor to measure.
type Spec struct {
	Kind    Kind          `json:"kind"`
	Dir     string        `json:"dir"`     // where the data file goes; it has no name once it is open
	Unit    int           `json:"unit"`    // bytes per answer (Fetch) or per batch (Produce); at most 64 MiB
	Bytes   int64         `json:"bytes"`   // payload in all (Fetch, Produce)
	Depth   int           `json:"depth"`   // requests in flight (Fetch, Produce); 0: DefaultDepth
	Waiters int           `json:"waiters"` // concurrent appenders (Fsync)
	For     time.Duration `json:"for"`     // how long (Fsync)
	Count   int           `json:"count"`   // round trips (RoundTrip)
}

// Result is what a floor came to.
type Result struct {
	Bytes   int64         `json:"bytes"`   // payload moved
	Count   int           `json:"count"`   // answers, batches, acknowledgements or round trips
	CPU     time.Duration `json:"cpu"`     // processor time of the server
	Elapsed time.Duration `json:"elapsed"` // from the first connection to the last answer
	P50     time.Duration `json:"p50"`     // of one acknowledgement or round trip
	P99     time.Duration `json:"p99"`
}

// Names of the hidden commands by which the program is started again.
const (
	serveCommand = "floors-serve"
	loadCommand  = "floors-load"
)

// maxUnit bounds Spec.Unit, maxWaiters Spec.Waiters.
const (
	maxUnit    = 64 << 20
	maxWaiters = 1 << 14
)

// syncFileBytes is the size of the file that Fsync appends to, over and over.
const syncFileBytes = 64 << 20

func (s Spec) withDefaults() Spec {
	if s.Depth == 0 {
		s.Depth = DefaultDepth
	}
	return s
}

func (s Spec) validate() error {
	switch s.Kind {
	case Fetch, Produce:
		if s.Unit < 1 || s.Unit > maxUnit || s.Bytes < int64(s.Unit) || s.Depth < 1 {
			return fmt.Errorf("floor %s: unit %d, bytes %d, depth %d", s.Kind, s.Unit, s.Bytes, s.Depth)
		}
	case Fsync:
		if s.Waiters < 1 || s.Waiters > maxWaiters || s.For <= 0 {
			return fmt.Errorf("floor %s: waiters %d for %s", s.Kind, s.Waiters, s.For)
		}
	case RoundTrip:
		if s.Count < 1 {
			return fmt.Errorf("floor %s: count %d", s.Kind, s.Count)
		}
	default:
		return fmt.Errorf("floor %q is not known", s.Kind)
	}
	return nil
}

// fileBytes is the size of the data file.
func (s Spec) fileBytes() int64 {
	if s.Kind == Fsync {
		return syncFileBytes
	}
	return max(min(s.Bytes, segmentBytes), int64(s.Unit))
}

// requests is how many answers or batches make up the payload.
func (s Spec) requests() int { return int(s.Bytes / int64(s.Unit)) }

// Measure runs one floor. The program must call Child before it does anything else.
func Measure(ctx context.Context, s Spec) (Result, error) {
	var r Result
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return r, err
	}
	cmd, err := again(ctx, serveCommand, s)
	if err != nil {
		return r, err
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("floor %s: %w: %s", s.Kind, err, bytes.TrimSpace(complaint.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("floor %s: %w", s.Kind, err)
	}
	return r, nil
}

// again is a command that starts this program again.
func again(ctx context.Context, name string, arg any, more ...string) (*exec.Cmd, error) {
	text, err := json.Marshal(arg)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{name, string(text)}, more...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// Child does the work of a process that this package started, and reports whether this process is one. The program exits then.
func Child(args []string) (bool, error) {
	if len(args) < 2 || args[0] != serveCommand && args[0] != loadCommand {
		return false, nil
	}
	var s Spec
	if err := json.Unmarshal([]byte(args[1]), &s); err != nil {
		return true, fmt.Errorf("floor: %w", err)
	}
	if err := s.validate(); err != nil {
		return true, err
	}
	if args[0] == loadCommand {
		if len(args) != 3 {
			return true, errors.New("floor: no address")
		}
		return true, load(s, args[2])
	}
	r, err := serve(s)
	if err != nil {
		return true, err
	}
	return true, json.NewEncoder(os.Stdout).Encode(r)
}
