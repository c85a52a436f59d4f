package segment

import (
	"bytes"
	"fmt"
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
		es = store.AssignEpoch(es, store.EpochStart{Epoch: penstock.Epoch(e), Start: penstock.Offset(s)})
	}
	return es, nil
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
