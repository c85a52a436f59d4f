package node

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"penstock/meta"
)

// Sources are where values come from; each goes before those above it.
type Sources struct {
	File  string            // path of a YAML file, or empty
	Env   []string          // environment, as os.Environ has it
	Flags map[string]string // by key; Source says "flag"
}

// Value is a configuration in force and where it comes from.
type Value struct {
	Key    string
	Value  string
	Source string // "default", "file penstock.yaml:3", "environment PENSTOCK_DATA", "flag --data"
}

// Loaded is a configuration with everything that is worth saying of it.
type Loaded struct {
	Config   Config
	Values   []Value  // every key, in the order of Keys
	Warnings []string // what was not understood and does no harm
}

// ConfigError is everything that is wrong with a configuration.
type ConfigError struct{ Faults []string }

// Error lists all faults, a line each.
func (e *ConfigError) Error() string {
	if len(e.Faults) == 1 {
		return "configuration: " + e.Faults[0]
	}
	return fmt.Sprintf("configuration has %d faults:\n  %s", len(e.Faults), strings.Join(e.Faults, "\n  "))
}

const (
	// maxFile bounds a configuration file.
	maxFile = 1 << 20
	// maxDepth bounds the nesting of a configuration file.
	maxDepth = 8
)

// loader gathers values and faults.
type loader struct {
	settings []setting
	index    map[string]int // key to its place in settings
	env      map[string]string
	values   []Value
	faults   []string
	warnings []string
}

// Load reads all sources: defaults, file, environment, flags, each going before those ahead of it. A value is checked
// wherever it comes from, and so are values against each other, but only when each is sound by itself. All faults are
// reported at once, as a *ConfigError.
func Load(s Sources) (*Loaded, error) {
	l := &loader{settings: settings(), index: map[string]int{}, env: map[string]string{}}
	for i, st := range l.settings {
		l.index[st.Name] = i
		l.env[EnvName(st.Name)] = st.Name
		l.values = append(l.values, Value{st.Name, st.Default, "default"})
	}
	l.file(s.File)
	l.environment(s.Env)
	for _, name := range slices.Sorted(keysOf(s.Flags)) {
		l.put(name, s.Flags[name], "flag --"+FlagName(name))
	}
	c := Config{TopicDefault: map[string]string{}}
	ownKeys := len(l.settings) - len(topicSettings())
	for i, v := range l.values {
		if v.Source == "default" && i >= ownKeys {
			continue // of topics: the catalogue knows it
		}
		if err := l.settings[i].set(&c, v.Value); err != nil {
			l.faults = append(l.faults, fmt.Sprintf("%s=%s (%s): %v", v.Key, v.Value, v.Source, err))
		}
	}
	l.topicDefaults(&c)
	if len(l.faults) == 0 {
		l.faults = append(l.faults, c.faults()...)
	}
	if len(l.faults) > 0 {
		return nil, &ConfigError{l.faults}
	}
	return &Loaded{c, l.values, l.warnings}, nil
}

