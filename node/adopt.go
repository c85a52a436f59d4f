package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"slices"

	"penstock"
	"penstock/disk"
	"penstock/meta"
	"penstock/meta/etcd"
	"penstock/record"
	"penstock/store"
	"penstock/store/segment"
)

// AdoptOptions says what to take over.
type AdoptOptions struct {
	Source   string // a Kafka broker's log directory; it is not changed
	Data     string // data directory
	Broker   penstock.BrokerID
	Internal bool // also topics that begin with "__"
	Link     bool // link closed segments where that can be done
	Log      *slog.Logger
	Progress func(AdoptProgress) // called now and then, never concurrently; nil: nobody looks
}

// AdoptProgress says how far it is.
type AdoptProgress struct {
	Partitions, OfPartitions int
	Bytes, OfBytes           int64
	Now                      string // what is being done
}

// Adopted says what was taken over.
type Adopted struct {
	Topics []AdoptedTopic
	Copied int64    // bytes
	Linked int64    // bytes
	Notes  []string // what somebody should know
}

// AdoptedTopic is one topic that was taken over.
type AdoptedTopic struct {
	Name       string
	ID         penstock.TopicID
	Partitions int
	Records    int64 // offsets that are covered
	Bytes      int64
	Epoch      penstock.Epoch // of the leader from now on
}

const (
	logsDir = "logs"
	// stagingDir holds a topic until all of it is there.
	stagingDir = "adopt.tmp"
	// adoptingFile lies in a topic's directory until the metadata knows the topic.
	adoptingFile = "adopting"
)

// keepForEver is the configuration of topics that are taken over. Their own is not in the log directory, and a guess
// must not delete anything.
func keepForEver() map[string]string {
	return map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}
}

// adoption is one run of Adopt.
type adoption struct {
	o        AdoptOptions
	root     string
	disk     *disk.Disk
	meta     *meta.Store
	segments *segment.Store
	sum      Adopted
	progress AdoptProgress
}

// Adopt takes over the topics of a Kafka log directory. It may be repeated after an interruption: what is complete is
// left alone, what is not is begun again.
func Adopt(ctx context.Context, o AdoptOptions) (sum *Adopted, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(AdoptProgress) {}
	}
	a := &adoption{o: o}
	topics, err := a.survey()
	if err != nil {
		return nil, err
	}
	closeAll, err := a.open(ctx)
	defer func() {
		if e := closeAll(); e != nil && err == nil {
			err = fmt.Errorf("data directory %s: %w", a.root, e)
		}
	}()
	if err != nil {
		return nil, err
	}
	if topics, err = a.plan(topics); err != nil {
		return nil, err
	}
	for _, t := range topics {
		a.progress.OfPartitions += len(t.parts)
		a.progress.OfBytes += t.bytes()
	}
	for _, t := range topics {
		if err := a.take(ctx, t); err != nil {
			return nil, fmt.Errorf("topic %q: %w. What was complete stays; run it again when the cause is gone", t.name, err)
		}
	}
	return &a.sum, nil
}

// open opens the data directory as a broker would. closeAll closes what was opened, also after an error.
func (a *adoption) open(ctx context.Context) (closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}
	if a.root, err = filepath.Abs(a.o.Data); err != nil {
		return closeAll, fmt.Errorf("data directory %s: %w", a.o.Data, err)
	}
	if a.disk, err = disk.Open(a.root, disk.Options{Logger: a.o.Log}); err != nil {
		return closeAll, fmt.Errorf("%w. Stop the broker that uses it, or choose another directory with --data", err)
	}
	closers = append(closers, a.disk.Close)
	if a.segments, err = segment.New(a.disk, record.Format{}, segment.Options{Logger: a.o.Log}); err != nil {
		return closeAll, fmt.Errorf("data directory %s: %w", a.root, err)
	}
	engine, err := etcd.Open(ctx, etcd.Options{Dir: filepath.Join(a.root, metaDir), Logger: a.o.Log})
	if err != nil {
		return closeAll, fmt.Errorf("data directory %s: %w", a.root, err)
	}
	closers = append(closers, engine.Close)
	if a.meta, err = meta.Open(ctx, meta.Options{Engine: engine, Logger: a.o.Log}); err != nil {
		return closeAll, fmt.Errorf("data directory %s: %w", a.root, err)
	}
	closers = append(closers, a.meta.Close)
	if !a.segments.Clean() {
		// Closing the store says that the stop was clean; what a broker would do first is done here.
		if err := a.meta.Elect(ctx, a.o.Broker); err != nil {
			return closeAll, fmt.Errorf("data directory %s: %w", a.root, err)
		}
	}
	closers = append(closers, a.segments.Close)
	return closeAll, a.disk.RemoveAll(stagingDir)
}

