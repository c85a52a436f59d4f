package rocket

import (
	"fmt"
	"strings"
	"time"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/meta"
	"penstock/record"
)

// Sending to a topic of Kafka's records: each message becomes a record (package convert), those of a batch one batch, held to what the topic demands of
// a Kafka producer's. The answer names the same offsets and, in place of positions in a log, the positions of the records (records.go).

// packing is what a call keeps for making records.
type packing struct {
	packer  convert.Packer
	builder record.Builder
}

// buildRecords makes one record batch of the call's messages.
func (c *sendCall) buildRecords(m *message.Message) error {
	if c.packing == nil {
		c.packing = &packing{}
	}
	k := c.packing
	k.builder.Begin(c.buf[:0])
	add := func() error {
		m.QueueOffset = penstock.Offset(k.builder.Len())
		e := k.packer.Entry(m)
		return k.builder.Add(&e)
	}
	var err error
	if c.head.Batch {
		err = message.Items(c.body, func(it message.Item) error {
			if k.builder.Len() >= maxBatch {
				return fmt.Errorf("%w: more than %d messages in a batch", penstock.ErrTooLarge, maxBatch)
			}
			m.Body, m.Flag, m.Properties = it.Body, it.Flag, it.Properties
			return add()
		})
	} else {
		err = add()
	}
	n := k.builder.Len()
	c.buf = k.builder.End()
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: batch without a message", penstock.ErrInvalidRecord)
	}
	if err != nil {
		return err
	}
	b, err := record.Validate(c.buf, recordRules(&c.route.topic.Settings, c.front.o.Now()))
	c.batches = append(c.batches[:0], b)
	if err != nil {
		return fmt.Errorf("topic %s holds Kafka's records: %w", c.route.name, err)
	}
	return nil
}

// recordRules turns a topic's settings into what its batches are held to. Where the broker stamps the time the producer's does not matter.
func recordRules(s *meta.Settings, now time.Time) record.Rules {
	r := record.Rules{MaxBytes: s.MaxMessageBytes, Keys: strings.Contains(s.CleanupPolicy, "compact"), Now: penstock.Timestamp(now.UnixMilli())}
	if !s.AppendTime {
		r.Before, r.After = max(s.TimestampBefore, 0), max(s.TimestampAfter, 0)
	}
	return r
}

// messages is the number of messages that the call stores.
func (c *sendCall) messages() int {
	if c.route.native {
		return len(c.batches)
	}
	return int(c.batches[0].Header.Records)
}

// appendRecordID appends the offset id of the record at an offset.
func (c *sendCall) appendRecordID(dst []byte, at penstock.Offset) []byte {
	return appendPositionID(dst, c.host, recordPosition(c.route.id, c.stored, at))
}
