package metatest

import (
	"context"
	"testing"

	"penstock"
	"penstock/meta"
)

// Open makes a store over a fresh engine, both closed when the test ends, with one broker, 0, registered at 127.0.0.1:9092 on the
// listener "kafka".
func Open(t testing.TB) (*meta.Store, *Engine) {
	t.Helper()
	e := &Engine{}
	s, err := meta.Open(t.Context(), meta.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	b := meta.Broker{ID: 0, Endpoints: map[string]string{"kafka": "127.0.0.1:9092"}}
	if _, err := s.Register(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return s, e
}

// Topic creates a topic of the record format on broker 0 alone.
func Topic(t testing.TB, s *meta.Store, name string, partitions int, configs map[string]string) *meta.Topic {
	t.Helper()
	topic, err := s.CreateTopic(context.Background(), meta.NewTopic{
		Name: name, Partitions: partitions, Replicas: []penstock.BrokerID{0}, Configs: configs,
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}
