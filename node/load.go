package node

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"penstock/meta"
)

// Sources are where values come from; each goes before those above it.
type Sources struct {
	Kafka  string            // path of a server.properties of Kafka, or empty
	Rocket string            // path of a broker.conf of RocketMQ, or empty
	File   string            // path of a YAML file, or empty
	Env    []string          // environment, as os.Environ has it
	Flags  map[string]string // by key; Source says "flag"
}

// Value is a configuration in force and where it comes from.
type Value struct {
	Key    string
	Value  string
	Source string // "default", "kafka file server.properties:7 log.dirs", "file penstock.yaml:3", "environment PENSTOCK_DATA", "flag --data"
	File   string // of a value from a file
	Line   int    // in File, from 1
}

// Loaded is a configuration with everything that is worth saying of it.
type Loaded struct {
	Config   Config
	Values   []Value    // every key, in the order of Keys
	Imported []Imported // every entry of Sources.Kafka and then of Sources.Rocket, in the order of the files
	Warnings []string   // what was not understood and does no harm
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
	values   []string // as settings
	from     []origin // as settings
	imported []Imported
	faults   []Fault
	faulty   map[string]bool // keys whose value is a fault
	warnings []Fault
}

func newLoader() *loader {
	l := &loader{settings: settings(), index: map[string]int{}, env: map[string]string{}, faulty: map[string]bool{}}
	for i, st := range l.settings {
		l.index[st.Name] = i
		l.env[EnvName(st.Name)] = st.Name
		l.values = append(l.values, st.Default)
		l.from = append(l.from, origin{text: sourceDefault})
	}
	return l
}

// Load reads all sources: defaults, Kafka's file, RocketMQ's file, YAML file, environment, flags, each going before those ahead of it. A value
// is checked wherever it comes from, and so are sound values against each other. All faults are reported at once, as a
// *ConfigError.
func Load(s Sources) (*Loaded, error) {
	l := newLoader()
	c := l.read(s)
	if len(l.faults) > 0 {
		return nil, &ConfigError{l.faults}
	}
	out := &Loaded{Config: *c, Imported: l.imported}
	for i, v := range l.values {
		from := &l.from[i]
		out.Values = append(out.Values, Value{l.settings[i].Name, v, from.text, from.file, from.line})
	}
	for _, w := range l.warnings {
		out.Warnings = append(out.Warnings, w.String())
	}
	return out, nil
}

// read reads the sources and checks what they say.
func (l *loader) read(s Sources) *Config {
	kafka, rocket := l.foreignFile(&kafkaDialect, s.Kafka), l.foreignFile(&rocketDialect, s.Rocket)
	l.file(s.File)
	l.environment(s.Env)
	for _, name := range slices.Sorted(maps.Keys(s.Flags)) {
		l.put(name, s.Flags[name], origin{text: "flag --" + FlagName(name)})
	}
	kafka.settle()
	rocket.settle()
	c := &Config{TopicDefault: map[string]string{}}
	ownKeys := len(l.settings) - len(topicSettings())
	for i, v := range l.values {
		if l.from[i].isDefault() && i >= ownKeys {
			continue // of topics: the catalogue knows it
		}
		if err := l.settings[i].set(c, v); err != nil {
			l.wrong(i, err.Error())
		}
	}
	l.topicDefaults(c)
	if v := c.TopicDefault["min.insync.replicas"]; v != "" && v != "1" && !l.faulty["min.insync.replicas"] {
		from := &l.from[l.index["min.insync.replicas"]]
		l.warnings = append(l.warnings, from.fault("min.insync.replicas", v, "this node stands alone and keeps one copy: nothing can be written with acks=all. Set 1"))
	}
	faulty := maps.Clone(l.faulty)
	for _, r := range c.relations() {
		if !slices.ContainsFunc(r.keys, func(k string) bool { return faulty[k] }) {
			l.wrong(l.index[r.keys[0]], r.problem)
		}
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(one(a.File == ""), one(b.File == "")), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return c
}

// wrong notes that the value of a setting is a fault.
func (l *loader) wrong(i int, problem string) {
	l.faulty[l.settings[i].Name] = true
	l.faults = append(l.faults, l.from[i].fault(l.settings[i].Name, l.values[i], problem))
}

// warn notes what does no harm.
func (l *loader) warn(file string, line int, what string) {
	l.warnings = append(l.warnings, Fault{File: file, Line: line, Problem: what})
}

// put sets a key.
func (l *loader) put(name, value string, from origin) {
	i, ok := l.index[name]
	if !ok {
		l.unknown(name, from)
		return
	}
	l.values[i], l.from[i] = value, from
}

// unknown says what may have been meant.
func (l *loader) unknown(name string, from origin) {
	f := from.fault(name, "", "unknown")
	var names []string
	for _, s := range l.settings {
		names = append(names, s.Name)
	}
	switch k := findKafkaKey(name); {
	case k != nil && k.To != "":
		f.Problem = "it is Kafka's; here it is called " + k.To + ". --kafka-config reads a file with Kafka's keys"
	case rocketDialect.find(name) != nil:
		f.Problem = "it is RocketMQ's. --rocket-config reads a file with RocketMQ's keys"
	case k != nil:
		f.Problem = "it is Kafka's, and not one that this broker has: " + k.Why
	default:
		f.Suggest = meta.Nearest(name, names)
		if t, ok := meta.Lookup(name); ok && t.Broker != "" {
			f.Problem, f.Suggest = "it is a topic's; the broker-wide default is called "+t.Broker, ""
		} else if f.Suggest == "" {
			f.Problem = "unknown; penstock config print lists all keys"
		}
	}
	l.faults = append(l.faults, f)
}

// topicDefaults checks the broker-wide defaults of topics by the topics' own rules.
func (l *loader) topicDefaults(c *Config) {
	_, err := meta.Parse(nil, c.TopicDefault)
	var faults *meta.Faults
	if !errors.As(err, &faults) {
		return
	}
	for _, f := range faults.List {
		name, _, _ := strings.Cut(f.Error(), "=")
		name, _, _ = strings.Cut(name, ":")
		k, ok := meta.Lookup(name)
		if !ok {
			l.faults = append(l.faults, Fault{Problem: f.Error()})
			continue
		}
		i := l.index[k.Broker]
		problem := strings.TrimPrefix(strings.TrimPrefix(f.Error(), name), "="+c.TopicDefault[name])
		l.wrong(i, strings.TrimPrefix(problem, ": "))
	}
}

// file reads a YAML file: nested mappings, dotted keys, or both.
func (l *loader) file(path string) {
	if path == "" {
		return
	}
	b, err := readConfig(path)
	if err != nil {
		l.faults = append(l.faults, Fault{File: path, Problem: err.Error()})
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		f := Fault{File: path, Problem: fmt.Sprintf("configuration file %s: %v", path, err)}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			f.Line, _ = strconv.Atoi(m[1])
		}
		l.faults = append(l.faults, f)
		return
	}
	if len(doc.Content) == 0 {
		return // an empty file
	}
	l.mapping(path, "", doc.Content[0], map[string]int{}, maxDepth)
}

