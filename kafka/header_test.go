package kafka

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestHeader reads headers that kmsg's formatter wrote, version 1 and version 2.
func TestHeader(t *testing.T) {
	for _, version := range []int16{2, 9} {
		q := kmsg.NewPtrMetadataRequest()
		q.SetVersion(version)
		frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, q, 77)[4:]
		h, rest, ok := splitHeader(frame)
		if !ok || h.key != keyMetadata || h.version != version || h.correlation != 77 {
			t.Fatalf("%+v %v", h, ok)
		}
		body, ok := h.finish(rest, version >= 9)
		if !ok || string(h.client) != "client" || !bytes.Equal(body, q.AppendTo(nil)) {
			t.Fatalf("%+v %x", h, body)
		}
	}
}

// TestHeaderTags: a flexible header may carry tagged fields, and they are passed over.
func TestHeaderTags(t *testing.T) {
	rest := []byte{0xff, 0xff, 2, 0, 1, 'x', 5, 0, 'b', 'o', 'd', 'y'}
	var h header
	body, ok := h.finish(rest, true)
	if !ok || h.client != nil || string(body) != "body" {
		t.Fatalf("%+v %q %v", h, body, ok)
	}
	if _, ok := h.finish([]byte{0xff, 0xff, 200}, true); ok {
		t.Fatal("more tagged fields than bytes pass")
	}
}

func TestReaderStaysBad(t *testing.T) {
	r := reader{b: []byte{0, 0, 0, 9, 1, 2, 3}}
	if r.bytes() != nil || !r.bad || r.int8() != 0 || r.text() != nil || r.count() != -1 || len(r.b) != 0 {
		t.Fatalf("%+v", r)
	}
}

// FuzzHeader: any frame is read without panic, and a header read says what the frame says.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 1, 0, 1, 'c', 0}, true)
	f.Fuzz(func(t *testing.T, frame []byte, flex bool) {
		h, rest, ok := splitHeader(frame)
		if !ok {
			return
		}
		if h.key != int16(binary.BigEndian.Uint16(frame)) || h.correlation != int32(binary.BigEndian.Uint32(frame[4:])) {
			t.Fatalf("%+v of %x", h, frame)
		}
		if body, ok := h.finish(rest, flex); ok && !bytes.HasSuffix(frame, body) {
			t.Fatal("the body is not the frame's end")
		}
	})
}
