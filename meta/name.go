package meta

import (
	"fmt"

	"penstock"
)

// maxName is the longest name of a topic, as in Kafka: it had to fit a directory with a partition's number behind it.
const maxName = 249

// CheckName reports whether a topic may have the name: 1 to 249 of the ASCII letters, digits, '.', '_' and '-', and not
// "." or "..", as in Kafka. The error wraps penstock.ErrInvalidTopic.
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
		if !nameByte(name[i]) {
			return fmt.Errorf("%w: %q holds something other than ASCII letters, digits, '.', '_' and '-'", penstock.ErrInvalidTopic, name)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c == '.' || c == '_' || c == '-'
}
