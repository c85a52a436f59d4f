package group

import (
	"errors"
	"fmt"
)

// The errors that a member, or who administers groups, is told. Fronts map them to their protocol's codes.
var (
	ErrMemberIDRequired     = errors.New("join again with the member id given")
	ErrUnknownMember        = errors.New("member is not in the group")
	ErrIllegalGeneration    = errors.New("generation is not the group's")
	ErrRebalanceInProgress  = errors.New("group is rebalancing: join again")
	ErrInconsistentProtocol = errors.New("no protocol that all members of the group support")
	ErrFencedInstance       = errors.New("another member took over this instance id")
	ErrInvalidSession       = errors.New("session timeout outside the limits")
	ErrGroupFull            = errors.New("group has as many members as it may")
	ErrInvalidGroup         = errors.New("invalid group id")
	ErrGroupNotEmpty        = errors.New("group has members")
	ErrGroupNotFound        = errors.New("no such group")
	ErrSubscribed           = errors.New("group reads the topic")
	ErrMetadataTooLarge     = errors.New("metadata of an offset is too large")
	ErrLoading              = errors.New("coordinator is loading its state")
	ErrNotCoordinator       = errors.New("not the coordinator of the group")
	ErrUnavailable          = errors.New("coordinator not available")
	ErrOtherKind            = errors.New("group has members of the other protocol: a group's members are Kafka's or RocketMQ's, not both")
	ErrRosterFull           = errors.New("as many of RocketMQ's clients are known as may be")
	// ErrDamaged is an ErrUnavailable that does not pass by itself: see Options.SkipDamage.
	ErrDamaged = fmt.Errorf("%w: the journal of groups is damaged", ErrUnavailable)
)
