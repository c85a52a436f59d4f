package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"penstock"
	"penstock/disk"
	"penstock/group"
	"penstock/meta"
	"penstock/meta/etcd"
	"penstock/record"
	"penstock/replica"
	"penstock/store"
	"penstock/store/segment"
)

// offline is a data directory whose broker does not run: its disk and its metadata.
type offline struct {
	root    string
	disk    *disk.Disk
	meta    *meta.Store
	log     *slog.Logger
	closers []func() error // in the order of opening
}

// openOffline opens a data directory. The caller closes it.
func openOffline(ctx context.Context, data string, log *slog.Logger) (*offline, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	root, err := filepath.Abs(data)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", data, err)
	}
	o := &offline{root: root, log: log}
	if o.disk, err = disk.Open(root, disk.Options{Logger: log}); err != nil {
		return nil, fmt.Errorf("%w. Stop the broker that uses it, or choose another directory with --data", err)
	}
	o.closers = append(o.closers, o.disk.Close)
	engine, err := etcd.Open(ctx, etcd.Options{Dir: filepath.Join(root, metaDir), Logger: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", root, err), o.Close())
	}
	o.closers = append(o.closers, engine.Close)
	if o.meta, err = meta.Open(ctx, meta.Options{Engine: engine, Logger: log}); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", root, err), o.Close())
	}
	o.closers = append(o.closers, o.meta.Close)
	return o, nil
}

// Close closes what was opened, last first.
func (o *offline) Close() error {
	var errs []error
	for i := len(o.closers) - 1; i >= 0; i-- {
		errs = append(errs, o.closers[i]())
	}
	o.closers = nil
	return errors.Join(errs...)
}

// withGroups calls f with the coordinator of the groups that broker keeps in the data directory. Of the partitions only the journal's are opened, and nothing
// in it expires or is written again. create says that there shall be a journal; else f is not called where there is none. The store of
// records must have been stopped cleanly, for it is when this ends.
func (o *offline) withGroups(ctx context.Context, broker penstock.BrokerID, create bool, f func(*group.Coordinator) error) (err error) {
	if !create && o.meta.Image().Topic(group.JournalTopic) == nil {
		return nil
	}
	segments, err := segment.New(o.disk, record.Format{}, segment.Options{Logger: o.log})
	if err != nil {
		return fmt.Errorf("data directory %s: %w", o.root, err)
	}
	if ids, err := segments.List(); err != nil || len(ids) > 0 && !segments.Clean() {
		return errors.Join(err, fmt.Errorf("data directory %s: %w: it was not stopped cleanly, start and stop the broker first", o.root, penstock.ErrUnsupported))
	}
	journal := &journalOnly{Store: segments}
	o.meta.Subscribe(journal.follow) // before the partitions are told
	rs := replica.New(replica.Options{
		Broker: broker, Stores: map[replica.StoreKey]store.Store{{Layout: penstock.LayoutSegment, Format: penstock.FormatRecord}: journal},
		// It would tell of every partition that is left closed.
		Logger: slog.New(slog.DiscardHandler),
	})
	o.meta.Subscribe(rs.Follow)
	const never = 1 << 62
	c := group.New(group.Options{Broker: broker, Topics: o.meta, Partitions: rs, Logger: o.log, ShortenAbove: never, Retention: never, ExpireEvery: never})
	defer func() {
		c.Close()
		err = errors.Join(err, rs.Close())
	}()
	if err := c.Ready(ctx); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	return f(c)
}

// journalOnly is a store in which only the journal of groups can be opened.
type journalOnly struct {
	store.Store
	journal atomic.Pointer[penstock.TopicID]
}

// follow notes which topic is the journal.
func (j *journalOnly) follow(_, img *meta.Image) {
	if t := img.Topic(group.JournalTopic); t != nil {
		j.journal.Store(&t.ID)
	}
}

// Open opens a partition of the journal.
func (j *journalOnly) Open(id penstock.PartitionID, c store.Config) (store.Partition, error) {
	if t := j.journal.Load(); t == nil || *t != id.Topic {
		return nil, fmt.Errorf("partition %v: %w: only the journal of groups is opened", id, penstock.ErrUnsupported)
	}
	return j.Store.Open(id, c)
}
