package meta

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock"
)

// TestCatalog holds the catalogue to its promises: sorted, unique, documented, and every default valid by its own rule.
func TestCatalog(t *testing.T) {
	keys := Catalog()
	if !slices.IsSortedFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted by name")
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k.Name] {
			t.Errorf("%s is listed twice", k.Name)
		}
		seen[k.Name] = true
		if k.Doc == "" || k.Kind == 0 {
			t.Errorf("%s: no documentation or kind", k.Name)
		}
		if (k.Status == StatusHonoured) != (k.Why == "") || k.Valid == "" {
			t.Errorf("%s is %s, because %q, takes %q", k.Name, k.Status, k.Why, k.Valid)
		}
		if _, err := Parse(map[string]string{k.Name: k.Default}, nil); err != nil {
			t.Errorf("default: %v", err)
		}
		if _, err := Parse(map[string]string{k.Name: "\x00?"}, nil); err == nil {
			t.Errorf("%s: nonsense is accepted", k.Name)
		}
	}
	// What a Kafka 4.x broker knows (LogConfig, TopicConfig).
	for _, name := range strings.Fields(`cleanup.policy compression.type compression.gzip.level compression.lz4.level
		compression.zstd.level delete.retention.ms file.delete.delay.ms flush.messages flush.ms
		follower.replication.throttled.replicas index.interval.bytes leader.replication.throttled.replicas
		local.retention.bytes local.retention.ms max.compaction.lag.ms max.message.bytes message.timestamp.after.max.ms
		message.timestamp.before.max.ms message.timestamp.type min.cleanable.dirty.ratio min.compaction.lag.ms
		min.insync.replicas preallocate remote.log.copy.disable remote.log.delete.on.disable remote.storage.enable
		retention.bytes retention.ms segment.bytes segment.index.bytes segment.jitter.ms segment.ms
		unclean.leader.election.enable penstock.durability penstock.layout`) {
		if k, ok := Lookup(name); !ok || k.Name != name {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
}

// TestBrokerCatalog: the catalogue of brokers is sorted, unique, documented, and every default valid by its own rule; it has every
// default of topics; and names that are not in it are refused with what was probably meant.
func TestBrokerCatalog(t *testing.T) {
	seen, last := map[string]BrokerKey{}, ""
	for _, k := range BrokerCatalog() {
		if k.Name <= last || k.Doc == "" || k.Valid == "" || k.Kind == 0 || k.Broker != "" {
			t.Errorf("%+v after %s", k, last)
		}
		last = k.Name
		seen[k.Name] = k
		if err := CheckBrokerConfigs(map[string]string{k.Name: k.Default}); err != nil {
			t.Errorf("default: %v", err)
		}
		if err := CheckBrokerConfigs(map[string]string{k.Name: "\x00?"}); !errors.Is(err, penstock.ErrInvalidConfig) {
			t.Errorf("%s: nonsense: %v", k.Name, err)
		}
		if got, ok := LookupBroker(k.Name); !ok || got != k {
			t.Errorf("%s is not found", k.Name)
		}
	}
	for _, k := range Catalog() {
		if k.Broker != "" && seen[k.Broker].Topic != k.Name {
			t.Errorf("%s is not the default of %s", k.Broker, k.Name)
		}
	}
	for name, want := range map[string]string{
		"log.retension.ms": "did you mean log.retention.ms?", "retention.ms": "is called log.retention.ms", "zzz": "zzz: no configuration of brokers",
	} {
		if err := CheckBrokerConfigs(map[string]string{name: "1"}); !errors.Is(err, penstock.ErrInvalidConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestDefaults compares with the defaults of Kafka 4, from which only preallocate differs.
func TestDefaults(t *testing.T) {
	got, err := Parse(nil, nil)
	want := Settings{
		SegmentBytes: 1 << 30, SegmentAge: 168 * time.Hour, IndexBytes: 10 << 20, IndexInterval: 4096,
		RetentionAge: 168 * time.Hour, RetentionBytes: -1, FileDeleteDelay: time.Minute, MaxMessageBytes: 1048588, Preallocate: true,
		TimestampBefore: -1, TimestampAfter: time.Hour, MinInSync: 1, Durability: penstock.DurabilityFsync,
		FlushRecords: math.MaxInt64, FlushAge: math.MaxInt64, CleanupPolicy: "delete", CompressionType: "producer",
		Perm: 6, ReadQueues: -1, WriteQueues: -1,
	}
	if err != nil || got != want {
		t.Fatalf("%+v, %v\nwant %+v", got, err, want)
	}
}

// TestLayers sets every field, some by the broker and some by the topic, which goes before.
func TestLayers(t *testing.T) {
	got, err := Parse(map[string]string{
		"segment.ms": "5000", "segment.jitter.ms": "40", "retention.ms": "-1", "retention.bytes": "7", "preallocate": "FALSE",
		"message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "11", "message.timestamp.after.max.ms": "0",
		"min.insync.replicas": "2", "penstock.durability": "relaxed", "max.message.bytes": "99", "cleanup.policy": " delete",
		"rocketmq.perm": "4", "rocketmq.read.queues": "8", "rocketmq.write.queues": "0", "rocketmq.order": "true", "rocketmq.attributes": "+a=b",
	}, map[string]string{
		"segment.bytes": "65536", "segment.index.bytes": "4096", "index.interval.bytes": "17", "file.delete.delay.ms": "3",
		"max.message.bytes": "98", "flush.ms": "1", "flush.messages": "12", "min.cleanable.dirty.ratio": "0.1", "penstock.index.keys": "true",
	})
	want := Settings{
		SegmentBytes: 65536, SegmentAge: 5 * time.Second, SegmentJitter: 40 * time.Millisecond, IndexBytes: 4096,
		IndexInterval: 17, RetentionAge: -time.Millisecond, RetentionBytes: 7, FileDeleteDelay: 3 * time.Millisecond,
		MaxMessageBytes: 99, AppendTime: true, TimestampBefore: 11 * time.Millisecond,
		TimestampAfter: time.Millisecond, MinInSync: 2, Durability: penstock.DurabilityRelaxed, CleanupPolicy: "delete",
		CompressionType: "producer", FlushRecords: 12, FlushAge: time.Millisecond,
		Perm: PermRead, ReadQueues: 8, WriteQueues: 0, Order: true, Attributes: "+a=b", IndexKeys: true,
	}
	if err != nil || got != want {
		t.Fatalf("%+v, %v\nwant %+v", got, err, want)
	}
	if none, err := Parse(map[string]string{"cleanup.policy": " "}, nil); err != nil || none.CleanupPolicy != CleanupNone {
		t.Errorf("an empty cleanup.policy: %+v, %v", none, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"segment.bytes", "1", "want at least 16384"},
		{"segment.bytes", "2147483648", "want at most 2147483647"},
		{"segment.bytes", "1k", "want a whole number"},
		{"segment.ms", "0", "want at least 1"},
		{"segment.jitter.ms", "604800001", "is more than segment.ms"},
		{"retention.ms", "-2", "want at least -1"},
		{"preallocate", "yes", "want true or false"},
		{"message.timestamp.type", "createtime", "want CreateTime or LogAppendTime"},
		{"min.cleanable.dirty.ratio", "1.1", "from 0 to 1"},
		{"min.cleanable.dirty.ratio", "NaN", "from 0 to 1"},
		{"min.insync.replicas", "0", "want at least 1"},
		{"cleanup.policy", "compact", "compaction does not exist yet"},
		{"cleanup.policy", "delete,compact", "compaction does not exist yet"},
		{"cleanup.policy", "delete,", "want delete"},
		{"compression.type", "zstd", "set compression.type in the producers"},
		{"compression.gzip.level", "0", "want -1 or"},
		{"penstock.durability", "maybe", "want fsync or relaxed"},
		{"penstock.index.keys", "on", "want true or false"},
		{"penstock.layout", "heap", "want segment or commit"},
		{"rocketmq.perm", "8", "at most 7"},
		{"rocketmq.attributes", "message.type=NORMAL", "want +name=value"},
		{"remote.storage.enable", "true", "tiered storage does not exist"},
		{"leader.replication.throttled.replicas", "0:1,x", "want *"},
		{"retention.mss", "1", "did you mean retention.ms?"},
		{"segment.byte", "1", "did you mean segment.bytes?"},
		{"retnetion.ms", "1", "did you mean retention.ms?"},
		{"log.segment.bytes", "1", "on a topic it is called segment.bytes"},
		{"message.format.version", "2.8", "Kafka 4 removed it"},
		{"foo", "1", "foo: unknown"},
	} {
		_, err := Parse(map[string]string{c.name: c.value}, nil)
		if !errors.Is(err, penstock.ErrInvalidConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.want)
		}
	}
}

// TestAllFaultsAtOnce demands that nobody has to ask twice.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse(map[string]string{"segment.ms": "x", "cleanup.polcy": "delete", "preallocate": "maybe", "retention.ms": "5"},
		map[string]string{"flush.ms": "-1"})
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != 4 {
		t.Fatalf("%v, want four faults", err)
	}
	for _, name := range []string{"segment.ms", "cleanup.policy?", "preallocate", "flush.ms"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not speak of %s", err, name)
		}
	}
}

