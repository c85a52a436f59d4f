package node

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key     string `json:"key,omitempty"`
	Value   string `json:"value,omitempty"`
	Source  string `json:"source,omitempty"` // "file penstock.yaml:3", "environment PENSTOCK_DATA", "flag --data"
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`       // 0: of no line
	Problem string `json:"problem"`              // what is wrong, and what is wanted
	Suggest string `json:"suggestion,omitempty"` // the name that was probably meant
}

// String is the fault in one line.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Key)
	if f.Value != "" {
		b.WriteString("=" + f.Value)
	}
	switch {
	case f.Source == "":
	case f.Key == "":
		b.WriteString(f.Source)
	default:
		b.WriteString(" (" + f.Source + ")")
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(f.Problem)
	if f.Suggest != "" {
		b.WriteString("; did you mean " + f.Suggest + "?")
	}
	return b.String()
}

// ConfigError is everything that is wrong with a configuration.
type ConfigError struct{ Faults []Fault }

// Error lists all faults, a line each.
func (e *ConfigError) Error() string {
	if len(e.Faults) == 1 {
		return "configuration: " + e.Faults[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "configuration has %d faults:", len(e.Faults))
	for _, f := range e.Faults {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// origin is where a value comes from.
type origin struct {
	text       string // as Value.Source
	file       string
	line       int
	kafka, was string // of an import: Kafka's key, and the value that it had
}

// isDefault reports whether nobody gave the value.
func (o *origin) isDefault() bool { return o.text == sourceDefault }

const sourceDefault = "default"

// inFile is the origin of what stands in a YAML file.
func inFile(path string, line int) origin {
	return origin{text: fmt.Sprintf("file %s:%d", path, line), file: path, line: line}
}

// fault makes a fault of a key and a value from there.
func (o *origin) fault(key, value, problem string) Fault {
	source := strings.TrimSuffix(o.text, " "+o.kafka)
	if o.kafka == "" || o.kafka == key && o.was == value {
		return Fault{Key: key, Value: value, Source: source, File: o.file, Line: o.line, Problem: problem}
	}
	return Fault{Key: o.kafka, Value: o.was, Source: source, File: o.file, Line: o.line, Problem: fmt.Sprintf("%s=%s: %s", key, value, problem)}
}
