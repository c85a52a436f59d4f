package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Unknown is the code of an error that has none.
const Unknown = -2

// Command is one line to a driver. Which fields matter depends on Do and Op.
type Command struct {
	Do         string `json:"do"`
	Addr       string `json:"addr,omitempty"`
	Topic      string `json:"topic,omitempty"`
	Partitions int    `json:"partitions,omitempty"`
	Codec      string `json:"codec,omitempty"`
	From       int64  `json:"from,omitempty"`
	Count      int64  `json:"count,omitempty"`
	Base       int64  `json:"base,omitempty"` // time of record 0 in ms; record i is i ms later
	Rate       int    `json:"rate,omitempty"` // records a second

	Group    string `json:"group,omitempty"`
	Assignor string `json:"assignor,omitempty"` // eager or cooperative
	Instance string `json:"instance,omitempty"`
	Session  int    `json:"session,omitempty"` // session time-out in ms
	Every    int    `json:"every,omitempty"`

	Op       string            `json:"op,omitempty"`
	Validate bool              `json:"validate,omitempty"` // check only
	Type     string            `json:"type,omitempty"`     // topic or broker
	Name     string            `json:"name,omitempty"`
	Configs  map[string]string `json:"configs,omitempty"`
	Ops      []ConfigOp        `json:"ops,omitempty"`
	Offsets  map[string]int64  `json:"offsets,omitempty"` // by partition
	At       string            `json:"at,omitempty"`      // earliest, latest, max or a time in ms
}

// ConfigOp is one incremental change: set, delete, append or subtract.
type ConfigOp struct {
	Op    string `json:"op"`
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// Sum is what a partition came to.
type Sum struct {
	Partition int    `json:"partition"`
	Records   int64  `json:"records"`
	SHA256    string `json:"sha256"`
}

// Answer is the last line to a command. What is filled in depends on the command; of admin's operations the comments name them.
type Answer struct {
	Done        bool   `json:"done,omitempty"`
	Error       string `json:"error,omitempty"`
	Code        int    `json:"code,omitempty"`
	Unsupported bool   `json:"unsupported,omitempty"`

	Client    string   `json:"client,omitempty"`
	Version   string   `json:"version,omitempty"`
	Codecs    []string `json:"codecs,omitempty"`
	Assignors []string `json:"assignors,omitempty"`
	Static    bool     `json:"static,omitempty"`
	Plain     bool     `json:"plain,omitempty"`    // it has no idempotent producer
	Stutters  bool     `json:"stutters,omitempty"` // it may give a record twice when the assignment changes; see package history
	Admin     []string `json:"admin,omitempty"`

	Sums  []Sum `json:"sums,omitempty"`
	Count int64 `json:"count,omitempty"`

	Topics   []string          `json:"topics,omitempty"`   // list_topics
	Layout   []PartitionLayout `json:"layout,omitempty"`   // describe_topic
	Values   map[string]string `json:"values,omitempty"`   // describe_configs: all that have a value
	Changed  []string          `json:"changed,omitempty"`  // describe_configs: set on the resource itself
	Offsets  map[string]int64  `json:"offsets,omitempty"`  // list_offsets, group_offsets, delete_records (low watermarks), log_dirs (bytes)
	Groups   []string          `json:"groups,omitempty"`   // list_groups
	State    string            `json:"state,omitempty"`    // describe_group, as Kafka writes it; missing if the client hides it
	Protocol string            `json:"protocol,omitempty"` // describe_group: the assignor chosen; missing if the client hides it
	Members  []Member          `json:"members,omitempty"`  // describe_group
	Cluster  string            `json:"cluster,omitempty"`  // describe_cluster
	Brokers  []string          `json:"brokers,omitempty"`  // describe_cluster: id@host:port
	Lead     int               `json:"lead,omitempty"`     // describe_cluster: controller
	IDs      []int64           `json:"ids,omitempty"`      // describe_producers: producer ids
}

// PartitionLayout is where a partition lies.
type PartitionLayout struct {
	ID       int   `json:"id"`
	Leader   int   `json:"leader"`
	Replicas []int `json:"replicas"`
	ISR      []int `json:"isr"`
}

// Member is a member of a group as it is described.
type Member struct {
	Client     string `json:"client"`
	Instance   string `json:"instance,omitempty"`
	Partitions []int  `json:"partitions"` // of the topic asked for
}

// Event is what happens to a member of a group, or to a stream.
type Event struct {
	// E is assigned (these partitions were added), revoked or lost (these were taken), read, commit (a commit of P is about to
	// be sent), committed (it was acknowledged), refused (it was not), acked.
	E    string           `json:"e"`
	T    int64            `json:"t"`           // time in ms since 1970
	P    map[string]int64 `json:"p,omitempty"` // assigned, revoked, lost: keys alone matter; commits: next offset by partition
	Part int              `json:"part"`        // read
	O    []int64          `json:"o,omitempty"` // read: offsets in the order they came
	K    []string         `json:"k,omitempty"` // read: their keys
	N    int64            `json:"n,omitempty"` // acked
	Text string           `json:"text,omitempty"`
}

// Record is what a driver writes. Key and Value may be nil.
type Record struct {
	Partition   int
	Key, Value  []byte
	Header      string // name of its one header, empty if it has none
	HeaderValue []byte
	Time        int64 // ms since 1970
}

const letters = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij"

// Of is record number i of a topic with so many partitions.
func Of(i int64, partitions int, base int64) Record {
	r := Record{Partition: int(i % int64(partitions)), Time: base + i}
	if i%11 != 10 {
		r.Key = strconv.AppendInt(nil, i, 10)
	}
	if i%53 != 52 || r.Key == nil {
		r.Value = fmt.Appendf(nil, "record %d %s", i, letters[:20+i*31%100])
	}
	if i%3 == 0 {
		r.Header, r.HeaderValue = "n", strconv.AppendInt(nil, i, 10)
	}
	return r
}

// Line appends the record's canonical line: key, value, header, time, each with its length; a length of -1 is null.
func (r *Record) Line(dst []byte) []byte {
	dst = field(dst, r.Key)
	dst = append(dst, ',')
	dst = field(dst, r.Value)
	dst = append(dst, ',')
	if r.Header != "" {
		dst = append(dst, r.Header...)
		dst = append(dst, '=')
		dst = append(dst, r.HeaderValue...)
	}
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, r.Time, 10)
	return append(dst, '\n')
}

