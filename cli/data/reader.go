package data

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

const (
	// pollRecords is the most that is taken from the client at once.
	pollRecords = 1000
	// fetchBytes bounds what a broker puts into one answer.
	fetchBytes = 16 << 20
	// tick is how often a reader without records looks around.
	tick = time.Second
	// relist is how often a reader that follows looks for new topics and partitions.
	relist = 5 * time.Second
	// quiet is how long a reader without records waits before it asks whether a broker is there.
	quiet = 5 * time.Second
	// share is how long a member that was given nothing waits for others to hand over their partitions.
	share = 10 * time.Second
	// farewell bounds the last commit and leaving the group.
	farewell = 10 * time.Second
)

// part names a partition.
type part struct {
	topic string
	n     int32
}

// progress is how far a partition was read.
type progress struct {
	at int64 // the next offset; negative while the group has not told
}

// reader reads partitions from where they begin to where they stop, as a member of a group or alone.
type reader struct {
	e      *cli.Env
	f      *consumeFlags
	topics []string // names, or expressions
	out    *printer
	keep   func(*kgo.Record) bool // prints those only; nil: all
	bar    *cli.Progress

	cl      *kgo.Client
	adm     *kadm.Client
	printed int64
	reading []string // topics

	listed time.Time // when topics were listed last
	heard  time.Time // when a broker was heard of last
	asked  time.Time // when one was asked last
	told   bool      // that none answers

	// mu guards what is below: the client calls back when the group shares out anew.
	mu     sync.Mutex
	parts  map[part]*progress // what is being read
	stops  map[part]int64     // where to stop; nil while nothing stops
	joined bool               // the group has given us our share, or there is no group
	since  time.Time          // when it did
}

// run reads until it is done, interrupted, or fails.
func (r *reader) run(ctx context.Context) error {
	var err error
	if r.adm, err = r.e.Admin(ctx); err != nil {
		return err
	}
	defer r.adm.Close()
	topics, err := r.find(ctx)
	if err != nil {
		return err
	}
	begin, err := r.plan(ctx, topics)
	if err != nil {
		return err
	}
	if r.cl, err = r.e.Client(r.options(r.reading, begin)...); err != nil {
		return err
	}
	defer r.cl.Close()
	r.startBar()
	err = r.loop(ctx)
	r.bar.Done()
	return errors.Join(err, r.leave(ctx))
}

// options makes the client of a member of the group, or of one that reads the partitions from the given offsets.
func (r *reader) options(names []string, begin map[string]map[int32]kgo.Offset) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes / 4),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// The markers at a transaction's end have offsets too; without them the end would never be reached.
		kgo.KeepControlRecords(),
	}
	if r.f.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if r.f.group == "" {
		r.joined = true
		return append(opts, kgo.ConsumePartitions(begin))
	}
	if r.f.regex {
		names = nil
		for _, p := range r.f.patterns {
			names = append(names, p.String())
		}
		opts = append(opts, kgo.ConsumeRegex())
	}
	return append(opts, kgo.ConsumeTopics(names...), kgo.ConsumerGroup(r.f.group), kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(r.assigned), kgo.AdjustFetchOffsetsFn(r.fetched),
		kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.lost))
}

// loop polls and prints.
func (r *reader) loop(ctx context.Context) error {
	r.heard, r.listed = time.Now(), time.Now()
	for !r.done() && ctx.Err() == nil {
		polled, cancel := context.WithTimeout(ctx, tick)
		fs := r.cl.PollRecords(polled, r.most())
		cancel()
		err := r.take(fs)
		r.cl.AllowRebalance()
		if err != nil {
			return err
		}
		if err := r.lookAround(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if ctx.Err() != nil && !r.done() && (r.f.stop != nil || r.f.count > 0) {
		return &cli.Error{What: fmt.Sprintf("interrupted after %d records", r.printed), Code: cli.ExitFailed}
	}
	return nil
}

// most is how many records the next poll may bring.
func (r *reader) most() int {
	if r.f.count == 0 || r.keep != nil {
		return pollRecords
	}
	return int(min(pollRecords, r.f.count-r.printed))
}

// done reports that there is nothing more to print.
func (r *reader) done() bool {
	if r.f.count > 0 && r.printed >= r.f.count {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stops == nil || !r.joined {
		return false
	}
	if len(r.parts) == 0 && time.Since(r.since) < share {
		return false
	}
	for k, p := range r.parts {
		if p.at < 0 || p.at < r.stops[k] {
			return false
		}
	}
	return true
}

// take prints what a poll brought, and marks it for the commit once it is out.
func (r *reader) take(fs kgo.Fetches) error {
	var marks []*kgo.Record
	for _, rec := range fs.Records() {
		r.heard = time.Now()
		if !r.advance(rec) {
			continue
		}
		if r.keep != nil && (!r.keep(rec) || r.f.count > 0 && r.printed >= r.f.count) {
			continue
		}
		if err := r.out.print(rec); err != nil {
			return cli.Fail("records cannot be printed", err, "")
		}
		r.printed++
		marks = append(marks, rec)
		r.bar.Add(1)
	}
	if err := r.out.flush(); err != nil {
		return cli.Fail("records cannot be printed", err, "")
	}
	if r.f.group != "" {
		r.cl.MarkCommitRecords(marks...)
	}
	var failed error
	fs.EachError(func(topic string, p int32, err error) {
		if failed == nil {
			failed = r.fetchError(topic, p, err)
		}
	})
	return failed
}

// advance notes that a record was reached, and reports whether it is to be printed.
func (r *reader) advance(rec *kgo.Record) bool {
	k := part{rec.Topic, rec.Partition}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.parts[k]; p != nil {
		p.at = max(p.at, rec.Offset+1)
	}
	if rec.Attrs.IsControl() {
		return false
	}
	return r.stops == nil || rec.Offset < r.stops[k]
}

// fetchError turns an error of a partition into one that ends reading, or into a remark, or into nothing where the client
// tries again.
func (r *reader) fetchError(topic string, p int32, err error) error {
	var loss *kgo.ErrDataLoss
	var session *kgo.ErrGroupSession
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &loss):
		r.e.Remark("%s partition %d: records are gone; reading goes on at offset %d", topic, p, loss.ResetTo)
		return nil
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return cli.Fail("topic "+topic+" cannot be read any more", err, "Was it deleted?")
	case errors.As(err, &session):
		if kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) {
			return nil
		}
		return cli.Fail("group "+r.f.group+" does not let us in", err, "")
	case kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err):
		return nil
	}
	return cli.Fail(fmt.Sprintf("%s partition %d cannot be read", topic, p), err, "")
}

