package node

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/replica"
	"penstock/store"
	"penstock/store/commit"
	"penstock/store/segment"
)

// stores are the four stores of a node, one for each layout and format. One that no topic uses is not made: it costs no file, no memory and no
// time at the start.
type stores struct {
	of map[replica.StoreKey]*lazyStore
}

// storeKeys lists layouts and formats in the order in which they are told of.
func storeKeys() []replica.StoreKey {
	var keys []replica.StoreKey
	for _, l := range []penstock.Layout{penstock.LayoutSegment, penstock.LayoutCommit} {
		for _, f := range []penstock.Format{penstock.FormatRecord, penstock.FormatMessage} {
			keys = append(keys, replica.StoreKey{Layout: l, Format: f})
		}
	}
	return keys
}

// newStores opens the stores that have files, all at once, since each waits for the disk most of the time.
func newStores(d *disk.Disk, c *Config, log *slog.Logger) (*stores, error) {
	s := &stores{of: map[replica.StoreKey]*lazyStore{}}
	formats := map[penstock.Format]store.Format{penstock.FormatRecord: record.Format{}, penstock.FormatMessage: message.Format{}}
	var wg sync.WaitGroup
	faults := make([]error, len(storeKeys()))
	for i, key := range storeKeys() {
		l := &lazyStore{open: func() (store.Store, error) { return openStore(d, key, formats[key.Format], c, log) }}
		s.of[key] = l
		wg.Go(func() { faults[i] = l.openIfUsed(d, storeDir(key)) })
	}
	wg.Wait()
	for i, key := range storeKeys() {
		if faults[i] != nil {
			return nil, fmt.Errorf("store %v: %w", key, faults[i])
		}
	}
	return s, nil
}

// storeDir is a directory that is there when a store has files. That of Kafka's is the root, which is always there.
func storeDir(key replica.StoreKey) string {
	if key == (replica.StoreKey{}) {
		return "."
	}
	return path.Join(key.Layout.String(), key.Format.String())
}

// openStore makes the store of a layout and a format.
func openStore(d *disk.Disk, key replica.StoreKey, f store.Format, c *Config, log *slog.Logger) (store.Store, error) {
	if key.Layout == penstock.LayoutCommit {
		return commit.New(d, f, commit.Options{
			Logger: log, FileBytes: c.CommitFile, QueueEntries: c.inner.queueEntries, DelayLevels: c.Rocket.Levels,
			NoWarm: !c.Commit.Warm, DeleteHours: c.Commit.Hours,
			CleanPercent: c.Commit.Clean, ForcePercent: c.Commit.Force, RefusePercent: c.Commit.Refuse,
			NoIndex: !c.Rocket.Index, IndexSlots: c.Rocket.Slots, IndexEntries: c.Rocket.Entries,
		})
	}
	return segment.New(d, f, segment.Options{Logger: log, IndexCache: c.IndexCache, ZeroAhead: orNever(c.ZeroAhead)})
}

// forReplicas is the stores as replica.Options takes them.
func (s *stores) forReplicas() map[replica.StoreKey]store.Store {
	out := map[replica.StoreKey]store.Store{}
	for key, l := range s.of {
		out[key] = l
	}
	return out
}

// clean reports whether the stop before this start was clean for all of them.
func (s *stores) clean() bool {
	for _, l := range s.of {
		if !l.Clean() {
			return false
		}
	}
	return true
}

// opened calls f for the stores that are open, in the order of storeKeys, until it returns an error.
func (s *stores) opened(f func(replica.StoreKey, store.Store) error) error {
	for _, key := range storeKeys() {
		if st := s.of[key].opened(); st != nil {
			if err := f(key, st); err != nil {
				return fmt.Errorf("store %v: %w", key, err)
			}
		}
	}
	return nil
}

// list names the partitions that have files, with the store that they lie in.
func (s *stores) list() (map[penstock.PartitionID]store.Store, error) {
	out := map[penstock.PartitionID]store.Store{}
	err := s.opened(func(_ replica.StoreKey, st store.Store) error {
		ids, err := st.List()
		for _, id := range ids {
			out[id] = st
		}
		return err
	})
	return out, err
}

// roomMaker is a store that keeps less where the disk is too full.
type roomMaker interface {
	MakeRoom(now time.Time) (freed int64, err error)
}

// scrubber is a store that can check all durable batches, slowly.
type scrubber interface {
	Scrub(ctx context.Context, rate int64) (bytes int64, err error)
}

// lazyStore is a store that is made when it is first needed.
type lazyStore struct {
	open func() (store.Store, error)

	mu     sync.Mutex
	st     store.Store // guarded by mu; nil until it is needed
	closed bool        // guarded by mu
}

var _ store.Store = (*lazyStore)(nil)

// openIfUsed opens the store if it has files.
func (l *lazyStore) openIfUsed(d *disk.Disk, dir string) error {
	es, err := d.ReadDir(dir)
	if err != nil || len(es) == 0 && dir != "." {
		return err
	}
	_, err = l.get()
	return err
}

// get returns the store, which it opens if need be. A failure is not remembered: it may have been a full disk.
func (l *lazyStore) get() (store.Store, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	if l.st == nil {
		st, err := l.open()
		if err != nil {
			return nil, err
		}
		l.st = st
	}
	return l.st, nil
}

// opened returns the store if it is open, else nil.
func (l *lazyStore) opened() store.Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.st
}

// Open opens a partition, and the store with the first.
func (l *lazyStore) Open(id penstock.PartitionID, c store.Config) (store.Partition, error) {
	st, err := l.get()
	if err != nil {
		return nil, err
	}
	return st.Open(id, c)
}

// Remove removes a partition. A store that is not open has none.
func (l *lazyStore) Remove(id penstock.PartitionID) error {
	if st := l.opened(); st != nil {
		return st.Remove(id)
	}
	return nil
}

// List names the partitions that have files.
func (l *lazyStore) List() ([]penstock.PartitionID, error) {
	if st := l.opened(); st != nil {
		return st.List()
	}
	return nil, nil
}

// Checkpoint makes what there is durable.
func (l *lazyStore) Checkpoint() error {
	if st := l.opened(); st != nil {
		return st.Checkpoint()
	}
	return nil
}

// Trim cuts what the store has written ahead of logs that rest, if it does such a thing.
func (l *lazyStore) Trim() {
	if st, ok := l.opened().(interface{ Trim() }); ok {
		st.Trim()
	}
}

// Close closes the store if it is open; it opens no more.
func (l *lazyStore) Close() error {
	l.mu.Lock()
	l.closed = true
	st := l.st
	l.mu.Unlock()
	if st != nil {
		return st.Close()
	}
	return nil
}

// Clean reports whether the stop before was clean. Of a store without files it was.
func (l *lazyStore) Clean() bool {
	if st := l.opened(); st != nil {
		return st.Clean()
	}
	return true
}
