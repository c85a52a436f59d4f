package main

import (
	"fmt"
	"hash/fnv"
)

// sum is what a partition, or a topic, came to. Two sums over the same records are equal, over different ones practically
// never. Set does not depend on the order, Order does.
type sum struct {
	Records int64
	Bytes   int64 // of keys and values
	Set     uint64
	Order   uint64
}

// add takes in a record as the line that ConsoleConsumer prints for it: key, tab, value.
func (s *sum) add(line []byte, size int) {
	h := fnv.New64a()
	h.Write(line)
	x := h.Sum64()
	s.Records++
	s.Bytes += int64(size)
	s.Set += x * 0x9e3779b97f4a7c15
	s.Order = s.Order*1099511628211 + x
}

// total adds up partitions; their order counts.
func total(parts []sum) sum {
	var t sum
	for _, p := range parts {
		t.Records += p.Records
		t.Bytes += p.Bytes
		t.Set += p.Set
		t.Order = t.Order*1099511628211 + p.Order
	}
	return t
}

// same compares sums by partition.
func same(what string, got, want []sum) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s: %d partitions, want %d", what, len(got), len(want))
	}
	for p := range got {
		if got[p] != want[p] {
			return fmt.Errorf("%s: partition %d: got %+v, want %+v", what, p, got[p], want[p])
		}
	}
	return nil
}
