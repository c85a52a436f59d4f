package metatest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"penstock"
	"penstock/meta"
)

// Engine is a meta.Engine in memory that fails when it is told to. Its zero value is ready. All methods may be called
// concurrently.
type Engine struct {
	// mu guards everything below.
	mu       sync.Mutex
	revision int64
	keys     map[string]meta.KV
	history  []meta.Update // every transaction since compacted
	oldest   int64         // updates up to this revision are forgotten
	away     error         // what every call returns, nil while the engine is there
	held     bool          // watchers are told nothing
	closed   bool
	commits  int
	watchers map[*watcher]struct{}
}

var _ meta.Engine = (*Engine)(nil)

// maxOps is what one Commit takes, as in etcd.
const maxOps = 128

// watcher is one Watch: the revision it was told of last, and a bell that rings when there may be more.
type watcher struct {
	prefix string
	bell   chan struct{}
}

// Range returns copies of all keys with the prefix.
func (e *Engine) Range(ctx context.Context, prefix string) ([]meta.KV, int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return nil, 0, err
	}
	var out []meta.KV
	for _, k := range slices.Sorted(maps.Keys(e.keys)) {
		if strings.HasPrefix(k, prefix) {
			kv := e.keys[k]
			kv.Value = bytes.Clone(kv.Value)
			out = append(out, kv)
		}
	}
	return out, e.revision, nil
}

// Commit applies the changes if the conditions hold.
func (e *Engine) Commit(ctx context.Context, conds []meta.Cond, changes []meta.Change) (bool, int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return false, 0, err
	}
	if n := len(conds) + len(changes); n > maxOps {
		return false, 0, fmt.Errorf("commit of %d conditions and changes: at most %d", n, maxOps)
	}
	seen := map[string]bool{}
	for _, c := range changes {
		if seen[c.Key] {
			return false, 0, fmt.Errorf("commit changes key %q twice", c.Key)
		}
		seen[c.Key] = true
	}
	for _, c := range conds {
		if e.keys[c.Key].Revision != c.Revision {
			return false, e.revision, nil
		}
	}
	e.commits++
	e.apply(changes)
	return true, e.revision, nil
}

// apply makes the changes one transaction. What deletes nothing changes nothing. The caller holds mu.
func (e *Engine) apply(changes []meta.Change) {
	u := meta.Update{Revision: e.revision + 1}
	if e.keys == nil {
		e.keys = map[string]meta.KV{}
	}
	for _, c := range changes {
		if c.Value == nil {
			if _, ok := e.keys[c.Key]; !ok {
				continue
			}
			delete(e.keys, c.Key)
		} else {
			c.Value = bytes.Clone(c.Value)
			e.keys[c.Key] = meta.KV{Key: c.Key, Value: c.Value, Revision: u.Revision}
		}
		u.Changes = append(u.Changes, c)
	}
	if len(u.Changes) == 0 {
		return
	}
	e.revision = u.Revision
	e.history = append(e.history, u)
	e.ring()
}

// ring wakes all watchers. The caller holds mu.
func (e *Engine) ring() {
	for w := range e.watchers {
		select {
		case w.bell <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// Watch delivers updates after the revision.
func (e *Engine) Watch(ctx context.Context, prefix string, after int64) <-chan meta.Update {
	w := &watcher{prefix, make(chan struct{}, 1)}
	w.bell <- struct{}{}
	e.mu.Lock()
	if e.watchers == nil {
		e.watchers = map[*watcher]struct{}{}
	}
	e.watchers[w] = struct{}{}
	e.mu.Unlock()
	out := make(chan meta.Update)
	go func() {
		defer close(out)
		defer e.forget(w)
		e.deliver(ctx, w, after, out)
	}()
	return out
}

func (e *Engine) forget(w *watcher) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watchers, w)
}

// deliver sends what w has not seen until ctx ends or the engine is closed.
func (e *Engine) deliver(ctx context.Context, w *watcher, after int64, out chan<- meta.Update) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.bell:
		}
		todo, open := e.since(w.prefix, after)
		if !open {
			return
		}
		for _, u := range todo {
			select {
			case <-ctx.Done():
				return
			case out <- u:
			}
			after = u.Revision
		}
	}
}

// since lists the updates after a revision, or a reset if they are forgotten.
func (e *Engine) since(prefix string, after int64) (us []meta.Update, open bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.held || e.away != nil {
		return nil, !e.closed
	}
	if after < e.oldest {
		return []meta.Update{{Revision: e.revision, Reset: true}}, true
	}
	for _, u := range e.history {
		if u.Revision <= after {
			continue
		}
		mine := meta.Update{Revision: u.Revision}
		for _, c := range u.Changes {
			if strings.HasPrefix(c.Key, prefix) {
				mine.Changes = append(mine.Changes, c)
			}
		}
		if len(mine.Changes) > 0 {
			us = append(us, mine)
		}
	}
	return us, true
}

// usable says why no call can be served. The caller holds mu.
func (e *Engine) usable(ctx context.Context) error {
	switch {
	case e.closed:
		return fmt.Errorf("%w: %w", penstock.ErrUnavailable, penstock.ErrClosed)
	case e.away != nil:
		return fmt.Errorf("%w: %w", penstock.ErrUnavailable, e.away)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", penstock.ErrUnavailable, ctx.Err())
	}
	return nil
}

// Close ends the engine. Its watches end.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.ring()
	return nil
}

// Fail makes every call fail with err, and watches silent, until it is called with nil.
func (e *Engine) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = err
	e.ring()
}

// Hold keeps watches silent while on, as if the network to them were slow.
func (e *Engine) Hold(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = on
	e.ring()
}

// Compact forgets the history: whoever watches from before now is told to read everything again.
func (e *Engine) Compact() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.history, e.oldest = nil, e.revision
	e.ring()
}

// Put sets a key behind the store's back.
func (e *Engine) Put(key string, value []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.apply([]meta.Change{{Key: key, Value: value}})
}

// Commits counts the transactions that were applied.
func (e *Engine) Commits() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.commits
}
