package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// answerEvery is the pause between two questions to a broker that starts. It is the resolution of the time to the first answer.
const answerEvery = time.Millisecond

// maxAnswer bounds the answer to ApiVersions.
const maxAnswer = 1 << 20

// Answers waits until the Kafka listener answers an ApiVersions request, for half a minute at most.
func (b *Broker) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := ask(ctx, b.Kafka)
		if err == nil {
			return nil
		}
		select {
		case <-b.done:
			return fmt.Errorf("broker ended before it answered: %w\n%s", orExit(b.err), b.Tail())
		case <-ctx.Done():
			return fmt.Errorf("broker does not answer: %w\n%s", errors.Join(ctx.Err(), err), b.Tail())
		case <-time.After(answerEvery):
		}
	}
}

// ask sends one ApiVersions request, version 0, and reads the answer.
func ask(ctx context.Context, addr string) error {
	const correlation = 7
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if limit, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(limit)
	}
	// Size, API key 18, version 0, correlation id, a client id that is null.
	frame := []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, correlation, 0xff, 0xff}
	if _, err := c.Write(frame); err != nil {
		return err
	}
	var head [10]byte // size, correlation id, error code
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if got := binary.BigEndian.Uint32(head[4:]); got != correlation {
		return fmt.Errorf("ApiVersions: correlation id %d for %d", got, correlation)
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return fmt.Errorf("ApiVersions: error %d", code)
	}
	if size < 6 || size > maxAnswer {
		return fmt.Errorf("ApiVersions: answer of %d bytes", size)
	}
	_, err = io.CopyN(io.Discard, c, size-6)
	return err
}
