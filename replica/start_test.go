package replica

import (
	"errors"
	"testing"

	"penstock"
	"penstock/disk/disktest"
)

// TestSetStart: readers lose what lies below the start at once, it survives a restart, and it never passes the high
// watermark or goes back.
func TestSetStart(t *testing.T) {
	fsys := disktest.New()
	topic := realTopic(penstock.DurabilityFsync, 0)
	n := startNode(t, fsys, topic)
	id := penstock.PartitionID{Topic: topic.ID}
	p := n.Partition(id)
	for range 4 {
		wait := make(chan AppendResult, 1)
		if res, done := p.Append(request(penstock.AcksAll, produced(t, penstock.NoProducer, 0, 5, 1)), func(r AppendResult) { wait <- r }); !done {
			if res = <-wait; res.Err != nil {
				t.Fatal(res.Err)
			}
		}
	}
	if err := p.SetStart(21); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("a start behind the high watermark: %v", err)
	}
	for _, at := range []penstock.Offset{12, 3, 12} {
		if err := p.SetStart(at); err != nil {
			t.Fatal(err)
		}
		if o := p.Offsets(); o.Start != 12 || o.HighWatermark != 20 {
			t.Fatalf("%+v", o)
		}
	}
	if _, _, err := p.Read(ReadRequest{From: 11, Max: 1, Epoch: -1, LastEpoch: -1}, nil); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("below the start: %v", err)
	}
	n.stop(t)
	if err := p.SetStart(15); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	n = startNode(t, fsys, topic)
	if o := n.Partition(id).Offsets(); o.Start != 12 || o.End != 20 {
		t.Errorf("after a restart: %+v", o)
	}
	n.stop(t)
}
