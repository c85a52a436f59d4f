package main

import (
	"strings"
	"testing"
)

// Lines as DumpLogSegments of Apache Kafka 4.3.1 prints them, for files that are right.
const goodDump = `Dumping /d/00000000000000000000.log
Log starting offset: 0
baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 0 lastSequence: 1 producerId: 3 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1 size: 88 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 0 CreateTime: 1 keySize: -1 valueSize: 1 sequence: 0 headerKeys: []
| offset: 1 CreateTime: 1 keySize: -1 valueSize: 1 sequence: 1 headerKeys: []
Dumping /d/00000000000000000000.index
offset: 1 position: 0
Dumping /d/00000000000000000000.timeindex
timestamp: 1 offset: 1
`

func TestDumpIsRead(t *testing.T) {
	d := dumped{Files: map[string]int{}}
	for l := range strings.Lines(goodDump) {
		d.read([]byte(strings.TrimSuffix(l, "\n")))
	}
	if d.err() != nil || d.Batches != 1 || d.Records != 2 || d.Offsets != 1 || d.Times != 1 || d.Files[".log"] != 1 || d.Files[".timeindex"] != 1 {
		t.Errorf("%+v, %v", d, d.err())
	}
}

// TestDumpComplaintsAreSeen gives the reader each of the complaints in the tool's source.
func TestDumpComplaintsAreSeen(t *testing.T) {
	for _, l := range []string{
		"Mismatches in :/d/00000000000000000000.index",
		"Found timestamp mismatch in :/d/00000000000000000000.timeindex",
		"Found out of order timestamp in :/d/00000000000000000000.timeindex",
		"The following indexed offsets are not found in the log.",
		"Non-consecutive offsets in /d/00000000000000000000.log",
		"Found 71 invalid bytes at the end of 00000000000000000000.log",
		strings.ReplaceAll(strings.Split(goodDump, "\n")[2], "isvalid: true", "isvalid: false"),
		`Exception in thread "main" java.lang.IllegalStateException: Batch is not valid`,
		"Ignoring unknown file /d/x",
	} {
		d := dumped{Files: map[string]int{}}
		d.read([]byte(l))
		if d.err() == nil {
			t.Errorf("not seen as a complaint: %s", l)
		}
	}
}
