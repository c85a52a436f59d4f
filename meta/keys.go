package meta

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"penstock"
)

// spec is one configuration: what is told of it and how its value gets into Settings. set returns an error that says what
// is wanted.
type spec struct {
	Key
	set func(s *Settings, value string) error
}

// Bounds of values, where they are not Kafka's own or not plain.
const (
	// minSegment keeps a topic from being cut into a file for each batch. Kafka 4 wants 1 MiB.
	minSegment = 16 << 10
	// maxSegment is what the 32-bit positions of Kafka's offset index can name.
	maxSegment = math.MaxInt32
	// maxMillis is the longest time.Duration in milliseconds; longer is as good as for ever.
	maxMillis = int64(math.MaxInt64 / time.Millisecond)
)

// catalog is sorted by name. It is built once.
var catalog = sync.OnceValue(func() []spec {
	list := slices.Concat(honoured(), timeKeys(), tuned(), compaction(), remote())
	slices.SortFunc(list, func(a, b spec) int { return strings.Compare(a.Name, b.Name) })
	return list
})

// honoured are the configurations that count bytes, or choose.
func honoured() []spec {
	return []spec{
		{Key{"segment.bytes", KindInt, "1073741824", "Size at which a segment is closed and the next begun.",
			"log.segment.bytes", true}, long(minSegment, maxSegment, func(s *Settings, n int64) { s.SegmentBytes = n })},
		{Key{"segment.index.bytes", KindInt, "10485760", "Size of an index at which its segment is closed.",
			"log.index.size.max.bytes", true}, long(1<<10, math.MaxInt32, func(s *Settings, n int64) { s.IndexBytes = n })},
		{Key{"index.interval.bytes", KindInt, "4096", "Bytes of log between two entries of the offset index.",
			"log.index.interval.bytes", true}, long(0, math.MaxInt32, func(s *Settings, n int64) { s.IndexInterval = n })},
		{Key{"retention.bytes", KindLong, "-1", "Size of a partition above which its oldest segments are deleted; -1 for no bound.",
			"log.retention.bytes", true}, long(-1, math.MaxInt64, func(s *Settings, n int64) { s.RetentionBytes = n })},
		{Key{"max.message.bytes", KindInt, "1048588", "Largest batch that is accepted, as compressed by its producer.",
			"message.max.bytes", true}, long(0, math.MaxInt32, func(s *Settings, n int64) { s.MaxMessageBytes = int32(n) })},
		{Key{"min.insync.replicas", KindInt, "1", "Replicas that must be in sync for acks=all to be accepted.",
			"min.insync.replicas", true}, long(1, maxReplicas, func(s *Settings, n int64) { s.MinInSync = int(n) })},
		{Key{"preallocate", KindBool, "true", "Reserve room on the disk ahead of a log's end, which makes writing and syncing cheaper. Kafka's default is false.",
			"log.preallocate", true}, boolean(func(s *Settings, v bool) { s.Preallocate = v })},
		{Key{"message.timestamp.type", KindString, "CreateTime", "Whose clock stamps records: CreateTime is the producer's, LogAppendTime the broker's.",
			"log.message.timestamp.type", true}, oneOf(func(s *Settings, v string) { s.AppendTime = v == "LogAppendTime" }, "CreateTime", "LogAppendTime")},
		{Key{"cleanup.policy", KindList, "delete", "What happens to old data. Only delete is served: compaction does not exist yet.",
			"log.cleanup.policy", true}, cleanupPolicy},
		{Key{"compression.type", KindString, "producer", "Codec in which batches are stored. Only producer is served: batches stay as they were sent.",
			"compression.type", true}, compressionType},
		{Key{"penstock.durability", KindString, "fsync", "What an acknowledgement by all replicas means: fsync is on disk, relaxed is in the page cache, as Kafka has it.",
			"penstock.durability", true}, durability},
		{Key{"penstock.layout", KindString, "segment", "How partitions lie on logs. Only segment, a log for each partition, is served.",
			"", true}, layout},
	}
}

