package group

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/record"
)

// TestJournalFormats compares the journal's records with kmsg, which is made from Kafka's own definition of __consumer_offsets.
func TestJournalFormats(t *testing.T) {
	ok := kmsg.OffsetCommitKey{Version: 1, Group: "g", Topic: "orders", Partition: 7}
	if got := appendOffsetKey(nil, "g", "orders", 7); !bytes.Equal(got, ok.AppendTo(nil)) {
		t.Errorf("key of an offset: %x", got)
	}
	gk := kmsg.GroupMetadataKey{Version: 2, Group: "group"}
	if got := appendGroupKey(nil, "group"); !bytes.Equal(got, gk.AppendTo(nil)) {
		t.Errorf("key of a group: %x", got)
	}
	for _, c := range []Committed{
		{Offset: 42, Epoch: 3, Metadata: "m", At: 1_700_000_000_000, Expires: penstock.NoTimestamp},
		{Offset: 1 << 40, Epoch: penstock.NoEpoch, At: 5, Expires: 9},
	} {
		v := kmsg.OffsetCommitValue{Version: 3, Offset: int64(c.Offset), LeaderEpoch: int32(c.Epoch), Metadata: c.Metadata, CommitTimestamp: int64(c.At)}
		if c.Expires != penstock.NoTimestamp {
			v.Version, v.ExpireTimestamp = 1, int64(c.Expires)
		}
		got := appendCommitted(nil, &c)
		if !bytes.Equal(got, v.AppendTo(nil)) {
			t.Errorf("value of an offset: %x, want %x", got, v.AppendTo(nil))
		}
		if back, err := decodeCommitted(got); err != nil || back != c {
			t.Errorf("%+v became %+v, %v", c, back, err)
		}
		for n := range got {
			if _, err := decodeCommitted(got[:n]); err == nil {
				t.Errorf("%d bytes of an offset are accepted", n)
			}
		}
	}
	s := someState()
	str := kmsg.StringPtr
	v := kmsg.GroupMetadataValue{
		Version: 3, ProtocolType: "consumer", Generation: 9, Protocol: str("range"), Leader: str("a"), CurrentStateTimestamp: s.Since.UnixMilli(),
		Members: []kmsg.GroupMetadataValueMember{
			{MemberID: "a", InstanceID: str("i"), ClientID: "c", ClientHost: "/h", RebalanceTimeoutMillis: 60000, SessionTimeoutMillis: 45000, Subscription: []byte{1, 2}, Assignment: []byte{3}},
			{MemberID: "b", ClientID: "d", ClientHost: "/k", RebalanceTimeoutMillis: 1000, SessionTimeoutMillis: 6000, Subscription: []byte{}, Assignment: []byte{4, 5}},
		},
	}
	got := appendState(nil, &s)
	if !bytes.Equal(got, v.AppendTo(nil)) {
		t.Errorf("value of a group:\n%x, want\n%x", got, v.AppendTo(nil))
	}
	back, err := decodeState(got)
	if err != nil || !bytes.Equal(appendState(nil, &back), got) || !back.Since.Equal(s.Since) || back.Members[0].InstanceID != "i" {
		t.Errorf("%+v became %+v, %v", s, back, err)
	}
	for n := range got {
		if _, err := decodeState(got[:n]); err == nil {
			t.Errorf("%d bytes of a group are accepted", n)
		}
	}
}

func someState() State {
	return State{
		Generation: 9, ProtocolType: "consumer", Protocol: "range", Leader: "a", Since: time.UnixMilli(1_700_000_000_123),
		Members: []MemberState{
			{ID: "a", InstanceID: "i", ClientID: "c", ClientHost: "/h", Session: 45 * time.Second, Rebalance: time.Minute, Metadata: []byte{1, 2}, Assignment: []byte{3}},
			{ID: "b", ClientID: "d", ClientHost: "/k", Session: 6 * time.Second, Rebalance: time.Second, Metadata: []byte{}, Assignment: []byte{4, 5}},
		},
	}
}

