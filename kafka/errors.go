package kafka

import (
	"context"
	"errors"
	"strconv"

	"penstock"
	"penstock/group"
)

// code is an error code of the Kafka protocol.
type code int16

// The codes that this front gives, with Kafka's names.
const (
	codeUnknownServerError          code = -1
	codeNone                        code = 0
	codeOffsetOutOfRange            code = 1
	codeCorruptMessage              code = 2
	codeUnknownTopicOrPartition     code = 3
	codeLeaderNotAvailable          code = 5
	codeNotLeaderOrFollower         code = 6
	codeRequestTimedOut             code = 7
	codeMessageTooLarge             code = 10
	codeOffsetMetadataTooLarge      code = 12
	codeCoordinatorLoading          code = 14
	codeCoordinatorNotAvailable     code = 15
	codeNotCoordinator              code = 16
	codeInvalidTopic                code = 17
	codeNotEnoughReplicas           code = 19
	codeNotEnoughAfterAppend        code = 20
	codeInvalidRequiredAcks         code = 21
	codeIllegalGeneration           code = 22
	codeInconsistentGroupProtocol   code = 23
	codeInvalidGroupID              code = 24
	codeUnknownMemberID             code = 25
	codeInvalidSessionTimeout       code = 26
	codeRebalanceInProgress         code = 27
	codeClusterAuthorization        code = 31
	codeInvalidTimestamp            code = 32
	codeUnsupportedVersion          code = 35
	codeTopicExists                 code = 36
	codeInvalidPartitions           code = 37
	codeInvalidReplicationFactor    code = 38
	codeInvalidReplicaAssignment    code = 39
	codeInvalidConfig               code = 40
	codeInvalidRequest              code = 42
	codeUnsupportedFormat           code = 43
	codePolicyViolation             code = 44
	codeOutOfOrderSequence          code = 45
	codeDuplicateSequence           code = 46
	codeInvalidProducerEpoch        code = 47
	codeSecurityDisabled            code = 54
	codeStorageError                code = 56
	codeUnknownProducerID           code = 59
	codeNonEmptyGroup               code = 68
	codeGroupIDNotFound             code = 69
	codeFetchSessionNotFound        code = 70
	codeInvalidFetchSessionEpoch    code = 71
	codeTopicDeletionDisabled       code = 73
	codeFencedLeaderEpoch           code = 74
	codeUnknownLeaderEpoch          code = 75
	codeUnsupportedCompression      code = 76
	codeMemberIDRequired            code = 79
	codePreferredLeaderNotAvailable code = 80
	codeGroupMaxSizeReached         code = 81
	codeFencedInstanceID            code = 82
	codeEligibleLeadersNotAvailable code = 83
	codeElectionNotNeeded           code = 84
	codeGroupSubscribedToTopic      code = 86
	codeInvalidRecord               code = 87
	codeUnknownTopicID              code = 100
	codeFetchSessionTopicID         code = 106
	codeMismatchedEndpointType      code = 114
	codeUnsupportedEndpointType     code = 115
	firstCode                            = codeUnknownServerError
	lastCode                        code = 140 // codes are counted up to here
)

// String is Kafka's name of the code, or its number if it is not one of the above.
func (c code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return strconv.Itoa(int(c))
}