// yamlLine is where the YAML reader says that it stopped.
var yamlLine = regexp.MustCompile(`line (\d+)`)

func (l *loader) mapping(path, prefix string, n *yaml.Node, seen map[string]int, depth int) {
	wrong := func(key string, n *yaml.Node, problem string) {
		at := inFile(path, n.Line)
		l.faults = append(l.faults, at.fault(key, "", problem))
	}
	if n.Kind != yaml.MappingNode || depth == 0 {
		wrong("", n, "want keys with values")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := strings.TrimPrefix(prefix+"."+k.Value, ".")
		switch {
		case v.Kind == yaml.MappingNode:
			l.mapping(path, name, v, seen, depth-1)
		case v.Kind != yaml.ScalarNode:
			wrong(name, v, "want one value")
		case seen[name] != 0:
			wrong(name, k, fmt.Sprintf("it is set in line %d already", seen[name]))
		default:
			seen[name] = k.Line
			value := v.Value
			if v.Tag == "!!null" {
				value = ""
			}
			l.put(name, value, inFile(path, k.Line))
		}
	}
}

// orchestrated are variables that Kubernetes sets for a service called penstock.
var orchestrated = regexp.MustCompile(`^PENSTOCK_(.*_)?(SERVICE_(HOST|PORT)|PORT)(_.*)?$`)

// otherVariables have the prefix and are no configuration of a broker: they name its files, or are the command line's.
var otherVariables = []string{EnvConfig, EnvKafkaConfig, EnvRocketConfig, envPrefix + "BROKERS"}

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
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(otherVariables, name) {
			continue
		}
		if key, ok := l.env[name]; ok {
			l.put(key, value, origin{text: "environment " + name})
			continue
		}
		if orchestrated.MatchString(name) {
			continue
		}
		if near := meta.Nearest(strings.TrimPrefix(name, envPrefix), names); near != "" {
			l.faults = append(l.faults, Fault{Source: "environment " + name, Problem: "unknown", Suggest: envPrefix + near})
			continue
		}
		l.warnings = append(l.warnings, Fault{Problem: "environment variable " + name + " is not a configuration; it is ignored"})
	}
}

// relation is what is wrong between sound values; the first key is the one to change.
type relation struct {
	keys    []string
	problem string
}

// openAddress is what is wrong with an address that others can reach.
const openAddress = "others can reach this address, and nobody has to authenticate yet. Listen on 127.0.0.1, or accept that with --insecure"

// relations checks what one value cannot tell.
func (c *Config) relations() []relation {
	var out []relation
	for _, l := range []struct{ key, addr string }{{"kafka.listen", c.KafkaListen}, {"http.listen", c.HTTPListen}} {
		host, _, _ := splitAddress(l.addr)
		if !c.Insecure && !loopback(host) {
			out = append(out, relation{[]string{l.key, "insecure"}, openAddress})
		}
	}
	if host, _, _ := splitAddress(c.KafkaListen); wildcard(host) && c.Advertise == "" {
		out = append(out, relation{[]string{"kafka.listen", "advertise"}, "clients must be told one address to connect to. " +
			"Say which with --advertise HOST or --advertise HOST:PORT"})
	}
	if int64(c.RequestBytes) > c.RequestMemory {
		out = append(out, relation{[]string{"request.max.bytes", "request.memory"},
			fmt.Sprintf("more than request.memory, %d. Raise that or lower this", c.RequestMemory)})
	}
	if c.SessionMin > c.SessionMax {
		out = append(out, relation{[]string{"group.session.min", "group.session.max"}, fmt.Sprintf("more than group.session.max, %v. Raise that or lower this", c.SessionMax)})
	}
	return append(out, c.rocketRelations()...)
}
