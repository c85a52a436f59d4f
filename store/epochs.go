package store

import (
	"slices"

	"penstock"
)

// AssignEpoch adds the reign that begins with e and drops what contradicts it: entries of the same or a later epoch and
// entries that begin at or after it. The slice given stays as it is; an e that says nothing new returns it.
func AssignEpoch(es []EpochStart, e EpochStart) []EpochStart {
	if n := len(es); n > 0 && es[n-1].Epoch == e.Epoch && es[n-1].Start <= e.Start {
		return es
	}
	i := len(es)
	for i > 0 && (es[i-1].Epoch >= e.Epoch || es[i-1].Start >= e.Start) {
		i--
	}
	return append(slices.Clone(es[:i]), e)
}

// CutEpochs drops the reigns that begin at or after end.
func CutEpochs(es []EpochStart, end penstock.Offset) []EpochStart {
	i := len(es)
	for i > 0 && es[i-1].Start >= end {
		i--
	}
	return es[:i:i]
}

// TrimEpochs drops the reigns that ended before start; the one that holds start begins there.
func TrimEpochs(es []EpochStart, start penstock.Offset) []EpochStart {
	i := 0
	for i+1 < len(es) && es[i+1].Start <= start {
		i++
	}
	if i >= len(es) || es[i].Start >= start && i == 0 {
		return es
	}
	out := slices.Clone(es[i:])
	out[0].Start = max(out[0].Start, start)
	return out
}
