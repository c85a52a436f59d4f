// Package etcd is meta's engine: etcd with one member, inside the process. It is the only room that knows etcd.
//
// The member is alone and called from within, so it listens nowhere: not on a port, not on a socket in the file system.
//
// etcd ends its process when it cannot write. This one must go on serving what it has, so those exits are caught: the
// engine is then unavailable until the process starts again, and says why. A full disk should not get that far: room
// for etcd's own upkeep is reserved at the start, and changes are refused in good time.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"penstock"
	"penstock/meta"
)

// Options configures an Engine.
type Options struct {
	Dir    string        // directory of etcd's files, made if missing
	Start  time.Duration // longest time until it is ready; default 30 s
	Logger *slog.Logger  // hears of what etcd cannot go on after; nil: nothing
}

const (
	defaultStart = 30 * time.Second

	// A member alone elects itself; nobody else's heartbeat is waited for.
	tickMillis     = 10
	electionMillis = 100

	// quotaBytes bounds etcd's file; at it changes are refused. It also bounds the address space that is mapped.
	quotaBytes = 1 << 30
	// walSegment is reserved twice on the disk from the start.
	walSegment = 4 << 20
	// fileBytes are reserved for etcd's file: what it grows by.
	fileBytes = 16 << 20
	// minFree is the room on the disk below which nothing is added, so that etcd's own upkeep never finds the disk full.
	minFree = 2 * walSegment
	// keepHistory is how long superseded values are kept.
	keepHistory = "5m"
	// maxOps is what one Commit takes.
	maxOps = 128
	// callTime bounds a call whose caller set no bound.
	callTime = 10 * time.Second
	// keepSizeMode is FALLOC_FL_KEEP_SIZE.
	keepSizeMode = 1
)

// Engine is etcd inside the process. All methods may be called concurrently.
type Engine struct {
	dir    string
	log    *slog.Logger
	server *embed.Etcd
	client *clientv3.Client
	free   func(dir string) (int64, error) // room on the disk

	failed    chan struct{} // closed when etcd gave up
	failure   atomic.Pointer[error]
	failOnce  sync.Once
	done      chan struct{} // closed by Close
	closeOnce sync.Once
}

var _ meta.Engine = (*Engine)(nil)

// segmentSize sets the size of etcd's log files, which is a variable of its package, once in a process.
var segmentSize = sync.OnceFunc(func() { wal.SegmentSizeBytes = walSegment })

// Open starts etcd and returns when it is ready. Only one engine may have a directory open; the caller sees to that.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Start <= 0 {
		o.Start = defaultStart
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{dir: o.Dir, log: o.Logger, free: free, failed: make(chan struct{}), done: make(chan struct{})}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("metadata directory: %w", err)
	}
	if err := e.roomToStart(); err != nil {
		return nil, err
	}
	segmentSize()
	ctx, cancel := context.WithTimeout(ctx, o.Start)
	defer cancel()
	if err := e.start(ctx); err != nil {
		return nil, fmt.Errorf("start metadata store in %s: %w", o.Dir, err)
	}
	e.reserve()
	e.client = v3client.New(e.server.Server)
	return e, nil
}

// roomToStart refuses a disk on which etcd would fail while it makes its files.
func (e *Engine) roomToStart() error {
	if _, err := os.Stat(filepath.Join(e.dir, "member")); err == nil {
		return nil // it has its files
	}
	if n, err := e.free(e.dir); err == nil && n < minFree+fileBytes {
		return fmt.Errorf("metadata store in %s: %w: %d bytes free, %d are needed to begin", e.dir, penstock.ErrDiskFull, n, minFree+fileBytes)
	}
	return nil
}

// start runs etcd until it is ready. etcd may give up in the goroutine that starts it, which then ends.
func (e *Engine) start(ctx context.Context) error {
	type started struct {
		server *embed.Etcd
		err    error
	}
	result := make(chan started, 1)
	go func() {
		s, err := embed.StartEtcd(e.config())
		result <- started{s, err}
	}()
	select {
	case r := <-result:
		if r.err != nil {
			return r.err
		}
		e.server = r.server
	case <-e.failed:
		return e.Err()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", penstock.ErrUnavailable, ctx.Err())
	}
	select {
	case <-e.server.Server.ReadyNotify():
		return nil
	case <-e.failed:
		return e.Err()
	case <-e.server.Server.StopNotify():
		return fmt.Errorf("%w: it stopped", penstock.ErrUnavailable)
	case <-ctx.Done():
		e.server.Close()
		return fmt.Errorf("%w: not ready: %w", penstock.ErrUnavailable, ctx.Err())
	}
}

// config is that of a member alone. The URL is a name that nobody listens on.
func (e *Engine) config() *embed.Config {
	self := url.URL{Scheme: "unix", Host: "penstock:1"}
	c := embed.NewConfig()
	c.Name = "penstock"
	c.Dir = e.dir
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = []url.URL{self}, []url.URL{self}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.InitialClusterToken = "penstock"
	c.TickMs, c.ElectionMs = tickMillis, electionMillis
	c.QuotaBackendBytes = quotaBytes
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, keepHistory
	c.MaxTxnOps = maxOps
	c.EnableGRPCGateway = false
	// Nothing is logged: etcd says a lot. What ends it comes by the hooks.
	hook := exitHook{e}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(zapcore.NewNopCore(), zap.WithFatalHook(hook), zap.WithPanicHook(hook)))
	return c
}