// timeKeys are the configurations that count milliseconds.
func timeKeys() []spec {
	return []spec{
		{Key{"segment.ms", KindLong, "604800000", "Age, by the time of its first record, at which a segment is closed.",
			"log.roll.ms", true}, millis(1, func(s *Settings, d time.Duration) { s.SegmentAge = d })},
		{Key{"segment.jitter.ms", KindLong, "0", "Up to this is taken off segment.ms, at random for each segment.",
			"log.roll.jitter.ms", true}, millis(0, func(s *Settings, d time.Duration) { s.SegmentJitter = d })},
		{Key{"retention.ms", KindLong, "604800000", "Age, by the time of its newest record, at which a segment is deleted; -1 for never.",
			"log.retention.ms", true}, millis(-1, func(s *Settings, d time.Duration) { s.RetentionAge = d })},
		{Key{"file.delete.delay.ms", KindLong, "60000", "Time between a segment's retirement and the deletion of its files.",
			"log.segment.delete.delay.ms", true}, millis(0, func(s *Settings, d time.Duration) { s.FileDeleteDelay = d })},
		{Key{"message.timestamp.before.max.ms", KindLong, "9223372036854775807", "How far a record's time may lie before the broker's.",
			"log.message.timestamp.before.max.ms", true}, millis(0, func(s *Settings, d time.Duration) { s.TimestampBefore = bound(d) })},
		{Key{"message.timestamp.after.max.ms", KindLong, "3600000", "How far a record's time may lie after the broker's.",
			"log.message.timestamp.after.max.ms", true}, millis(0, func(s *Settings, d time.Duration) { s.TimestampAfter = bound(d) })},
	}
}

// tuned are the configurations that Kafka has for what is done otherwise here. They are accepted within their bounds.
func tuned() []spec {
	const durable = "Accepted without effect: penstock.durability says when data is synced."
	const codec = "Accepted without effect: batches stay as they were sent."
	const throttle = "Accepted without effect: replication between nodes does not exist yet."
	return []spec{
		{Key{"flush.messages", KindLong, "9223372036854775807", durable, "log.flush.interval.messages", false}, long(1, math.MaxInt64, nil)},
		{Key{"flush.ms", KindLong, "9223372036854775807", durable, "log.flush.interval.ms", false}, long(0, math.MaxInt64, nil)},
		{Key{"compression.gzip.level", KindInt, "-1", codec, "compression.gzip.level", false}, gzipLevel},
		{Key{"compression.lz4.level", KindInt, "9", codec, "compression.lz4.level", false}, long(1, 17, nil)},
		{Key{"compression.zstd.level", KindInt, "3", codec, "compression.zstd.level", false}, long(-131072, 22, nil)},
		{Key{"unclean.leader.election.enable", KindBool, "false", "Accepted without effect: a leader is never elected from outside the in-sync set.",
			"unclean.leader.election.enable", false}, boolean(nil)},
		{Key{"leader.replication.throttled.replicas", KindList, "", throttle, "", false}, throttled},
		{Key{"follower.replication.throttled.replicas", KindList, "", throttle, "", false}, throttled},
	}
}

// compaction are the configurations of compacted topics.
func compaction() []spec {
	const doc = "Accepted without effect: compaction does not exist yet."
	return []spec{
		{Key{"delete.retention.ms", KindLong, "86400000", doc, "log.cleaner.delete.retention.ms", false}, long(0, math.MaxInt64, nil)},
		{Key{"min.cleanable.dirty.ratio", KindDouble, "0.5", doc, "log.cleaner.min.cleanable.ratio", false}, ratio},
		{Key{"min.compaction.lag.ms", KindLong, "0", doc, "log.cleaner.min.compaction.lag.ms", false}, long(0, math.MaxInt64, nil)},
		{Key{"max.compaction.lag.ms", KindLong, "9223372036854775807", doc, "log.cleaner.max.compaction.lag.ms", false}, long(1, math.MaxInt64, nil)},
	}
}

// remote are the configurations of tiered storage.
func remote() []spec {
	const doc = "Accepted without effect: tiered storage does not exist."
	return []spec{
		{Key{"remote.storage.enable", KindBool, "false", "Only false is served: tiered storage does not exist.", "", true}, remoteStorage},
		{Key{"remote.log.copy.disable", KindBool, "false", doc, "", false}, boolean(nil)},
		{Key{"remote.log.delete.on.disable", KindBool, "false", doc, "", false}, boolean(nil)},
		{Key{"local.retention.ms", KindLong, "-2", doc, "log.local.retention.ms", false}, long(-2, math.MaxInt64, nil)},
		{Key{"local.retention.bytes", KindLong, "-2", doc, "log.local.retention.bytes", false}, long(-2, math.MaxInt64, nil)},
	}
}

