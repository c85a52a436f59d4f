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
	list := slices.Concat(sizeKeys(), choiceKeys(), timeKeys(), idleKeys(), compaction(), remote(), fixedKeys(), rocketKeys())
	slices.SortFunc(list, func(a, b spec) int { return strings.Compare(a.Name, b.Name) })
	return list
})

// rule is what values a configuration takes, in words, and how one gets into Settings.
type rule struct {
	valid string
	set   func(s *Settings, value string) error
}

// honour is a configuration whose every value has its effect.
func honour(name string, kind Kind, def, broker, doc string, r rule) spec {
	return spec{Key{Name: name, Kind: kind, Default: def, Broker: broker, Doc: doc, Valid: r.valid, Status: StatusHonoured}, r.set}
}

// accept is one whose values are kept and shown and need no effect; why says why.
func accept(name string, kind Kind, def, broker, doc, why string, r rule) spec {
	return spec{Key{Name: name, Kind: kind, Default: def, Broker: broker, Doc: doc, Valid: r.valid, Status: StatusAccepted, Why: why}, r.set}
}

// refuse is one of which only some values are served; the rule refuses the others, and why says what to do instead.
func refuse(name string, kind Kind, def, broker, doc, why string, r rule) spec {
	return spec{Key{Name: name, Kind: kind, Default: def, Broker: broker, Doc: doc, Valid: r.valid, Status: StatusRefused, Why: why}, r.set}
}

// sizeKeys count bytes, records and replicas.
func sizeKeys() []spec {
	return []spec{
		honour("segment.bytes", KindInt, "1073741824", "log.segment.bytes", "Size at which a segment is closed and the next begun.",
			long(minSegment, maxSegment, func(s *Settings, n int64) { s.SegmentBytes = n })),
		honour("segment.index.bytes", KindInt, "10485760", "log.index.size.max.bytes", "Size of an index at which its segment is closed.",
			long(1<<10, math.MaxInt32, func(s *Settings, n int64) { s.IndexBytes = n })),
		honour("index.interval.bytes", KindInt, "4096", "log.index.interval.bytes", "Bytes of log between two entries of the offset index.",
			long(0, math.MaxInt32, func(s *Settings, n int64) { s.IndexInterval = n })),
		honour("retention.bytes", KindLong, "-1", "log.retention.bytes", "Size of a partition above which its oldest segments are deleted; -1 for no bound.",
			long(-1, math.MaxInt64, func(s *Settings, n int64) { s.RetentionBytes = n })),
		honour("max.message.bytes", KindInt, "1048588", "message.max.bytes", "Largest batch that is accepted, as compressed by its producer.",
			long(0, math.MaxInt32, func(s *Settings, n int64) { s.MaxMessageBytes = int32(n) })),
		honour("min.insync.replicas", KindInt, "1", "min.insync.replicas",
			"Replicas that must be in sync for acks=all to be accepted. A partition never demands more than it has replicas, as in Kafka 4.",
			long(1, maxReplicas, func(s *Settings, n int64) { s.MinInSync = int(n) })),
		honour("flush.messages", KindLong, "9223372036854775807", "log.flush.interval.messages",
			"Records after which a partition is synced to the disk, whoever waits for it. With penstock.durability=fsync acks=all waits for the disk anyhow.",
			long(1, math.MaxInt64, func(s *Settings, n int64) { s.FlushRecords = n })),
	}
}

