// Package group knows the consumer groups of both protocols: who belongs to them, and how far they have read.
// Coordinator is the type to begin with.
//
// A group is a name, the offsets committed under it, and at most one kind of membership. Kafka's classic protocol is
// Machine. RocketMQ's groups, whose members are known by heartbeats and have no generations, are Roster, over the same offsets,
// journal and names; the wire formats of both stay in the fronts. Whose members come first has the group until they are gone: the
// others get ErrOtherKind, for they would share out the same partitions without knowing of each other.
//
// Machine is one group's membership as a pure state machine: Step takes an event and the time and returns effects. It has
// no goroutine, clock or randomness of its own, so that a seed replays it.
//
//	Empty ──join──▶ Preparing ──all joined or time up──▶ Completing ──leader's assignment stored──▶ Stable
//	  ▲                ▲ │ nobody joined                      │ member lost, joins anew                 │
//	  └────────────────┼─┘                                    │                                        │
//	                   └──────────────────────────────────────┴────────────────────────────────────────┘
//
// # The journal
//
// Groups live in the partitions of an internal topic, in Kafka's own formats of __consumer_offsets: a record for each offset
// committed, one for each generation, keyed so that a later one replaces an earlier. A group's name says its partition. A commit is
// acknowledged, and shown to readers, when its record is as durable as the topic promises, so that no committed offset goes
// back. The log is kept short by writing again what still counts and moving its start behind what does not; a start
// therefore reads at most about twice what counts.
//
// RocketMQ's clients tell how far they have read all the time, and expect it to be remembered, not to be durable at once: see
// Coordinator.Note.
//
// # Locks
//
// A Coordinator's shard is one partition of the journal and the groups in it. Shard.mu guards the map of groups and is held for no call
// out. A group's lock is held over a step of its machine and over the append of what the step asks for, so that the order
// of a group's records is the order of what happened to it. Durability is reported by another goroutine. A Roster has one lock, taken
// after a group's, and held for no call out.
package group
