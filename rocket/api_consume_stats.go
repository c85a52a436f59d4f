package rocket

// How far groups have read: GET_CONSUME_STATS (208), GET_BROKER_CONSUME_STATS (317), QUERY_TOPIC_CONSUME_BY_WHO (300), QUERY_TOPICS_BY_CONSUMER
// (343), QUERY_CONSUME_TIME_SPAN (303), GET_ALL_CONSUMER_OFFSET (43), GET_ALL_DELAY_OFFSET (45).

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/group"
)

func apiConsumeStats() *api {
	return &api{code: 208, name: "GET_CONSUME_STATS", frame: smallFrame, right: right{opGet, onGroup}, handle: consumeStats}
}

func apiBrokerConsumeStats() *api {
	return &api{code: 317, name: "GET_BROKER_CONSUME_STATS", frame: smallFrame, right: right{opGet, onCluster}, handle: brokerConsumeStats}
}

func apiGroupsOfTopic() *api {
	return &api{code: 300, name: "QUERY_TOPIC_CONSUME_BY_WHO", frame: smallFrame, right: right{opGet, onTopic}, handle: groupsOfTopic}
}

func apiTopicsOfGroup() *api {
	return &api{code: 343, name: "QUERY_TOPICS_BY_CONSUMER", frame: smallFrame, right: right{opGet, onGroup}, handle: topicsOfGroup}
}

func apiTimeSpan() *api {
	return &api{code: 303, name: "QUERY_CONSUME_TIME_SPAN", frame: smallFrame, right: right{opGet, onTopicAndGroup}, handle: timeSpan}
}

func apiAllOffsets() *api {
	return &api{code: 43, name: "GET_ALL_CONSUMER_OFFSET", frame: smallFrame, right: right{opGet, onCluster}, handle: allOffsets}
}

func apiDelayOffsets() *api {
	return &api{code: 45, name: "GET_ALL_DELAY_OFFSET", frame: smallFrame, right: right{opGet, onCluster}, handle: delayOffsets}
}

// committed is how far a group has read, by topic and queue.
type committed map[string]map[int32]penstock.Offset

func (c committed) set(topic string, queue int32, at penstock.Offset) {
	if c[topic] == nil {
		c[topic] = map[int32]penstock.Offset{}
	}
	c[topic][queue] = at
}

