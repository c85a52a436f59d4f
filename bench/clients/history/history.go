// Package history judges what the members of a consumer group say they did.
//
// What it demands, by partition. While a member has a partition, from assigned to revoked or lost or the member's end, it reads
// offsets one after the other: this is a spell. A spell begins where the group's committed offset stands:
//
//   - not before an offset whose commit was acknowledged before the spell began: nothing is read twice beyond a commit's reach;
//   - at an offset that somebody committed, or tried to, or at 0 while nobody had, or where the same member had stopped if nobody
//     else had the partition since (kafka-python keeps its place when it gets a partition back): nothing is left out.
//
// A member whose client stutters (librdkafka) may be given the last record of a partition once more, as the first after a change of
// its assignment. librdkafka pauses all partitions then, and goes on from the application's position; that is noted after the record
// was taken from the queue, so that a pause just between the two does not see it (rd_kafka_toppar_pause_resume, rd_kafka_update_app_pos).
//
// At the end every offset was read by somebody, and each carries the key that was written there. Times are those of one
// machine's clock: a commit counts as acknowledged before a spell if its acknowledgement was told strictly before.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"penstock/bench/clients/spec"
)

// maxFaults bounds the faults that are kept in words; all are counted.
const maxFaults = 20

// Report is what was found.
type Report struct {
	Members int
	Reads   int64 // records read, repeats included
	Records int64 // records that were there to be read
	Repeats int64 // records read again, which commits allow
	Spells  int
	Commits int
	Refused int // commits that were not acknowledged
	Stutter int // records given twice in one spell by clients that stutter
	Count   int // faults
	Faults  []string
}

func (r *Report) fault(format string, args ...any) {
	r.Count++
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// spell is one member's time with one partition.
type spell struct {
	member string
	part   int
	began  int64
	start  int64 // first offset read, -1 while none was
	next   int64
	turn   int // the judge's when it last read
}

// commit is one commit of one partition.
type commit struct {
	at  int64 // when it was acknowledged
	off int64
}

// partition is what is known of one.
type partition struct {
	seen   []bool
	spells []*spell
	sent   map[int64]bool
	acked  []commit
}

// Judge checks histories, by member, against partitions that end at ends. The key at an offset of a partition must be what key
// returns. The members that stutter are named.
func Judge(histories map[string][]spec.Event, ends []int64, key func(part int, offset int64) string, stutters map[string]bool) *Report {
	r := &Report{Members: len(histories)}
	parts := make([]partition, len(ends))
	for p := range parts {
		parts[p] = partition{seen: make([]bool, ends[p]), sent: map[int64]bool{}}
		r.Records += ends[p]
	}
	for member, events := range histories {
		j := &judge{Report: r, parts: parts, member: member, open: map[int]*spell{}, key: key, stutters: stutters[member]}
		for _, e := range events {
			j.take(e)
		}
	}
	for p := range parts {
		r.partition(p, &parts[p])
	}
	slices.Sort(r.Faults)
	return r
}

// judge goes through one member's history.
type judge struct {
	*Report
	parts  []partition
	member string
	open   map[int]*spell
	key    func(int, int64) string

	stutters bool
	turn     int // changes of the member's assignment so far
}

func (j *judge) take(e spec.Event) {
	switch e.E {
	case "assigned", "revoked", "lost":
		j.turn++ // also if it changes nothing for any partition
	}
	switch e.E {
	case "assigned":
		j.each(e, func(p int, _ int64) {
			if s := j.open[p]; s != nil {
				j.fault("%s: partition %d assigned twice without being taken away", j.member, p)
			}
			s := &spell{member: j.member, part: p, began: e.T, start: -1, turn: j.turn}
			j.open[p] = s
			j.parts[p].spells = append(j.parts[p].spells, s)
			j.Spells++
		})
	case "revoked", "lost":
		j.each(e, func(p int, _ int64) { delete(j.open, p) })
	case "read":
		j.read(e)
	case "commit":
		j.each(e, func(p int, o int64) { j.parts[p].sent[o] = true })
	case "committed":
		j.each(e, func(p int, o int64) {
			j.parts[p].acked = append(j.parts[p].acked, commit{e.T, o})
			j.Commits++
		})
	case "refused":
		j.Refused++
	}
}

// each calls f with the partitions of an event.
func (j *judge) each(e spec.Event, f func(p int, o int64)) {
	for name, o := range e.P {
		p, err := strconv.Atoi(name)
		if err != nil || p < 0 || p >= len(j.parts) {
			j.fault("%s: %s of a partition %q that does not exist", j.member, e.E, name)
			continue
		}
		f(p, o)
	}
}

func (j *judge) read(e spec.Event) {
	s := j.open[e.Part]
	if s == nil {
		j.fault("%s: read partition %d offset %v without having it", j.member, e.Part, e.O)
		return
	}
	if len(e.O) != len(e.K) {
		j.fault("%s: %d offsets with %d keys", j.member, len(e.O), len(e.K))
		return
	}
	part := &j.parts[e.Part]
	for i, o := range e.O {
		if s.start < 0 {
			s.start, s.next = o, o
		}
		switch {
		case o == s.next:
		case i == 0 && j.stutters && s.turn < j.turn && o == s.next-1:
			j.Stutter++
		default:
			j.fault("%s: partition %d: offset %d follows %d", j.member, e.Part, o, s.next-1)
		}
		s.next, s.turn = o+1, j.turn
		if o < 0 || o >= int64(len(part.seen)) {
			j.fault("%s: partition %d: offset %d, but it ends at %d", j.member, e.Part, o, len(part.seen))
			continue
		}
		if want := j.key(e.Part, o); e.K[i] != want {
			j.fault("%s: partition %d offset %d has key %q, want %q", j.member, e.Part, o, e.K[i], want)
		}
		j.Reads++
		if part.seen[o] {
			j.Repeats++
		}
		part.seen[o] = true
	}
}

// partition checks where spells began, and that nothing was left out.
func (r *Report) partition(p int, part *partition) {
	slices.SortFunc(part.acked, func(a, b commit) int { return cmp.Compare(a.at, b.at) })
	slices.SortFunc(part.spells, func(a, b *spell) int { return cmp.Compare(a.began, b.began) })
	i, high := 0, int64(0)
	var before *spell // the last one that read
	for _, s := range part.spells {
		for ; i < len(part.acked) && part.acked[i].at < s.began; i++ {
			high = max(high, part.acked[i].off)
		}
		switch {
		case s.start < 0:
		case s.start < high:
			r.fault("%s: partition %d: begins at %d although %d was committed before", s.member, p, s.start, high)
		case s.start > 0 && !part.sent[s.start] && (before == nil || before.member != s.member || before.next != s.start):
			r.fault("%s: partition %d: begins at %d, which nobody committed", s.member, p, s.start)
		}
		if s.start >= 0 {
			before = s
		}
	}
	lost, first := 0, -1
	for o, seen := range part.seen {
		if !seen {
			if lost++; first < 0 {
				first = o
			}
		}
	}
	if lost > 0 {
		r.fault("partition %d: %d records were never read, the first at offset %d", p, lost, first)
	}
}
