package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// Names in a partition's directory.
const (
	ownerFile   = "owner"
	factsFile   = "facts"
	stateSuffix = ".state"
)

// Partition is one partition on the shared log. It is safe for concurrent use.
type Partition struct {
	st  *Store
	id  penstock.PartitionID
	dir string

	own      sync.Mutex        // serialises what changes the partition
	unsynced map[string]bool   // guarded by own: files of the queue written since the last checkpoint
	sized    string            // guarded by own: the file of the queue that was seen to be of full length
	unsure   bool              // guarded by own: writing "facts" failed, it may be ahead of the memory
	states   []penstock.Offset // guarded by own: saved states, ascending
	kept     kept              // guarded by own: how far the newest of them holds
	owned    bool              // guarded by own: the file "owner" is there
	owner    owner             // guarded by own

	sums sums // guarded by own

	name atomic.Pointer[queueName] // as in owner; nil until it is owned

	mu     sync.RWMutex
	cfg    store.Config    // guarded by mu
	q      queue           // guarded by mu; see there
	facts  facts           // guarded by mu; its slices are replaced, never changed
	end    penstock.Offset // guarded by mu
	gen    int             // guarded by mu: raised when entries are taken back or trimmed
	closed bool            // guarded by mu

	hmu sync.Mutex
	h   *disk.Handle // guarded by hmu: the file of the queue that was read last
	old old          // guarded by hmu
}

var _ store.Partition = (*Partition)(nil)

func newPartition(s *Store, id penstock.PartitionID) *Partition {
	return &Partition{st: s, id: id, dir: path.Join(s.dir, queuesDir, id.Topic.Hex(), strconv.Itoa(int(id.Partition))), unsynced: map[string]bool{},
		cfg: withDefaults(store.Config{})}
}

// ID is the partition's name.
func (p *Partition) ID() penstock.PartitionID { return p.id }

// Log is the log that the partition shares with all others of the store.
func (p *Partition) Log() store.Log { return p.st.log }

// Bounds are the first offset still kept and the end.
func (p *Partition) Bounds() (start, end penstock.Offset) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.facts.start, p.end
}

// Configure changes the configuration from the next append or retention pass on. What it says of segments and their indexes has no meaning
// on a shared log.
func (p *Partition) Configure(c store.Config) {
	c = withDefaults(c)
	p.mu.Lock()
	p.cfg = c
	p.mu.Unlock()
}

func (p *Partition) config() store.Config {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.cfg
}

// ready makes sure that writing may begin. The caller holds own.
func (p *Partition) ready() error {
	p.mu.RLock()
	closed := p.closed
	p.mu.RUnlock()
	if closed {
		return fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	l := p.st.log
	l.mu.RLock()
	failed := l.failed
	l.mu.RUnlock()
	if failed != nil {
		return failed
	}
	if err := p.st.touch(); err != nil {
		return err
	}
	if p.unsure {
		return p.writeFacts(p.current())
	}
	return nil
}

// current are the facts as they are. The caller holds own; readers may add damaged places meanwhile.
func (p *Partition) current() facts {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.facts
}

// writeFacts replaces the file "facts", and then what is in memory. The caller holds own.
func (p *Partition) writeFacts(f facts) error {
	if err := p.st.d.WriteFile(path.Join(p.dir, factsFile), f.append(nil)); err != nil {
		p.unsure = true
		return fmt.Errorf("partition %v: %s: %w", p.id, factsFile, err)
	}
	p.unsure = false
	p.mu.Lock()
	p.facts = f
	p.mu.Unlock()
	return nil
}

// claim writes the file "owner" before the first batch. Its name and bytes are durable with the next round of group commit. The
// caller holds own, and Store.w: from is where the batch will lie.
func (p *Partition) claim(name queueName, from penstock.Position) error {
	if p.owned {
		return nil
	}
	o := owner{from: from, name: name}
	h, err := create(p.st.d, path.Join(p.dir, ownerFile))
	if err != nil {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	if _, err := h.WriteVec([][]byte{o.append(nil)}, 0); err != nil {
		h.Release()
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	p.setOwner(o)
	p.st.log.alongside(h)
	return nil
}

// setOwner takes over what the file "owner" says.
func (p *Partition) setOwner(o owner) {
	p.owned, p.owner = true, o
	p.name.Store(&o.name)
}

// nameFor is the queue's name that a message gives, the partition's own where it is that.
func (p *Partition) nameFor(g *gist) queueName {
	if n := p.name.Load(); n != nil && n.queue == g.queue && n.topic == string(g.topic) {
		return *n
	}
	return queueName{string(g.topic), g.queue}
}

// release closes the partition. The caller holds own.
func (p *Partition) release() {
	p.mu.Lock()
	p.closed = true
	p.gen++
	p.mu.Unlock()
	p.hmu.Lock()
	p.dropHandle()
	p.hmu.Unlock()
}

// lastEpoch is the newest epoch noted. The caller holds own.
func (p *Partition) lastEpoch() penstock.Epoch {
	if n := len(p.facts.epochs); n > 0 {
		return p.facts.epochs[n-1].Epoch
	}
	return penstock.NoEpoch
}

// remove removes one file; a missing one is.
func (p *Partition) remove(name string) error {
	if err := p.st.d.Remove(path.Join(p.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	return nil
}