// choiceKeys choose.
func choiceKeys() []spec {
	return []spec{
		honour("preallocate", KindBool, "true", "log.preallocate",
			"Reserve room on the disk ahead of a log's end, which makes writing and syncing cheaper. Kafka's default is false.",
			boolean(func(s *Settings, v bool) { s.Preallocate = v })),
		honour("message.timestamp.type", KindString, "CreateTime", "log.message.timestamp.type",
			"Whose clock stamps records: CreateTime is the producer's, LogAppendTime the broker's.",
			oneOf(func(s *Settings, v string) { s.AppendTime = v == "LogAppendTime" }, "CreateTime", "LogAppendTime")),
		honour("penstock.durability", KindString, "fsync", "penstock.durability",
			"What an acknowledgement by all replicas means: fsync is on disk, relaxed is in the page cache, as Kafka has it.",
			rule{"fsync, relaxed", durability}),
		honour("penstock.index.keys", KindBool, "false", "penstock.index.keys",
			"Index what is produced from now on by the keys of its records, so that penstock find need not read the topic. Compressed batches are decompressed "+
				"for it; switched off, the index is removed. Messages in the commit layout have RocketMQ's index, whatever this says.",
			boolean(func(s *Settings, v bool) { s.IndexKeys = v })),
		refuse("cleanup.policy", KindList, "delete", "log.cleanup.policy",
			"What happens to old data: delete removes what retention.ms and retention.bytes no longer keep; an empty list keeps everything.",
			"compact is refused: compaction does not exist yet. Take delete, with retention.ms=-1 where the last value of each key must stay.",
			rule{"delete, or nothing", cleanupPolicy}),
		refuse("compression.type", KindString, "producer", "compression.type", "Codec in which batches are stored; producer keeps them as they were sent.",
			"Only producer is served: batches are never opened on their way to the disk, so nothing is compressed here. Set compression.type in the producers.",
			rule{"producer", compressionType}),
	}
}

// timeKeys count milliseconds.
func timeKeys() []spec {
	return []spec{
		honour("segment.ms", KindLong, "604800000", "log.roll.ms", "Age, by the time of its first record, at which a segment is closed.",
			millis(1, func(s *Settings, d time.Duration) { s.SegmentAge = d })),
		honour("segment.jitter.ms", KindLong, "0", "log.roll.jitter.ms", "Up to this is taken off segment.ms, at random for each segment.",
			millis(0, func(s *Settings, d time.Duration) { s.SegmentJitter = d })),
		honour("retention.ms", KindLong, "604800000", "log.retention.ms", "Age, by the time of its newest record, at which a segment is deleted; -1 for never.",
			millis(-1, func(s *Settings, d time.Duration) { s.RetentionAge = d })),
		honour("file.delete.delay.ms", KindLong, "60000", "log.segment.delete.delay.ms", "Time between a segment's retirement and the deletion of its files.",
			millis(0, func(s *Settings, d time.Duration) { s.FileDeleteDelay = d })),
		honour("message.timestamp.before.max.ms", KindLong, "9223372036854775807", "log.message.timestamp.before.max.ms",
			"How far a record's time may lie before the broker's.", millis(0, func(s *Settings, d time.Duration) { s.TimestampBefore = bound(d) })),
		honour("message.timestamp.after.max.ms", KindLong, "3600000", "log.message.timestamp.after.max.ms",
			"How far a record's time may lie after the broker's.", millis(0, func(s *Settings, d time.Duration) { s.TimestampAfter = bound(d) })),
		honour("flush.ms", KindLong, "9223372036854775807", "log.flush.interval.ms",
			"Time after which a record is synced to the disk, whoever waits for it. With penstock.durability=fsync acks=all waits for the disk anyhow.",
			millis(0, func(s *Settings, d time.Duration) { s.FlushAge = max(d, 1) })),
	}
}

// idleKeys tune what is done otherwise here, or is not needed.
func idleKeys() []spec {
	const level = "Nothing is compressed here: batches stay as their producers sent them. In Kafka, too, it has no effect while compression.type is producer."
	const throttle = "No replicas are moved or caught up between nodes yet, so there is no such traffic to slow down."
	const list = "Replicas, as partition:broker, or * for all, whose traffic is slowed down "
	return []spec{
		accept("compression.gzip.level", KindInt, "-1", "compression.gzip.level", "Level at which the broker compresses with gzip.", level, rule{"-1, or 1 to 9", gzipLevel}),
		accept("compression.lz4.level", KindInt, "9", "compression.lz4.level", "Level at which the broker compresses with lz4.", level, long(1, 17, nil)),
		accept("compression.zstd.level", KindInt, "3", "compression.zstd.level", "Level at which the broker compresses with zstd.", level, long(-131072, 22, nil)),
		accept("unclean.leader.election.enable", KindBool, "false", "unclean.leader.election.enable",
			"Whether a replica outside the in-sync set may become leader when no other is left, losing records.",
			"The one replica is always in sync, and a leader is never elected from outside the in-sync set.", boolean(nil)),
		accept("leader.replication.throttled.replicas", KindList, "", "", list+"on the leader's side.", throttle, rule{throttledWords, throttled}),
		accept("follower.replication.throttled.replicas", KindList, "", "", list+"on the follower's side.", throttle, rule{throttledWords, throttled}),
	}
}

