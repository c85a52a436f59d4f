package rocket

// PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361): the messages of one queue from an offset on, chosen by the codes of their tags. A pull that finds
// the queue at its end may wait (pull_poll.go).
//
//	sysFlag  1 commit the offset told, 2 may wait, 4 the subscription comes with the request, 8 class filter (not served), 16 lite
//
// The answer's body is stored messages as they are; they leave by reference. Clients look at the tags again, so that two tags of one code do
// no harm. Filters other than tags (SQL92) are not served yet.

import (
	"bytes"
	"fmt"
	"time"

	"penstock"
	"penstock/message"
	"penstock/metric"
	"penstock/replica"
	"penstock/rocket/remoting"
	"penstock/store"
	"penstock/wire"
)

func apiPull() *api {
	return &api{code: 11, name: "PULL_MESSAGE", frame: smallFrame, right: right{opSub, onTopicAndGroup}, handle: pull}
}

func apiLitePull() *api {
	return &api{code: 361, name: "LITE_PULL_MESSAGE", frame: smallFrame, right: right{opSub, onTopicAndGroup}, handle: pull}
}

// Bits of a pull's sysFlag.
const (
	pullFlagCommit       = 1
	pullFlagSuspend      = 2
	pullFlagSubscription = 4
	pullFlagClassFilter  = 8
)

// expressionTag is the only kind of subscription that is served.
const expressionTag = "TAG"

// pullCall is one pull under way. It is pooled, with its slices, so that a pull allocates nothing. It is used by one goroutine at a time: the reader's,
// then that of whatever ends the long poll.
type pullCall struct {
	front   *Front
	session *session
	ticket  ticket
	route   *route
	led     *replica.Partition
	records *translator // of a topic of Kafka's records; nil until there is one
	group   string
	topic   string
	out     *metric.Tally
	start   penstock.Offset // as asked
	from    penstock.Offset // start, and behind what was passed over while waiting
	count   int
	bytes   int64
	tags    []int64 // of the subscription; empty for all
	wait    time.Duration
	until   time.Time // the end of the wait, once it has begun
	extents []penstock.Extent
	got     store.Pulled
	edges   replica.Offsets
}

// pull takes a request that pulls.
func pull(s *session, r *request) {
	t := r.ticket()
	var h remoting.PullHead
	if err := r.Pull(&h); err != nil {
		s.fail(t, err)
		return
	}
	c := s.front.pulls.Get().(*pullCall)
	c.front, c.session, c.ticket = s.front, s, t
	name := string(h.Group)
	if refused, why := c.admit(&h, name); refused != codeSuccess {
		c.recycle()
		s.refuse(t, refused, why)
		return
	}
	c.group = name
	if at, ok := s.front.resets.take(name, c.led.ID()); ok {
		t.wire.Release()
		c.moved(at)
		return
	}
	c.note(&h, name)
	t.wire.Release()
	c.serve()
}

// admit decides whether the pull may be served, and takes what it asks from the frame.
func (c *pullCall) admit(h *remoting.PullHead, name string) (refused code, why string) {
	f := c.front
	r := f.routes.Load().byName(h.Topic)
	g, ok := f.group(name)
	switch {
	case !ok:
		return codeGroupNotExist, fmt.Sprintf("subscription group [%.300s] does not exist", h.Group)
	case !g.Consume:
		return codeNoPermission, fmt.Sprintf("subscription group no permission, %s", h.Group)
	case r == nil:
		return codeTopicNotExist, fmt.Sprintf("topic[%.300s] not exist, apply first please!", h.Topic)
	case r.perm&permRead == 0:
		return codeNoPermission, fmt.Sprintf("the topic[%s] pulling message is forbidden", r.name)
	case h.Queue < 0 || h.Queue >= r.reads:
		return codeInvalidParameter, fmt.Sprintf("queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d]", h.Queue, r.name, r.reads)
	}
	c.route, c.topic = r, r.name
	if refused, why = c.subscribe(h, name); refused != codeSuccess {
		return refused, why
	}
	if c.led = f.partition(r, h.Queue); c.led == nil {
		return codeServiceNotAvailable, fmt.Sprintf("queue %d of topic %s is not open here: try again", h.Queue, r.name)
	}
	l := &f.o.Limits
	c.out = r.out
	c.start = penstock.Offset(h.Offset)
	c.from = c.start
	c.count = min(max(int(h.Count), 1), l.PullCount)
	c.bytes = l.PullBytes
	if h.Bytes > 0 {
		c.bytes = min(c.bytes, int64(h.Bytes))
	}
	if h.SysFlag&pullFlagSuspend != 0 {
		c.wait = min(max(time.Duration(min(h.Suspend, maxSuspend))*time.Millisecond, 0), l.MaxWait)
	}
	return codeSuccess, ""
}