func field(dst, b []byte) []byte {
	if b == nil {
		return append(dst, "-1:"...)
	}
	dst = strconv.AppendInt(dst, int64(len(b)), 10)
	dst = append(dst, ':')
	return append(dst, b...)
}

// Summer sums up the partitions of a topic.
type Summer struct {
	hashes []hash.Hash
	counts []int64
	buf    []byte
}

// NewSummer sums up so many partitions.
func NewSummer(partitions int) *Summer {
	s := &Summer{hashes: make([]hash.Hash, partitions), counts: make([]int64, partitions)}
	for i := range s.hashes {
		s.hashes[i] = sha256.New()
	}
	return s
}

// Add takes in the next record of a partition. Its offset must be the next one.
func (s *Summer) Add(r *Record, offset int64) error {
	if want := s.counts[r.Partition]; offset != want {
		return fmt.Errorf("partition %d: offset %d came, want %d", r.Partition, offset, want)
	}
	s.buf = r.Line(s.buf[:0])
	s.hashes[r.Partition].Write(s.buf)
	s.counts[r.Partition]++
	return nil
}

// Records is how many records of a partition were taken in.
func (s *Summer) Records(partition int) int64 { return s.counts[partition] }

// Sums are the sums so far.
func (s *Summer) Sums() []Sum {
	out := make([]Sum, len(s.hashes))
	for i, h := range s.hashes {
		out[i] = Sum{Partition: i, Records: s.counts[i], SHA256: hex.EncodeToString(h.Sum(nil))}
	}
	return out
}

// Want is what the records 0..n-1 come to.
func Want(n int64, partitions int, base int64) []Sum {
	s := NewSummer(partitions)
	for i := range n {
		r := Of(i, partitions, base)
		_ = s.Add(&r, s.counts[r.Partition])
	}
	return s.Sums()
}

// Differ says how two lists of sums differ, in words; empty if they do not.
func Differ(got, want []Sum) string {
	var out []string
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			out = append(out, fmt.Sprintf("partition %d is missing", i))
		case i >= len(want):
			out = append(out, fmt.Sprintf("partition %d should not be there", got[i].Partition))
		case got[i] != want[i]:
			out = append(out, fmt.Sprintf("partition %d: got %d records %.12s, want %d records %.12s",
				i, got[i].Records, got[i].SHA256, want[i].Records, want[i].SHA256))
		}
	}
	return strings.Join(out, "; ")
}
