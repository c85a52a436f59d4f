package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector keeps free what the last busy time needed, about as much as is in use, and gives it back slowly and not all. A node
// with thousands of partitions at rest would hold twice what it needs. So a node that has come to rest collects once and gives
// everything back; one that works, even a little, is left alone. Scrapes of its metrics are no work: they come at rest as well.
const (
	restEvery = 5 * time.Second // between two looks
	restBytes = 2 << 20         // of allocations: less between two looks is rest
	restWorth = 4 << 20         // of allocations since memory was given back: as much is worth doing it again
)

// resting decides when to give memory back. The zero value is ready; it is used by one goroutine.
type resting struct {
	last uint64 // allocated in all at the last look, by scrapes not counted
	kept uint64 // allocated in all when memory was given back
}

// due takes how many bytes were allocated in all since the start of the process, and how many of them by scrapes, and says whether to
// give memory back now.
func (r *resting) due(allocated, scrapes uint64) bool {
	work := max(allocated-min(scrapes, allocated), r.last)
	quiet := work-r.last < restBytes
	r.last = work
	if !quiet || allocated-r.kept < restWorth {
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.due(allocated(), n.admin.scraped()) {
			debug.FreeOSMemory()
		}
	}
}

// allocated is how many bytes were allocated in all since the start of the process.
func allocated() uint64 {
	s := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s[:])
	return s[0].Value.Uint64()
}
