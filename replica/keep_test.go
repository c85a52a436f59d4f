package replica

import (
	"testing"

	"penstock"
	"penstock/meta"
)

// TestCleanStartScansNothing: after a clean stop no log is read for its producers, whether there were any or not.
func TestCleanStartScansNothing(t *testing.T) {
	g := newRig(t)
	topic := topicOf(3, penstock.DurabilityRelaxed)
	g.apply([]*meta.Topic{topic})
	part := func(g *rig, i int32) *Partition {
		return g.Partition(penstock.PartitionID{Topic: topic.ID, Partition: i})
	}
	plain, idempotent, mixed := part(g, 0), part(g, 1), part(g, 2)
	for i := range int32(5) {
		plain.Append(request(penstock.AcksLeader, batches(1)...), nil)
		idempotent.Append(request(penstock.AcksLeader, sequenced(1, 0, 10*i)), nil)
		if i < 3 {
			mixed.Append(request(penstock.AcksLeader, sequenced(2, 0, 10*i)), nil)
		} else if err := mixed.save(true); err != nil { // what follows has no producer
			t.Fatal(err)
		}
		mixed.Append(request(penstock.AcksLeader, batches(1)...), nil)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	second := newRig(t)
	second.store.parts = g.store.parts
	second.apply([]*meta.Topic{topic})
	for i, want := range []int{0, 1, 1} {
		if n := g.store.parts[penstock.PartitionID{Topic: topic.ID, Partition: int32(i)}].scans.Load(); n != 0 {
			t.Errorf("partition %d was scanned %d times", i, n)
		}
		list, err := part(second, int32(i)).Producers()
		if err != nil || len(list) != want {
			t.Errorf("partition %d knows %d producers, %v; want %d", i, len(list), err, want)
		}
	}
	for i, seq := range []int32{0, 40, 20} {
		res, _ := part(second, int32(i)).Append(request(penstock.AcksLeader, sequenced(penstock.ProducerID(i), 0, seq)), nil)
		if i > 0 && (!res.Duplicate || res.Err != nil) {
			t.Errorf("partition %d has forgotten its producer: %+v", i, res)
		}
	}
}