// codeNames are the label values of metrics.
var codeNames = map[code]string{
	codeUnknownServerError:          "UNKNOWN_SERVER_ERROR",
	codeNone:                        "NONE",
	codeOffsetOutOfRange:            "OFFSET_OUT_OF_RANGE",
	codeCorruptMessage:              "CORRUPT_MESSAGE",
	codeUnknownTopicOrPartition:     "UNKNOWN_TOPIC_OR_PARTITION",
	codeLeaderNotAvailable:          "LEADER_NOT_AVAILABLE",
	codeNotLeaderOrFollower:         "NOT_LEADER_OR_FOLLOWER",
	codeRequestTimedOut:             "REQUEST_TIMED_OUT",
	codeMessageTooLarge:             "MESSAGE_TOO_LARGE",
	codeCoordinatorLoading:          "COORDINATOR_LOAD_IN_PROGRESS",
	codeInvalidTopic:                "INVALID_TOPIC_EXCEPTION",
	codeNotEnoughReplicas:           "NOT_ENOUGH_REPLICAS",
	codeNotEnoughAfterAppend:        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
	codeInvalidRequiredAcks:         "INVALID_REQUIRED_ACKS",
	codeClusterAuthorization:        "CLUSTER_AUTHORIZATION_FAILED",
	codeInvalidTimestamp:            "INVALID_TIMESTAMP",
	codeUnsupportedVersion:          "UNSUPPORTED_VERSION",
	codeTopicExists:                 "TOPIC_ALREADY_EXISTS",
	codeInvalidPartitions:           "INVALID_PARTITIONS",
	codeInvalidReplicationFactor:    "INVALID_REPLICATION_FACTOR",
	codeInvalidReplicaAssignment:    "INVALID_REPLICA_ASSIGNMENT",
	codeInvalidConfig:               "INVALID_CONFIG",
	codeInvalidRequest:              "INVALID_REQUEST",
	codeUnsupportedFormat:           "UNSUPPORTED_FOR_MESSAGE_FORMAT",
	codeOutOfOrderSequence:          "OUT_OF_ORDER_SEQUENCE_NUMBER",
	codeDuplicateSequence:           "DUPLICATE_SEQUENCE_NUMBER",
	codeInvalidProducerEpoch:        "INVALID_PRODUCER_EPOCH",
	codeStorageError:                "KAFKA_STORAGE_ERROR",
	codeUnknownProducerID:           "UNKNOWN_PRODUCER_ID",
	codeFetchSessionNotFound:        "FETCH_SESSION_ID_NOT_FOUND",
	codeInvalidFetchSessionEpoch:    "INVALID_FETCH_SESSION_EPOCH",
	codeTopicDeletionDisabled:       "TOPIC_DELETION_DISABLED",
	codeFencedLeaderEpoch:           "FENCED_LEADER_EPOCH",
	codeUnknownLeaderEpoch:          "UNKNOWN_LEADER_EPOCH",
	codeUnsupportedCompression:      "UNSUPPORTED_COMPRESSION_TYPE",
	codeInvalidRecord:               "INVALID_RECORD",
	codeUnknownTopicID:              "UNKNOWN_TOPIC_ID",
	codeFetchSessionTopicID:         "FETCH_SESSION_TOPIC_ID_ERROR",
	codeOffsetMetadataTooLarge:      "OFFSET_METADATA_TOO_LARGE",
	codeCoordinatorNotAvailable:     "COORDINATOR_NOT_AVAILABLE",
	codeNotCoordinator:              "NOT_COORDINATOR",
	codeIllegalGeneration:           "ILLEGAL_GENERATION",
	codeInconsistentGroupProtocol:   "INCONSISTENT_GROUP_PROTOCOL",
	codeInvalidGroupID:              "INVALID_GROUP_ID",
	codeUnknownMemberID:             "UNKNOWN_MEMBER_ID",
	codeInvalidSessionTimeout:       "INVALID_SESSION_TIMEOUT",
	codeRebalanceInProgress:         "REBALANCE_IN_PROGRESS",
	codeNonEmptyGroup:               "NON_EMPTY_GROUP",
	codeGroupIDNotFound:             "GROUP_ID_NOT_FOUND",
	codeMemberIDRequired:            "MEMBER_ID_REQUIRED",
	codeGroupMaxSizeReached:         "GROUP_MAX_SIZE_REACHED",
	codeFencedInstanceID:            "FENCED_INSTANCE_ID",
	codeGroupSubscribedToTopic:      "GROUP_SUBSCRIBED_TO_TOPIC",
	codePolicyViolation:             "POLICY_VIOLATION",
	codeSecurityDisabled:            "SECURITY_DISABLED",
	codePreferredLeaderNotAvailable: "PREFERRED_LEADER_NOT_AVAILABLE",
	codeEligibleLeadersNotAvailable: "ELIGIBLE_LEADERS_NOT_AVAILABLE",
	codeElectionNotNeeded:           "ELECTION_NOT_NEEDED",
	codeMismatchedEndpointType:      "MISMATCHED_ENDPOINT_TYPE",
	codeUnsupportedEndpointType:     "UNSUPPORTED_ENDPOINT_TYPE",
}

