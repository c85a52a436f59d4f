package group

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"penstock"
	"penstock/meta"
	"penstock/meta/metatest"
)

// TestTopicIDFormat compares offsets with a topic's id with what Kafka 4.3.1 writes for them (OffsetCommitValue, version 4).
func TestTopicIDFormat(t *testing.T) {
	for _, test := range []struct {
		c     Committed
		kafka string
	}{
		{
			Committed{Offset: 43, Epoch: 4, Metadata: strings.Repeat("m", 200), At: 7, Expires: penstock.NoTimestamp, TopicID: penstock.TopicID{1, 2, 15: 3}},
			"0004" + "000000000000002b" + "00000004" + "c901" + strings.Repeat("6d", 200) + "0000000000000007" + "010010" + "01020000000000000000000000000003",
		},
		{
			Committed{Offset: 44, Epoch: 4, At: 7, Expires: penstock.NoTimestamp, TopicID: penstock.TopicID{15: 1}},
			"0004" + "000000000000002c" + "00000004" + "01" + "0000000000000007" + "010010" + "00000000000000000000000000000001",
		},
	} {
		got := appendCommitted(nil, &test.c)
		if hex.EncodeToString(got) != test.kafka {
			t.Errorf("%x, want %s", got, test.kafka)
		}
		if back, err := decodeCommitted(got); err != nil || back != test.c {
			t.Errorf("%+v became %+v, %v", test.c, back, err)
		}
		for n := range got {
			if _, err := decodeCommitted(got[:n]); err == nil {
				t.Errorf("%d bytes of an offset are accepted", n)
			}
		}
	}
	// Without an id, and with a field that nobody knows yet.
	for text, want := range map[string]Committed{
		"0004" + "000000000000002d" + "ffffffff" + "0278" + "0000000000000008" + "00":                {Offset: 45, Epoch: -1, Metadata: "x", At: 8, Expires: penstock.NoTimestamp},
		"0004" + "000000000000002d" + "ffffffff" + "0278" + "0000000000000008" + "01" + "e80702aabb": {Offset: 45, Epoch: -1, Metadata: "x", At: 8, Expires: penstock.NoTimestamp},
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := decodeCommitted(b); err != nil || c != want {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

// commitTo commits an offset to a topic, as a front does it that found the topic.
func (r *rig) commitTo(group string, topic *meta.Topic, at penstock.Offset) error {
	c := &Commit{Generation: -1, Offsets: []CommitOffset{{Topic: topic.Name, TopicID: topic.ID, Offset: at, Epoch: 1, Metadata: fmt.Sprint(at)}}}
	wait := make(chan error, 1)
	r.Commit(group, c, func(err error) { wait <- err })
	return errors.Join(<-wait, c.Offsets[0].Err)
}

// TestSameNameAfterPowerCut: a topic is deleted, another of the same name is made, and then the power goes, before the deletion of the
// offsets is on the disk. The new topic inherits none.
func TestSameNameAfterPowerCut(t *testing.T) {
	for seed := range uint64(20) {
		r := start(t, nil, nil, nil, nil).loaded()
		u := metatest.Topic(t, r.meta, "u", 1, nil)
		r.must(r.commitTo("g", u, 7))
		stored := r.fs.Crash(seed) // the deletion has not come as far as the disk
		r.must(r.meta.DeleteTopic(context.Background(), u.ID))
		r.fs.Halt()
		again := metatest.Topic(t, r.meta, "u", 1, nil)
		r.stop(true)
		r = start(t, stored, r.meta, r.clock, nil).loaded()
		if got := r.read("g", "u", 0); got != penstock.NoOffset {
			t.Errorf("seed %d: the new topic inherits %d", seed, got)
		}
		r.must(r.commitTo("g", again, 3))
		r.stop(false)
		r = start(t, r.fs, r.meta, r.clock, nil).loaded()
		if got := r.read("g", "u", 0); got != 3 {
			t.Errorf("seed %d: %d of the new topic is committed, not 3", seed, got)
		}
		r.stop(false)
	}
}

// TestLateCommit: whoever found a topic before it was deleted cannot commit to its name after that.
func TestLateCommit(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	u := metatest.Topic(t, r.meta, "u", 1, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint("group-", i)
			for at := penstock.Offset(0); ; at++ {
				err := r.commitTo(name, u, at)
				if errors.Is(err, penstock.ErrUnknownTopic) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	r.until("everybody has committed", func() bool { return r.figures.commits.Value() > 100 })
	r.must(r.meta.DeleteTopic(context.Background(), u.ID))
	metatest.Topic(t, r.meta, "u", 1, nil)
	wg.Wait()
	for i := range 8 {
		if got := r.read(fmt.Sprint("group-", i), "u", 0); got != penstock.NoOffset {
			t.Errorf("group %d has %d in the new topic", i, got)
		}
	}
}
