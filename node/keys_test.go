package node_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKeepTopics demands that delete.topics=false keeps topics, as Kafka's delete.topic.enable does, and says so.
func TestKeepTopics(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"delete.topics": "false"})
	adm := kadm.NewClient(client(t, n))
	if _, err := adm.CreateTopic(within(t), 1, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.DeleteTopic(within(t), "kept"); !errors.Is(err, kerr.TopicDeletionDisabled) {
		t.Errorf("deleting ends with %v", err)
	}
	if topics, err := adm.ListTopics(within(t)); err != nil || !topics.Has("kept") {
		t.Errorf("topics %v, %v", topics.Names(), err)
	}
}

// TestNever demands that a node runs with everything turned off that 0 turns off.
func TestNever(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{
		"journal.bytes": "0", "sync.all.from": "0", "zero.ahead": "0", "group.initial.delay": "0s", "scrub.rate": "0", "metrics.topics": "0",
		"metrics.partitions": "0", "metrics.offsets": "0",
	})
	c := client(t, n, kgo.AllowAutoTopicCreation())
	if err := c.ProduceSync(within(t), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	g := client(t, n, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if fs := g.PollFetches(within(t)); fs.Err() != nil || fs.NumRecords() != 1 {
		t.Errorf("%d records, %v", fs.NumRecords(), fs.Err())
	}
	if code, _ := get(t, n, "/metrics"); code != 200 {
		t.Errorf("metrics: %d", code)
	}
}
