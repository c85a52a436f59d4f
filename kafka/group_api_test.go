package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

// ready is a house whose journal exists, with the topic "t" of three partitions.
func ready(t *testing.T) (*house, [16]byte) {
	h := build(t, "", nil)
	topic := h.topic("t", 3, nil)
	if err := h.groups.Ready(h.ctx()); err != nil {
		t.Fatal(err)
	}
	return h, topic.ID
}

// TestFindCoordinator: every version names this broker for groups, says clearly that there is nothing else, and the first question
// makes the journal.
func TestFindCoordinator(t *testing.T) {
	h := build(t, "", nil)
	host, port := endpointOf(h.addr)
	for v := int16(0); v <= 6; v++ {
		q := kmsg.NewPtrFindCoordinatorRequest()
		q.CoordinatorKey, q.CoordinatorKeys = "g", []string{"g", "h"}
		resp := h.ask(q, v).(*kmsg.FindCoordinatorResponse)
		if v < 4 {
			resp.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{{Key: "g", NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode}}
		} else if len(resp.Coordinators) != 2 || resp.Coordinators[1].Key != "h" {
			t.Errorf("version %d: %+v", v, resp)
		}
		if c := resp.Coordinators[0]; c.ErrorCode != 0 || c.NodeID != 0 || c.Host != host || c.Port != port || c.Key != "g" {
			t.Errorf("version %d: %+v", v, c)
		}
		if v == 0 {
			continue
		}
		q.CoordinatorType = 1
		resp = h.ask(q, v).(*kmsg.FindCoordinatorResponse)
		why, message := resp.ErrorCode, resp.ErrorMessage
		if v >= 4 {
			why, message = resp.Coordinators[0].ErrorCode, resp.Coordinators[0].ErrorMessage
		}
		if code(why) != codeInvalidRequest || message == nil || !strings.Contains(*message, "not served") {
			t.Errorf("version %d: a coordinator of transactions: %+v", v, resp)
		}
	}
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(group.JournalTopic)}}
	if resp := h.ask(q, 12).(*kmsg.MetadataResponse); len(resp.Topics[0].Partitions) != 2 || !resp.Topics[0].IsInternal {
		t.Errorf("%+v", resp)
	}
}

// TestInternalTopicIsNotMadeByMetadata: a client that asks for the journal must not get one made with the settings of
// any topic.
func TestInternalTopicIsNotMadeByMetadata(t *testing.T) {
	h := build(t, "", nil)
	q := kmsg.NewPtrMetadataRequest()
	q.AllowAutoTopicCreation = true
	q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(group.JournalTopic)}}
	if resp := h.ask(q, 12).(*kmsg.MetadataResponse); code(resp.Topics[0].ErrorCode) != codeUnknownTopicOrPartition {
		t.Errorf("%+v", resp)
	}
}

// TestJournalIsNotWrittenByClients: what a client wrote there would be taken for a group's state at the next start.
func TestJournalIsNotWrittenByClients(t *testing.T) {
	h, _ := ready(t)
	err := h.franz(kgo.DefaultProduceTopic(group.JournalTopic)).ProduceSync(h.ctx(), kgo.StringRecord("x")).FirstErr()
	if !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("%v", err)
	}
}

// TestMembershipOfEveryVersion goes through the life of a member in each version of each API.
func TestMembershipOfEveryVersion(t *testing.T) {
	h, _ := ready(t)
	for v := int16(0); v <= 9; v++ {
		name := fmt.Sprint("g", v)
		j := kmsg.NewPtrJoinGroupRequest()
		j.Group, j.SessionTimeoutMillis, j.RebalanceTimeoutMillis, j.ProtocolType = name, 10000, 10000, "consumer"
		j.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("mine")}}
		a := h.ask(j, v).(*kmsg.JoinGroupResponse)
		if v >= 4 {
			if code(a.ErrorCode) != codeMemberIDRequired || !strings.HasPrefix(a.MemberID, "test-") && a.MemberID == "" {
				t.Fatalf("version %d: %+v", v, a)
			}
			j.MemberID = a.MemberID
			a = h.ask(j, v).(*kmsg.JoinGroupResponse)
		}
		if a.ErrorCode != 0 || a.Generation != 1 || a.LeaderID != a.MemberID || *a.Protocol != "range" || len(a.Members) != 1 || string(a.Members[0].ProtocolMetadata) != "mine" {
			t.Fatalf("version %d: %+v", v, a)
		}
		if (v >= 7) != (a.ProtocolType != nil && *a.ProtocolType == "consumer") {
			t.Errorf("version %d: %+v", v, a)
		}
		h.syncOf(t, min(v, 5), name, a.MemberID)
		b := kmsg.NewPtrHeartbeatRequest()
		b.Group, b.MemberID, b.Generation = name, a.MemberID, 1
		if resp := h.ask(b, min(v, 4)).(*kmsg.HeartbeatResponse); resp.ErrorCode != 0 {
			t.Errorf("version %d: %+v", v, resp)
		}
		b.Generation = 7
		if resp := h.ask(b, min(v, 4)).(*kmsg.HeartbeatResponse); code(resp.ErrorCode) != codeIllegalGeneration {
			t.Errorf("version %d: %+v", v, resp)
		}
		h.describeOf(t, min(v, 6), name, a.MemberID)
		h.leaveOf(t, min(v, 5), name, a.MemberID)
	}
}

