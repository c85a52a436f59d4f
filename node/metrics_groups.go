package node

import (
	"strconv"
	"sync"
	"time"

	"penstock"
	"penstock/group"
)

// idleShare is how many times as long as a look at the groups took nothing is looked at again: a scrape that comes earlier is shown
// what was seen. So whatever the number of groups, scrapes cost a tenth of a processor at most.
const idleShare = 9

// groupLook keeps what was seen of groups.
type groupLook struct {
	limits group.LagLimits
	now    func() time.Time

	// mu guards everything below, and is held during a look: a scrape beside it waits and sees the same.
	mu    sync.Mutex
	lags  []group.Lag         // by group, topic, partition
	list  []group.Description // those with members, at most limits.Partitions
	left  int                 // committed offsets beyond the limits
	taken time.Time           // when it was seen
	until time.Time           // it is shown until then
}

// groupsOf is what the metrics need of group.Coordinator.
type groupsOf interface {
	Lags(limits group.LagLimits, f func(*group.Lag)) (left int)
	List() ([]group.Description, error)
}

// look looks if it is time to. What it returns is not to be changed.
func (l *groupLook) look(of groupsOf) (lags []group.Lag, list []group.Description, left int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if began := l.now(); !began.Before(l.until) {
		var fresh []group.Lag
		l.left = of.Lags(l.limits, func(lag *group.Lag) { fresh = append(fresh, *lag) })
		l.lags = fresh
		all, _ := of.List() // those that are loading come later
		l.list = l.list[:0:0]
		for _, d := range all {
			if d.Size > 0 && len(l.list) < l.limits.Partitions {
				l.list = append(l.list, d)
			}
		}
		l.taken = l.now()
		l.until = l.taken.Add(idleShare * l.taken.Sub(began))
	}
	return l.lags, l.list, l.left, l.taken
}

// behind is how far a group is behind in a topic.
type behind struct {
	group, topic     string
	records, offsets int64
	bytes            int64
	seconds          float64 // of the partition in which it is most
	known            bool    // records: no partition is missing
	deep             bool    // bytes and seconds: no partition is missing
}

// groups shows how far groups are behind: by partition under the names of kafka_exporter, by topic also in bytes and
// seconds. Both are capped: the rest is counted.
func (s *scraped) groupLags(c *collector) {
	lags, list, left, at := s.look.look(s.groups)
	sums, order := map[[2]string]*behind{}, []*behind{}
	for i := range lags {
		l := &lags[i]
		topic := l.Topic
		if !c.topics[topic] {
			topic = otherTopics
		}
		b := sums[[2]string{l.Group, topic}]
		if b == nil {
			b = &behind{group: l.Group, topic: topic, known: true, deep: true}
			sums[[2]string{l.Group, topic}] = b
			order = append(order, b)
		}
		b.add(l, at)
		if topic == otherTopics {
			continue
		}
		labels := []string{"consumergroup", l.Group, "topic", l.Topic, "partition", strconv.Itoa(int(l.Partition))}
		c.gauge("kafka_consumergroup_current_offset", "Offset that the group has committed.", int64(l.Committed.Offset), labels...)
		if l.Backlog.End != penstock.NoOffset {
			c.gauge("kafka_consumergroup_lag", "Records between the committed offset and the high watermark.", l.Backlog.Records, labels...)
		}
	}
	for _, b := range order {
		b.show(c)
	}
	for _, d := range list {
		c.gauge("kafka_consumergroup_members", "Members of the group.", int64(d.Size), "consumergroup", d.Name)
	}
	c.gauge("penstock_group_offsets_beyond_cap", "Committed offsets beyond metrics.offsets, which have no metrics.", int64(left))
}

// add adds a partition.
func (b *behind) add(l *group.Lag, at time.Time) {
	b.offsets += int64(l.Committed.Offset)
	if l.Backlog.End == penstock.NoOffset {
		b.known, b.deep = false, false
		return
	}
	b.records += l.Backlog.Records
	if l.Backlog.Records == 0 {
		return
	}
	if l.Backlog.Bytes < 0 || l.Backlog.Oldest == penstock.NoTimestamp {
		b.deep = false
		return
	}
	b.bytes += l.Backlog.Bytes
	b.seconds = max(b.seconds, at.Sub(time.UnixMilli(int64(l.Backlog.Oldest))).Seconds())
}

// show shows what is known whole: a sum with a part missing would be wrong.
func (b *behind) show(c *collector) {
	theirs := []string{"consumergroup", b.group, "topic", b.topic}
	ours := []string{"group", b.group, "topic", b.topic}
	c.gauge("kafka_consumergroup_current_offset_sum", "Sum of the offsets that the group has committed.", b.offsets, theirs...)
	if b.known {
		c.gauge("kafka_consumergroup_lag_sum", "Records between committed offsets and high watermarks.", b.records, theirs...)
		c.gauge("penstock_group_lag_records", "Records between committed offsets and high watermarks.", b.records, ours...)
	}
	if b.deep {
		c.gauge("penstock_group_lag_bytes", "Bytes on disk of the batches that the group has not read.", b.bytes, ours...)
		c.add(gaugeValue, "penstock_group_lag_seconds", "Age of the oldest batch that the group has not read.", b.seconds, ours...)
	}
}
