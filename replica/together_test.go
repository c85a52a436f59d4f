package replica

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"penstock"
	"penstock/disk/disktest"
)

// TestTogetherTwin: what is appended to several partitions of one log together is answered, and lies in the log, as if each part had been appended by
// itself: with sequences that repeat or are out of order, batches that are refused, and a partition that is named twice.
func TestTogetherTwin(t *testing.T) {
	const partitions = 5
	rapid.Check(t, func(rt *rapid.T) {
		topic := sharedTopic(1, partitions, penstock.DurabilityFsync)
		topic.Settings.MaxMessageBytes = 400
		one, other := startNode(t, disktest.New(), topic), startNode(t, disktest.New(), topic)
		defer one.Close()
		defer other.Close()
		for range rapid.IntRange(1, 6).Draw(rt, "appends") {
			var parts []Part
			var want []AppendResult
			for i := range rapid.IntRange(1, 8).Draw(rt, "parts") {
				p := rapid.IntRange(0, partitions-1).Draw(rt, "partition")
				id, seq := penstock.NoProducer, int32(0)
				if rapid.Bool().Draw(rt, "idempotent") {
					id, seq = 7, int32(rapid.IntRange(0, 3).Draw(rt, "sequence"))
				}
				n := rapid.SampledFrom([]int32{1, 1, 2, 40}).Draw(rt, "records") // 40 are too many
				acks := rapid.SampledFrom([]penstock.Acks{penstock.AcksAll, penstock.AcksLeader}).Draw(rt, "acks")
				r := func() AppendRequest {
					return AppendRequest{Batches: []penstock.Batch{produced(t, id, seq, n, uint64(i))}, Acks: acks, Epoch: penstock.NoEpoch}
				}
				parts = append(parts, Part{Partition: one.part(topic, p), Request: r()})
				want = append(want, answerOf(other.part(topic, p), r()))
			}
			for i, got := range answersOf(parts) {
				w := want[i]
				if got.First != w.First || got.Duplicate != w.Duplicate || fmt.Sprint(cause(got.Err)) != fmt.Sprint(cause(w.Err)) {
					rt.Fatalf("part %d: %+v, alone %+v", i, got, w)
				}
			}
		}
		for p := range partitions {
			if a, b := one.part(topic, p).Offsets(), other.part(topic, p).Offsets(); a != b {
				rt.Fatalf("partition %d: %+v, alone %+v", p, a, b)
			}
		}
	})
}

// cause is what an error wraps of those that callers tell apart.
func cause(err error) error {
	for _, c := range []error{penstock.ErrTooLarge, penstock.ErrOutOfOrderSequence, penstock.ErrUnknownProducer, penstock.ErrDuplicateSequence} {
		if errors.Is(err, c) {
			return c
		}
	}
	return err
}

// answerOf appends and waits for the answer.
func answerOf(p *Partition, r AppendRequest) AppendResult {
	later := make(chan AppendResult, 1)
	res, done := p.Append(r, func(res AppendResult) { later <- res })
	if done {
		return res
	}
	return <-later
}

// answersOf appends together and waits for all answers.
func answersOf(parts []Part) []AppendResult {
	out, later := make([]AppendResult, len(parts)), make([]chan AppendResult, len(parts))
	for i := range parts {
		later[i] = make(chan AppendResult, 1)
		parts[i].Notify = func(res AppendResult) { later[i] <- res }
	}
	AppendTogether(parts)
	for i := range parts {
		if parts[i].Done {
			out[i] = parts[i].Result
			continue
		}
		out[i] = <-later[i]
	}
	return out
}

// TestTogetherOneWrite: batches of many partitions of one log are one write to it, and one sync.
func TestTogetherOneWrite(t *testing.T) {
	const partitions = 100
	topic := sharedTopic(1, partitions, penstock.DurabilityFsync)
	fsys := disktest.New()
	n := startNode(t, fsys, topic)
	defer n.Close()
	parts := func() (ps []Part) {
		for p := range partitions {
			ps = append(ps, Part{Partition: n.part(topic, p), Request: request(penstock.AcksAll, produced(t, penstock.NoProducer, 0, 1, uint64(p)))})
		}
		return ps
	}
	for _, res := range answersOf(parts()) { // makes the files of each
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	fsys.StartTrace()
	for _, res := range answersOf(parts()) {
		if res.Err != nil || res.First != 1 {
			t.Fatalf("%+v", res)
		}
	}
	log := 0
	for _, call := range fsys.Trace() {
		if isLogWrite(call) {
			log++
		}
	}
	if log != 1 {
		t.Fatalf("%d writes to the log\n%s", log, fsys.Trace())
	}
}

// TestTogetherWithDeadPartition: a partition that is closed fails alone.
func TestTogetherWithDeadPartition(t *testing.T) {
	topic := sharedTopic(1, 3, penstock.DurabilityFsync)
	n := startNode(t, disktest.New(), topic)
	defer n.Close()
	dead := n.part(topic, 1)
	dead.close(fmt.Errorf("gone: %w", penstock.ErrClosed))
	var parts []Part
	for _, p := range []*Partition{n.part(topic, 0), dead, n.part(topic, 2)} {
		parts = append(parts, Part{Partition: p, Request: request(penstock.AcksAll, produced(t, penstock.NoProducer, 0, 1, 1))})
	}
	got := answersOf(parts)
	if got[0].Err != nil || got[2].Err != nil || !errors.Is(got[1].Err, penstock.ErrClosed) {
		t.Fatalf("%+v", got)
	}
}

// isLogWrite reports whether a traced call writes to the shared log.
func isLogWrite(call string) bool {
	return strings.HasPrefix(call, string(disktest.KindWrite)) && strings.Contains(call, "/log/")
}