func (h *house) syncOf(t *testing.T, v int16, name, id string) {
	t.Helper()
	y := kmsg.NewPtrSyncGroupRequest()
	y.Group, y.MemberID, y.Generation = name, id, 1
	y.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: id, MemberAssignment: []byte("all")}}
	if v >= 5 {
		if resp := h.ask(y, v).(*kmsg.SyncGroupResponse); code(resp.ErrorCode) != codeInconsistentGroupProtocol {
			t.Errorf("version %d without a protocol: %+v", v, resp)
		}
		y.ProtocolType, y.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	}
	resp := h.ask(y, v).(*kmsg.SyncGroupResponse)
	if resp.ErrorCode != 0 || string(resp.MemberAssignment) != "all" || v >= 5 && (*resp.Protocol != "range" || *resp.ProtocolType != "consumer") {
		t.Errorf("version %d: %+v", v, resp)
	}
}

func (h *house) describeOf(t *testing.T, v int16, name, id string) {
	t.Helper()
	q := kmsg.NewPtrDescribeGroupsRequest()
	q.Groups, q.IncludeAuthorizedOperations = []string{name, "nobody"}, true
	resp := h.ask(q, v).(*kmsg.DescribeGroupsResponse)
	g, none := resp.Groups[0], resp.Groups[1]
	if g.State != "Stable" || g.Protocol != "range" || g.ProtocolType != "consumer" || len(g.Members) != 1 || g.Members[0].MemberID != id ||
		string(g.Members[0].MemberAssignment) != "all" || g.Members[0].ClientHost != "/127.0.0.1" || v >= 3 && g.AuthorizedOperations != allGroupOperations {
		t.Errorf("version %d: %+v", v, g)
	}
	if none.State != stateDead || (code(none.ErrorCode) == codeGroupIDNotFound) != (v >= 6) {
		t.Errorf("version %d: %+v", v, none)
	}
}

func (h *house) leaveOf(t *testing.T, v int16, name, id string) {
	t.Helper()
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Group, q.MemberID = name, id
	q.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id}, {MemberID: "nobody"}}
	resp := h.ask(q, v).(*kmsg.LeaveGroupResponse)
	if resp.ErrorCode != 0 || v >= 3 && (resp.Members[0].ErrorCode != 0 || code(resp.Members[1].ErrorCode) != codeUnknownMemberID) {
		t.Errorf("version %d: %+v", v, resp)
	}
	if v < 3 {
		if resp := h.ask(q, v).(*kmsg.LeaveGroupResponse); code(resp.ErrorCode) != codeUnknownMemberID {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
}

// TestOffsetsOfEveryVersion commits in each version and reads in each version what was committed.
func TestOffsetsOfEveryVersion(t *testing.T) {
	h, id := ready(t)
	for v := int16(2); v <= 10; v++ {
		name := fmt.Sprint("g", v)
		q := kmsg.NewPtrOffsetCommitRequest()
		q.Group, q.Generation = name, -1
		qt := kmsg.NewOffsetCommitRequestTopic()
		qt.Topic, qt.TopicID = "t", id
		meta, long := fmt.Sprint("by ", v), string(make([]byte, 4097))
		qt.Partitions = []kmsg.OffsetCommitRequestTopicPartition{
			{Partition: 1, Offset: int64(v) * 10, LeaderEpoch: 4, Metadata: &meta}, {Partition: 2, Offset: 1, LeaderEpoch: -1, Metadata: &long}, {Partition: 3, Offset: 1},
		}
		no := kmsg.NewOffsetCommitRequestTopic()
		no.Topic, no.TopicID, no.Partitions = "nothing", [16]byte{1}, qt.Partitions[:1]
		q.Topics = append(q.Topics, qt, no)
		resp := h.ask(q, v).(*kmsg.OffsetCommitResponse)
		unknown := codeUnknownTopicOrPartition
		if v >= 10 {
			unknown = codeUnknownTopicID
		}
		var got []code
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				got = append(got, code(p.ErrorCode))
			}
		}
		if want := []code{codeNone, codeOffsetMetadataTooLarge, codeUnknownTopicOrPartition, unknown}; !reflect.DeepEqual(got, want) {
			t.Errorf("version %d: %v, want %v", v, got, want)
		}
		for f := int16(1); f <= 10; f++ {
			h.fetchedOf(t, f, name, id, int64(v)*10, meta, v >= 6)
		}
	}
}

