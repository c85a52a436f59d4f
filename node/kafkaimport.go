package node

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"penstock/meta"
)

// Imported is what became of one entry of Kafka's server.properties.
type Imported struct {
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

// importer reads Kafka's server.properties into a loader. Among several entries of a key the last counts, as in Java.
type importer struct {
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

// kafkaFile imports a file. Its faults wait for settle.
func (l *loader) kafkaFile(path string) *importer {
	im := &importer{l: l, path: path, entries: map[string]property{}}
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
			l.warn(path, p.line, fmt.Sprintf("%s (%s): it is set in line %d already; the last one counts, as in Kafka", p.key, im.place(p.line), old.line))
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

func (im *importer) place(line int) string { return fmt.Sprintf("kafka file %s:%d", im.path, line) }

// fault notes what is wrong with an entry.
func (im *importer) fault(p property, to, problem string) {
	value := p.value
	if k := findKafkaKey(p.key); k == nil || k.secret() {
		value = ""
	}
	im.pending = append(im.pending, pending{
		Fault{Key: p.key, Value: value, Source: im.place(p.line), File: im.path, Line: p.line, Problem: problem}, to, len(im.l.imported) - 1,
	})
}

// entry does with one entry what the table says.
func (im *importer) entry(p property) {
	k := findKafkaKey(p.key)
	if k == nil {
		im.stranger(p)
		return
	}
	done := Imported{Line: p.line, Key: p.key, Value: p.value, Status: k.Status, Why: k.Why}
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
		at.Status, at.Why = KafkaAccepted, "it is Kafka's default, as if it were left out"
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

// stranger notes an entry that no broker of Kafka 4.3 has by that name.
func (im *importer) stranger(p property) {
	note := func(status KafkaStatus, why string) {
		im.l.imported = append(im.l.imported, Imported{Line: p.line, Key: p.key, Value: hidden, Status: status, Why: why})
	}
	if m := listenerKey.FindStringSubmatch(p.key); m != nil {
		for _, name := range listenerTails(m[1]) {
			if k := findKafkaKey(name); k != nil {
				note(KafkaRefused, "one listener alone cannot be configured. Of "+name+": "+strings.TrimSpace(string(k.Status)+" "+k.Why))
				return
			}
		}
		note(KafkaRefused, "one listener alone cannot be configured")
		return
	}
	if why := olderKey(p.key); why != "" {
		note(KafkaRefused, why)
		return
	}
	for _, prefix := range []string{"rsm.config.", "rlmm.config.", "config.providers."} {
		if strings.HasPrefix(p.key, prefix) {
			note(KafkaRefused, "it is for a class of Java, which cannot be loaded here")
			return
		}
	}
	if k, ok := meta.Lookup(p.key); ok && k.Broker != "" {
		note(KafkaUnknown, "it is a topic's; the broker's is called "+k.Broker)
		im.fault(p, "", "it is a topic's, and does nothing here; the broker's is called "+k.Broker)
		return
	}
	if near := meta.Nearest(p.key, kafkaKeyNames()); near != "" {
		note(KafkaUnknown, "did you mean "+near+"?")
		im.fault(p, "", "unknown")
		im.pending[len(im.pending)-1].fault.Suggest = near
		return
	}
	note(KafkaUnknown, "no broker of Kafka 4.3 has it")
}

// listenerTails are the names under which the rest of a listener's key may be in the table: SASL's have the mechanism before.
func listenerTails(rest string) []string {
	_, after, _ := strings.Cut(rest, ".")
	return []string{rest, after}
}

func kafkaKeyNames() []string {
	var names []string
	for _, k := range kafkaTable() {
		names = append(names, k.Name)
	}
	return names
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
