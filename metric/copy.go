// Package metric holds the counters and histograms of the hot path, made to be cheap to raise, and the copy account.
// It knows no exposition format; node turns it into Prometheus text.
package metric

import (
	"sync"
	"sync/atomic"
)

// Path is the way payload bytes took from the log to a socket.
type Path uint8

// The paths.
const (
	PathSendfile Path = iota // from page cache to socket by the kernel
	PathCopied               // through this process
	PathSplice               // from page cache to socket by the kernel, scattered pieces gathered in a pipe
	numPaths
)

// String is the label value.
func (p Path) String() string { return [...]string{"sendfile", "copied", "splice"}[p] }

// Reason is why bytes took the path they took.
type Reason uint8

// The reasons. ReasonNone goes with PathSendfile and PathSplice.
const (
	ReasonNone      Reason = iota
	ReasonSmall            // copied on purpose: cheaper below the threshold
	ReasonTLS              // encrypted in this process
	ReasonConverted        // translated for a client of the other protocol
	ReasonNoFile           // the bytes lie in no file of the kernel's
	numReasons
)

// String is the label value.
func (r Reason) String() string { return [...]string{"", "small", "tls", "converted", "nofile"}[r] }

// Tally counts the payload bytes out of one listener and topic. All methods may be called concurrently.
type Tally struct {
	n [numPaths][numReasons]atomic.Int64
}

// Add counts n bytes.
func (t *Tally) Add(p Path, r Reason, n int64) {
	if t != nil {
		t.n[p][r].Add(n)
	}
}

// CopyAccount holds the tallies of every listener and topic: every payload byte that left, by path and reason.
type CopyAccount struct {
	mu      sync.Mutex
	tallies map[tallyKey]*Tally // guarded by mu
}

type tallyKey struct{ listener, topic string }

// NewCopyAccount makes an empty account.
func NewCopyAccount() *CopyAccount { return &CopyAccount{tallies: map[tallyKey]*Tally{}} }

// Tally returns the tally of a listener and topic, making it if needed. Fronts keep it; it is not looked up per request.
func (a *CopyAccount) Tally(listener, topic string) *Tally {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := tallyKey{listener, topic}
	t := a.tallies[k]
	if t == nil {
		t = &Tally{}
		a.tallies[k] = t
	}
	return t
}

// CopyLine is one figure of the account.
type CopyLine struct {
	Listener string `json:"listener"`
	Topic    string `json:"topic"`
	Path     string `json:"path"`
	Reason   string `json:"reason,omitempty"`
	Bytes    int64  `json:"bytes"`
}

// Lines lists every figure that is not zero, in no particular order.
func (a *CopyAccount) Lines() []CopyLine {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []CopyLine
	for k, t := range a.tallies {
		for p := range numPaths {
			for r := range numReasons {
				if n := t.n[p][r].Load(); n != 0 {
					out = append(out, CopyLine{k.listener, k.topic, p.String(), r.String(), n})
				}
			}
		}
	}
	return out
}
