package main

import (
	"maps"
	"strconv"
	"testing"

	"penstock/bench/clients/drive"
	"penstock/bench/clients/spec"
)

func TestOwnedFollowsTheAssignment(t *testing.T) {
	of := func(e string, parts ...string) spec.Event {
		out := spec.Event{E: e, P: map[string]int64{}}
		for _, p := range parts {
			out.P[p] = 0
		}
		return out
	}
	events := []spec.Event{of("assigned", "0", "1"), of("commit", "1"), of("committed", "1"), of("revoked", "0"), of("assigned", "4"), of("lost", "1")}
	if got := owned(events); !maps.Equal(got, map[string]bool{"4": true}) || changes(events) != 4 {
		t.Fatalf("owned %v, %d changes, want 4 alone and 4 changes", got, changes(events))
	}
}

func TestGroupKeyIsTheRecordsNumber(t *testing.T) {
	for i := range int64(100) {
		if got := groupKey(int(i%groupPartitions), i/groupPartitions); got != strconv.FormatInt(i, 10) {
			t.Fatalf("record %d has key %s", i, got)
		}
	}
}

func TestOnlyNamesKnownClients(t *testing.T) {
	if err := (&bench{only: "java,kafkajs"}).checkOnly(); err != nil {
		t.Fatal(err)
	}
	if (&bench{only: "java,jva"}).checkOnly() == nil {
		t.Fatal("a client that does not exist is taken")
	}
	short, one := &bench{}, &bench{only: "sarama@2.1"}
	short.Short, one.Short = true, true
	for _, c := range drive.Clients() {
		if short.wants(c) == c.Old || one.wants(c) != (c.Name == "sarama@2.1") {
			t.Errorf("%s: %v, %v", c.Name, short.wants(c), one.wants(c))
		}
	}
}
