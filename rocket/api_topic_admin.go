package rocket

// Topics as administrators see them: UPDATE_AND_CREATE_TOPIC (17), DELETE_TOPIC_IN_BROKER (215), GET_ALL_TOPIC_CONFIG (21), GET_TOPIC_CONFIG (351),
// GET_TOPIC_STATS_INFO (202), GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305).

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"penstock"
	"penstock/meta"
	"penstock/rocket/remoting"
)

func apiCreateTopic() *api {
	return &api{code: 17, name: "UPDATE_AND_CREATE_TOPIC", frame: smallFrame, right: right{opCreate, onTopic}, handle: createTopic}
}

func apiDeleteTopic() *api {
	return &api{code: 215, name: "DELETE_TOPIC_IN_BROKER", frame: smallFrame, right: right{opDelete, onTopic}, handle: deleteTopic}
}

func apiAllTopics() *api {
	return &api{code: 21, name: "GET_ALL_TOPIC_CONFIG", frame: smallFrame, right: right{opGet, onCluster}, handle: allTopics}
}

func apiTopicConfig() *api {
	return &api{code: 351, name: "GET_TOPIC_CONFIG", frame: smallFrame, right: right{opGet, onTopic}, handle: topicConfigOf}
}

func apiTopicStats() *api {
	return &api{code: 202, name: "GET_TOPIC_STATS_INFO", frame: smallFrame, right: right{opGet, onTopic}, handle: topicStats}
}

func apiSystemTopicsOfBroker() *api {
	return &api{code: 305, name: "GET_SYSTEM_TOPIC_LIST_FROM_BROKER", frame: smallFrame, right: right{opGet, onCluster}, handle: systemTopicsOfBroker}
}

// wantedTopic is what an administrator wants a topic to be.
type wantedTopic struct {
	name          string
	reads, writes int
	perm          perm
	order         bool
	attributes    string // "+name=value,-name"
}

// attributeLayout is the attribute by which a topic's layout is chosen: that of the configuration has a dot too many for some tools' parsers.
const attributeLayout = "penstock.layout"

// createTopic creates a topic, or changes the one that there is.
func createTopic(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	w := wantedTopic{
		name: q.Text("topic"), reads: int(q.Int32("readQueueNums")), writes: int(q.Int32("writeQueueNums")), perm: perm(q.Int32("perm")),
		order: r.Text("order") == "true", attributes: r.Text("attributes"),
	}
	filter, sysFlag := r.Text("topicFilterType"), q.Int32Or("topicSysFlag", 0)
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	switch why := checkTopic(w.name); {
	case why != "":
		s.refuse(t, codeInvalidParameter, why)
	case isSystemTopic(w.name, s.front.o.ClusterName, s.front.o.BrokerName):
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("The topic[%s] is conflict with system topic.", w.name))
	case min(w.reads, w.writes) < 0 || max(w.reads, w.writes) < 1 || max(w.reads, w.writes) > maxQueues:
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("queues: %d to read and %d to write, want 1 to %d", w.reads, w.writes, maxQueues))
	case filter != "" && filter != "SINGLE_TAG":
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("topicFilterType %.64s is not served, only SINGLE_TAG", filter))
	case sysFlag != 0:
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("topicSysFlag %d is not served, only 0: there are no units", sysFlag))
	default:
		s.control(func(ctx context.Context) {
			if err := s.front.wantTopic(ctx, &w); err != nil {
				s.fail(t, err)
				return
			}
			s.reply(t, nil, nil)
		})
	}
}

// wantTopic makes a topic what is wanted. A topic never loses queues: fewer are only fewer to be told of.
func (f *Front) wantTopic(ctx context.Context, w *wantedTopic) error {
	queues := max(w.reads, w.writes)
	topic := f.o.Topics.Image().Topic(w.name)
	if topic == nil {
		layout, err := w.layout(f.o.Layout)
		if err != nil {
			return err
		}
		configs, err := w.configs(nil, queues)
		if err != nil {
			return err
		}
		_, err = f.o.Topics.CreateTopic(ctx, meta.NewTopic{
			Name: w.name, Format: penstock.FormatMessage, Layout: layout, Partitions: queues, Replicas: []penstock.BrokerID{f.o.Broker}, Configs: configs,
		}, false)
		return err
	}
	if layout, err := w.layout(topic.Layout); err != nil || layout != topic.Layout {
		return fmt.Errorf("%w: topic %s has layout %v, which is chosen when it is created", penstock.ErrInvalidConfig, w.name, topic.Layout)
	}
	if queues > len(topic.Partitions) {
		if err := f.o.Topics.AddPartitions(ctx, topic.ID, queues, false); err != nil {
			return err
		}
	}
	return f.o.Topics.SetConfigs(ctx, topic.ID, func(c map[string]string) (map[string]string, error) {
		return w.configs(c, max(queues, len(topic.Partitions)))
	})
}