// exitHook stands where etcd would end the process.
type exitHook struct{ e *Engine }

var _ zapcore.CheckWriteHook = exitHook{}

// OnWrite notes why etcd gives up and ends the goroutine that does.
func (h exitHook) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	detail := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(detail)
	}
	h.e.fail(fmt.Errorf("%w: etcd gave up: %s %v", penstock.ErrUnavailable, entry.Message, detail.Fields))
	runtime.Goexit()
}

func (e *Engine) fail(err error) {
	e.failOnce.Do(func() {
		e.failure.Store(&err)
		close(e.failed)
		e.log.Error("metadata store failed; traffic goes on, topics cannot be changed until the next start", "error", err)
	})
}

// Err says why the engine is unavailable for good, nil while it is not.
func (e *Engine) Err() error {
	if p := e.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// reserve gives etcd's file its room on the disk, so that what it writes while idle cannot find the disk full. Where
// the file system cannot, the check before each change has to do.
func (e *Engine) reserve() {
	f, err := os.OpenFile(filepath.Join(e.dir, "member", "snap", "db"), os.O_RDWR, 0)
	if err != nil {
		e.log.Warn("no room reserved for the metadata store", "error", err)
		return
	}
	defer func() { _ = f.Close() }() // nothing was written through it
	if err := syscall.Fallocate(int(f.Fd()), keepSizeMode, 0, fileBytes); err != nil {
		e.log.Warn("no room reserved for the metadata store", "error", err)
	}
}

// free is the room left on a directory's disk for this process.
func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// begin bounds a call and refuses it if it cannot be served.
func (e *Engine) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	select {
	case <-e.done:
		return nil, nil, fmt.Errorf("metadata store: %w: %w", penstock.ErrUnavailable, penstock.ErrClosed)
	case <-e.failed:
		return nil, nil, e.Err()
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	go e.cancelOnFailure(ctx, cancel)
	return ctx, cancel, nil
}

// cancelOnFailure ends a call that etcd will not answer any more.
func (e *Engine) cancelOnFailure(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-ctx.Done():
	case <-e.failed:
		cancel()
	}
}

// outcome marks an error as unavailability.
func (e *Engine) outcome(what string, err error) error {
	if err == nil {
		return nil
	}
	if why := e.Err(); why != nil {
		return fmt.Errorf("%s: %w", what, why)
	}
	return fmt.Errorf("%s: %w: %w", what, penstock.ErrUnavailable, err)
}

// Range returns all keys with the prefix, sorted.
func (e *Engine) Range(ctx context.Context, prefix string) ([]meta.KV, int64, error) {
	ctx, cancel, err := e.begin(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer cancel()
	r, err := e.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return nil, 0, e.outcome("read metadata", err)
	}
	out := make([]meta.KV, len(r.Kvs))
	for i, kv := range r.Kvs {
		out[i] = meta.KV{Key: string(kv.Key), Value: kv.Value, Revision: kv.ModRevision}
	}
	return out, r.Header.Revision, nil
}

// Commit applies the changes if the conditions hold.
func (e *Engine) Commit(ctx context.Context, conds []meta.Cond, changes []meta.Change) (bool, int64, error) {
	if n := len(conds) + len(changes); n > maxOps {
		return false, 0, fmt.Errorf("commit of %d conditions and changes: at most %d", n, maxOps)
	}
	if err := e.room(changes); err != nil {
		return false, 0, err
	}
	ctx, cancel, err := e.begin(ctx)
	if err != nil {
		return false, 0, err
	}
	defer cancel()
	cmps := make([]clientv3.Cmp, len(conds))
	for i, c := range conds {
		cmps[i] = clientv3.Compare(clientv3.ModRevision(c.Key), "=", c.Revision)
	}
	ops := make([]clientv3.Op, len(changes))
	for i, c := range changes {
		if c.Value == nil {
			ops[i] = clientv3.OpDelete(c.Key)
		} else {
			ops[i] = clientv3.OpPut(c.Key, string(c.Value))
		}
	}
	r, err := e.client.Txn(ctx).If(cmps...).Then(ops...).Commit()
	if err != nil {
		return false, 0, e.outcome("change metadata", err)
	}
	return r.Succeeded, r.Header.Revision, nil
}

// room refuses what would add to a disk that is as good as full. What deletes is let through: so room is made.
func (e *Engine) room(changes []meta.Change) error {
	adds := len(changes) > 0
	for _, c := range changes {
		adds = adds && c.Value != nil
	}
	if !adds {
		return nil
	}
	n, err := e.free(e.dir)
	if err == nil && n < minFree {
		return fmt.Errorf("change metadata: %w: %w: %d bytes free, %d are kept", penstock.ErrUnavailable, penstock.ErrDiskFull, n, minFree)
	}
	return nil // what cannot be asked is left to etcd
}

// Close stops etcd. Calls under way fail.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		close(e.done)
		err := e.client.Close()
		if err != nil && !errors.Is(err, context.Canceled) {
			e.log.Debug("metadata client", "error", err)
		}
		// After a failure etcd may hold locks that nobody will give up; its files are as after a kill.
		if e.Err() == nil {
			e.server.Close()
		}
	})
	return nil
}
