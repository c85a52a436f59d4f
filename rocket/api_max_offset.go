package rocket

// GET_MAX_OFFSET (30): the offset behind the last message of a queue that consumers see.

func apiMaxOffset() *api {
	return &api{code: 30, name: "GET_MAX_OFFSET", frame: smallFrame, right: right{opGet, onTopic}, handle: func(s *session, r *request) {
		q := r.Reader()
		if led := s.queue(r, &q); led != nil {
			s.replyNumber(r, "offset", int64(max(led.Offsets().HighWatermark, 0)))
		}
	}}
}
