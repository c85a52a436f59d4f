package segment

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"penstock"
	"penstock/store"
)

// The text files that Kafka has in a partition's directory.
const (
	epochFile    = "leader-epoch-checkpoint"
	metadataFile = "partition.metadata"
)

// maxEpochs bounds the history of leader epochs that is read from a file.
const maxEpochs = 1 << 20

// appendEpochs writes the history as Kafka does: version, number of lines, then "epoch offset" each.
func appendEpochs(dst []byte, es []store.EpochStart) []byte {
	dst = append(dst, "0\n"...)
	dst = strconv.AppendInt(dst, int64(len(es)), 10)
	dst = append(dst, '\n')
	for _, e := range es {
		dst = strconv.AppendInt(dst, int64(e.Epoch), 10)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(e.Start), 10)
		dst = append(dst, '\n')
	}
	return dst
}

func parseEpochs(b []byte) ([]store.EpochStart, error) {
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) < 2 || lines[0] != "0" {
		return nil, fmt.Errorf("%w: %s", errFile, epochFile)
	}
	n, err := strconv.Atoi(lines[1])
	if err != nil || n != len(lines)-2 || n > maxEpochs {
		return nil, fmt.Errorf("%w: %s: %q lines", errFile, epochFile, lines[1])
	}
	var es []store.EpochStart
	for _, l := range lines[2:] {
		epoch, start, _ := strings.Cut(l, " ")
		e, err1 := strconv.ParseInt(epoch, 10, 32)
		s, err2 := strconv.ParseInt(start, 10, 64)
		if err1 != nil || err2 != nil || e < 0 || s < 0 {
			return nil, fmt.Errorf("%w: %s: line %q", errFile, epochFile, l)
		}
		es = assignEpoch(es, store.EpochStart{Epoch: penstock.Epoch(e), Start: penstock.Offset(s)})
	}
	return es, nil
}

// assignEpoch adds the reign that begins with e and drops what contradicts it: entries of the same or a later epoch and
// entries that begin at or after it. The slice given stays as it is; an e that says nothing new returns it.
func assignEpoch(es []store.EpochStart, e store.EpochStart) []store.EpochStart {
	if n := len(es); n > 0 && es[n-1].Epoch == e.Epoch && es[n-1].Start <= e.Start {
		return es
	}
	i := len(es)
	for i > 0 && (es[i-1].Epoch >= e.Epoch || es[i-1].Start >= e.Start) {
		i--
	}
	return append(slices.Clone(es[:i]), e)
}

// cutEpochs drops the reigns that begin at or after end.
func cutEpochs(es []store.EpochStart, end penstock.Offset) []store.EpochStart {
	i := len(es)
	for i > 0 && es[i-1].Start >= end {
		i--
	}
	return es[:i:i]
}

// trimEpochs drops the reigns that ended before start; the one that holds start begins there.
func trimEpochs(es []store.EpochStart, start penstock.Offset) []store.EpochStart {
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

// appendMetadata writes the content of partition.metadata.
func appendMetadata(dst []byte, id penstock.TopicID) []byte {
	return append(append(dst, "version: 0\ntopic_id: "...), id.String()...)
}

// parseMetadata reads the topic id of partition.metadata.
func parseMetadata(b []byte) (penstock.TopicID, error) {
	for l := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(l, []byte("topic_id: ")); ok {
			return penstock.ParseTopicID(string(bytes.TrimSpace(rest)))
		}
	}
	return penstock.TopicID{}, fmt.Errorf("%w: %s", errFile, metadataFile)
}
