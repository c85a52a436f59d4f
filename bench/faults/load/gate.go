// Package load keeps a broker busy with franz-go while faults happen, and tells a check.Log of everything that it sends, is
// told and reads.
package load

import "sync"

// Gate decides which acknowledgements count. Before a power cut it is shut: what is answered afterwards may have been
// answered by a machine that has no disk any more. All methods may be called concurrently.
type Gate struct {
	mu   sync.RWMutex // held for reading while something is counted, so that Shut waits for it
	shut bool
}

// Do calls f if the gate is open.
func (g *Gate) Do(f func()) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if !g.shut {
		f()
	}
}

// Shut closes the gate. After it returns no f runs any more.
func (g *Gate) Shut() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
}

// Open opens the gate again.
func (g *Gate) Open() {
	g.mu.Lock()
	g.shut = false
	g.mu.Unlock()
}
