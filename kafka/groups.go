package kafka

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"penstock/group"
)

// groupFrame bounds what members tell of themselves, what a leader shares out, and commits with their metadata.
const groupFrame = 16 << 20

// groupAPIs are the keys of the APIs that need a coordinator: without one they are not served.
var groupAPIs = [...]int16{
	keyFindCoordinator, keyJoinGroup, keySyncGroup, keyHeartbeat, keyLeaveGroup, keyOffsetCommit, keyOffsetFetch, keyOffsetDelete,
	keyDescribeGroups, keyListGroups, keyDeleteGroups,
}

// without takes APIs out of the table.
func (d *dispatcher) without(keys []int16) {
	for _, key := range keys {
		d.table[key] = nil
	}
	d.list = slices.DeleteFunc(d.list, func(a *api) bool { return slices.Contains(keys, a.key) })
}

// allGroupOperations are the operations that the anonymous user has on a group, as bits by their numbers in Kafka's
// AclOperation: read, delete, describe.
const allGroupOperations = 1<<3 | 1<<6 | 1<<8

// idle gives the frame back and forgets what lies in it, before the request waits.
func (r *request) idle() {
	r.wire.Release()
	r.body, r.client = nil, nil
}

// held is a request that waits for other members. If its connection ends first it is forgotten.
type held struct {
	mu       sync.Mutex
	answered bool        // guarded by mu
	stop     func() bool // guarded by mu: ends the watch over the connection
}

// watch has forget called when the session's connection ends before the answer.
func (h *held) watch(s *session, r request, forget func() bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answered {
		return
	}
	h.stop = context.AfterFunc(s.ctx, func() {
		if forget() {
			r.wire.Skip()
		}
	})
}

// end is called before the request is answered.
func (h *held) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = true
	if h.stop != nil {
		h.stop()
	}
}

// newMemberID makes an id for a member: what its client calls itself, and a random UUID.
func newMemberID(name string) string {
	const most = 255 // what follows is there to be read by people
	var u [16]byte
	_, _ = rand.Read(u[:]) // it never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", name[:min(len(name), most)], u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// clientHost is the peer's address as Kafka prints it.
func clientHost(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		host = addr.String()
	}
	return "/" + host
}

// orEmpty is what a nullable string says.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// orNull is a string that is null where there is nothing to say.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// allows reports whether a filter is empty or names something, in any case of letters.
func allows(filter []string, name string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) })
}

// classic is Kafka's name of the kind of group that the coordinator has.
const classic = "classic"

// find finds a topic that a request names or, in versions that do so, gives the id of.
func (t *routes) find(name string, id [16]byte, byID bool) (*route, code) {
	if byID {
		if r := t.ids[id]; r != nil {
			return r, codeNone
		}
		return nil, codeUnknownTopicID
	}
	if r := t.names[name]; r != nil {
		return r, codeNone
	}
	return nil, codeUnknownTopicOrPartition
}

// coordinator is the room behind all of this.
func (s *session) coordinator() *group.Coordinator { return s.front.o.Groups }