// compaction are the configurations of compacted topics.
func compaction() []spec {
	const why = "It tunes compaction, which does not exist yet; a topic that is not compacted has no use for it in Kafka either."
	return []spec{
		accept("delete.retention.ms", KindLong, "86400000", "log.cleaner.delete.retention.ms", "How long a compacted topic keeps the marker of a deleted key.", why, long(0, math.MaxInt64, nil)),
		accept("min.cleanable.dirty.ratio", KindDouble, "0.5", "log.cleaner.min.cleanable.ratio", "Share of a compacted log that must be new before it is compacted again.", why, rule{"0 to 1", ratio}),
		accept("min.compaction.lag.ms", KindLong, "0", "log.cleaner.min.compaction.lag.ms", "Time for which a record is safe from compaction.", why, long(0, math.MaxInt64, nil)),
		accept("max.compaction.lag.ms", KindLong, "9223372036854775807", "log.cleaner.max.compaction.lag.ms", "Time after which a record must be compacted.", why, long(1, math.MaxInt64, nil)),
	}
}

// remote are the configurations of tiered storage.
func remote() []spec {
	const why = "It tunes tiered storage, which does not exist; a topic without remote.storage.enable has no use for it in Kafka either."
	return []spec{
		refuse("remote.storage.enable", KindBool, "false", "", "Whether old segments go to remote storage.",
			"true is refused: tiered storage does not exist. Give the data directory the room that retention.ms and retention.bytes need.", rule{"false", remoteStorage}),
		accept("remote.log.copy.disable", KindBool, "false", "", "Whether a tiered topic stops copying to remote storage.", why, boolean(nil)),
		accept("remote.log.delete.on.disable", KindBool, "false", "", "Whether remote data goes when tiered storage is turned off.", why, boolean(nil)),
		accept("local.retention.ms", KindLong, "-2", "log.local.retention.ms", "Age up to which a tiered topic keeps data here too; -2 follows retention.ms.", why, long(-2, math.MaxInt64, nil)),
		accept("local.retention.bytes", KindLong, "-2", "log.local.retention.bytes", "Bytes that a tiered topic keeps here too; -2 follows retention.bytes.", why, long(-2, math.MaxInt64, nil)),
	}
}

// long is a whole number from lo to hi; put may be nil.
func long(lo, hi int64, put func(*Settings, int64)) rule {
	return rule{bounds(lo, hi), func(s *Settings, v string) error {
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
	}}
}

// bounds says in words which whole numbers are taken.
func bounds(lo, hi int64) string {
	if hi == math.MaxInt64 {
		return fmt.Sprintf("at least %d", lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}

// millis is a number of milliseconds of at least lo, which may be -1.
func millis(lo int64, put func(*Settings, time.Duration)) rule {
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

func boolean(put func(*Settings, bool)) rule {
	return rule{"true, false", func(s *Settings, v string) error {
		on := strings.EqualFold(strings.TrimSpace(v), "true")
		if !on && !strings.EqualFold(strings.TrimSpace(v), "false") {
			return errBool
		}
		if put != nil {
			put(s, on)
		}
		return nil
	}}
}

func oneOf(put func(*Settings, string), words ...string) rule {
	return rule{strings.Join(words, ", "), func(s *Settings, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("want %s", strings.Join(words, " or "))
		}
		put(s, v)
		return nil
	}}
}

// cleanupPolicy takes a list of nothing but delete. An empty one keeps everything (KIP-1161).
func cleanupPolicy(s *Settings, v string) error {
	if strings.TrimSpace(v) == "" {
		s.CleanupPolicy = CleanupNone
		return nil
	}
	for _, word := range strings.Split(v, ",") {
		switch strings.TrimSpace(word) {
		case "delete":
		case "compact":
			return errors.New("compaction does not exist yet; want delete")
		default:
			return errors.New("want delete")
		}
	}
	s.CleanupPolicy = CleanupDelete
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

const throttledWords = "*, or a list of partition:broker"

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
