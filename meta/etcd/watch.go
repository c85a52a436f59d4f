package etcd

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"penstock/meta"
)

// watchPause is waited before a watch that broke is made again.
const watchPause = 20 * time.Millisecond

// Watch delivers every change of keys with the prefix after the revision, in order, until ctx ends or the engine is
// closed or failed.
func (e *Engine) Watch(ctx context.Context, prefix string, after int64) <-chan meta.Update {
	out := make(chan meta.Update)
	go func() {
		defer close(out)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go e.cancelOnFailure(ctx, cancel)
		for {
			after = e.follow(ctx, prefix, after, out)
			select {
			case <-ctx.Done():
				return
			case <-e.done:
				return
			case <-time.After(watchPause):
			}
		}
	}()
	return out
}

// follow delivers from one watch of etcd's until it breaks, and returns the revision delivered last.
func (e *Engine) follow(ctx context.Context, prefix string, after int64, out chan<- meta.Update) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range e.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1)) {
		if r.CompactRevision != 0 {
			u := meta.Update{Revision: max(r.Header.Revision, r.CompactRevision), Reset: true}
			if !send(ctx, out, u) {
				return after
			}
			return u.Revision
		}
		if r.Err() != nil {
			return after
		}
		for _, u := range updates(r.Events) {
			if !send(ctx, out, u) {
				return after
			}
			after = u.Revision
		}
	}
	return after
}

// updates groups events by the transaction that made them. etcd never tears a transaction apart.
func updates(events []*clientv3.Event) []meta.Update {
	var out []meta.Update
	for _, ev := range events {
		if n := len(out); n == 0 || out[n-1].Revision != ev.Kv.ModRevision {
			out = append(out, meta.Update{Revision: ev.Kv.ModRevision})
		}
		u := &out[len(out)-1]
		c := meta.Change{Key: string(ev.Kv.Key)}
		if ev.Type == clientv3.EventTypePut {
			c.Value = ev.Kv.Value
			if c.Value == nil {
				c.Value = []byte{} // nil would mean that it was deleted
			}
		}
		u.Changes = append(u.Changes, c)
	}
	return out
}

func send(ctx context.Context, out chan<- meta.Update, u meta.Update) bool {
	select {
	case out <- u:
		return true
	case <-ctx.Done():
		return false
	}
}
