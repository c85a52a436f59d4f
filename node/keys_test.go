package node_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
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