// TestLongValue shows that a message stays short.
func TestLongValue(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	_, err := Parse(map[string]string{"segment.ms": long, long: "1"}, nil)
	if err == nil || len(err.Error()) > 1000 {
		t.Fatalf("a message of %d bytes", len(err.Error()))
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a.b_c-D9", strings.Repeat("x", 249), "...", "__internal"} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", strings.Repeat("x", 250), "a/b", "a b", "ä", "a\x00", "a:b"} {
		if err := CheckName(name); !errors.Is(err, penstock.ErrInvalidTopic) {
			t.Errorf("%q: %v, want %v", name, err, penstock.ErrInvalidTopic)
		}
	}
}

// distanceTwin is the definition, by recursion.
func distanceTwin(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	cost := 1
	if a[len(a)-1] == b[len(b)-1] {
		cost = 0
	}
	d := min(distanceTwin(a[:len(a)-1], b)+1, distanceTwin(a, b[:len(b)-1])+1, distanceTwin(a[:len(a)-1], b[:len(b)-1])+cost)
	if la, lb := len(a), len(b); la > 1 && lb > 1 && a[la-1] == b[lb-2] && a[la-2] == b[lb-1] {
		d = min(d, distanceTwin(a[:la-2], b[:lb-2])+1)
	}
	return d
}

func TestDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringMatching(`[abc]{0,5}`).Draw(t, "a"), rapid.StringMatching(`[abc]{0,5}`).Draw(t, "b")
		if got, want := distance(a, b, 100), distanceTwin(a, b); got != want {
			t.Fatalf("distance of %q and %q: %d, want %d", a, b, got, want)
		}
	})
}

// FuzzParse demands that no value makes Parse panic, and that what it accepts has sensible bounds.
func FuzzParse(f *testing.F) {
	for _, k := range Catalog() {
		f.Add(k.Name, k.Default)
		f.Add(k.Name, "-1")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		s, err := Parse(map[string]string{name: value}, nil)
		if err != nil {
			if !errors.Is(err, penstock.ErrInvalidConfig) {
				t.Fatalf("%v does not wrap %v", err, penstock.ErrInvalidConfig)
			}
			return
		}
		if s.SegmentBytes < minSegment || s.SegmentAge <= 0 || s.SegmentJitter < 0 || s.SegmentJitter > s.SegmentAge ||
			s.MaxMessageBytes < 0 || s.MinInSync < 1 || s.TimestampAfter == 0 || s.TimestampBefore == 0 ||
			s.CleanupPolicy != CleanupDelete && s.CleanupPolicy != CleanupNone || s.FlushRecords < 1 || s.FlushAge < 1 {
			t.Fatalf("%s=%s gives %+v", name, value, s)
		}
	})
}

// TestHonoured counts what has an effect, so that nothing loses it unseen.
func TestHonoured(t *testing.T) {
	counts := map[Status]int{}
	for _, k := range Catalog() {
		counts[k.Status]++
	}
	if want := map[Status]int{StatusHonoured: 25, StatusAccepted: 14, StatusRefused: 3}; !maps.Equal(counts, want) {
		t.Errorf("%v configurations, want %v; if that is meant, say so here", counts, want)
	}
}
