package rocket

// DELETE_TOPIC_IN_NAMESRV (216): the second half of deleting a topic, after the brokers have (DELETE_TOPIC_IN_BROKER). This name server keeps no
// routes of its own that could be left over: a route goes with its topic, and comes back as long as a broker has the topic, as with RocketMQ's.

func apiDeleteTopicRoute() *api {
	return &api{code: 216, name: "DELETE_TOPIC_IN_NAMESRV", frame: smallFrame, right: right{opDelete, onTopic}, handle: func(s *session, r *request) {
		q := r.Reader()
		q.Text("topic")
		if err := q.Err(); err != nil {
			s.fail(r.ticket(), err)
			return
		}
		s.reply(r.ticket(), nil, nil)
	}}
}