// maxSuspend keeps the multiplication into nanoseconds from running over.
const maxSuspend = int64(24 * time.Hour / time.Millisecond)

// subscribe finds the tags that the pull is about: they come with it, or were told in heartbeats.
func (c *pullCall) subscribe(h *remoting.PullHead, name string) (refused code, why string) {
	if h.SysFlag&pullFlagClassFilter != 0 {
		return codeSubscriptionParse, classUnserved
	}
	if h.SysFlag&pullFlagSubscription != 0 {
		if len(h.Expression) > 0 && string(h.Expression) != expressionTag {
			return codeSubscriptionParse, filterUnserved(string(h.Expression))
		}
		c.tags = appendTagCodes(c.tags[:0], h.Subscription)
		return codeSuccess, ""
	}
	roster := c.front.o.Roster
	if roster == nil {
		return codeSubscriptionNotExist, "the consumer's group info not exist"
	}
	sub, ok := roster.Subscription(name, c.topic)
	switch {
	case !ok:
		return codeSubscriptionNotExist, "the consumer's subscription not exist"
	case sub.Version < h.SubVersion:
		return codeSubscriptionNotLatest, "the consumer's subscription not latest"
	case sub.ClassFilter:
		return codeSubscriptionParse, classUnserved
	case sub.Kind != "" && sub.Kind != expressionTag:
		return codeSubscriptionParse, filterUnserved(sub.Kind)
	}
	for _, code := range sub.Codes {
		c.tags = append(c.tags, int64(code))
	}
	return codeSuccess, ""
}

const classUnserved = "filter classes are not served"

func filterUnserved(kind string) string {
	return fmt.Sprintf("The broker does not support consumer to filter message by %.64s", kind)
}

// appendTagCodes appends the codes of a subscription's tags, "a || b". "*" and nothing want all.
func appendTagCodes(dst []int64, subscription []byte) []int64 {
	if len(subscription) == 0 || string(subscription) == "*" {
		return dst
	}
	for rest, more := subscription, true; more; {
		var one []byte
		one, rest, more = bytes.Cut(rest, []byte("||"))
		if one = bytes.TrimSpace(one); len(one) > 0 {
			dst = append(dst, message.TagCode(string(one)))
		}
	}
	return dst
}

// serve pulls and answers, or begins to wait.
func (c *pullCall) serve() {
	err := c.read()
	if err == nil && c.wait > 0 && c.atEnd() {
		c.poll()
		return
	}
	c.answer(err)
}

// read pulls from where the call stands. At most what one answer holds is there after it.
func (c *pullCall) read() (err error) {
	c.drop()
	var tags []int64
	if len(c.tags) > 0 {
		tags = c.tags
	}
	if c.route.native {
		c.extents, c.got, c.edges, err = c.led.Pull(replica.PullRequest{
			From: c.from, Max: c.bytes, Count: c.count, Scan: c.front.o.Limits.PullScan, Tags: tags,
		}, c.extents)
	} else {
		err = c.readRecords()
	}
	if err == nil && c.got.Count == 0 {
		c.from = max(c.from, c.got.Next)
	}
	return err
}

// atEnd reports whether the call has got nothing and there is nothing to look at before the next append. A consumer whose pull passed over messages at once
// is told so at once, so that it knows how far it is; one that waits already goes on waiting.
func (c *pullCall) atEnd() bool {
	return c.got.Count == 0 && c.from >= c.edges.HighWatermark && (c.from == c.start || !c.until.IsZero())
}

