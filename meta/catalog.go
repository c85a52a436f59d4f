package meta

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"penstock"
)

// Settings is a topic's configuration, parsed. The zero value is not meaningful; Parse makes it.
type Settings struct {
	SegmentBytes    int64
	SegmentAge      time.Duration
	SegmentJitter   time.Duration
	IndexBytes      int64
	IndexInterval   int64
	RetentionAge    time.Duration // negative: for ever
	RetentionBytes  int64         // negative: no bound
	FileDeleteDelay time.Duration
	Preallocate     bool
	MaxMessageBytes int32
	AppendTime      bool
	TimestampBefore time.Duration // accepted age of a record; negative: no bound, never 0
	TimestampAfter  time.Duration // accepted lead of a record; negative: no bound, never 0
	MinInSync       int
	Durability      penstock.Durability
	FlushRecords    int64         // records after which a partition is synced; math.MaxInt64: never
	FlushAge        time.Duration // age at which a record is synced, never 0; math.MaxInt64: never
	CleanupPolicy   string        // CleanupDelete or CleanupNone
	CompressionType string
	IndexKeys       bool // find records by key

	Perm        int  // what RocketMQ's clients may do: PermRead, PermWrite, PermInherit
	ReadQueues  int  // partitions that they read; negative: all; see Topic.Queues
	WriteQueues int  // partitions that they write; negative: all
	Order       bool // RocketMQ's order flag
	Attributes  string
}

// The cleanup policies.
const (
	CleanupDelete = "delete"
	CleanupNone   = "none" // of an empty list: everything is kept
)

// Kind is the type of a configuration's value, with Kafka's numbers (DescribeConfigs).
type Kind int8

// The kinds.
const (
	KindBool     Kind = 1
	KindString   Kind = 2
	KindInt      Kind = 3
	KindShort    Kind = 4
	KindLong     Kind = 5
	KindDouble   Kind = 6
	KindList     Kind = 7
	KindClass    Kind = 8
	KindPassword Kind = 9
)

// Status says what becomes of a configuration that is set.
type Status string

// The statuses.
const (
	StatusHonoured Status = "honoured" // every value has its effect
	StatusAccepted Status = "accepted" // values are checked, kept and shown; why nothing has to be done says Key.Why
	StatusRefused  Status = "refused"  // only some values are served; what to do instead of the others says Key.Why
)

// Key describes one configuration: what DescribeConfigs, the documentation's table and validation read.
type Key struct {
	Name    string
	Kind    Kind
	Default string
	Doc     string // what it means
	Valid   string // the values taken, in words
	Broker  string // the broker-wide configuration that gives the default ("log.segment.bytes"); empty if none
	Status  Status
	Why     string // of what is not honoured
	Fixed   bool   // it is chosen when the topic is created, and stays
}

// Catalog lists every topic configuration known, sorted by name. The slice is the caller's.
func Catalog() []Key {
	specs := catalog()
	out := make([]Key, len(specs))
	for i := range specs {
		out[i] = specs[i].Key
	}
	return out
}

// Lookup returns the catalogue's entry of that name.
func Lookup(name string) (Key, bool) {
	if s := find(name); s != nil {
		return s.Key, true
	}
	return Key{}, false
}

func find(name string) *spec {
	specs := catalog()
	i, ok := slices.BinarySearchFunc(specs, name, func(s spec, n string) int { return strings.Compare(s.Name, n) })
	if !ok {
		return nil
	}
	return &specs[i]
}

// Parse checks explicit configs over broker defaults and parses them. All faults are reported at once, each with the
// nearest known name if the name is unknown; the error wraps ErrInvalidConfig.
func Parse(configs, defaults map[string]string) (Settings, error) {
	s, faults := parse(configs, defaults)
	if len(faults) == 0 {
		return s, nil
	}
	return Settings{}, fmt.Errorf("%w: %w", penstock.ErrInvalidConfig, &Faults{faults})
}

// Faults is what is wrong with a configuration, all of it, in the order of the names.
type Faults struct{ List []error }

// Error names every fault, separated by semicolons.
func (f *Faults) Error() string {
	var b strings.Builder
	for i, err := range f.List {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap returns the faults.
func (f *Faults) Unwrap() []error { return f.List }

// parse is Parse for a reader that must get on: where a value is faulty the default below it counts.
func parse(configs, defaults map[string]string) (Settings, []error) {
	var s Settings
	var faults []error
	specs := catalog()
	for i := range specs {
		k := &specs[i]
		if err := k.set(&s, k.Default); err != nil {
			panic(fmt.Sprintf("meta: default of %s: %v", k.Name, err))
		}
	}
	for _, layer := range []map[string]string{defaults, configs} {
		for _, name := range slices.Sorted(maps.Keys(layer)) {
			k := find(name)
			if k == nil {
				faults = append(faults, unknown(name))
				continue
			}
			was := s
			if err := k.set(&s, layer[name]); err != nil {
				s = was
				faults = append(faults, fmt.Errorf("%s=%s: %w", name, clip(layer[name]), err))
			}
		}
	}
	if s.SegmentJitter > s.SegmentAge {
		faults = append(faults, fmt.Errorf("segment.jitter.ms: %d is more than segment.ms, %d: want at most that",
			s.SegmentJitter.Milliseconds(), s.SegmentAge.Milliseconds()))
		s.SegmentJitter = s.SegmentAge
	}
	return s, faults
}

// clip keeps a value from the network from flooding a message.
func clip(v string) string {
	const most = 80
	if len(v) > most {
		return v[:most] + "…"
	}
	return v
}

// removed are configurations that Kafka 4 no longer has, with what took their place.
func removed(name string) string {
	switch name {
	case "message.timestamp.difference.max.ms":
		return "Kafka 4 removed it; use message.timestamp.before.max.ms and message.timestamp.after.max.ms"
	case "message.format.version", "message.downconversion.enable":
		return "Kafka 4 removed it with the old message formats; leave it out"
	}
	return ""
}

func unknown(name string) error {
	if why := removed(name); why != "" {
		return fmt.Errorf("%s: %s", name, why)
	}
	names := make([]string, 0, len(catalog()))
	for _, k := range catalog() {
		names = append(names, k.Name)
		if k.Broker == name && k.Broker != k.Name {
			return fmt.Errorf("%s: it is the broker's; on a topic it is called %s", name, k.Name)
		}
	}
	if near := Nearest(name, names); near != "" {
		return fmt.Errorf("%s: unknown; did you mean %s?", clip(name), near)
	}
	return fmt.Errorf("%s: unknown", clip(name))
}

// Nearest returns the name that a person who wrote s most probably meant, "" if none is near: at most a third of its letters may
// have to be changed, added, left out or swapped with their neighbour.
func Nearest(s string, names []string) string {
	const longest = 128 // the work is the product of the lengths
	best, found := len(s)/3+1, ""
	if len(s) > longest {
		return ""
	}
	for _, n := range names {
		if d := distance(s, n, best); d < best {
			best, found = d, n
		}
	}
	return found
}

// distance counts the edits between two strings, by the optimal string alignment of Damerau and Levenshtein; at limit
// it may stop counting.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, above, above2 := rows[i%3], rows[(i-1)%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], above2[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

// errBool says what is wanted; parse puts name and value before it.
var errBool = errors.New("want true or false")