// committed is how far a group has read: what it told last, whether that is in the journal yet or not.
func (f *Front) committed(name string) (committed, error) {
	noted, c := committed{}, committed{}
	f.o.Admin.Groups.Notes(name, noted.set)
	if f.o.Admin.Groups.Exists() {
		err := f.o.Admin.Groups.Read(name, nil, func(topic string, queue int32, o group.Committed, ok bool) {
			if ok {
				c.set(topic, queue, o.Offset)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for topic, queues := range noted {
		for queue, at := range queues {
			c.set(topic, queue, at)
		}
	}
	return c, nil
}

// offsetJSON is RocketMQ's OffsetWrapper.
type offsetJSON struct {
	Broker   int64 `json:"brokerOffset"`
	Consumer int64 `json:"consumerOffset"`
	Last     int64 `json:"lastTimestamp"`
	Pull     int64 `json:"pullOffset"`
}

// statsJSON is RocketMQ's ConsumeStats: the queues of some topics, and how far a group has read them.
type statsJSON struct {
	table queueTable
	rate  float64
	lag   int64
	ahead int64 // messages pulled and not committed
}

func (j *statsJSON) body() []byte {
	b := append([]byte(`{"consumeTps":`), mustJSON(j.rate)...)
	b = append(b, `,"offsetTable":`...)
	return append(j.table.appendTo(b), '}')
}

// addStats adds the queues of a topic.
func (f *Front) addStats(j *statsJSON, name string, r *route, c committed) {
	for i := range r.reads {
		_, high := f.edges(r, i)
		at := c[r.name][i]
		o := offsetJSON{Broker: int64(high), Consumer: int64(at), Pull: int64(max(at, f.meters.pulledTo(r.name, name, i)))}
		if p := f.partition(r, i); p != nil && at > 0 {
			o.Last = max(int64(f.timeAt(r, p, at-1)), 0)
		}
		j.lag += o.Broker - o.Consumer
		j.ahead += o.Pull - o.Consumer
		j.table.add(f.queueName(r.name, i), o)
	}
	j.rate += f.meters.rate(meterKey{statGroupGet, groupKey(r.name, name)})
}

// readTopics are the topics that a group's figures are about: those named, or else all of which it has committed offsets, without those that
// its members have given up.
func (f *Front) readTopics(name, topic, list string, c committed) []string {
	if list != "" {
		return strings.Split(list, ";")
	}
	topics := []string{topic}
	if topic == "" {
		topics = slices.Sorted(maps.Keys(c))
	}
	crew, _ := f.o.Admin.Crews.Consumers(name)
	if len(crew.Subscriptions) == 0 {
		return topics
	}
	return slices.DeleteFunc(topics, func(one string) bool {
		return !slices.ContainsFunc(crew.Subscriptions, func(s group.Subscription) bool { return s.Topic == one })
	})
}

func consumeStats(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("consumerGroup")
	topic, list := r.Text("topic"), r.Text("topicList")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		c, err := f.committed(name)
		if err != nil {
			return nil, err
		}
		var j statsJSON
		for _, one := range f.readTopics(name, topic, list, c) {
			if route := f.routes.Load().names[one]; route != nil {
				f.addStats(&j, name, route, c)
			}
		}
		return j.body(), nil
	})
}

// look answers with what f makes, in a goroutine of its own: it reads the disk.
func (s *session) look(t ticket, f func(*Front) ([]byte, error)) {
	go func() {
		defer s.front.contain(s.conn)
		body, err := f(s.front)
		if err != nil {
			s.fail(t, err)
			return
		}
		s.reply(t, nil, body)
	}()
}

// brokerConsumeStats tells of all groups; with isOrder only of ordered topics.
func brokerConsumeStats(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	ordered := q.Bool("isOrder")
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		var lag, ahead int64
		b := append([]byte(`{"brokerAddr":`), mustJSON(f.address())...)
		b = append(b, `,"consumeStatsList":[`...)
		for i, name := range f.knownGroups() {
			c, err := f.committed(name)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, '{'), mustJSON(name)...)
			b = append(b, `:[`...)
			some := false
			for _, topic := range f.readTopics(name, "", "", c) {
				route := f.routes.Load().names[topic]
				if route == nil || ordered && !route.order {
					continue
				}
				var j statsJSON
				f.addStats(&j, name, route, c)
				lag, ahead = lag+j.lag, ahead+j.ahead
				if some {
					b = append(b, ',')
				}
				some = true
				b = append(b, j.body()...)
			}
			b = append(b, `]}`...)
		}
		b = append(b, `],"totalDiff":`...)
		b = strconv.AppendInt(b, lag, 10)
		b = append(b, `,"totalInflightDiff":`...)
		return append(strconv.AppendInt(b, ahead, 10), '}'), nil
	})
}

// groupsOfTopic tells who reads a topic, or has read it.
func groupsOfTopic(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	topic := q.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		names := map[string]bool{}
		for _, name := range f.o.Admin.Crews.Readers(topic) {
			names[name] = true
		}
		for _, name := range f.knownGroups() {
			c, err := f.committed(name)
			if err != nil {
				return nil, err
			}
			if len(c[topic]) > 0 {
				names[name] = true
			}
		}
		list := slices.AppendSeq([]string{}, maps.Keys(names))
		slices.Sort(list)
		return mustJSON(map[string]any{"groupList": list}), nil
	})
}

