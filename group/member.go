package group

import (
	"slices"
	"time"
)

// member is one member of a group with the classic protocol.
type member struct {
	id, instance   string
	clientID, host string
	session        time.Duration
	rebalance      time.Duration
	protocols      []Protocol
	assignment     []byte
	deadline       time.Time // session ends unless heard of; see member.mortal
	joining        *Join     // waits for the generation to be complete, or for swap
	syncing        *Sync     // waits for the leader's assignment
	swap           *swap     // a static member that came back and waits until that is durable
	fresh          bool      // it was never told that it is a member
	synced         bool      // has asked for its assignment of the present generation
}

// swap is a static member's return under a new id into a stable group (KIP-345).
type swap struct {
	number uint64 // of the Store effect it waits for
	leader string // the group's leader before
}

// waits reports whether the member has a request that the group holds back.
func (m *member) waits() bool { return m.joining != nil || m.syncing != nil }

// mortal reports whether the member's session can end now. One that waits for an answer cannot send heartbeats and is
// taken to live; but one that was never told its id may be the forgotten try of a client that has tried again since.
func (m *member) mortal() bool { return !m.waits() || m.fresh }

func (m *member) supports(name string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == name })
}

func (m *member) metadata(name string) []byte {
	for _, p := range m.protocols {
		if p.Name == name {
			return p.Metadata
		}
	}
	return nil
}

// sameProtocols reports whether a join offers exactly what the member offered before.
func (m *member) sameProtocols(ps []Protocol) bool {
	return slices.EqualFunc(m.protocols, ps, func(a, b Protocol) bool {
		return a.Name == b.Name && slices.Equal(a.Metadata, b.Metadata)
	})
}

// State is what must survive of a group with the classic protocol: a generation and its members.
type State struct {
	Generation   int32
	ProtocolType string
	Protocol     string
	Leader       string
	Since        time.Time // when the group took this state
	Members      []MemberState
}

// MemberState is one member of a State.
type MemberState struct {
	ID, InstanceID       string
	ClientID, ClientHost string
	Session, Rebalance   time.Duration
	Metadata             []byte // for the protocol chosen
	Assignment           []byte
}