// plan leaves out what was taken over before and refuses, all at once, what stands in the way.
func (a *adoption) plan(topics []*foreign) ([]*foreign, error) {
	img := a.meta.Image()
	var faults []error
	var todo []*foreign
	for _, t := range topics {
		byName, byID := img.Topic(t.name), img.TopicByID(t.id)
		switch {
		case byName != nil && byName.ID == t.id || t.noID && byName != nil:
			a.note("topic %q is there already; left alone", t.name)
			continue
		case byName != nil:
			faults = append(faults, fmt.Errorf("topic %q is there already, with another id, %v", t.name, byName.ID))
			continue
		case byID != nil:
			faults = append(faults, fmt.Errorf("topic %q: its id %v is that of topic %q here", t.name, t.id, byID.Name))
			continue
		}
		dir := path.Join(logsDir, t.id.Hex())
		es, err := a.disk.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		if len(es) > 0 && !slices.ContainsFunc(es, func(e disk.Entry) bool { return e.Name == adoptingFile }) {
			faults = append(faults, fmt.Errorf("topic %q: %s holds files that no topic here has; move them away", t.name, filepath.Join(a.root, dir)))
			continue
		}
		todo = append(todo, t)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("nothing was taken over: %w", &list{faults})
	}
	return todo, nil
}

// list is several errors in one line.
type list struct{ errs []error }

// Error names them all.
func (l *list) Error() string {
	s := ""
	for i, err := range l.errs {
		if i > 0 {
			s += "; "
		}
		s += err.Error()
	}
	return s
}

func (a *adoption) note(format string, args ...any) {
	a.sum.Notes = append(a.sum.Notes, fmt.Sprintf(format, args...))
}

// take takes over one topic: its files are gathered aside, moved into place at once, checked, and made known.
func (a *adoption) take(ctx context.Context, t *foreign) error {
	staged, placed := path.Join(stagingDir, t.id.Hex()), path.Join(logsDir, t.id.Hex())
	if err := a.disk.WriteFile(path.Join(staged, adoptingFile), nil); err != nil {
		return err
	}
	for _, p := range t.parts {
		a.step("copying "+p.dir, 0, 0)
		if err := a.fetch(ctx, p, path.Join(staged, fmt.Sprint(p.n))); err != nil {
			return fmt.Errorf("partition %d: %w", p.n, err)
		}
	}
	if err := a.disk.RemoveAll(placed); err != nil {
		return err
	}
	if err := a.disk.MkdirAll(logsDir); err != nil {
		return err
	}
	if err := a.disk.Rename(staged, placed); err != nil {
		return err
	}
	done := AdoptedTopic{Name: t.name, ID: t.id, Partitions: int(t.parts[len(t.parts)-1].n) + 1}
	if done.Partitions != len(t.parts) {
		a.note("topic %q: %d of its %d partitions are in another log directory; they begin empty here", t.name, done.Partitions-len(t.parts), done.Partitions)
	}
	last := newest{penstock.NoEpoch, penstock.NoProducer}
	for _, p := range t.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.step("checking "+p.dir, 0, 0)
		if err := a.check(t, p, &done, &last); err != nil {
			return fmt.Errorf("partition %d: %w", p.n, err)
		}
		a.step("checked "+p.dir, 1, 0)
	}
	// A new producer with the id of one that left records here would be taken for it.
	if err := a.meta.SkipProducerIDs(ctx, last.producer); err != nil {
		return err
	}
	done.Epoch = last.epoch + 1
	if _, err := a.meta.CreateTopic(ctx, meta.NewTopic{
		Name: t.name, ID: t.id, Partitions: done.Partitions, Replicas: []penstock.BrokerID{a.o.Broker},
		Configs: keepForEver(), Epoch: done.Epoch,
	}, false); err != nil {
		return err
	}
	a.sum.Topics = append(a.sum.Topics, done)
	return a.disk.Remove(path.Join(placed, adoptingFile))
}

func (a *adoption) step(what string, partitions int, bytes int64) {
	a.progress.Now = what
	a.progress.Partitions += partitions
	a.progress.Bytes += bytes
	a.o.Progress(a.progress)
}

// newest is what our own leaders and producers must be beyond.
type newest struct {
	epoch    penstock.Epoch
	producer penstock.ProducerID
}

// check opens a partition, which reads all of it, and adds it to what is reported.
func (a *adoption) check(t *foreign, p *foreignPart, done *AdoptedTopic, last *newest) error {
	id := penstock.PartitionID{Topic: t.id, Partition: p.n}
	sp, err := a.segments.Open(id, store.Config{RetentionAge: -1, RetentionBytes: -1})
	if err != nil {
		return err
	}
	start, end := sp.Bounds()
	st := sp.Stats()
	done.Records += int64(end - start)
	done.Bytes += st.Bytes
	if st.Quarantined > 0 {
		a.note("topic %q partition %d: %d damaged places, which reads refuse", t.name, p.n, st.Quarantined)
	}
	if st.Bytes < p.logBytes() {
		a.note("topic %q partition %d: %d bytes at the end are no whole batches and were left out", t.name, p.n, p.logBytes()-st.Bytes)
	}
	// The file may know of leaders that wrote nothing.
	epoch, err := a.lastEpoch(p)
	if err != nil {
		return err
	}
	last.epoch = max(last.epoch, epoch)
	for _, e := range sp.Epochs() {
		last.epoch = max(last.epoch, e.Epoch)
	}
	err = sp.Scan(start, func(h *penstock.BatchHeader) error {
		last.epoch, last.producer = max(last.epoch, h.Epoch), max(last.producer, h.ProducerID)
		return nil
	})
	if errors.Is(err, penstock.ErrCorrupt) {
		a.note("topic %q partition %d: not readable to its end: %v", t.name, p.n, err)
		return nil
	}
	return err
}

// sortParts orders partitions by number.
func sortParts(ps []*foreignPart) {
	slices.SortFunc(ps, func(a, b *foreignPart) int { return cmp.Compare(a.n, b.n) })
}
