package rocket

// WIPE_WRITE_PERM_OF_BROKER (205) and ADD_WRITE_PERM_OF_BROKER (327): the name server tells producers that a broker takes no messages, so that they go
// elsewhere before it is stopped, or that it takes them again. The broker itself goes on taking what comes. As in RocketMQ a restart forgets it.

import (
	"fmt"

	"penstock/rocket/remoting"
)

func apiWipeWritePerm() *api {
	return &api{
		code: 205, name: "WIPE_WRITE_PERM_OF_BROKER", frame: smallFrame, right: right{opUpdate, onCluster},
		handle: func(s *session, r *request) { s.setWritable(r, false, "wipeTopicCount") },
	}
}

func apiAddWritePerm() *api {
	return &api{
		code: 327, name: "ADD_WRITE_PERM_OF_BROKER", frame: smallFrame, right: right{opUpdate, onCluster},
		handle: func(s *session, r *request) { s.setWritable(r, true, "addTopicCount") },
	}
}

// setWritable changes what routes tell, and answers with how many topics that is about.
func (s *session) setWritable(r *request, writable bool, field string) {
	q := r.Reader()
	broker := q.Text("brokerName")
	if err := q.Err(); err != nil {
		s.fail(r.ticket(), err)
		return
	}
	f, n := s.front, 0
	if broker == f.o.BrokerName {
		for _, one := range f.routes.Load().names {
			if one.perm&permWrite != 0 {
				n++
			}
		}
		f.unwritable.Store(!writable)
		f.o.Logger.Info("routes tell whether this broker takes messages", "broker", broker, "writable", writable, "client", s.born.String())
	} else {
		f.o.Logger.Debug("write permission of an unknown broker", "broker", fmt.Sprintf("%.64q", broker))
	}
	s.reply(r.ticket(), func(w *remoting.Writer) { w.Int(field, int64(n)) }, nil)
}

// told is the permission that routes tell of a topic.
func (f *Front) told(p perm) perm {
	if f.unwritable.Load() {
		return p &^ permWrite
	}
	return p
}
