package segment

import (
	"testing"
	"unsafe"
)

// TestPartitionSize: there are thousands of partitions, and one byte more than this makes each take 128 more, because the allocator's next class is 896
// bytes, 8 of them its own.
func TestPartitionSize(t *testing.T) {
	if n := unsafe.Sizeof(Partition{}); n > 760 {
		t.Errorf("%d bytes", n)
	}
}