func keysOf(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// put sets a key.
func (l *loader) put(name, value, source string) {
	i, ok := l.index[name]
	if !ok {
		l.faults = append(l.faults, l.unknown(name, source))
		return
	}
	l.values[i] = Value{name, value, source}
}

// unknown says what may have been meant.
func (l *loader) unknown(name, source string) string {
	var names []string
	for _, s := range l.settings {
		names = append(names, s.Name)
	}
	if k, ok := meta.Lookup(name); ok && k.Broker != "" {
		return fmt.Sprintf("%s (%s): it is a topic's; the broker-wide default is called %s", name, source, k.Broker)
	}
	if near := meta.Nearest(name, names); near != "" {
		return fmt.Sprintf("%s (%s): unknown; did you mean %s?", name, source, near)
	}
	return fmt.Sprintf("%s (%s): unknown; penstock config print lists all keys", name, source)
}

// topicDefaults checks the broker-wide defaults of topics by the topics' own rules.
func (l *loader) topicDefaults(c *Config) {
	_, err := meta.Parse(nil, c.TopicDefault)
	var faults *meta.Faults
	if !errors.As(err, &faults) {
		return
	}
	for _, f := range faults.List {
		name, rest, _ := strings.Cut(f.Error(), "=")
		if k, ok := meta.Lookup(name); ok {
			l.faults = append(l.faults, fmt.Sprintf("%s=%s (%s)", k.Broker, rest, l.values[l.index[k.Broker]].Source))
			continue
		}
		l.faults = append(l.faults, f.Error())
	}
}

// file reads a YAML file: nested mappings, dotted keys, or both.
func (l *loader) file(path string) {
	if path == "" {
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		l.faults = append(l.faults, fmt.Sprintf("configuration file: %v", err))
		return
	}
	if len(b) > maxFile {
		l.faults = append(l.faults, fmt.Sprintf("configuration file %s: %d bytes, at most %d are read", path, len(b), maxFile))
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		l.faults = append(l.faults, fmt.Sprintf("configuration file %s: %v", path, err))
		return
	}
	if len(doc.Content) == 0 {
		return // an empty file
	}
	l.mapping(path, "", doc.Content[0], map[string]int{}, maxDepth)
}

func (l *loader) mapping(path, prefix string, n *yaml.Node, seen map[string]int, depth int) {
	at := func(n *yaml.Node) string { return fmt.Sprintf("file %s:%d", path, n.Line) }
	if n.Kind != yaml.MappingNode || depth == 0 {
		l.faults = append(l.faults, fmt.Sprintf("%s: want keys with values", at(n)))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := strings.TrimPrefix(prefix+"."+k.Value, ".")
		switch {
		case v.Kind == yaml.MappingNode:
			l.mapping(path, name, v, seen, depth-1)
		case v.Kind != yaml.ScalarNode:
			l.faults = append(l.faults, fmt.Sprintf("%s (%s): want one value", name, at(v)))
		case seen[name] != 0:
			l.faults = append(l.faults, fmt.Sprintf("%s (%s): it is set in line %d already", name, at(k), seen[name]))
		default:
			seen[name] = k.Line
			value := v.Value
			if v.Tag == "!!null" {
				value = ""
			}
			l.put(name, value, at(k))
		}
	}
}

// orchestrated are variables that Kubernetes sets for a service called penstock.
var orchestrated = regexp.MustCompile(`^PENSTOCK_(.*_)?(SERVICE_(HOST|PORT)|PORT)(_.*)?$`)

// environment reads variables with the prefix. One that is not known is a fault if it looks like a slip, else it may be
// somebody else's.
func (l *loader) environment(env []string) {
	var names []string
	for name := range l.env {
		names = append(names, strings.TrimPrefix(name, envPrefix))
	}
	slices.Sort(names)
	for _, e := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || name == envPrefix+"CONFIG" {
			continue
		}
		if key, ok := l.env[name]; ok {
			l.put(key, value, "environment "+name)
			continue
		}
		if orchestrated.MatchString(name) {
			continue
		}
		if near := meta.Nearest(strings.TrimPrefix(name, envPrefix), names); near != "" {
			l.faults = append(l.faults, fmt.Sprintf("environment %s: unknown; did you mean %s%s?", name, envPrefix, near))
			continue
		}
		l.warnings = append(l.warnings, "environment variable "+name+" is not a configuration; it is ignored")
	}
}

// faults checks what one value cannot tell.
func (c *Config) faults() []string {
	var out []string
	for _, l := range []struct{ key, addr string }{{"kafka.listen", c.KafkaListen}, {"http.listen", c.HTTPListen}} {
		host, _, _ := splitAddress(l.addr)
		if !c.Insecure && !loopback(host) {
			out = append(out, fmt.Sprintf("%s=%s: others can reach this address, and nobody has to authenticate yet. "+
				"Listen on 127.0.0.1, or accept that with --insecure", l.key, l.addr))
		}
	}
	if host, _, _ := splitAddress(c.KafkaListen); wildcard(host) && c.Advertise == "" {
		out = append(out, fmt.Sprintf("kafka.listen=%s: clients must be told one address to connect to. "+
			"Say which with --advertise HOST or --advertise HOST:PORT", c.KafkaListen))
	}
	if int64(c.RequestBytes) > c.RequestMemory {
		out = append(out, fmt.Sprintf("request.max.bytes=%d: more than request.memory, %d. Raise that or lower this", c.RequestBytes, c.RequestMemory))
	}
	return out
}
