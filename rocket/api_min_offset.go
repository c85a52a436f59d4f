package rocket

// GET_MIN_OFFSET (31): the offset of the first message that a queue still has.

func apiMinOffset() *api {
	return &api{code: 31, name: "GET_MIN_OFFSET", frame: smallFrame, right: right{opGet, onTopic}, handle: func(s *session, r *request) {
		q := r.Reader()
		if led := s.queue(r, &q); led != nil {
			s.replyNumber(r, "offset", int64(max(led.Offsets().Start, 0)))
		}
	}}
}
