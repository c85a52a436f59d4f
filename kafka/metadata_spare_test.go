package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestMetadataWithBytesToSpare sends what librdkafka 2.16.0 sends for the metadata of all topics, as it came off the wire: the
// request is whole after the tagged fields that follow three zero bytes, and Kafka reads no further.
func TestMetadataWithBytesToSpare(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := dial(t, h.addr)
	c.send([]byte("\x00\x00\x00\x19\x00\x03\x00\x0d\x00\x00\x00\x03\x00\x07rdkafka\x00\x00\x00\x00\x00\x01\x00\x00"))
	resp := kmsg.NewPtrMetadataResponse()
	c.answer(3, resp, 13)
	if len(resp.Topics) != 1 || *resp.Topics[0].Topic != "t" {
		t.Fatalf("%+v", resp)
	}
	// No other API's requests are forgiven, and not a byte may be missing.
	if apiHeartbeat().spare || apiMetadata().shape.check([]byte{0, 0, 0}, 13, true) == nil {
		t.Fatal("what is malformed passes")
	}
}
