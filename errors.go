package penstock

import "errors"

// The errors that a caller branches on. Rooms wrap them with %w and the object; fronts map them to their protocol's
// codes in one table each. Nothing below a front knows a protocol's codes.
var (
	ErrOffsetOutOfRange  = errors.New("offset out of range")
	ErrCorrupt           = errors.New("corrupt batch")
	ErrInvalidRecord     = errors.New("invalid record")
	ErrInvalidTimestamp  = errors.New("timestamp out of the range that the topic accepts")
	ErrTooLarge          = errors.New("batch larger than the topic accepts")
	ErrDiskFull          = errors.New("disk full")
	ErrOffline           = errors.New("data directory offline")
	ErrUnknownTopic      = errors.New("unknown topic or partition")
	ErrUnknownTopicID    = errors.New("unknown topic id")
	ErrTopicExists       = errors.New("topic already exists")
	ErrInvalidTopic      = errors.New("invalid topic name")
	ErrInvalidPartitions = errors.New("invalid number of partitions")
	ErrInvalidConfig     = errors.New("invalid configuration")
	ErrNotLeader         = errors.New("not the leader of the partition")
	ErrFencedEpoch       = errors.New("leader epoch is older than the leader's")
	ErrUnknownEpoch      = errors.New("leader epoch is newer than the leader's")
	ErrNotEnoughReplicas = errors.New("fewer replicas in sync than the topic demands")
	// ErrFewerReplicas is ErrNotEnoughReplicas told too late: the batch is in the log, and becomes visible once there are enough.
	ErrFewerReplicas      = errors.New("fewer replicas in sync than the topic demands since the batch was appended")
	ErrOutOfOrderSequence = errors.New("producer sequence out of order")
	ErrDuplicateSequence  = errors.New("batch was appended before")
	ErrFencedProducer     = errors.New("producer epoch is older than the latest")
	ErrUnknownProducer    = errors.New("producer id is not known")
	ErrUnavailable        = errors.New("metadata store unavailable")
	ErrConflict           = errors.New("changed by somebody else meanwhile")
	ErrClosed             = errors.New("closed")
	ErrUnsupported        = errors.New("not supported")
)
