package meta

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
)

// Options configures a Store.
type Options struct {
	Engine   Engine
	Broker   penstock.BrokerID // whose configuration counts in this image
	Defaults map[string]string // broker-wide defaults of topic configuration, by catalogue key; they must be valid
	Logger   *slog.Logger      // nil: nothing is logged
}

// Store is the typed state. All methods may be called concurrently.
//
// What holds at every moment:
//
//  1. The image is what the engine had at the image's revision, and revisions only grow.
//  2. Only the goroutine of follow makes images after Open. A change goes to the engine alone; its effect comes back by the
//     watch, as everybody else's does. So there is one order of changes, the engine's.
//  3. A change's caller is answered when an image of the change's revision, or a later one, is published, and an image is
//     published when every subscriber has returned from it.
//  4. A change is conditional on the revisions that it was decided on. If one moved, nothing was changed, and it is
//     decided anew on a newer image.
type Store struct {
	engine   Engine
	self     penstock.BrokerID
	defaults map[string]string
	log      *slog.Logger
	image    atomic.Pointer[Image]
	stop     context.CancelFunc
	ended    chan struct{} // closed when the watch has ended

	// publishing is held while subscribers are called and the image is replaced. It guards subscribers.
	publishing  sync.Mutex
	subscribers []func(old, new *Image)

	// mu guards published, which is closed and replaced each time an image is published.
	mu        sync.Mutex
	published chan struct{}
}

const (
	// maxTries bounds how often a change is tried again after somebody else's came in between.
	maxTries = 32
	// minRetry and maxRetry bound the pause after the engine failed, before everything is read again.
	minRetry = 20 * time.Millisecond
	maxRetry = 5 * time.Second
	// maxCoalesced bounds the transactions that go into one image.
	maxCoalesced = 256
	// conflictPause is the longest wait for the image to show what came in between.
	conflictPause = 200 * time.Millisecond
)

