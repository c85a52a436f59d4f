package kafka

import "penstock"

// header is what every request begins with (request header v1; v2 from the API's first flexible version on):
//
//	int16 api key | int16 version | int32 correlation id | nullable string client id | tagged fields (v2)
//
// The client id's length is never compact, so that a header can be read before its version is known to be served.
type header struct {
	key         int16
	version     int16
	correlation int32
	client      []byte // of the frame
}

// splitHeader reads the part that is the same for every API, up to the correlation id. It is false if the frame is too short for one.
func splitHeader(frame []byte) (h header, rest []byte, ok bool) {
	r := reader{b: frame}
	h = header{key: r.int16(), version: r.int16(), correlation: r.int32()}
	return h, r.b, !r.bad
}

// finish reads the rest of the header and returns the body.
func (h *header) finish(rest []byte, flex bool) (body []byte, ok bool) {
	r := reader{b: rest}
	h.client = r.text()
	r.flex = flex
	r.skipTags()
	return r.b, !r.bad
}

// appendResponseHeader begins an answer: the correlation id, and the empty tagged fields of response header v1.
func appendResponseHeader(dst []byte, correlation int32, flex bool) []byte {
	return appendNoTags(appendInt32(dst, correlation), flex)
}

// topicID reads a topic's id.
func (r *reader) topicID() (id penstock.TopicID) {
	copy(id[:], r.take(len(id)))
	return id
}
