package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
)

// A broker has one log, which Kafka's tools know as its root logger. Its level is altered until the broker stops (KIP-412).

// rootLogger is the name of the one logger.
const rootLogger = "root"

// sourceLogger is the source of a level, with Kafka's number.
const sourceLogger configSource = 6

// levels are Kafka's, and what they are here, the quietest first.
var levels = [...]struct {
	name  string
	level slog.Level
}{
	{"FATAL", slog.LevelError + 4}, {"ERROR", slog.LevelError}, {"WARN", slog.LevelWarn}, {"INFO", slog.LevelInfo},
	{"DEBUG", slog.LevelDebug}, {"TRACE", slog.LevelDebug - 4},
}

var errNoLogger = errors.New("the level of this broker's log cannot be altered while it runs: set logs.level in its configuration and start it again")

// loggerOf checks that a resource of loggers is this broker's.
func (f *Front) loggerOf(name string) error {
	switch {
	case f.o.LogLevel == nil:
		return errNoLogger
	case name == meta.EveryBroker:
		return errors.New("name the broker whose log is meant by its number")
	}
	return f.scopeOf(name)
}

// loggerConfigs is the level of the one logger.
func (f *Front) loggerConfigs() []config {
	is := f.o.LogLevel.Level()
	c := config{key: meta.Key{Name: rootLogger, Kind: meta.KindString, Doc: "Level from which on this broker logs, until it stops."}}
	for _, l := range levels {
		if is >= l.level || l.name == "TRACE" {
			c.add(rootLogger, l.name, sourceLogger)
			return []config{c}
		}
	}
	return nil
}

// alterLogger alters the level of this broker's log; deleting it goes back to what the broker's configuration says.
func (f *Front) alterLogger(a *alteration, check bool) (code, error) {
	if err := f.loggerOf(a.name); err != nil {
		return codeInvalidRequest, err
	}
	if a.whole {
		return codeInvalidRequest, errors.New("loggers are altered by IncrementalAlterConfigs alone")
	}
	to := f.o.LogLevel.Level()
	for _, c := range a.changes {
		switch {
		case c.name != rootLogger:
			return codeInvalidConfig, fmt.Errorf("%w: logger %q: there is one, called %s", penstock.ErrInvalidConfig, brief(c.name), rootLogger)
		case c.op == kmsg.IncrementalAlterConfigOpDelete:
			to = f.logLevel
		case c.op != kmsg.IncrementalAlterConfigOpSet:
			return codeInvalidRequest, errors.New("a level is no list, so nothing can be appended to it or subtracted from it; set it")
		default:
			level, ok := levelOf(*c.value)
			if !ok {
				return codeInvalidConfig, fmt.Errorf("%w: level %q: want FATAL, ERROR, WARN, INFO, DEBUG or TRACE", penstock.ErrInvalidConfig, brief(*c.value))
			}
			to = level
		}
	}
	if !check && to != f.o.LogLevel.Level() {
		was := f.o.LogLevel.Level()
		f.o.LogLevel.Set(to)
		f.o.Logger.Warn("level of the log altered", slog.String("had", was.String()), slog.String("has", to.String()))
	}
	return codeNone, nil
}

func levelOf(name string) (slog.Level, bool) {
	for _, l := range levels {
		if strings.EqualFold(l.name, strings.TrimSpace(name)) {
			return l.level, true
		}
	}
	return 0, false
}
