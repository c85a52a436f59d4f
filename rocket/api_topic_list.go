package rocket

// GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206), GET_TOPICS_BY_CLUSTER (224), GET_SYSTEM_TOPIC_LIST_FROM_NS (304): names of topics. There are no units
// here, so that the three lists of unit topics (311, 312, 313) are empty.

import (
	"maps"
	"slices"
)

func apiTopicList() *api {
	return topicListRow(206, "GET_ALL_TOPIC_LIST_FROM_NAMESERVER", func(s *session, r *request) { s.replyJSON(r, s.front.topicList()) })
}

func apiClusterTopics() *api {
	return topicListRow(224, "GET_TOPICS_BY_CLUSTER", func(s *session, r *request) {
		q := r.Reader()
		cluster := q.Text("cluster")
		if err := q.Err(); err != nil {
			s.fail(r.ticket(), err)
			return
		}
		if cluster != s.front.o.ClusterName {
			s.refuse(r.ticket(), codeInvalidParameter, "no cluster is called "+cluster+", this one is "+s.front.o.ClusterName)
			return
		}
		s.replyJSON(r, s.front.topicList())
	})
}

func apiSystemTopics() *api {
	return topicListRow(304, "GET_SYSTEM_TOPIC_LIST_FROM_NS", func(s *session, r *request) {
		f := s.front
		addr := f.brokerData().BrokerAddrs["0"]
		s.replyJSON(r, topicList{BrokerAddr: &addr, TopicList: []string{f.o.ClusterName, f.o.BrokerName}})
	})
}

func apiUnitTopics() *api { return topicListRow(311, "GET_UNIT_TOPIC_LIST", noTopics) }

func apiUnitSubTopics() *api { return topicListRow(312, "GET_HAS_UNIT_SUB_TOPIC_LIST", noTopics) }

func apiUnitSubOtherTopics() *api {
	return topicListRow(313, "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST", noTopics)
}

func noTopics(s *session, r *request) { s.replyJSON(r, topicList{TopicList: []string{}}) }

func topicListRow(c int32, name string, handle func(s *session, r *request)) *api {
	return &api{code: c, name: name, frame: smallFrame, right: right{opList, onTopic}, handle: handle}
}

// topicList is the body of the answers.
type topicList struct {
	BrokerAddr *string  `json:"brokerAddr,omitempty"`
	TopicList  []string `json:"topicList"`
}

// topicList names every topic, and the default topics from which others are created.
func (f *Front) topicList() topicList {
	names := slices.Collect(maps.Keys(f.routes.Load().names))
	for _, name := range []string{templateTopic, f.o.ClusterName, f.o.BrokerName} {
		if f.template(name) > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return topicList{TopicList: names}
}