// layout is the layout that the attributes ask for, or the one given.
func (w *wantedTopic) layout(l penstock.Layout) (penstock.Layout, error) {
	for change := range strings.SplitSeq(w.attributes, ",") {
		v, ok := strings.CutPrefix(change, "+"+attributeLayout+"=")
		switch {
		case !ok:
		case v == penstock.LayoutSegment.String():
			l = penstock.LayoutSegment
		case v == penstock.LayoutCommit.String():
			l = penstock.LayoutCommit
		default:
			return l, fmt.Errorf("%w: %s=%.64s, want segment or commit", penstock.ErrInvalidConfig, attributeLayout, v)
		}
	}
	return l, nil
}

// configs brings a topic's configuration up to what is wanted. What is the default is left out.
func (w *wantedTopic) configs(c map[string]string, queues int) (map[string]string, error) {
	if c == nil {
		c = map[string]string{}
	}
	set := func(key, value string, isDefault bool) {
		if isDefault {
			delete(c, key)
			return
		}
		c[key] = value
	}
	set(meta.ConfigPerm, strconv.Itoa(int(w.perm)), w.perm == permDefault)
	set(meta.ConfigReadQueues, strconv.Itoa(w.reads), w.reads == queues)
	set(meta.ConfigWriteQueues, strconv.Itoa(w.writes), w.writes == queues)
	set(meta.ConfigOrder, "true", !w.order)
	attributes, err := changeAttributes(c[meta.ConfigAttributes], w.attributes)
	set(meta.ConfigAttributes, attributes, attributes == "")
	return c, err
}

// changeAttributes applies "+name=value,-name" to attributes kept as "+name=value,...".
func changeAttributes(kept, changes string) (string, error) {
	m := attributeMap(kept)
	for change := range strings.SplitSeq(changes, ",") {
		name, value, some := strings.Cut(change, "=")
		switch {
		case change == "", name == "+"+attributeLayout:
		case len(name) > 1 && name[0] == '+' && some:
			m[name[1:]] = value
		case len(name) > 1 && name[0] == '-' && !some:
			delete(m, name[1:])
		default:
			return kept, fmt.Errorf("%w: attribute %.64q: want +name=value or -name", penstock.ErrInvalidConfig, change)
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, "+"+name+"="+m[name])
	}
	return strings.Join(out, ","), nil
}

// attributeMap takes attributes apart.
func attributeMap(kept string) map[string]string {
	m := map[string]string{}
	for one := range strings.SplitSeq(kept, ",") {
		if name, value, ok := strings.Cut(one, "="); ok && strings.HasPrefix(name, "+") {
			m[name[1:]] = value
		}
	}
	return m
}

// deleteTopic deletes a topic. That there is none is fine, as it is for RocketMQ.
func deleteTopic(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	f := s.front
	switch {
	case strings.TrimSpace(name) == "":
		s.refuse(t, codeInvalidParameter, "The specified topic is blank.")
		return
	case isSystemTopic(name, f.o.ClusterName, f.o.BrokerName):
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("The topic[%s] is conflict with system topic.", name))
		return
	}
	route := f.routes.Load().names[name]
	if route == nil {
		s.reply(t, nil, nil)
		return
	}
	s.control(func(ctx context.Context) {
		if err := f.o.Topics.DeleteTopic(ctx, route.id); err != nil {
			s.fail(t, err)
			return
		}
		s.reply(t, nil, nil)
	})
}

// topicJSON is RocketMQ's TopicConfig.
type topicJSON struct {
	Attributes      map[string]string `json:"attributes"`
	Order           bool              `json:"order"`
	Perm            int               `json:"perm"`
	ReadQueueNums   int32             `json:"readQueueNums"`
	TopicFilterType string            `json:"topicFilterType"`
	TopicName       string            `json:"topicName"`
	TopicSysFlag    int               `json:"topicSysFlag"`
	WriteQueueNums  int32             `json:"writeQueueNums"`
}

func (r *route) json() topicJSON {
	return topicJSON{
		Attributes: attributeMap(r.topic.Configs[meta.ConfigAttributes]), Order: r.order, Perm: int(r.perm), ReadQueueNums: r.reads,
		TopicFilterType: "SINGLE_TAG", TopicName: r.name, WriteQueueNums: r.writes,
	}
}