// fetchedOf reads partitions 0 and 1 of a group, and then all, in a version of OffsetFetch.
func (h *house) fetchedOf(t *testing.T, v int16, name string, id [16]byte, at int64, meta string, epoch bool) {
	t.Helper()
	one := func(all bool) []kmsg.OffsetFetchResponseGroupTopicPartition {
		q := kmsg.NewPtrOffsetFetchRequest()
		q.Group = name
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = name
		if !all {
			q.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
			g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: id, Partitions: []int32{0, 1}}}
		}
		q.Groups = append(q.Groups, g)
		resp := h.ask(q, v).(*kmsg.OffsetFetchResponse)
		if v >= 8 {
			rg := resp.Groups[0]
			if rg.Group != name || rg.ErrorCode != 0 || len(rg.Topics) != 1 || v < 10 && rg.Topics[0].Topic != "t" || v >= 10 && rg.Topics[0].TopicID != id {
				t.Fatalf("version %d: %+v", v, resp)
			}
			return rg.Topics[0].Partitions
		}
		if resp.ErrorCode != 0 || len(resp.Topics) != 1 || resp.Topics[0].Topic != "t" {
			t.Fatalf("version %d: %+v", v, resp)
		}
		var out []kmsg.OffsetFetchResponseGroupTopicPartition
		for _, p := range resp.Topics[0].Partitions {
			out = append(out, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode})
		}
		return out
	}
	ps := one(false)
	if len(ps) != 2 || ps[0].Offset != -1 || ps[0].ErrorCode != 0 {
		t.Fatalf("version %d: %+v", v, ps)
	}
	if v >= 2 {
		ps = append(one(true), ps...)
	}
	for _, p := range ps {
		if p.Partition != 1 {
			continue
		}
		want := int32(-1)
		if epoch && v >= 5 {
			want = 4
		}
		if p.Offset != at || p.Metadata == nil || *p.Metadata != meta || p.LeaderEpoch != want {
			t.Errorf("version %d: %+v, want %d", v, p, at)
		}
	}
}

