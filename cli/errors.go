package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The exit codes of every command.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2 // wrong use or configuration
	ExitNotFound    = 3 // what was named does not exist
	ExitUnreachable = 4 // no broker answers
	ExitFindings    = 5 // a check has found something
)

// ExitCodes says what the exit codes mean, for help texts.
const ExitCodes = `Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 what was named does not exist, 4 no broker answers,
5 a check has found something.`

// Error is a failure told to a person: what could not be done, why, and what to do next.
type Error struct {
	What string // "topic orders was not deleted"
	Why  error
	Next string // "Use --yes to …"; may be empty
	Code int    // exit code; 0 is ExitFailed
}

// Error joins what, why and next.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Why != nil {
		if e.What != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Why.Error())
	}
	if e.Next != "" {
		b.WriteString(". ")
		b.WriteString(e.Next)
	}
	return b.String()
}

// Unwrap returns why.
func (e *Error) Unwrap() error { return e.Why }

// Fail tells what failed, why, and what to do next; next may be empty. Errors of Kafka's protocol get its plain words, the
// exit code follows from why. It is nil when why is.
func Fail(what string, why error, next string) error {
	if why == nil {
		return nil
	}
	return &Error{What: what, Why: plain(why), Next: next, Code: codeOf(why)}
}

// Usage is a wrong use of the command line.
func Usage(format string, args ...any) error {
	return &Error{What: fmt.Sprintf(format, args...), Code: ExitUsage}
}

// NotFound says that what was named does not exist.
func NotFound(format string, args ...any) error {
	return &Error{What: fmt.Sprintf(format, args...), Code: ExitNotFound}
}

// Findings ends a check that has found something; the findings have been printed.
func Findings(format string, args ...any) error {
	return &Error{What: fmt.Sprintf(format, args...), Code: ExitFindings}
}

// Unreachable says that no broker answers.
func (e *Env) Unreachable(why error) error {
	return &Error{
		What: "no broker answers at " + strings.Join(e.Brokers, ", "), Why: plain(why), Code: ExitUnreachable,
		Next: "Is one running there? --brokers or " + BrokersVariable + " names another; penstock doctor looks closer",
	}
}

// ExitCode is the exit code that tells of an error.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	var own *Error
	if errors.As(err, &own) && own.Code != 0 {
		return own.Code
	}
	return codeOf(err)
}

func codeOf(err error) int {
	var own *Error
	var dial *net.OpError
	switch {
	case errors.As(err, &own) && own.Code != 0:
		return own.Code
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.GroupIDNotFound):
		return ExitNotFound
	case errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, kgo.ErrClientClosed):
		return ExitUnreachable
	}
	return ExitFailed
}

// plain is an error in the words of a person: Kafka's description in place of its constant's name, and a time limit by
// its name.
func plain(err error) error {
	var k *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &said{"no answer within the time limit", err}
	case errors.As(err, &k):
		return &said{fmt.Sprintf("%s (%s)", strings.TrimSuffix(k.Description, "."), k.Message), err}
	}
	return err
}

// said is an error in other words.
type said struct {
	words string
	err   error
}

func (s *said) Error() string { return s.words }

func (s *said) Unwrap() error { return s.err }
