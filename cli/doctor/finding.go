package doctor

import (
	"fmt"

	"penstock/cli"
)

// Severity is how bad a finding is.
type Severity string

// The severities, from harmless to bad.
const (
	OK      Severity = "ok"
	Note    Severity = "note" // could not be looked at, or good to know
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Finding is what a check found. The names of its fields, and of checks, are relied on by scripts.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"` // it matters
	Do       string   `json:"do,omitempty"`
}

// The names of the checks.
const (
	checkBootstrap  = "bootstrap"
	checkVersions   = "versions"
	checkAdvertised = "advertised"
	checkPartitions = "partitions"
	checkRocket     = "rocketmq"
	checkReady      = "ready"
	checkClock      = "clock"
	checkCopies     = "copies"
	checkPorts      = "ports"
	checkFiles      = "files"
	checkMemory     = "memory"
	checkKernel     = "kernel"
	checkNetwork    = "network"
	checkFileSystem = "filesystem"
	checkSpace      = "space"
	checkFsync      = "fsync"
	checkSendfile   = "sendfile"
)

func good(check, format string, args ...any) Finding {
	return Finding{Check: check, Severity: OK, What: fmt.Sprintf(format, args...)}
}

func note(check, format string, args ...any) Finding {
	return Finding{Check: check, Severity: Note, What: fmt.Sprintf(format, args...)}
}

// unmeasured is the finding of a check that could not look.
func unmeasured(check string, err error) Finding {
	return note(check, "not looked at: %v", err)
}

// report is what the command prints.
type report struct {
	Findings []Finding `json:"findings"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
}

func newReport(findings []Finding) report {
	r := report{Findings: findings}
	for _, f := range findings {
		switch f.Severity {
		case Error:
			r.Errors++
		case Warning:
			r.Warnings++
		}
	}
	return r
}

// text fills the table: a line for each finding, then why and what to do for the bad ones.
func (r report) text(t *cli.Table) {
	t.Header("check", "severity", "finding")
	for _, f := range r.Findings {
		t.Row(f.Check, f.Severity, f.What)
	}
	for _, f := range r.Findings {
		if f.Severity != Error && f.Severity != Warning {
			continue
		}
		t.Note("")
		t.Note("%s (%s): %s", f.Check, f.Severity, f.What)
		t.Note("  why: %s", f.Why)
		t.Note("  do:  %s", f.Do)
	}
	t.Note("")
	t.Note("%s", r.sum())
}

func (r report) sum() string {
	if r.Errors+r.Warnings == 0 {
		return "Nothing found."
	}
	return plural(r.Errors, "error") + ", " + plural(r.Warnings, "warning")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// failure is the command's error: findings of the severity asked for, or worse.
func (r report) failure(failOn string) error {
	if failOn == "never" || r.Errors == 0 && (failOn == string(Error) || r.Warnings == 0) {
		return nil
	}
	return cli.Findings("%s", r.sum())
}
