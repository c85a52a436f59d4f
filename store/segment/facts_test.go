package segment

import (
	"reflect"
	"testing"

	"penstock"
	"penstock/store"
)

// someFacts has a different value, not zero, in every field.
func someFacts() facts {
	return facts{base: 10, next: 20, size: 3000, start: 4000,
		build: builder{interval: 5, offs: 6, times: 7, since: 8, firstAt: 9, maxAt: 11, maxLast: 12, timeAt: 13, named: entry{14, 15, 16}},
		sums:  sums{17, 18, 19}}
}

// TestFactsRoundTrip encodes and decodes every small file, and checks the sizes that docs/formats draws.
func TestFactsRoundTrip(t *testing.T) {
	f := someFacts()
	b := f.append(nil)
	if len(b) != factsSize || factsSize != 104 || builderSize != 60 {
		t.Fatalf("facts take %d bytes, builder %d", len(b), builderSize)
	}
	if got := (&reader{b}).facts(); got != f {
		t.Errorf("facts %+v, want %+v", got, f)
	}
	m := manifest{void: 1, start: 12, first: 10, firstPos: 3, segs: []facts{f}, bad: []badRange{{21, 22, 23, 24, 25}}}
	b = m.append(nil)
	if len(b) != manifestHead+factsSize+badSize+crcSize {
		t.Errorf("manifest of %d bytes", len(b))
	}
	if got, err := parseManifest(b); err != nil || !reflect.DeepEqual(*got, m) {
		t.Errorf("manifest %+v, want %+v, %v", got, m, err)
	}
	p := points{seq: 77, of: []noted{{penstock.PartitionID{Topic: penstock.TopicID{1, 2}, Partition: 3}, point{f, kept{penstock.NoOffset, 7}, noNumber}}}}
	b2 := p.append(nil)
	if len(b2) != pointHead+pointSize+crcSize {
		t.Errorf("points of %d bytes", len(b2))
	}
	if got, err := parsePoints(b2, false); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("points %+v, want %+v, %v", got, p, err)
	}
	p.dense, p.of[0].number = true, 4711
	if b2 = p.append(nil); len(b2) != pointHead+queuePoint+crcSize {
		t.Errorf("points with numbers of %d bytes", len(b2))
	}
	if got, err := parsePoints(b2, true); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("points %+v, want %+v, %v", got, p, err)
	}
	if _, err := parsePoints(b2, false); err == nil {
		t.Error("the checkpoint of the other format is believed")
	}
	for _, n := range []int32{0, 1, lastNumber} {
		if got, err := parseNumbers(appendNumbers(nil, n)); err != nil || got != n {
			t.Errorf("number %d, want %d, %v", got, n, err)
		}
	}
	if _, err := parseNumbers(appendNumbers(nil, lastNumber+1)); err == nil {
		t.Error("a number with too many bits is believed")
	}
	if at, state, err := parseState(appendState(nil, 9, []byte("abc"))); err != nil || at != 9 || string(state) != "abc" {
		t.Errorf("state %q at %d, %v", state, at, err)
	}
	if seq, err := parseClean(appendClean(nil, 5)); err != nil || seq != 5 {
		t.Errorf("marker %d, %v", seq, err)
	}
	for i := range b {
		bad := append([]byte(nil), b...)
		bad[i] ^= 1
		if _, err := parseManifest(bad); err == nil {
			t.Errorf("manifest with byte %d altered is believed", i)
		}
	}
}

// TestEpochFile holds the text files to Kafka's form.
func TestEpochFile(t *testing.T) {
	es := []store.EpochStart{{Epoch: 3, Start: 0}, {Epoch: 6, Start: 1200}}
	b := appendEpochs(nil, es)
	if string(b) != "0\n2\n3 0\n6 1200\n" {
		t.Errorf("%q", b)
	}
	if got, err := parseEpochs(b); err != nil || !reflect.DeepEqual(got, es) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "0", "1\n0\n", "0\n1\n", "0\n1\n3\n", "0\n1\n-3 0\n", "0\n1\n3 -1\n", "0\n2\n3 0\n", "0\nx\n"} {
		if got, err := parseEpochs([]byte(bad)); err == nil {
			t.Errorf("%q is believed: %v", bad, got)
		}
	}
	id := penstock.TopicID{0xfb, 2}
	if got, err := parseMetadata(appendMetadata(nil, id)); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
}