// lookAround does what has to be done now and then.
func (r *reader) lookAround(ctx context.Context) error {
	now := time.Now()
	if err := r.askBroker(ctx, now); err != nil || r.told {
		return err
	}
	if s := r.f.stop; s != nil && s.kind == atTime && !now.Before(s.at) && !r.stopping() {
		if err := r.findStops(ctx); err != nil {
			return err
		}
	}
	if now.Sub(r.listed) < relist {
		return nil
	}
	r.listed = now
	var err error
	switch {
	case r.stopping():
		err = r.followStart(ctx)
	case r.f.group == "":
		err = r.findNew(ctx)
	}
	if cli.ExitCode(err) == cli.ExitNotFound {
		return err
	}
	return nil // the next time will do
}

func (r *reader) stopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stops != nil
}

// askBroker makes sure that a silent cluster is there. Who waits for an end is told that it will not come; who follows
// is told once and goes on.
func (r *reader) askBroker(ctx context.Context, now time.Time) error {
	if every := min(quiet, r.e.Timeout); now.Sub(r.asked) < every && !r.told || now.Sub(r.heard) < every {
		return nil
	}
	r.asked = now
	asked, cancel := context.WithTimeout(ctx, min(quiet, r.e.Timeout))
	defer cancel()
	err := r.cl.Ping(asked)
	switch {
	case err == nil:
		if r.told {
			r.e.Remark("the cluster answers again")
		}
		r.heard, r.told = time.Now(), false
		return nil
	case ctx.Err() != nil:
		return nil
	case r.f.stop != nil && time.Since(r.heard) >= r.e.Timeout:
		return r.e.Unreachable(err)
	case !r.told && r.f.stop == nil:
		r.told = true
		r.e.Remark("no broker answers (%v); still trying", err)
	}
	return nil
}

// leave commits what was printed and leaves the group. The command may have been interrupted.
func (r *reader) leave(ctx context.Context) error {
	if r.f.group == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(farewell, r.e.Timeout))
	defer cancel()
	err := r.cl.CommitMarkedOffsets(ctx)
	if left := r.cl.LeaveGroupContext(ctx); err == nil && left != nil && ctx.Err() == nil {
		r.e.Remark("group %s was not left: %v", r.f.group, left) // the session's time will tell it
	}
	return cli.Fail("what was read last was not committed", err, "It will be read again")
}

// assigned hears what the group gave us; where to begin comes with fetched.
func (r *reader) assigned(_ context.Context, _ *kgo.Client, given map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined, r.since = true, time.Now()
	for topic, parts := range given {
		for _, n := range parts {
			r.parts[part{topic, n}] = &progress{at: -1}
		}
	}
}

// revoked commits what was printed before the partitions go to another member.
func (r *reader) revoked(ctx context.Context, cl *kgo.Client, taken map[string][]int32) {
	ctx, cancel := context.WithTimeout(ctx, min(farewell, r.e.Timeout))
	defer cancel()
	if err := cl.CommitMarkedOffsets(ctx); err != nil {
		r.e.Remark("what was read last was not committed and will be read again: %v", err)
	}
	r.lost(ctx, cl, taken)
}

// lost forgets partitions.
func (r *reader) lost(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, parts := range taken {
		for _, n := range parts {
			delete(r.parts, part{topic, n})
		}
	}
}
