package rocket

// SEARCH_OFFSET_BY_TIMESTAMP (29): the offset of the first message stored at a time or later; with boundaryType UPPER (5.x) that of the last
// stored at it or earlier. Of a time after the last message the first kind is the queue's end; of one before the first message both
// are its start.

import (
	"penstock"
	"penstock/replica"
)

func apiSearchOffset() *api {
	return &api{code: 29, name: "SEARCH_OFFSET_BY_TIMESTAMP", frame: smallFrame, right: right{opGet, onTopic}, handle: searchOffset}
}

func searchOffset(s *session, r *request) {
	q := r.Reader()
	at := q.Int64("timestamp")
	led := s.queue(r, &q)
	if led == nil {
		return
	}
	upper := r.Text("boundaryType")
	off, err := offsetAt(led, penstock.Timestamp(at), upper == "UPPER" || upper == "upper")
	if err != nil {
		s.fail(r.ticket(), err)
		return
	}
	s.replyNumber(r, "offset", int64(off))
}

// offsetAt finds the boundary of a time in a queue.
func offsetAt(led *replica.Partition, at penstock.Timestamp, upper bool) (penstock.Offset, error) {
	if upper {
		at++
	}
	f, err := led.Find(max(at, 0), replica.ReadUncommitted)
	if err != nil {
		return penstock.NoOffset, err
	}
	e := led.Offsets()
	found := f.Offset
	if found == penstock.NoOffset {
		found = e.HighWatermark
	}
	if upper {
		found--
	}
	return max(found, e.Start, 0), nil
}
