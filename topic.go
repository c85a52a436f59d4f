package penstock

import "fmt"

// Layout is how a topic's partitions lie on logs. It is chosen when the topic is created.
type Layout uint8

// The layouts.
const (
	LayoutSegment Layout = iota // a log for each partition, as Kafka has it
	LayoutCommit                // one log shared by many partitions, as RocketMQ has it
)

// String is the layout's name in configuration.
func (l Layout) String() string {
	if l == LayoutCommit {
		return "commit"
	}
	return "segment"
}

// Format is what a topic's batches look like. It is that of the protocol which created the topic.
type Format uint8

// The formats.
const (
	FormatRecord  Format = iota // Kafka's record batch v2
	FormatMessage               // RocketMQ's stored message
)

// String is the format's name in configuration.
func (f Format) String() string {
	if f == FormatMessage {
		return "message"
	}
	return "record"
}

// Durability is what an acknowledgement by all replicas promises.
type Durability uint8

// The durabilities.
const (
	DurabilityFsync   Durability = iota // on the disk: survives a power cut of the node
	DurabilityRelaxed                   // in the page cache: survives a crash of the process, not of the machine
)

// String is the value of the topic configuration penstock.durability.
func (d Durability) String() string {
	if d == DurabilityRelaxed {
		return "relaxed"
	}
	return "fsync"
}

// ParseDurability reads a value of penstock.durability.
func ParseDurability(s string) (Durability, error) {
	switch s {
	case "fsync":
		return DurabilityFsync, nil
	case "relaxed":
		return DurabilityRelaxed, nil
	}
	return 0, fmt.Errorf("durability %q: want fsync or relaxed", s)
}

// Acks is what a producer waits for, with Kafka's numbers.
type Acks int16

// The acknowledgements a producer may ask for.
const (
	AcksNone   Acks = 0  // no answer at all
	AcksLeader Acks = 1  // written by the leader
	AcksAll    Acks = -1 // the topic's durability on every in-sync replica
)
