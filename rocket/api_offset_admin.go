package rocket

// Where groups go on: INVOKE_BROKER_TO_RESET_OFFSET (222) and CLONE_GROUP_OFFSET (314).
//
// A reset is done here, without asking the group's members (RocketMQ's useServerSideResetOffset): the offset is committed, and members that are
// reading are told by their next pull, whose answer says that the offset has moved. Until a member has heard of it what it commits itself is of
// before, and passed over.

import (
	"fmt"
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/group"
)

func apiResetOffset() *api {
	return &api{code: 222, name: "INVOKE_BROKER_TO_RESET_OFFSET", frame: smallFrame, right: right{opUpdate, onTopicAndGroup}, handle: resetOffset}
}

func apiCloneOffset() *api {
	return &api{code: 314, name: "CLONE_GROUP_OFFSET", frame: smallFrame, right: right{opUpdate, onTopicAndGroup}, handle: cloneOffset}
}

// resets are the queues that members have not yet been told of since an administrator moved their group's offset. Most of the time there are
// none, which costs one atomic load to see.
type resets struct {
	some atomic.Int32
	mu   sync.Mutex
	m    map[resetKey]penstock.Offset // guarded by mu
}

type resetKey struct {
	group string
	queue penstock.PartitionID
}

// maxResets bounds what is remembered. Members of a group that is forgotten here go on where they are.
const maxResets = 100_000

func (r *resets) set(k resetKey, at penstock.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[resetKey]penstock.Offset{}
	}
	if len(r.m) < maxResets {
		r.m[k] = at
	}
	r.some.Store(int32(len(r.m)))
}

// take forgets the reset of a queue, and returns it.
func (r *resets) take(group string, queue penstock.PartitionID) (at penstock.Offset, ok bool) {
	if r.some.Load() == 0 {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := resetKey{group, queue}
	if at, ok = r.m[k]; ok {
		delete(r.m, k)
		r.some.Store(int32(len(r.m)))
	}
	return at, ok
}

// pending reports whether a queue's reset has not been told.
func (r *resets) pending(group string, queue penstock.PartitionID) bool {
	if r.some.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.m[resetKey{group, queue}]
	return ok
}

// wantedReset is what an administrator asks for.
type wantedReset struct {
	group  string
	queue  int32 // negative: all
	at     penstock.Offset
	exact  bool               // at counts
	moment penstock.Timestamp // else; negative: the end
}

func resetOffset(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	w := wantedReset{group: q.Text("group"), queue: q.Int32Or("queueId", -1), moment: penstock.Timestamp(q.Int64Or("timestamp", -1))}
	w.at = penstock.Offset(q.Int64Or("offset", -1))
	w.exact = w.at != penstock.NoOffset && w.queue >= 0
	topic := q.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	f := s.front
	route := f.routes.Load().names[topic]
	switch {
	case route == nil:
		s.refuse(t, codeTopicNotExist, fmt.Sprintf("Topic %.300s does not exist", topic))
	case checkGroup(w.group) != "":
		s.refuse(t, codeGroupNotExist, fmt.Sprintf("Group %.300s does not exist", w.group))
	case w.queue >= route.reads:
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d]", w.queue, topic, route.reads))
	default:
		go func() {
			defer f.contain(s.conn)
			s.reset(t, route, &w)
		}()
	}
}

// reset finds the offsets, commits them and answers.
func (s *session) reset(t ticket, r *route, w *wantedReset) {
	f := s.front
	var list []group.CommitOffset
	for i := range r.reads {
		if w.queue >= 0 && i != w.queue {
			continue
		}
		p := f.partition(r, i)
		if p == nil {
			s.refuse(t, codeServiceNotAvailable, fmt.Sprintf("queue %d of topic %s is not open here: try again", i, r.name))
			return
		}
		o := p.Offsets()
		at := w.at
		switch {
		case !w.exact:
			at = o.HighWatermark
			if w.moment >= 0 {
				var err error
				if at, err = offsetAt(p, w.moment, false); err != nil {
					s.fail(t, err)
					return
				}
			}
		case at < o.Start || at > o.HighWatermark:
			s.refuse(t, codeSystemError, fmt.Sprintf("Target offset %d not in consume queue range [%d-%d]", at, o.Start, o.HighWatermark))
			return
		}
		list = append(list, group.CommitOffset{Topic: r.name, TopicID: r.id, Partition: i, Offset: at, Epoch: penstock.NoEpoch})
	}
	f.o.Admin.Groups.Commit(w.group, &group.Commit{Generation: -1, Rocket: true, Offsets: list}, func(err error) {
		if err != nil {
			s.fail(t, err)
			return
		}
		var table queueTable
		for i := range list {
			f.resets.set(resetKey{w.group, penstock.PartitionID{Topic: r.id, Partition: list[i].Partition}}, list[i].Offset)
			table.add(f.queueName(r.name, list[i].Partition), int64(list[i].Offset))
		}
		s.reply(t, nil, append(table.appendTo([]byte(`{"offsetTable":`)), '}'))
	})
}

// cloneOffset lets one group go on where another is.
func cloneOffset(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	from, to := q.Text("srcGroup"), q.Text("destGroup")
	topic := r.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	f := s.front
	if why := checkGroup(to); why != "" {
		s.refuse(t, codeInvalidParameter, why)
		return
	}
	c, err := f.committed(from)
	if err != nil {
		s.fail(t, err)
		return
	}
	var list []group.CommitOffset
	for name, queues := range c {
		route := f.routes.Load().names[name]
		if route == nil || topic != "" && topic != name {
			continue
		}
		for queue, at := range queues {
			list = append(list, group.CommitOffset{Topic: name, TopicID: route.id, Partition: queue, Offset: at, Epoch: penstock.NoEpoch})
		}
	}
	if len(list) == 0 {
		s.reply(t, nil, nil)
		return
	}
	f.o.Admin.Groups.Commit(to, &group.Commit{Generation: -1, Rocket: true, Offsets: list}, func(err error) {
		if err != nil {
			s.fail(t, err)
			return
		}
		s.reply(t, nil, nil)
	})
}
