package node

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
)

// Report is what Check has found in one file.
type Report struct {
	File     string     `json:"file"`
	Syntax   string     `json:"syntax"`   // yaml, properties (Kafka's) or broker.conf (RocketMQ's)
	Faults   []Fault    `json:"faults"`   // a broker with this file does not start
	Warnings []Fault    `json:"warnings"` // it starts, and this is probably not what was meant
	Imported []Imported `json:"imported,omitempty"`
}

// Findings is the number of faults, warnings, and entries that are not honoured and not harmless either.
func (r *Report) Findings() int { return len(r.Faults) + len(r.Warnings) + len(r.Refused()) }

// Refused are the entries of a file of Kafka's or RocketMQ's that ask for what this broker does not do, and are no faults.
func (r *Report) Refused() []Imported {
	faulty := map[int]bool{}
	for _, f := range r.Faults {
		faulty[f.Line] = true
	}
	var out []Imported
	for _, i := range r.Imported {
		if faulty[i.Line] {
			continue
		}
		if i.Status == KafkaRefused || i.Status == KafkaUnknown {
			out = append(out, i)
		}
	}
	return out
}

// The syntaxes of configuration files.
const (
	syntaxYAML       = "yaml"
	syntaxProperties = "properties"
	syntaxRocket     = "broker.conf"
)

// Check looks for everything that is wrong with one file, a YAML file, Kafka's server.properties or RocketMQ's broker.conf, as if a broker had it and
// nothing else. It does not fail: a file that cannot be read is a fault.
func Check(path string) *Report {
	r := &Report{File: path, Syntax: syntaxYAML, Faults: []Fault{}, Warnings: []Fault{}}
	b, err := readConfig(path)
	if err != nil {
		r.Faults = append(r.Faults, Fault{File: path, Problem: err.Error()})
		return r
	}
	r.Syntax = syntaxOf(path, b)
	from := Sources{File: path}
	switch r.Syntax {
	case syntaxProperties:
		from = Sources{Kafka: path}
	case syntaxRocket:
		from = Sources{Rocket: path}
	}
	l := newLoader()
	l.read(from)
	r.Faults, r.Warnings, r.Imported = append(r.Faults, l.faults...), append(r.Warnings, l.warnings...), l.imported
	return r
}

// syntaxOf tells the syntax by the file's name, or by the first separator of its first entry; and whose properties they are by the keys.
func syntaxOf(path string, content []byte) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return syntaxYAML
	case ".properties":
		return propertiesOf(content)
	}
	for line := range bytes.Lines(content) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == '!' {
			continue
		}
		if i := bytes.IndexAny(line, "=:"); i >= 0 && line[i] == '=' {
			return propertiesOf(content)
		}
		return syntaxYAML
	}
	return syntaxYAML
}

// propertiesOf tells whose keys there are more of; Kafka's where there are as many.
func propertiesOf(content []byte) string {
	entries, _ := parseProperties(content)
	lead := 0
	for _, p := range entries {
		if rocketDialect.find(p.key) != nil {
			lead++
		}
		if findKafkaKey(p.key) != nil {
			lead--
		}
	}
	if lead > 0 {
		return syntaxRocket
	}
	return syntaxProperties
}

// String tells what became of an entry, in a line.
func (i Imported) String() string {
	s := fmt.Sprintf("%s=%s: %s", i.Key, i.Value, i.Status)
	if i.As != "" {
		s += fmt.Sprintf(", %s=%s", i.To, i.As)
	}
	if i.Why != "" {
		s += ": " + i.Why
	}
	return s
}