// outcome is what RocketMQ calls what came of a pull; it is the remark of the answer. next is where to go on.
func (c *pullCall) outcome(err error) (result code, remark string, next penstock.Offset) {
	e := &c.edges
	switch {
	case err == nil && c.got.Count > 0:
		return codeSuccess, "FOUND", c.got.Next
	case err == nil && c.from > c.start:
		return codePullRetry, "NO_MATCHED_MESSAGE", c.from
	case err == nil && c.start >= e.HighWatermark:
		if e.End == 0 {
			return codePullNotFound, "NO_MESSAGE_IN_QUEUE", 0
		}
		return codePullNotFound, "OFFSET_OVERFLOW_ONE", c.start
	case err == nil:
		return codePullRetry, "NO_MATCHED_MESSAGE", c.from
	case codeOf(err) != codePullOffsetMoved:
		return codeOf(err), err.Error(), c.start
	case e.End == 0:
		return codePullOffsetMoved, "NO_MESSAGE_IN_QUEUE", 0
	case c.from < e.Start:
		return codePullOffsetMoved, "OFFSET_TOO_SMALL", e.Start
	}
	return codePullOffsetMoved, "OFFSET_OVERFLOW_BADLY", e.HighWatermark
}

// moved answers that an administrator has moved the group to another offset.
func (c *pullCall) moved(to penstock.Offset) {
	c.edges = c.led.Offsets()
	c.give(codePullOffsetMoved, "OFFSET_RESET", to)
}

// answer sends what was pulled and gives the call back.
func (c *pullCall) answer(err error) {
	c.give(c.outcome(err))
}

// give sends an answer and gives the call back.
func (c *pullCall) give(result code, remark string, next penstock.Offset) {
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, c.ticket.head(result, remark))
	w.Int("suggestWhichBrokerId", 0)
	w.Int("nextBeginOffset", int64(next))
	w.Int("minOffset", int64(max(c.edges.Start, 0)))
	w.Int("maxOffset", int64(max(c.edges.HighWatermark, 0)))
	w.Int("topicSysFlag", 0)
	w.Int("groupSysFlag", 0)
	a.B = w.End()
	if result == codeSuccess && !c.route.native {
		c.attachRecords(a)
	} else if result == codeSuccess {
		for _, e := range c.extents {
			a.Attach(e, c.out)
		}
		c.extents = c.extents[:0] // the answer owns their references now
		c.front.pulled(c.topic, c.group, c.led.ID().Partition, c.got.Count, c.got.Bytes, c.got.Next)
	}
	f, t := c.front, c.ticket
	c.drop()
	c.recycle()
	f.send(t, result, a)
}

// note notes how far the group has read, if the pull tells it.
func (c *pullCall) note(h *remoting.PullHead, name string) {
	groups := c.front.o.Groups
	if groups == nil || h.SysFlag&pullFlagCommit == 0 || h.CommitOffset < 0 {
		return
	}
	id := c.led.ID()
	if err := groups.Note(name, c.topic, id.Topic, id.Partition, penstock.Offset(h.CommitOffset)); err != nil {
		c.front.o.Logger.Debug("offset told by a pull is not noted", "group", name, "queue", id, "err", err)
	}
}

// drop lets go of the extents pulled so far.
func (c *pullCall) drop() {
	c.extents = penstock.ReleaseAll(c.extents)
	c.records.drop()
	c.got = store.Pulled{Next: c.from}
}

// keepExtents bounds what a pooled call keeps.
const keepExtents = 1024

// recycle gives the call back. Its extents must have been spent or released.
func (c *pullCall) recycle() {
	f := c.front
	clear(c.extents[:cap(c.extents)])
	extents, tags, records := c.extents[:0], c.tags[:0], c.records
	*c = pullCall{extents: extents, tags: tags, records: records}
	if cap(extents) <= keepExtents && cap(tags) <= keepExtents {
		f.pulls.Put(c)
	}
}