// topicsOfGroup tells of which topics a group has committed offsets.
func topicsOfGroup(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("group")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		c, err := f.committed(name)
		if err != nil {
			return nil, err
		}
		list := slices.AppendSeq([]string{}, maps.Keys(c))
		slices.Sort(list)
		return mustJSON(map[string]any{"brokerAddr": f.address(), "topicList": list}), nil
	})
}

// timeSpan tells from when the oldest, the newest and the last read message of each queue are.
func timeSpan(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	topic, name := q.Text("topic"), q.Text("group")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	route := s.topicOf(t, topic)
	if route == nil {
		return
	}
	s.look(t, func(f *Front) ([]byte, error) {
		c, err := f.committed(name)
		if err != nil {
			return nil, err
		}
		now := f.o.Now().UnixMilli()
		list := []any{}
		for i := range route.writes {
			p := f.partition(route, i)
			if p == nil {
				continue
			}
			low, high := f.edges(route, i)
			first, last := f.timeAt(route, p, low), f.timeAt(route, p, high-1)
			read := first
			if at := c[topic][i]; at > 0 {
				read = f.timeAt(route, p, at-1)
			}
			delay := int64(0)
			if next := f.timeAt(route, p, c[topic][i]); next != penstock.NoTimestamp {
				delay = max(now-int64(next), 0)
			}
			list = append(list, spanJSON{
				int64(read), timeText(read), delay, int64(last), timeText(last), f.queueName(topic, i), int64(first), timeText(first),
			})
		}
		return mustJSON(map[string]any{"consumeTimeSpanSet": list}), nil
	})
}

// spanJSON is RocketMQ's QueueTimeSpan.
type spanJSON struct {
	Read      int64     `json:"consumeTimeStamp"`
	ReadText  string    `json:"consumeTimeStampStr"`
	Delay     int64     `json:"delayTime"`
	Last      int64     `json:"maxTimeStamp"`
	LastText  string    `json:"maxTimeStampStr"`
	Queue     queueJSON `json:"messageQueue"`
	First     int64     `json:"minTimeStamp"`
	FirstText string    `json:"minTimeStampStr"`
}

// timeText is a time as RocketMQ writes it.
func timeText(t penstock.Timestamp) string {
	at := time.UnixMilli(int64(t))
	return at.Format("2006-01-02#15:04:05:") + at.Format(".000")[1:]
}

// allOffsets tells what all groups have committed. Its inner keys are numbers, as RocketMQ writes them.
func allOffsets(s *session, r *request) {
	t := r.ticket()
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		b := append([]byte(`{"dataVersion":`), mustJSON(f.dataVersion())...)
		b = append(b, `,"offsetTable":{`...)
		some := false
		for _, name := range f.knownGroups() {
			c, err := f.committed(name)
			if err != nil {
				return nil, err
			}
			for _, topic := range slices.Sorted(maps.Keys(c)) {
				if some {
					b = append(b, ',')
				}
				some = true
				b = append(append(b, mustJSON(topic+"@"+name)...), ':')
				b = appendOffsets(b, c[topic], 0)
			}
		}
		return append(b, `},"pullOffsetTable":{}}`...), nil
	})
}

// appendOffsets appends offsets by queue, whose numbers begin at base.
func appendOffsets(b []byte, offsets map[int32]penstock.Offset, base int64) []byte {
	b = append(b, '{')
	for i, queue := range slices.Sorted(maps.Keys(offsets)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(b, int64(queue)+base, 10), ':')
		b = strconv.AppendInt(b, int64(offsets[queue]), 10)
	}
	return append(b, '}')
}

// delayOffsets tells how far each level of delay has been delivered. Levels begin at 1.
func delayOffsets(s *session, r *request) {
	t := r.ticket()
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		c, err := f.committed(group.ScheduleGroup)
		if err != nil {
			return nil, err
		}
		b := append([]byte(`{"dataVersion":`), mustJSON(f.dataVersion())...)
		b = append(b, `,"offsetTable":`...)
		return append(appendOffsets(b, c[delayTopic], 1), '}'), nil
	})
}