// TestGroupAdmin: groups are listed, by state and type, and deleted, with their offsets or without.
func TestGroupAdmin(t *testing.T) {
	h, _ := ready(t)
	c := kmsg.NewPtrOffsetCommitRequest()
	c.Generation = -1
	ct := kmsg.NewOffsetCommitRequestTopic()
	ct.Topic = "t"
	ct.Partitions = []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: 5}}
	c.Topics = append(c.Topics, ct)
	for _, name := range []string{"a", "b", "c"} {
		c.Group = name
		h.ask(c, 8)
	}
	d := kmsg.NewPtrOffsetDeleteRequest()
	d.Group = "a"
	d.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}, {Partition: 9}}}}
	if resp := h.ask(d, 0).(*kmsg.OffsetDeleteResponse); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 ||
		code(resp.Topics[0].Partitions[1].ErrorCode) != codeUnknownTopicOrPartition {
		t.Errorf("%+v", resp)
	}
	if resp := h.ask(d, 0).(*kmsg.OffsetDeleteResponse); code(resp.ErrorCode) != codeGroupIDNotFound {
		t.Errorf("nothing is left of the group: %+v", resp)
	}
	for v := int16(0); v <= 5; v++ {
		l := kmsg.NewPtrListGroupsRequest()
		l.StatesFilter, l.TypesFilter = []string{"empty"}, []string{"Classic"}
		resp := h.ask(l, v).(*kmsg.ListGroupsResponse)
		if len(resp.Groups) != 2 || resp.Groups[0].Group != "b" || v >= 4 && resp.Groups[0].GroupState != "Empty" || v >= 5 && resp.Groups[1].GroupType != "classic" {
			t.Errorf("version %d: %+v", v, resp)
		}
		l.StatesFilter = []string{"Stable"}
		if resp := h.ask(l, v).(*kmsg.ListGroupsResponse); v >= 4 && len(resp.Groups) != 0 {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
	for v := int16(0); v <= 2; v++ {
		q := kmsg.NewPtrDeleteGroupsRequest()
		q.Groups = []string{"b", "nobody"}
		resp := h.ask(q, v).(*kmsg.DeleteGroupsResponse)
		want := codeNone
		if v > 0 {
			want = codeGroupIDNotFound
		}
		if code(resp.Groups[0].ErrorCode) != want || code(resp.Groups[1].ErrorCode) != codeGroupIDNotFound || resp.Groups[1].Group != "nobody" {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
}

// TestGroupConnectionCloses: a member whose connection ends while it waits for others is forgotten.
func TestGroupConnectionCloses(t *testing.T) {
	h, _ := ready(t)
	join := func(id string) []byte {
		j := kmsg.NewPtrJoinGroupRequest()
		j.Group, j.MemberID, j.SessionTimeoutMillis, j.RebalanceTimeoutMillis, j.ProtocolType = "g", id, 10000, 10000, "consumer"
		j.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		return frame(j, 3, 5)
	}
	a, b := dial(t, h.addr), dial(t, h.addr)
	a.send(join(""))
	first := kmsg.NewPtrJoinGroupResponse()
	a.answer(5, first, 3)
	b.send(join(""))
	members := func(n int) func() bool {
		return func() bool {
			d, err := h.groups.Describe("g")
			return err == nil && len(d.Members) == n
		}
	}
	h.until("the second is there", members(2))
	b.Close()
	h.until("the second is forgotten", members(1))
	a.send(join(first.MemberID))
	a.answer(5, first, 3)
	if first.Generation != 2 || len(first.Members) != 1 {
		t.Errorf("%+v", first)
	}
}

// TestGroupAnswersOfEveryVersion: a request with all its fields set, of every group API and version, is answered in
// that version, with a journal and without.
func TestGroupAnswersOfEveryVersion(t *testing.T) {
	for _, exists := range []bool{false, true} {
		h := build(t, "", nil)
		if exists {
			h, _ = ready(t)
		}
		for _, key := range groupAPIs {
			a := h.front.apis.find(key)
			for v := a.min; v <= a.max; v++ {
				q := kmsg.RequestForKey(key)
				fill(rand.New(rand.NewPCG(uint64(v), 2)), reflect.ValueOf(q).Elem())
				h.ask(q, v)
			}
		}
	}
}

// TestWithoutGroups: a front without a coordinator does not serve what it cannot.
func TestWithoutGroups(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Groups = nil })
	resp := h.ask(kmsg.NewPtrApiVersionsRequest(), 0).(*kmsg.ApiVersionsResponse)
	for _, k := range resp.ApiKeys {
		for _, g := range groupAPIs {
			if k.ApiKey == g {
				t.Errorf("api %d is advertised", g)
			}
		}
	}
	if len(resp.ApiKeys) < 10 {
		t.Errorf("%+v", resp.ApiKeys)
	}
}

// TestGroupErrorsAreMapped demands a code for each error of the group room, and that what is worth another try is told so.
func TestGroupErrorsAreMapped(t *testing.T) {
	for _, err := range []error{
		group.ErrMemberIDRequired, group.ErrUnknownMember, group.ErrIllegalGeneration, group.ErrRebalanceInProgress, group.ErrInconsistentProtocol,
		group.ErrFencedInstance, group.ErrInvalidSession, group.ErrGroupFull, group.ErrInvalidGroup, group.ErrGroupNotEmpty, group.ErrGroupNotFound,
		group.ErrSubscribed, group.ErrMetadataTooLarge, group.ErrLoading, group.ErrNotCoordinator, group.ErrUnavailable,
	} {
		c := codeOf(fmt.Errorf("group x: %w", err))
		if c == codeUnknownServerError {
			t.Errorf("%v has no code", err)
		}
		if retriable := c == codeCoordinatorLoading || c == codeNotCoordinator || c == codeCoordinatorNotAvailable; retriable != group.Retriable(err) {
			t.Errorf("%v is told as %v", err, c)
		}
	}
}