// Open loads the image and starts the watch. The cluster id is made on first use. Errors: ErrUnavailable,
// ErrInvalidConfig if the defaults are not valid.
func Open(ctx context.Context, o Options) (*Store, error) {
	if _, err := Parse(nil, o.Defaults); err != nil {
		return nil, fmt.Errorf("broker-wide defaults: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		engine: o.Engine, self: o.Broker, defaults: maps.Clone(o.Defaults), log: o.Logger,
		ended: make(chan struct{}), published: make(chan struct{}),
	}
	img, left, err := s.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	if img.ClusterID == "" {
		if err := s.found(ctx); err != nil {
			return nil, fmt.Errorf("make the cluster's id: %w", err)
		}
		if img, left, err = s.read(ctx); err != nil {
			return nil, fmt.Errorf("read metadata: %w", err)
		}
	}
	s.image.Store(img)
	s.sweep(ctx, left)
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.follow(run)
	return s, nil
}

// read makes an image of what is stored.
func (s *Store) read(ctx context.Context) (*Image, []KV, error) {
	kvs, revision, err := s.engine.Range(ctx, prefix)
	if err != nil {
		return nil, nil, err
	}
	return load(kvs, revision, s.self, s.defaults, s.log)
}

// found makes the cluster's id, unless another node does it first.
func (s *Store) found(ctx context.Context) error {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // it never fails
	raw[0] &= 0x7f           // so that the id does not begin with a hyphen, which tools take for an option
	id := base64.RawURLEncoding.EncodeToString(raw[:])
	_, _, err := s.engine.Commit(ctx, []Cond{{Key: keyCluster}},
		[]Change{{keyCluster, encode(clusterValue{version{valueVersion}, id})}})
	return err
}

// sweep deletes keys of partitions whose topic is gone, as far as that is possible now. What stays does no harm.
func (s *Store) sweep(ctx context.Context, left []KV) {
	for _, kv := range left {
		id, _, err := parsePartKey(kv.Key)
		if err != nil {
			continue
		}
		conds := []Cond{{kv.Key, kv.Revision}, {Key: topicKey(id)}}
		if _, _, err := s.engine.Commit(ctx, conds, []Change{{Key: kv.Key}}); err != nil {
			s.log.Warn("left-over metadata not swept", "key", kv.Key, "error", err)
			return
		}
	}
}

// follow brings the image up to date until the store is closed.
func (s *Store) follow(ctx context.Context) {
	defer close(s.ended)
	for ctx.Err() == nil {
		if s.watch(ctx) {
			s.reload(ctx)
		}
	}
}

// watch applies updates until ctx ends or there is a gap; then it returns true. Updates that are there already go into
// one image: subscribers look at all topics for each.
func (s *Store) watch(ctx context.Context) (gap bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := s.engine.Watch(ctx, prefix, s.Image().Revision)
	for u := range updates {
		if u.Reset {
			return true
		}
		b := newBuilder(s.Image(), s.defaults, s.log)
		b.apply(u)
		more, gap := s.more(b, updates)
		s.publish(b.next, b.changed())
		if gap {
			return true
		}
		if !more {
			break
		}
	}
	return ctx.Err() == nil
}

// more applies the updates that are there already.
func (s *Store) more(b *builder, updates <-chan Update) (open, gap bool) {
	for range maxCoalesced {
		select {
		case u, ok := <-updates:
			switch {
			case !ok:
				return false, false
			case u.Reset:
				return true, true
			}
			b.apply(u)
		default:
			return true, false
		}
	}
	return true, false
}

// reload reads everything again, until that works or the store is closed.
func (s *Store) reload(ctx context.Context) {
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		img, _, err := s.read(ctx)
		// An engine that answers with an older state than it did before has lost something; what is known stays.
		if err == nil && img.Revision >= s.Image().Revision {
			last := s.Image()
			b := &builder{last: last, next: img}
			b.keep(last)
			s.publish(img, true)
			return
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("metadata not read; traffic goes on with what is known", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// publish shows an image to the subscribers, then to everybody.
func (s *Store) publish(img *Image, changed bool) {
	s.publishing.Lock()
	if changed {
		old := s.image.Load()
		for _, f := range s.subscribers {
			f(old, img)
		}
	}
	s.image.Store(img)
	s.publishing.Unlock()
	s.mu.Lock()
	close(s.published)
	s.published = make(chan struct{})
	s.mu.Unlock()
}

// Image is the newest image that all subscribers have seen. It costs one atomic load.
func (s *Store) Image() *Image { return s.image.Load() }

// Subscribe calls f with every new image that differs from the one before in more than its revision, one at a time,
// first with the present one as both old and new. Subscribers are called in the order in which they subscribed. An image is
// published when all have returned, and before the change's own caller gets its answer: after CreateTopic returns,
// f has seen the topic; and while f runs, Image is still the old one. f must not change metadata itself.
func (s *Store) Subscribe(f func(old, new *Image)) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	img := s.image.Load()
	f(img, img)
	s.subscribers = append(s.subscribers, f)
}

// await waits until an image of at least that revision is published.
func (s *Store) await(ctx context.Context, revision int64) error {
	for {
		s.mu.Lock()
		next := s.published
		s.mu.Unlock()
		if s.Image().Revision >= revision {
			return nil
		}
		select {
		case <-next:
		case <-s.ended:
			return penstock.ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("done, but not seen here yet: %w: %w", penstock.ErrUnavailable, ctx.Err())
		}
	}
}

// settled waits after a conflict for the image to show it, but not for long: the revision may be that of a key that is
// not ours.
func (s *Store) settled(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, conflictPause)
	defer cancel()
	_ = s.await(ctx, revision) // whatever came of it, the next try shows
}

// Close ends the watch. The engine is closed by who made it.
func (s *Store) Close() error {
	s.stop()
	<-s.ended
	return nil
}

// unavailable marks what an engine's error means, if the engine did not.
func unavailable(err error) error {
	if err == nil || errors.Is(err, penstock.ErrUnavailable) || errors.Is(err, penstock.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", penstock.ErrUnavailable, err)
}