// long is a whole number from lo to hi; put may be nil.
func long(lo, hi int64, put func(*Settings, int64)) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		switch {
		case err != nil:
			return fmt.Errorf("want a whole number from %d to %d", lo, hi)
		case n < lo:
			return fmt.Errorf("want at least %d", lo)
		case n > hi:
			return fmt.Errorf("want at most %d", hi)
		}
		if put != nil {
			put(s, n)
		}
		return nil
	}
}

// millis is a number of milliseconds of at least lo, which may be -1.
func millis(lo int64, put func(*Settings, time.Duration)) func(*Settings, string) error {
	return long(lo, math.MaxInt64, func(s *Settings, n int64) {
		if n > maxMillis {
			put(s, math.MaxInt64)
			return
		}
		put(s, time.Duration(n)*time.Millisecond)
	})
}

// bound turns a time that cannot be reached into "no bound", and 0 into the shortest, since 0 is taken for unset.
func bound(d time.Duration) time.Duration {
	if d == math.MaxInt64 {
		return -1
	}
	return max(d, time.Millisecond)
}

func boolean(put func(*Settings, bool)) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		on := strings.EqualFold(strings.TrimSpace(v), "true")
		if !on && !strings.EqualFold(strings.TrimSpace(v), "false") {
			return errBool
		}
		if put != nil {
			put(s, on)
		}
		return nil
	}
}

func oneOf(put func(*Settings, string), words ...string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("want %s", strings.Join(words, " or "))
		}
		put(s, v)
		return nil
	}
}

func cleanupPolicy(s *Settings, v string) error {
	for _, word := range strings.Split(v, ",") {
		switch strings.TrimSpace(word) {
		case "delete":
		case "compact":
			return errors.New("compaction does not exist yet; want delete")
		default:
			return errors.New("want delete")
		}
	}
	s.CleanupPolicy = "delete"
	return nil
}

func compressionType(s *Settings, v string) error {
	switch v {
	case "producer":
		s.CompressionType = v
		return nil
	case "uncompressed", "gzip", "snappy", "lz4", "zstd":
		return errors.New("batches are stored as they were sent, compressing them here does not exist; want producer, and set compression.type in the producers")
	}
	return errors.New("want producer")
}

func durability(s *Settings, v string) error {
	d, err := penstock.ParseDurability(v)
	if err != nil {
		return errors.New("want fsync or relaxed")
	}
	s.Durability = d
	return nil
}

func layout(_ *Settings, v string) error {
	switch v {
	case penstock.LayoutSegment.String():
		return nil
	case penstock.LayoutCommit.String():
		return errors.New("the commit layout does not exist yet; want segment")
	}
	return errors.New("want segment")
}

func gzipLevel(_ *Settings, v string) error {
	if n, err := strconv.Atoi(strings.TrimSpace(v)); err != nil || n != -1 && (n < 1 || n > 9) {
		return errors.New("want -1 or a whole number from 1 to 9")
	}
	return nil
}

func ratio(_ *Settings, v string) error {
	f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return errors.New("want a number from 0 to 1")
	}
	return nil
}

// throttled is empty, "*" or a list of partition:broker.
func throttled(_ *Settings, v string) error {
	if v = strings.TrimSpace(v); v == "" || v == "*" {
		return nil
	}
	for _, item := range strings.Split(v, ",") {
		p, b, _ := strings.Cut(strings.TrimSpace(item), ":")
		if _, err := strconv.ParseUint(p, 10, 31); err != nil {
			return errors.New("want *, or a list of partition:broker")
		}
		if _, err := strconv.ParseUint(b, 10, 31); err != nil {
			return errors.New("want *, or a list of partition:broker")
		}
	}
	return nil
}

func remoteStorage(_ *Settings, v string) error {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "false":
		return nil
	case "true":
		return errors.New("tiered storage does not exist; want false")
	}
	return errBool
}
