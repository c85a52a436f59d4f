package replica

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"penstock"
	"penstock/disk/disktest"
	"penstock/meta"
)

// TestHalfWritten: a list of batches whose write fails at any of the calls it makes, half written or not at all, leaves nothing: when each of the
// batches is then tried alone, as the front does, and what is refused is sent again, as a producer does, no batch is found twice, what
// was acknowledged is where it was said to be, and both hold after a power cut too.
func TestHalfWritten(t *testing.T) {
	for _, layout := range []penstock.Layout{penstock.LayoutSegment, penstock.LayoutCommit} {
		for _, acks := range []penstock.Acks{penstock.AcksLeader, penstock.AcksAll} {
			for _, rules := range []string{
				"write#%d=short", "write#%d=short/EIO", "write#%d=ENOSPC", "change#%d=EIO", "write#%d=short truncate#1=EIO", "write#%d=short truncate#1-3=EIO", "write#1=short write#%d=short/EIO",
				"write(LOG)#1-2=short write(LOG)#%d+=ENOSPC", // of those tried alone a few get where the first of the list had been
			} {
				t.Run(fmt.Sprintf("%v/acks %d/%s", layout, acks, rules), func(t *testing.T) {
					hit := 0
					for i := range 8 {
						rules := strings.ReplaceAll(fmt.Sprintf(rules, i+1), "LOG", []string{"*.log", "commit/record/log/*"}[layout])
						if (&halved{t: t, layout: layout, acks: acks}).run(rules) {
							hit++
						}
					}
					if hit == 0 {
						t.Error("no call of a list of batches failed")
					}
				})
			}
		}
	}
}

// halved is one log and what is known of it.
type halved struct {
	t      *testing.T
	layout penstock.Layout
	acks   penstock.Acks
	p      *Partition
	known  map[penstock.Offset]uint64
}

// run does it with a disk that fails by rules, and reports whether the list was refused.
func (h *halved) run(rules string) (refused bool) {
	t := h.t
	fsys := disktest.New()
	topic := realTopic(penstock.DurabilityFsync, 1)
	topic.Layout = h.layout
	n := startNode(t, fsys, topic)
	defer n.abandon()
	h.p, h.known = n.part(topic, 0), map[penstock.Offset]uint64{}
	if err := h.send(1); err != nil {
		t.Fatal(err)
	}
	fsys.Inject(rules)
	const first, end = 10, 16
	var tags []uint64
	for tag := uint64(first); tag < end; tag++ {
		tags = append(tags, tag)
	}
	var again []uint64
	if refused = h.send(tags...) != nil; refused {
		for _, tag := range tags {
			if h.send(tag) != nil {
				again = append(again, tag)
			}
		}
	}
	h.check(rules, h.p)
	h.cut(rules, fsys, topic)
	fsys.Heal()
	for _, tag := range again {
		if err := h.send(tag); err != nil && !errors.Is(err, penstock.ErrOffline) {
			t.Fatalf("%s: batch %d, when the disk is well again: %v", rules, tag, err)
		}
	}
	h.check(rules, h.p)
	h.cut(rules+", sent again", fsys, topic)
	return refused
}

// cut looks at what power cuts leave.
func (h *halved) cut(rules string, fsys *disktest.FS, topic *meta.Topic) {
	known := h.known
	if h.acks != penstock.AcksAll {
		h.known = nil // nothing was promised
	}
	seeds := uint64(4)
	if strings.Contains(rules, "+=") {
		seeds = 64 // what was left over lies in several sectors, so that few cuts leave just the wrong ones
	}
	for seed := range seeds {
		later := startNode(h.t, fsys.Crash(seed), topic)
		h.check(fmt.Sprintf("%s, power cut %d", rules, seed), later.part(topic, 0))
		later.abandon()
	}
	h.known = known
}

// send appends batches with tags together.
func (h *halved) send(tags ...uint64) error {
	var batches []penstock.Batch
	for _, tag := range tags {
		batches = append(batches, produced(h.t, penstock.NoProducer, 0, 1, tag))
	}
	wait := make(chan AppendResult, 1)
	res, done := h.p.Append(AppendRequest{Batches: batches, Acks: h.acks, Epoch: penstock.NoEpoch}, func(res AppendResult) { wait <- res })
	if !done {
		res = <-wait
	}
	if res.Err == nil {
		for i, tag := range tags {
			h.known[res.First+penstock.Offset(i)] = tag
		}
	}
	return res.Err
}

// check looks at all that is visible.
func (h *halved) check(when string, p *Partition) {
	h.t.Helper()
	if err := p.Err(); err != nil {
		h.t.Fatalf("%s: %v", when, err)
	}
	got := contents(h.t, p)
	found := map[uint64]penstock.Offset{}
	for at, tag := range got {
		if before, twice := found[tag]; twice {
			h.t.Fatalf("%s: batch %d is at %d and at %d", when, tag, before, at)
		}
		found[tag] = at
	}
	for at, tag := range h.known {
		if got[at] != tag {
			h.t.Fatalf("%s: batch %d was acknowledged at %d, where %d is", when, tag, at, got[at])
		}
	}
}
