package disktest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Kind is a kind of call, as it stands in rules, counts and traces.
type Kind string

// The kinds of calls.
const (
	KindOpen     Kind = "open"
	KindCreate   Kind = "create"
	KindRead     Kind = "read"
	KindWrite    Kind = "write"
	KindAllocate Kind = "allocate"
	KindTruncate Kind = "truncate"
	KindSync     Kind = "sync"
	KindSize     Kind = "size"
	KindClose    Kind = "close"
	KindMkdir    Kind = "mkdir"
	KindRemove   Kind = "remove"
	KindRename   Kind = "rename"
	KindReadDir  Kind = "readdir"
	KindSyncDir  Kind = "syncdir"
	KindSyncAll  Kind = "syncall"
	KindSpace    Kind = "space"

	KindAny    Kind = "any"    // in a rule: every call
	KindChange Kind = "change" // in a rule: every call that changes a file or a name, or makes it durable
)

// changes tells whether a call of the kind changes a file or a name, or makes it durable.
func (k Kind) changes() bool {
	switch k {
	case KindCreate, KindWrite, KindAllocate, KindTruncate, KindSync, KindMkdir, KindRemove, KindRename, KindSyncDir, KindSyncAll:
		return true
	}
	return false
}

// known tells whether the kind may stand in a rule.
func (k Kind) known() bool {
	switch k {
	case KindAny, KindChange, KindOpen, KindRead, KindSize, KindClose, KindReadDir, KindSpace:
		return true
	}
	return k.changes()
}

// ErrHalted is what every call gets once the file system is halted. It wraps EIO.
var ErrHalted = fmt.Errorf("disktest: halted: %w", syscall.EIO)

// fault is what a rule does to one call. The zero value is nothing.
type fault struct {
	err   error // the call fails
	short bool  // a write writes the first half before it fails
	lie   bool  // a sync succeeds without making anything durable
	stall bool  // the call waits for Unstall before it does anything
	halt  bool  // the call may take effect or not, and this and all later ones fail
}

// fail is the error of the call, nil if it may succeed.
func (f fault) fail(kind Kind, name string) error {
	if f.err == nil {
		return nil
	}
	return &fs.PathError{Op: string(kind), Path: name, Err: f.err}
}

// rule is a parsed rule.
type rule struct {
	kind    Kind
	pattern string // of path.Match, on the whole name if it has a slash, else on its last part; empty matches all
	first   int    // calls from first to last are hit, counted from 1 among those that match
	last    int
	fault   fault
	seen    int
}

func (r *rule) matches(kind Kind, name string) bool {
	switch r.kind {
	case kind, KindAny:
	case KindChange:
		if !kind.changes() {
			return false
		}
	default:
		return false
	}
	if r.pattern == "" {
		return true
	}
	if !strings.Contains(r.pattern, "/") {
		name = path.Base(name)
	}
	ok, _ := path.Match(r.pattern, name) // the pattern was checked
	return ok
}

// faults are the rules, the counts, the trace and the stalled calls of an FS. FS.mu guards them.
type faults struct {
	rules   []*rule
	counts  map[Kind]int
	tracing bool
	trace   []string
	halted  bool
	stalled int       // calls that wait and have not been let go
	release int       // counts Unstall
	changed sync.Cond // stalled, release or halted changed
}

// init ties the waiting of stalled calls to FS.mu.
func (f *faults) init(mu *sync.Mutex) {
	f.counts = make(map[Kind]int)
	f.changed.L = mu
}

// Inject adds rules, separated by spaces, semicolons or new lines. A rule is
//
//	kind[(pattern)]#calls=outcome
//
// kind is one of the Kind constants; pattern is one of path.Match, on the whole name if it has a slash in it, else on
// its last part. calls is the number of the call among those that match, counted from 1 from now on: "3", a range
// "3-5", "3+" for the third and all later ones, or "*" for all. The outcome is an error (EIO, ENOSPC, EDQUOT, EROFS,
// EMFILE, EINTR), or one of
//
//	short  a write writes the first half of its bytes and fails with ENOSPC; "short/EIO" with EIO
//	lie    a sync reports success and makes nothing durable
//	stall  the call waits for Unstall; "stall/EIO" then fails
//	halt   the call may have taken effect or not, which Crash decides, and all calls from then on get ErrHalted
//
// The first rule that hits a call decides; all that match count it. A fault in the text panics: it is the test's own.
func (m *FS) Inject(rules string) {
	rs, err := parseRules(rules)
	if err != nil {
		panic("disktest: " + err.Error())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.rules = append(m.faults.rules, rs...)
}

// Heal drops all rules and lets stalled calls go on. What was halted stays so.
func (m *FS) Heal() {
	m.mu.Lock()
	m.faults.rules = nil
	m.mu.Unlock()
	m.Unstall()
}

// Halt fails every call from now on, stalled ones included, with ErrHalted, as the rule does. Crash and Kill still work.
func (m *FS) Halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halt()
}

// halt needs mu.
func (m *FS) halt() {
	m.faults.halted, m.faults.stalled = true, 0
	m.faults.changed.Broadcast()
}

// Halted tells whether a rule or Halt has halted the file system.
func (m *FS) Halted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults.halted
}

// WaitStalled returns when at least n calls are stalled that Unstall has not let go.
func (m *FS) WaitStalled(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.faults.stalled < n {
		m.faults.changed.Wait()
	}
}

