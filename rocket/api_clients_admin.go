package rocket

// Who is connected: GET_CONSUMER_CONNECTION_LIST (203), GET_PRODUCER_CONNECTION_LIST (204), GET_ALL_PRODUCER_INFO (328), and what a group
// subscribes to: QUERY_SUBSCRIPTION_BY_CONSUMER (345).

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"penstock/group"
)

func apiConsumerConnections() *api {
	return &api{code: 203, name: "GET_CONSUMER_CONNECTION_LIST", frame: smallFrame, right: right{opGet, onGroup}, handle: consumerConnections}
}

func apiProducerConnections() *api {
	return &api{code: 204, name: "GET_PRODUCER_CONNECTION_LIST", frame: smallFrame, right: right{opGet, onCluster}, handle: producerConnections}
}

func apiAllProducers() *api {
	return &api{code: 328, name: "GET_ALL_PRODUCER_INFO", frame: smallFrame, right: right{opGet, onCluster}, handle: allProducers}
}

func apiSubscriptionOf() *api {
	return &api{code: 345, name: "QUERY_SUBSCRIPTION_BY_CONSUMER", frame: smallFrame, right: right{opGet, onTopicAndGroup}, handle: subscriptionOf}
}

// connectionJSON is RocketMQ's Connection.
type connectionJSON struct {
	ClientAddr string `json:"clientAddr"`
	ClientID   string `json:"clientId"`
	Language   string `json:"language"`
	Version    int    `json:"version"`
}

func connectionsJSON(cs []group.Client) []connectionJSON {
	out := make([]connectionJSON, 0, len(cs))
	for i := range cs {
		out = append(out, connectionJSON{cs[i].Host, cs[i].ClientID, cs[i].Language, cs[i].Version})
	}
	return out
}

// subscriptionJSON is RocketMQ's SubscriptionData.
type subscriptionJSON struct {
	ClassFilter bool     `json:"classFilterMode"`
	Codes       tagCodes `json:"codeSet"`
	Kind        string   `json:"expressionType"`
	Expression  string   `json:"subString"`
	Version     int64    `json:"subVersion"`
	Tags        []string `json:"tagsSet"`
	Topic       string   `json:"topic"`
}

// tagCodes are the hashes of tags. RocketMQ's client for Go writes them as strings.
type tagCodes []int32

// UnmarshalJSON takes numbers, and strings that hold them.
func (c *tagCodes) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*c = make(tagCodes, 0, len(raw))
	for _, r := range raw {
		n, err := strconv.ParseInt(string(bytes.Trim(r, `"`)), 10, 32)
		if err != nil {
			return fmt.Errorf("hash of a tag: %w", err)
		}
		*c = append(*c, int32(n))
	}
	return nil
}

func subscriptionToJSON(s *group.Subscription) *subscriptionJSON {
	return &subscriptionJSON{
		s.ClassFilter, append([]int32{}, s.Codes...), s.Kind, s.Expression, s.Version, append([]string{}, s.Tags...), s.Topic,
	}
}

// fromWhere names where a consumer begins (ConsumeFromWhere), those that RocketMQ gave up included.
func fromWhere(w group.FromWhere) string {
	names := [...]string{
		"CONSUME_FROM_LAST_OFFSET", "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST", "CONSUME_FROM_MIN_OFFSET",
		"CONSUME_FROM_MAX_OFFSET", "CONSUME_FROM_FIRST_OFFSET", "CONSUME_FROM_TIMESTAMP",
	}
	return names[min(int(w), len(names)-1)]
}

func consumerConnections(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("consumerGroup")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	crew, ok := s.front.o.Admin.Crews.Consumers(name)
	if !ok {
		s.refuse(t, codeConsumerNotOnline, fmt.Sprintf("the consumer group[%.300s] not online", name))
		return
	}
	table := map[string]*subscriptionJSON{}
	for i := range crew.Subscriptions {
		table[crew.Subscriptions[i].Topic] = subscriptionToJSON(&crew.Subscriptions[i])
	}
	s.reply(t, nil, mustJSON(struct {
		Connections   []connectionJSON             `json:"connectionSet"`
		From          string                       `json:"consumeFromWhere"`
		Type          string                       `json:"consumeType"`
		Model         string                       `json:"messageModel"`
		Subscriptions map[string]*subscriptionJSON `json:"subscriptionTable"`
	}{connectionsJSON(crew.Members), fromWhere(crew.From), crew.Type.String(), crew.Model.String(), table}))
}

func producerConnections(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name := q.Text("producerGroup")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	cs := s.front.o.Admin.Crews.Producers(name)
	if len(cs) == 0 {
		s.refuse(t, codeSystemError, fmt.Sprintf("the producer group[%.300s] not exist", name))
		return
	}
	s.reply(t, nil, mustJSON(map[string]any{"connectionSet": connectionsJSON(cs)}))
}

// producerJSON is RocketMQ's ProducerInfo.
type producerJSON struct {
	ClientID string `json:"clientId"`
	Language string `json:"language"`
	Seen     int64  `json:"lastUpdateTimestamp"`
	RemoteIP string `json:"remoteIP"`
	Version  int    `json:"version"`
}

func allProducers(s *session, r *request) {
	t := r.ticket()
	t.wire.Release()
	crews := s.front.o.Admin.Crews
	_, names := crews.Groups()
	data := map[string][]producerJSON{}
	for _, name := range names {
		for _, c := range crews.Producers(name) {
			data[name] = append(data[name], producerJSON{c.ClientID, c.Language, c.Seen.UnixMilli(), c.Host, c.Version})
		}
	}
	s.reply(t, nil, mustJSON(map[string]any{"data": data}))
}

// subscription is what a group reads of a topic, nil if no member reads it.
func (f *Front) subscription(name, topic string) *subscriptionJSON {
	crew, _ := f.o.Admin.Crews.Consumers(name)
	for i := range crew.Subscriptions {
		if crew.Subscriptions[i].Topic == topic {
			return subscriptionToJSON(&crew.Subscriptions[i])
		}
	}
	return nil
}

func subscriptionOf(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, topic := q.Text("group"), r.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	s.reply(t, nil, mustJSON(struct {
		Group        string            `json:"group"`
		Subscription *subscriptionJSON `json:"subscriptionData,omitempty"`
		Topic        string            `json:"topic"`
	}{name, s.front.subscription(name, topic), topic}))
}
