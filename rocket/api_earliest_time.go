package rocket

// GET_EARLIEST_MSG_STORETIME (32): when the first message that a queue still has was stored, -1 if it has none.

import "penstock/replica"

func apiEarliestTime() *api {
	return &api{code: 32, name: "GET_EARLIEST_MSG_STORETIME", frame: smallFrame, right: right{opGet, onTopic}, handle: earliestTime}
}

func earliestTime(s *session, r *request) {
	q := r.Reader()
	led := s.queue(r, &q)
	if led == nil {
		return
	}
	f, err := led.Find(0, replica.ReadUncommitted)
	if err != nil {
		s.fail(r.ticket(), err)
		return
	}
	s.replyNumber(r, "timestamp", int64(f.Timestamp))
}