// errorTable maps the errors of the rooms below to codes: the first that matches counts. What clients retry is told by
// the code, so the choice decides behaviour: a full or failed disk and lost metadata are retried, a closed partition
// makes the client look for the leader again.
var errorTable = [...]struct {
	err  error
	code code
}{
	{group.ErrMemberIDRequired, codeMemberIDRequired},
	{group.ErrUnknownMember, codeUnknownMemberID},
	{group.ErrIllegalGeneration, codeIllegalGeneration},
	{group.ErrRebalanceInProgress, codeRebalanceInProgress},
	{group.ErrInconsistentProtocol, codeInconsistentGroupProtocol},
	{group.ErrOtherKind, codeInconsistentGroupProtocol},
	{group.ErrFencedInstance, codeFencedInstanceID},
	{group.ErrInvalidSession, codeInvalidSessionTimeout},
	{group.ErrGroupFull, codeGroupMaxSizeReached},
	{group.ErrInvalidGroup, codeInvalidGroupID},
	{group.ErrGroupNotEmpty, codeNonEmptyGroup},
	{group.ErrGroupNotFound, codeGroupIDNotFound},
	{group.ErrSubscribed, codeGroupSubscribedToTopic},
	{group.ErrMetadataTooLarge, codeOffsetMetadataTooLarge},
	{group.ErrLoading, codeCoordinatorLoading},
	{group.ErrNotCoordinator, codeNotCoordinator},
	{group.ErrUnavailable, codeCoordinatorNotAvailable},
	{penstock.ErrOffsetOutOfRange, codeOffsetOutOfRange},
	{penstock.ErrCorrupt, codeCorruptMessage},
	{penstock.ErrInvalidRecord, codeInvalidRecord},
	{penstock.ErrInvalidTimestamp, codeInvalidTimestamp},
	{penstock.ErrTooLarge, codeMessageTooLarge},
	{penstock.ErrDiskFull, codeStorageError},
	{penstock.ErrOffline, codeStorageError},
	{penstock.ErrUnknownTopicID, codeUnknownTopicID},
	{penstock.ErrUnknownTopic, codeUnknownTopicOrPartition},
	{penstock.ErrTopicExists, codeTopicExists},
	{penstock.ErrInvalidTopic, codeInvalidTopic},
	{penstock.ErrInvalidPartitions, codeInvalidPartitions},
	{penstock.ErrInvalidConfig, codeInvalidConfig},
	{penstock.ErrNotLeader, codeNotLeaderOrFollower},
	{penstock.ErrFencedEpoch, codeFencedLeaderEpoch},
	{penstock.ErrUnknownEpoch, codeUnknownLeaderEpoch},
	{penstock.ErrNotEnoughReplicas, codeNotEnoughReplicas},
	{penstock.ErrFewerReplicas, codeNotEnoughAfterAppend},
	{penstock.ErrOutOfOrderSequence, codeOutOfOrderSequence},
	{penstock.ErrDuplicateSequence, codeDuplicateSequence},
	{penstock.ErrFencedProducer, codeInvalidProducerEpoch},
	{penstock.ErrUnknownProducer, codeUnknownProducerID},
	{penstock.ErrUnavailable, codeRequestTimedOut},
	{penstock.ErrConflict, codeRequestTimedOut},
	{penstock.ErrClosed, codeNotLeaderOrFollower},
	{penstock.ErrUnsupported, codeUnsupportedFormat},
	{context.DeadlineExceeded, codeRequestTimedOut},
	{context.Canceled, codeRequestTimedOut},
}

// codeOf is the code that a client is told for err. What the table does not name is a fault of ours.
func codeOf(err error) code {
	if err == nil {
		return codeNone
	}
	for i := range errorTable {
		if errors.Is(err, errorTable[i].err) {
			return errorTable[i].code
		}
	}
	return codeUnknownServerError
}