// Unstall lets all calls go on that are stalled now.
func (m *FS) Unstall() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.release++
	m.faults.stalled = 0
	m.faults.changed.Broadcast()
}

// StartTrace makes Trace remember every call from now on.
func (m *FS) StartTrace() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.tracing, m.faults.trace = true, nil
}

// Trace is the calls since StartTrace, one line each: kind, name, and for a write "offset+length", for a truncate the
// size, for a rename the new name.
func (m *FS) Trace() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.faults.trace...)
}

// begin counts a call and applies the rules. The fault says what the call has to do; an error ends it at once, without
// any effect. It needs mu, and gives it up while the call is stalled.
func (m *FS) begin(kind Kind, name, detail string) (fault, error) {
	f := &m.faults
	if f.halted {
		return fault{}, ErrHalted
	}
	f.counts[kind]++
	if f.tracing {
		f.trace = append(f.trace, strings.TrimRight(string(kind)+" "+name+" "+detail, " "))
	}
	hit := f.match(kind, name)
	if hit.stall && !f.wait() {
		return fault{}, ErrHalted
	}
	if hit.halt {
		m.halt()
		hit.err = ErrHalted
	}
	if hit.err != nil && (hit.halt && !kind.changes() || !hit.halt && hasNoEffect(kind)) {
		return fault{}, hit.fail(kind, name)
	}
	return hit, nil
}

// hasNoEffect tells the kinds of calls that have done nothing when they fail.
func hasNoEffect(kind Kind) bool {
	switch kind {
	case KindWrite, KindSync, KindSyncAll, KindSyncDir, KindClose:
		return false
	}
	return true
}

// match counts the call with all rules and returns the fault of the first that hits.
func (f *faults) match(kind Kind, name string) (hit fault) {
	found := false
	for _, r := range f.rules {
		if !r.matches(kind, name) {
			continue
		}
		r.seen++
		if !found && r.seen >= r.first && r.seen <= r.last {
			hit, found = r.fault, true
		}
	}
	return hit
}

// wait stalls the calling call and reports whether it may go on.
func (f *faults) wait() bool {
	f.stalled++
	f.changed.Broadcast()
	for round := f.release; f.release == round && !f.halted; {
		f.changed.Wait()
	}
	return !f.halted
}

// parseRules reads a text of rules; Inject has the grammar.
func parseRules(text string) ([]*rule, error) {
	var out []*rule
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n;", r) }) {
		r, err := parseRule(s)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", s, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRule(s string) (*rule, error) {
	what, outcome, ok := strings.Cut(s, "=")
	kind, calls, ok2 := strings.Cut(what, "#")
	if !ok || !ok2 {
		return nil, errors.New("want kind#calls=outcome")
	}
	r := &rule{}
	if name, rest, ok := strings.Cut(kind, "("); ok {
		if !strings.HasSuffix(rest, ")") {
			return nil, errors.New("pattern without )")
		}
		kind, r.pattern = name, strings.TrimSuffix(rest, ")")
		if _, err := path.Match(r.pattern, ""); err != nil {
			return nil, err
		}
	}
	if r.kind = Kind(kind); !r.kind.known() {
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
	if err := r.parseCalls(calls); err != nil {
		return nil, err
	}
	return r, r.parseOutcome(outcome)
}

// parseCalls reads which calls a rule hits.
func (r *rule) parseCalls(s string) error {
	const all = int(^uint(0) >> 1)
	if s == "*" {
		r.first, r.last = 1, all
		return nil
	}
	from, to, ranged := strings.Cut(s, "-")
	from, open := strings.CutSuffix(from, "+")
	var err error
	if r.first, err = strconv.Atoi(from); err != nil || r.first < 1 {
		return fmt.Errorf("calls %q", s)
	}
	r.last = r.first
	if open {
		r.last = all
	}
	if ranged {
		if r.last, err = strconv.Atoi(to); err != nil || open || r.last < r.first {
			return fmt.Errorf("calls %q", s)
		}
	}
	return nil
}

// parseOutcome reads what a rule does to them.
func (r *rule) parseOutcome(s string) error {
	how, errno, two := strings.Cut(s, "/")
	switch how {
	case "short":
		r.fault = fault{short: true, err: syscall.ENOSPC}
		if r.kind != KindWrite {
			return errors.New("only a write can be short")
		}
	case "stall":
		r.fault = fault{stall: true}
	case "lie":
		r.fault = fault{lie: true}
	case "halt":
		r.fault = fault{halt: true}
	default:
		errno, two = how, true
	}
	if !two {
		return nil
	}
	if r.fault.lie || r.fault.halt || how == errno && strings.Contains(s, "/") {
		return fmt.Errorf("outcome %q", s)
	}
	err, ok := errnoOf(errno)
	if !ok {
		return fmt.Errorf("unknown error %q", errno)
	}
	r.fault.err = err
	return nil
}

func errnoOf(name string) (syscall.Errno, bool) {
	for _, e := range []struct {
		name string
		err  syscall.Errno
	}{
		{"EIO", syscall.EIO}, {"ENOSPC", syscall.ENOSPC}, {"EDQUOT", syscall.EDQUOT}, {"EROFS", syscall.EROFS},
		{"EMFILE", syscall.EMFILE}, {"EINTR", syscall.EINTR},
	} {
		if e.name == name {
			return e.err, true
		}
	}
	return 0, false
}
