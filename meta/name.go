package meta

import (
	"fmt"
	"strings"

	"penstock"
)

// The longest names: of topics in the record format as in Kafka, where a name had to fit a directory with a partition's number behind
// it, and of topics and groups as in RocketMQ (TopicValidator).
const (
	maxName        = 249
	maxMessageName = 127
	maxOwnName     = 255 // of topics that a group owns, and of groups
)

// What RocketMQ puts before the name of a group to make that of its topic for messages that come again, or that were given up.
const (
	RetryPrefix = "%RETRY%"
	DeadPrefix  = "%DLQ%"
)

// CheckName reports whether Kafka allows the name for a topic: 1 to 249 of the ASCII letters, digits, '.', '_' and '-', and not
// "." or "..". The error wraps penstock.ErrInvalidTopic.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", penstock.ErrInvalidTopic)
	case name == "." || name == "..":
		return fmt.Errorf("%w: it cannot be %q", penstock.ErrInvalidTopic, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", penstock.ErrInvalidTopic, len(name), maxName)
	}
	for i := range len(name) {
		if !nameByte(name[i]) && name[i] != '.' {
			return fmt.Errorf("%w: %q holds something other than ASCII letters, digits, '.', '_' and '-'", penstock.ErrInvalidTopic, name)
		}
	}
	return nil
}

// CheckMessageName reports whether RocketMQ allows the name for a topic: 1 to 127 of the ASCII letters, digits, '%', '|', '_' and '-', or 255
// where the name begins with RetryPrefix or DeadPrefix. The error wraps penstock.ErrInvalidTopic.
func CheckMessageName(name string) error {
	most := maxMessageName
	if strings.HasPrefix(name, RetryPrefix) || strings.HasPrefix(name, DeadPrefix) {
		most = maxOwnName
	}
	return checkMessageName(name, most)
}

// CheckGroupName reports whether RocketMQ allows the name for a group of consumers or producers: 1 to 255 of the ASCII letters, digits, '%',
// '|', '_' and '-'. The error wraps penstock.ErrInvalidTopic.
func CheckGroupName(name string) error { return checkMessageName(name, maxOwnName) }

func checkMessageName(name string, most int) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", penstock.ErrInvalidTopic)
	case len(name) > most:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", penstock.ErrInvalidTopic, len(name), most)
	}
	for i := range len(name) {
		if !nameByte(name[i]) && name[i] != '%' && name[i] != '|' {
			return fmt.Errorf("%w: %q holds something other than ASCII letters, digits, '%%', '|', '_' and '-'", penstock.ErrInvalidTopic, name)
		}
	}
	return nil
}

// CheckNameOf is the rule for names of topics of a format: CheckName for records, CheckMessageName for messages.
func CheckNameOf(name string, f penstock.Format) error {
	if f == penstock.FormatMessage {
		return CheckMessageName(name)
	}
	return CheckName(name)
}

// nameByte reports what both systems allow in names.
func nameByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c == '_' || c == '-'
}
