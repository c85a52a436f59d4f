package admin

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// ageBytes bounds what a broker sends of a partition for the look at one record, unless its batch is larger.
const ageBytes = 32 << 10

// wantedAge is where the age of a lag is to be written.
type wantedAge struct {
	from int64
	to   []**float64
}

// ages reads the first unread record of every partition that lags, and writes how old it is. Partitions that do not answer within the
// time limit keep null.
func (k *cluster) ages(ctx context.Context, views []groupView) error {
	now := time.Now()
	var rounds []map[place]*wantedAge
	for i := range views {
		for j := range views[i].Partitions {
			l := &views[i].Partitions[j]
			if l.LagRecords != nil && *l.LagRecords > 0 {
				rounds = want(rounds, place{l.Topic, l.Partition}, max(*l.Committed, *l.Start), &l.LagSeconds)
			}
		}
	}
	for _, round := range rounds {
		if err := k.lookUp(ctx, round, now); err != nil {
			return err
		}
	}
	return nil
}

// want adds a record to look at. A client reads a partition at one place only: groups that stand at different ones take several
// rounds.
func want(rounds []map[place]*wantedAge, p place, from int64, to **float64) []map[place]*wantedAge {
	for _, r := range rounds {
		w, taken := r[p]
		if !taken {
			r[p] = &wantedAge{from, []**float64{to}}
			return rounds
		}
		if w.from == from {
			w.to = append(w.to, to)
			return rounds
		}
	}
	return append(rounds, map[place]*wantedAge{p: {from, []**float64{to}}})
}

// lookUp reads one record of every partition wanted.
func (k *cluster) lookUp(ctx context.Context, wanted map[place]*wantedAge, now time.Time) error {
	at := map[string]map[int32]kgo.Offset{}
	for p, w := range wanted {
		if at[p.topic] == nil {
			at[p.topic] = map[int32]kgo.Offset{}
		}
		at[p.topic][p.partition] = kgo.NewOffset().At(w.from)
	}
	// Markers of transactions count as records: one may be all that is left.
	c, err := k.env.Client(kgo.ConsumePartitions(at), kgo.FetchMaxPartitionBytes(ageBytes), kgo.KeepControlRecords(), kgo.DisableFetchSessions())
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := k.env.Within(ctx)
	defer cancel()
	for len(wanted) > 0 {
		got := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return cli.Fail("", ctx.Err(), "")
		}
		for _, f := range got.Errors() {
			if p := (place{f.Topic, f.Partition}); wanted[p] != nil {
				delete(wanted, p)
				c.RemoveConsumePartitions(map[string][]int32{f.Topic: {f.Partition}})
			}
		}
		got.EachRecord(func(r *kgo.Record) {
			p := place{r.Topic, r.Partition}
			w := wanted[p]
			if w == nil || r.Offset < w.from {
				return
			}
			seconds := max(now.Sub(r.Timestamp).Seconds(), 0)
			for _, to := range w.to {
				*to = &seconds
			}
			delete(wanted, p)
			c.RemoveConsumePartitions(map[string][]int32{r.Topic: {r.Partition}})
		})
	}
	return nil
}
