package penstock

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

// Offset is the place of a record in its partition, from 0. NoOffset means unknown.
type Offset int64

// NoOffset stands where no offset is known.
const NoOffset Offset = -1

// Position is the place of a byte in a log, counted over all its segments from the first byte ever written.
type Position int64

// Epoch numbers the reigns of a partition's leaders. It never goes back. NoEpoch means unknown.
type Epoch int32

// NoEpoch stands where no leader epoch is known.
const NoEpoch Epoch = -1

// BrokerID names a node. NoBroker means none.
type BrokerID int32

// NoBroker stands where a partition has no leader.
const NoBroker BrokerID = -1

// ProducerID names an idempotent producer (KIP-98). NoProducer means that the batch has none.
type ProducerID int64

// NoProducer is the producer id of a batch whose producer is not idempotent.
const NoProducer ProducerID = -1

// NoSequence is the base sequence of a batch whose producer is not idempotent.
const NoSequence int32 = -1

// Timestamp is milliseconds since the Unix epoch. NoTimestamp means none.
type Timestamp int64

// NoTimestamp stands where no time is known.
const NoTimestamp Timestamp = -1

// TopicID is a topic's name for life: 16 random bytes (KIP-516). Directories are named by it, never by the topic's name.
type TopicID [16]byte

// IsZero reports whether the id is absent.
func (t TopicID) IsZero() bool { return t == TopicID{} }

// String is the form that Kafka prints: URL-safe base64 without padding.
func (t TopicID) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// Hex is the form used for directory names: it is safe on every file system and starts with no hyphen.
func (t TopicID) Hex() string { return hex.EncodeToString(t[:]) }

// ParseTopicID reads either of the two printed forms.
func ParseTopicID(s string) (TopicID, error) {
	var t TopicID
	var b []byte
	var err error
	if len(s) == 32 {
		b, err = hex.DecodeString(s)
	} else {
		b, err = base64.RawURLEncoding.DecodeString(s)
	}
	if err != nil || len(b) != len(t) {
		return t, fmt.Errorf("topic id %q: want 22 characters of base64url or 32 of hex", s)
	}
	copy(t[:], b)
	return t, nil
}

// PartitionID names one partition for life.
type PartitionID struct {
	Topic     TopicID
	Partition int32
}

// String is "id-partition" with the id in hex.
func (p PartitionID) String() string { return fmt.Sprintf("%s-%d", p.Topic.Hex(), p.Partition) }

// MarshalText is String, so that logs show a partition as errors do.
func (p PartitionID) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