// maxTopics bounds the topics of one answer, which clients ask for in parts (topicSeq).
const maxTopics = 2000

// allTopics tells topics by name, from a number on where the client asks for parts.
func allTopics(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	from, most := q.Int32Or("topicSeq", 0), q.Int32Or("maxTopicNum", maxTopics)
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	inParts := r.Text("topicSeq") != "" || r.Text("maxTopicNum") != "" || r.Text("dataVersion") != ""
	t.wire.Release()
	f := s.front
	list := f.sortedRoutes()
	total := len(list)
	if inParts {
		from = min(max(from, 0), int32(total))
		list = list[from:]
		list = list[:min(len(list), int(max(min(most, maxTopics), 0)))]
	}
	table := make(map[string]topicJSON, len(list))
	for _, one := range list {
		table[one.name] = one.json()
	}
	s.reply(t, func(w *remoting.Writer) { w.Int("totalTopicNum", int64(total)) }, mustJSON(struct {
		DataVersion        dataVersion          `json:"dataVersion"`
		MappingDataVersion dataVersion          `json:"mappingDataVersion"`
		TopicConfigTable   map[string]topicJSON `json:"topicConfigTable"`
		Mapping            struct{}             `json:"topicQueueMappingDetailMap"`
	}{DataVersion: f.dataVersion(), TopicConfigTable: table}))
}

// topicOf finds the topic that a request names, or answers it.
func (s *session) topicOf(t ticket, name string) *route {
	route := s.front.routes.Load().names[name]
	if route == nil {
		s.refuse(t, codeTopicNotExist, fmt.Sprintf("topic[%.300s] not exist", name))
	}
	return route
}

func topicConfigOf(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	if route := s.topicOf(t, name); route != nil {
		s.reply(t, nil, mustJSON(route.json()))
	}
}

// edges are the bounds of a queue as clients may know them, nothing where it cannot be read.
func (f *Front) edges(r *route, queue int32) (low, high penstock.Offset) {
	p := f.partition(r, queue)
	if p == nil || p.Err() != nil {
		return 0, 0
	}
	o := p.Offsets()
	return max(o.Start, 0), max(o.HighWatermark, 0)
}

// topicStats tells the bounds of a topic's queues, and when each was last written to.
func topicStats(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	route := s.topicOf(t, name)
	if route == nil {
		return
	}
	// It reads the disk: not in the reader.
	go func() {
		f := s.front
		defer f.contain(s.conn)
		var table queueTable
		for i := range max(route.reads, route.writes) {
			low, high := f.edges(route, i)
			at := penstock.Timestamp(0)
			if p := f.partition(route, i); p != nil && high > low {
				at = max(f.timeAt(route, p, high-1), 0)
			}
			table.add(f.queueName(name, i), struct {
				Last int64 `json:"lastUpdateTimestamp"`
				High int64 `json:"maxOffset"`
				Low  int64 `json:"minOffset"`
			}{int64(at), int64(high), int64(low)})
		}
		body := table.appendTo([]byte(`{"offsetTable":`))
		body = append(body, `,"topicPutTps":`...)
		body = append(body, mustJSON(f.meters.rate(meterKey{statTopicPut, name}))...)
		s.reply(t, nil, append(body, '}'))
	}()
}

// systemTopicsOfBroker tells the topics of this broker that are not its users'.
func systemTopicsOfBroker(s *session, r *request) {
	t := r.ticket()
	t.wire.Release()
	list := []string{}
	for _, one := range s.front.sortedRoutes() {
		if isSystemTopic(one.name, s.front.o.ClusterName, s.front.o.BrokerName) {
			list = append(list, one.name)
		}
	}
	s.reply(t, nil, mustJSON(map[string]any{"topicList": list}))
}

// systemTopics are RocketMQ's own (TopicValidator), besides those with systemPrefix.
var systemTopics = map[string]bool{
	templateTopic: true, delayTopic: true, "BenchmarkTest": true, "RMQ_SYS_TRANS_HALF_TOPIC": true, "RMQ_SYS_TRACE_TOPIC": true,
	"RMQ_SYS_TRANS_OP_HALF_TOPIC": true, "TRANS_CHECK_MAX_TIME_TOPIC": true, "SELF_TEST_TOPIC": true, "OFFSET_MOVED_EVENT": true,
	"CHECKPOINT_TOPIC": true,
}

const systemPrefix = "rmq_sys_"

func isSystemTopic(name, cluster, broker string) bool {
	return systemTopics[name] || strings.HasPrefix(name, systemPrefix) || name == cluster || name == broker
}
