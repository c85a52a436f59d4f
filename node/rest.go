package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector keeps free what the last busy time needed, about as much as is in use, and gives it back slowly and not all. A node
// with thousands of partitions at rest would hold twice what it needs. So a node that has come to rest collects once and gives
// everything back; one that works, even a little, is left alone.
const (
	restEvery = 10 * time.Second // between two looks
	restBytes = 4 << 20          // of allocations: less between two looks is rest, as much since memory was given back is worth doing it again
)

// resting decides when to give memory back. The zero value is ready; it is used by one goroutine.
type resting struct {
	last uint64 // allocated in all at the last look
	kept uint64 // allocated in all when memory was given back
}

// due takes how many bytes were allocated in all since the start of the process, and says whether to give memory back now.
func (r *resting) due(allocated uint64) bool {
	quiet := allocated-r.last < restBytes
	r.last = allocated
	if !quiet || allocated-r.kept < restBytes {
		return false
	}
	r.kept = allocated
	return true
}

// giveBack gives memory back whenever the node has come to rest.
func (n *Node) giveBack(ctx context.Context) {
	tick := time.NewTicker(restEvery)
	defer tick.Stop()
	var r resting
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(s)
		if r.due(s[0].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}