// TestOldStates reads the versions that Kafka wrote before.
func TestOldStates(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		v := kmsg.GroupMetadataValue{
			Version: version, ProtocolType: "consumer", Generation: 2, Protocol: kmsg.StringPtr("p"), Leader: kmsg.StringPtr("m"), CurrentStateTimestamp: 77,
			Members: []kmsg.GroupMetadataValueMember{{MemberID: "m", InstanceID: kmsg.StringPtr("i"), ClientID: "c", ClientHost: "h", RebalanceTimeoutMillis: 5, SessionTimeoutMillis: 6, Subscription: []byte{1}, Assignment: []byte{2}}},
		}
		s, err := decodeState(v.AppendTo(nil))
		if err != nil || s.Generation != 2 || len(s.Members) != 1 || s.Members[0].Session != 6*time.Millisecond || s.Members[0].Assignment[0] != 2 {
			t.Errorf("version %d: %+v, %v", version, s, err)
		}
		if (s.Members[0].InstanceID == "i") != (version >= 3) || s.Since.IsZero() != (version < 2) {
			t.Errorf("version %d: %+v", version, s)
		}
		o := kmsg.OffsetCommitValue{Version: version, Offset: 8, LeaderEpoch: 4, Metadata: "x", CommitTimestamp: 3, ExpireTimestamp: 11}
		c, err := decodeCommitted(o.AppendTo(nil))
		if err != nil || c.Offset != 8 || c.Metadata != "x" || c.At != 3 || (c.Expires == 11) != (version == 1) || (c.Epoch == 4) != (version == 3) {
			t.Errorf("version %d: %+v, %v", version, c, err)
		}
	}
}

// FuzzJournal demands that no record makes the decoders panic or hold more than it has.
func FuzzJournal(f *testing.F) {
	s := someState()
	f.Add(appendState(nil, &s))
	f.Add(appendCommitted(nil, &Committed{Metadata: "m"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil && len(s.Members) > len(b) {
			t.Fatal("more members than bytes")
		}
		_, _ = decodeCommitted(b)
		_, _ = topicsOf(b)
	})
}

// TestWriter reads back what the writer built, by the room that knows batches.
func TestWriter(t *testing.T) {
	w := newWriter(1234)
	defer w.free()
	long := bytes.Repeat([]byte{9}, batchBytes/2)
	w.offset("g", "t", 1, &Committed{Offset: 5, Expires: penstock.NoTimestamp})
	w.offset("g", "t", 2, nil)
	w.state("g", long)
	w.state("h", long)
	w.state("i", nil)
	batches, err := w.batches()
	if err != nil || len(batches) != 2 {
		t.Fatal(len(batches), err)
	}
	var keys [][]byte
	nulls := 0
	for _, b := range batches {
		walk := record.Walk(b.Bytes)
		for r := (record.Record{}); walk.Next(&r); {
			keys = append(keys, r.Key)
			if r.Value == nil {
				nulls++
			}
			if r.Timestamp != 1234 {
				t.Errorf("time %d", r.Timestamp)
			}
		}
		if walk.Err() != nil || b.Header.ProducerID != penstock.NoProducer {
			t.Error(walk.Err(), b.Header)
		}
	}
	if len(keys) != 5 || nulls != 2 || !bytes.Equal(keys[1], appendOffsetKey(nil, "g", "t", 2)) || !bytes.Equal(keys[4], appendGroupKey(nil, "i")) {
		t.Errorf("%q, %d nulls", keys, nulls)
	}
}

// TestPartitionOf: Kafka's tools look for a group where Java's String.hashCode sends it.
func TestPartitionOf(t *testing.T) {
	for name, want := range map[string]int{"": 0, "a": 97 % 50, "group": 98629247 % 50, "hello world": 1794106052 % 50} {
		if got := partitionOf(name, 50); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
	if n := partitionOf("a name that overflows, ünïcödé 🚰", 50); n < 0 || n >= 50 {
		t.Error(n)
	}
}
