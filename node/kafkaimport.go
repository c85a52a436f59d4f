package node

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"penstock/meta"
)

// Imported is what became of one entry of Kafka's server.properties or RocketMQ's broker.conf.
type Imported struct {
	System string      `json:"system"` // Kafka or RocketMQ
	Line   int         `json:"line"`
	Key    string      `json:"key"`
	Value  string      `json:"value"` // hidden if it is a secret
	Status KafkaStatus `json:"status"`
	To     string      `json:"to,omitempty"` // key of this broker that it sets
	As     string      `json:"as,omitempty"` // value that it has there
	Why    string      `json:"why,omitempty"`
}

// KafkaUnknown is the status of what is none of Kafka's keys. Kafka passes over it, and so does the import, unless it looks
// like a slip.
const KafkaUnknown KafkaStatus = "unknown"

// dialect is whose configuration is imported.
type dialect struct {
	name     string // in the source of a value: "kafka file server.properties:7 log.dirs"
	system   string
	version  string
	table    func() []kafkaKey                   // sorted by name
	stranger func(im *importer, p property) bool // deals with keys that are not in the table; false leaves it to the importer
}

// find returns the row of that name, nil if there is none.
func (d *dialect) find(name string) *kafkaKey { return findIn(d.table(), name) }

func findIn(table []kafkaKey, name string) *kafkaKey {
	i, ok := slices.BinarySearchFunc(table, name, func(k kafkaKey, n string) int { return strings.Compare(k.Name, n) })
	if !ok {
		return nil
	}
	return &table[i]
}

// names lists the names of the table.
func (d *dialect) names() []string {
	var names []string
	for _, k := range d.table() {
		names = append(names, k.Name)
	}
	return names
}

// kafkaDialect is Kafka's server.properties.
var kafkaDialect = dialect{name: "kafka", system: "Kafka", version: "4.3", table: func() []kafkaKey { return kafkaTable() }, stranger: kafkaStranger}

// importer reads a file of another system into a loader. Among several entries of a key the last counts, as in Java.
type importer struct {
	d       *dialect
	l       *loader
	path    string
	entries map[string]property
	pending []pending
}

// pending is a fault that counts only if nothing of higher rank gives the key a value.
type pending struct {
	fault Fault
	to    string // empty: it counts in any case
	at    int    // its place in loader.imported
}

const hidden = "(hidden)"

// foreignFile imports a file. Its faults wait for settle.
func (l *loader) foreignFile(d *dialect, path string) *importer {
	im := &importer{d: d, l: l, path: path, entries: map[string]property{}}
	if path == "" {
		return im
	}
	b, err := readConfig(path)
	if err != nil {
		l.faults = append(l.faults, Fault{File: path, Problem: err.Error()})
		return im
	}
	entries, bad := parseProperties(b)
	for _, p := range bad {
		l.faults = append(l.faults, Fault{Source: im.place(p.line), File: path, Line: p.line, Problem: p.why})
	}
	for i := range entries {
		entries[i].value = strings.TrimSpace(entries[i].value) // as Kafka does
		p := entries[i]
		if old, twice := im.entries[p.key]; twice {
			l.warn(path, p.line, fmt.Sprintf("%s (%s): it is set in line %d already; the last one counts, as in %s", p.key, im.place(p.line), old.line, d.system))
		}
		im.entries[p.key] = p
	}
	for _, p := range entries {
		if im.entries[p.key] == p {
			im.entry(p)
		}
	}
	return im
}

func (im *importer) place(line int) string {
	return fmt.Sprintf("%s file %s:%d", im.d.name, im.path, line)
}

// fault notes what is wrong with an entry.
func (im *importer) fault(p property, to, problem string) {
	value := p.value
	if k := im.d.find(p.key); k == nil || k.secret() {
		value = ""
	}
	im.pending = append(im.pending, pending{
		Fault{Key: p.key, Value: value, Source: im.place(p.line), File: im.path, Line: p.line, Problem: problem}, to, len(im.l.imported) - 1,
	})
}

// entry does with one entry what the table says.
func (im *importer) entry(p property) {
	k := im.d.find(p.key)
	if k == nil {
		im.stranger(p)
		return
	}
	done := Imported{System: im.d.system, Line: p.line, Key: p.key, Value: p.value, Status: k.Status, Why: k.Why}
	if k.secret() {
		done.Value = hidden
	}
	im.l.imported = append(im.l.imported, done)
	at := &im.l.imported[len(im.l.imported)-1]
	if provider := im.provider(p.value); provider != "" {
		im.fault(p, k.To, "it refers to the configuration provider "+provider+", a class of Java, which cannot be loaded here. Write the value itself")
		return
	}
	if err := checkType(k.Type, p.value); err != nil {
		im.fault(p, k.To, err.Error())
		return
	}
	if k.Status == KafkaRefused && p.value == k.Default {
		at.Status, at.Why = KafkaAccepted, "it is "+im.d.system+"'s default, as if it were left out"
	}
	if k.take == nil {
		return
	}
	t, err := k.take(im, p.value)
	if err != nil {
		im.fault(p, k.To, err.Error())
		return
	}
	if t.key == "" {
		if t.why != "" {
			at.Why = t.why
		}
		return
	}
	at.To, at.As, at.Why = t.key, t.value, ""
	im.l.put(t.key, t.value, origin{
		text: im.place(p.line) + " " + p.key, file: im.path, line: p.line, kafka: p.key, was: p.value,
	})
}

