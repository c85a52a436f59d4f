package group

import "time"

// Token names a request until its answer. The caller chooses it, unique among those of the group that have none yet.
type Token uint64

// Event is what happens to a group: a request of a member, or time passing (Tick).
type Event interface{ event() }

// Protocol is one way of sharing out partitions that a member offers, with the metadata its leader will want.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Join is a member's wish to belong to the next generation (Kafka: JoinGroup).
type Join struct {
	Token            Token
	MemberID         string // empty on the first try
	InstanceID       string // static membership (KIP-345), empty if dynamic
	NewID            string // the id to give to a member that has none; made by the caller, so that a seed replays the machine
	ClientID         string
	ClientHost       string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	ProtocolType     string
	Protocols        []Protocol // best first
	RequireKnown     bool       // a member without id is sent away with one, to come again (KIP-394)
	CanSkip          bool       // the member understands that it leads without sharing out anew (KIP-814)
	Reason           string
}

// Sync brings the leader's assignment or asks for the member's own (Kafka: SyncGroup).
type Sync struct {
	Token        Token
	MemberID     string
	InstanceID   string
	Generation   int32
	ProtocolType string // empty: not checked
	ProtocolName string // empty: not checked
	Assignment   map[string][]byte
}

// Heartbeat says that a member lives.
type Heartbeat struct {
	Token      Token
	MemberID   string
	InstanceID string
	Generation int32
}

// Leave takes members out, by id, or by instance id if they are static.
type Leave struct {
	Token   Token
	Members []Leaver
}

// Leaver names one member that leaves.
type Leaver struct {
	MemberID   string
	InstanceID string
	Reason     string
}

// Check asks whether a commit of offsets by this member would be accepted now. A consumer that assigns itself has no
// member id and a negative generation.
type Check struct {
	Token      Token
	MemberID   string
	InstanceID string
	Generation int32
}

// Gone says that nobody waits for the answer to a Join or Sync any more: its connection has ended. The member is then
// alive only until its session ends; one that was never told its id is taken out at once.
type Gone struct{ Token Token }

// Dissolve ends all waiting: the coordinator gives the group up.
type Dissolve struct{ Err error }

// Stored tells that the state of a Store effect with this number is durable, or why not.
type Stored struct {
	Number uint64
	Err    error
}

// Tick says that time has passed.
type Tick struct{}

func (Join) event()      {}
func (Sync) event()      {}
func (Heartbeat) event() {}
func (Leave) event()     {}
func (Check) event()     {}
func (Stored) event()    {}
func (Gone) event()      {}
func (Dissolve) event()  {}
func (Tick) event()      {}

// Effect is what the caller has to do.
type Effect interface{ effect() }

// JoinAnswer answers a Join.
type JoinAnswer struct {
	Token          Token
	Err            error
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	MemberID       string
	SkipAssignment bool
	Members        []JoinedMember // for the leader only
}

// JoinedMember is what a leader learns of a member.
type JoinedMember struct {
	MemberID   string
	InstanceID string
	Metadata   []byte
}

// SyncAnswer answers a Sync.
type SyncAnswer struct {
	Token        Token
	Err          error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Answer answers a Heartbeat or a Check.
type Answer struct {
	Token Token
	Err   error
}

// LeaveAnswer answers a Leave, an error for each member in the request's order.
type LeaveAnswer struct {
	Token Token
	Errs  []error
}

// Store asks for the group's state to be made durable; the machine goes on at Stored with the same number.
type Store struct {
	Number uint64
	State  State
}

func (JoinAnswer) effect()  {}
func (SyncAnswer) effect()  {}
func (Answer) effect()      {}
func (LeaveAnswer) effect() {}
func (Store) effect()       {}
