package etcd

import (
	"context"

	"go.uber.org/zap"
)

// Compact forgets the history up to a revision, as etcd does by itself after some minutes.
func (e *Engine) Compact(ctx context.Context, revision int64) error {
	_, err := e.client.Compact(ctx, revision)
	return err
}

// GiveUp makes etcd's logger do what etcd does when it cannot go on.
func (e *Engine) GiveUp(why string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.server.GetLogger().Fatal("failed", zap.String("why", why))
	}()
	<-ended
}

// MinFree is the room on the disk below which nothing is added.
const MinFree = minFree

// SetFree makes the engine believe that the disk has n bytes free. It is called before the engine is used concurrently.
func (e *Engine) SetFree(n int64) {
	e.free = func(string) (int64, error) { return n, nil }
}