// listenerKey is a configuration of one listener alone.
var listenerKey = regexp.MustCompile(`^listener\.name\.[^.]+\.(.+)$`)

// note tells what becomes of an entry that is not in the table.
func (im *importer) note(p property, status KafkaStatus, why string) {
	im.l.imported = append(im.l.imported, Imported{System: im.d.system, Line: p.line, Key: p.key, Value: hidden, Status: status, Why: why})
}

// stranger notes an entry that no broker of the system has by that name.
func (im *importer) stranger(p property) {
	if im.d.stranger(im, p) {
		return
	}
	if near := meta.Nearest(p.key, im.d.names()); near != "" {
		im.note(p, KafkaUnknown, "did you mean "+near+"?")
		im.fault(p, "", "unknown")
		im.pending[len(im.pending)-1].fault.Suggest = near
		return
	}
	im.note(p, KafkaUnknown, "no broker of "+im.d.system+" "+im.d.version+" has it")
}

// kafkaStranger deals with keys that no broker of Kafka 4.3 has by that name.
func kafkaStranger(im *importer, p property) bool {
	if m := listenerKey.FindStringSubmatch(p.key); m != nil {
		for _, name := range listenerTails(m[1]) {
			if k := findKafkaKey(name); k != nil {
				im.note(p, KafkaRefused, "one listener alone cannot be configured. Of "+name+": "+strings.TrimSpace(string(k.Status)+" "+k.Why))
				return true
			}
		}
		im.note(p, KafkaRefused, "one listener alone cannot be configured")
		return true
	}
	if why := olderKey(p.key); why != "" {
		im.note(p, KafkaRefused, why)
		return true
	}
	for _, prefix := range []string{"rsm.config.", "rlmm.config.", "config.providers."} {
		if strings.HasPrefix(p.key, prefix) {
			im.note(p, KafkaRefused, "it is for a class of Java, which cannot be loaded here")
			return true
		}
	}
	if k, ok := meta.Lookup(p.key); ok && k.Broker != "" {
		im.note(p, KafkaUnknown, "it is a topic's; the broker's is called "+k.Broker)
		im.fault(p, "", "it is a topic's, and does nothing here; the broker's is called "+k.Broker)
		return true
	}
	return false
}

// listenerTails are the names under which the rest of a listener's key may be in the table: SASL's have the mechanism before.
func listenerTails(rest string) []string {
	_, after, _ := strings.Cut(rest, ".")
	return []string{rest, after}
}

var providerRef = regexp.MustCompile(`\$\{([^}:]+):[^}]*\}`)

// provider is the configuration provider that a value refers to, if the file names it.
func (im *importer) provider(value string) string {
	m := providerRef.FindStringSubmatch(value)
	if m == nil {
		return ""
	}
	for name := range strings.SplitSeq(im.get("config.providers"), ",") {
		if strings.TrimSpace(name) == m[1] {
			return m[1]
		}
	}
	return ""
}

// get is the value of a key, empty if the file does not have it.
func (im *importer) get(key string) string { return im.entries[key].value }

func (im *importer) has(key string) bool {
	_, ok := im.entries[key]
	return ok
}

// settle turns the faults that count into faults of the loader. One about a key that something of higher rank sets is none:
// the value of the file is not used.
func (im *importer) settle() {
	for _, p := range im.pending {
		if i, ok := im.l.index[p.to]; ok && im.l.from[i].kafka == "" && !im.l.from[i].isDefault() {
			done := &im.l.imported[p.at]
			done.Status, done.Why = KafkaRefused, "not used: "+p.to+" is set by "+im.l.from[i].text+". By itself it would be refused: "+p.fault.Problem
			continue
		}
		im.l.faults = append(im.l.faults, p.fault)
	}
	for i := range im.l.imported {
		done := &im.l.imported[i]
		if at, ok := im.l.index[done.To]; ok && done.As != "" && im.l.from[at].kafka != done.Key {
			done.Why = "not used: " + done.To + " is set by " + im.l.from[at].text
		}
	}
}

// readConfig reads a configuration file of bounded size.
func readConfig(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if st.Size() > maxFile || !st.Mode().IsRegular() && st.Mode()&os.ModeNamedPipe == 0 {
		return nil, fmt.Errorf("configuration file %s: want a file of at most %d bytes", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return b, nil
}

// errOneCopy says what a factor of replication above 1 would promise.
var errOneCopy = errors.New("this node stands alone and keeps one copy. Set 1 to accept that")
