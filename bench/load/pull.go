package load

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
)

// Pulling asks for messages as RocketMQ's clients do: one queue at a time, one request at a time, by one connection.
type Pulling struct {
	Addr   string // of the broker's RocketMQ listener
	Topic  string
	Queues int
	Count  int // messages asked for in one request
}

// The request PULL_MESSAGE, its answers that have messages, and what the client says of itself there.
const (
	pullCode  = 11
	pullFound = 0
	// pullFlags: there is a subscription, and nothing to commit.
	pullFlags = 1 << 2
	// maxPulled bounds an answer.
	maxPulled = 64 << 20
)

// Pull pulls every queue from offset 0 on, and stops each before it has fewer than margin messages left, so that no answer is cut short by a queue's end.
// The messages are not opened. Fetched.Wire counts the answers with their heads.
func (p Pulling) Pull(ctx context.Context, margin int64) (Fetched, error) {
	f := Fetched{Smallest: math.MaxInt64}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return f, fmt.Errorf("pull: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for queue := range p.Queues {
		for next, more := int64(0), true; more; {
			a, err := p.ask(conn, queue, next)
			if err != nil {
				return f, fmt.Errorf("pull %s, queue %d from %d: %w", p.Topic, queue, next, errors.Join(err, ctx.Err()))
			}
			f.Answers++
			f.Payload += a.payload
			f.Wire += a.size
			f.Smallest = min(f.Smallest, a.payload)
			next, more = a.next, a.end-a.next >= margin
		}
	}
	return f, nil
}

// pulled is an answer.
type pulled struct {
	payload, size int64 // of the messages, and of the whole frame
	next, end     int64
}

// ask pulls once.
func (p Pulling) ask(conn io.ReadWriter, queue int, from int64) (a pulled, err error) {
	head, err := json.Marshal(map[string]any{
		"code": pullCode, "language": "GO", "version": 493, "opaque": 1, "flag": 0, "serializeTypeCurrentRPC": "JSON",
		"extFields": map[string]string{
			"consumerGroup": "bench", "topic": p.Topic, "queueId": strconv.Itoa(queue), "queueOffset": strconv.FormatInt(from, 10),
			"maxMsgNums": strconv.Itoa(p.Count), "sysFlag": strconv.Itoa(pullFlags), "commitOffset": "0", "suspendTimeoutMillis": "0",
			"subscription": "*", "subVersion": "0", "expressionType": "TAG",
		},
	})
	if err != nil {
		return a, err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(head))) // the upper byte says JSON
	if _, err := conn.Write(append(frame, head...)); err != nil {
		return a, err
	}
	var sizes [8]byte
	if _, err := io.ReadFull(conn, sizes[:]); err != nil {
		return a, err
	}
	size, said := int64(binary.BigEndian.Uint32(sizes[:])), int64(binary.BigEndian.Uint32(sizes[4:])&0xffffff)
	if size > maxPulled || said > size-4 {
		return a, fmt.Errorf("a frame of %d bytes with a head of %d", size, said)
	}
	text := make([]byte, said)
	if _, err := io.ReadFull(conn, text); err != nil {
		return a, err
	}
	a.size, a.payload = size+4, size-4-said
	if _, err := io.CopyN(io.Discard, conn, a.payload); err != nil {
		return a, err
	}
	return a, a.read(text, from)
}

// read takes what the head of an answer says.
func (a *pulled) read(text []byte, from int64) error {
	var h struct {
		Code      int               `json:"code"`
		Remark    string            `json:"remark"`
		ExtFields map[string]string `json:"extFields"`
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return err
	}
	if h.Code != pullFound {
		return fmt.Errorf("answered with code %d, %s", h.Code, h.Remark)
	}
	var errs [2]error
	a.next, errs[0] = strconv.ParseInt(h.ExtFields["nextBeginOffset"], 10, 64)
	a.end, errs[1] = strconv.ParseInt(h.ExtFields["maxOffset"], 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if a.next <= from || a.payload == 0 {
		return fmt.Errorf("%d bytes of messages that go on at %d", a.payload, a.next)
	}
	return nil
}
