package rocket

// GET_ROUTEINFO_BY_TOPIC (105): which brokers have queues of a topic, and how many. The default topics from which others are created have
// routes although they are no topics, so that a producer finds where to send the first message of a new one.

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
)

func apiRoute() *api {
	return &api{code: 105, name: "GET_ROUTEINFO_BY_TOPIC", frame: smallFrame, right: right{opNone, onNothing}, handle: routeInfo}
}

// topicRoute is the body of the answer. Keys are quoted for every client, which all of them read.
type topicRoute struct {
	BrokerDatas       []brokerData      `json:"brokerDatas"`
	FilterServerTable map[string]string `json:"filterServerTable"`
	OrderTopicConf    *string           `json:"orderTopicConf,omitempty"`
	QueueDatas        []queueData       `json:"queueDatas"`
}

// brokerData is how a broker is reached: the one with id 0 is its master.
type brokerData struct {
	BrokerAddrs        map[string]string `json:"brokerAddrs"`
	BrokerName         string            `json:"brokerName"`
	Cluster            string            `json:"cluster"`
	EnableActingMaster bool              `json:"enableActingMaster"`
}

// queueData is how many queues of a topic a broker has.
type queueData struct {
	BrokerName     string `json:"brokerName"`
	Perm           perm   `json:"perm"`
	ReadQueueNums  int32  `json:"readQueueNums"`
	TopicSysFlag   int32  `json:"topicSysFlag"`
	WriteQueueNums int32  `json:"writeQueueNums"`
}

func routeInfo(s *session, r *request) {
	q := r.Reader()
	topic := q.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(r.ticket(), err)
		return
	}
	f := s.front
	queues, order, ok := f.queueData(topic)
	if !ok {
		s.refuse(r.ticket(), codeTopicNotExist, fmt.Sprintf("No topic route info in name server for the topic: %.300s", topic))
		return
	}
	route := topicRoute{BrokerDatas: []brokerData{f.brokerData()}, FilterServerTable: map[string]string{}, QueueDatas: []queueData{queues}}
	if conf, ok := f.orderConf(topic); ok {
		route.OrderTopicConf = &conf
	} else if order {
		conf := f.o.BrokerName + ":" + strconv.Itoa(int(queues.WriteQueueNums))
		route.OrderTopicConf = &conf
	}
	s.replyJSON(r, route)
}

// queueData is what a topic's route tells of its queues; order tells that the topic is an ordered one.
func (f *Front) queueData(topic string) (d queueData, order, ok bool) {
	if r := f.routes.Load().names[topic]; r != nil {
		return queueData{BrokerName: f.o.BrokerName, Perm: f.told(r.perm), ReadQueueNums: r.reads, WriteQueueNums: r.writes}, r.order, true
	}
	if n := f.template(topic); n > 0 {
		return queueData{BrokerName: f.o.BrokerName, Perm: f.told(permDefault | permInherit), ReadQueueNums: int32(n), WriteQueueNums: int32(n)}, false, true
	}
	return queueData{}, false, false
}

// orderNamespace is where the order of queues of ordered topics is kept.
const orderNamespace = "ORDER_TOPIC_CONFIG"

// orderConf is what was put for an ordered topic.
func (f *Front) orderConf(topic string) (string, bool) {
	if f.o.Values == nil {
		return "", false
	}
	v, ok := f.o.Values.Values(orderNamespace)[topic]
	return v, ok
}

// brokerData is this broker as clients reach it.
func (f *Front) brokerData() brokerData {
	host, port := f.o.Advertised()
	return brokerData{
		BrokerAddrs: map[string]string{"0": net.JoinHostPort(host, strconv.Itoa(int(port)))}, BrokerName: f.o.BrokerName, Cluster: f.o.ClusterName,
	}
}

// replyJSON answers with success and a body in JSON.
func (s *session) replyJSON(r *request, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		s.fail(r.ticket(), err)
		return
	}
	s.reply(r.ticket(), nil, b)
}
