package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// answer is what answers at an address.
type answer struct {
	kind kind
	took time.Duration // to connect
	err  error
}

type kind uint8

const (
	isKafka      kind = iota
	isUnresolved      // the name leads nowhere
	isClosed          // nobody listens
	isSilent          // no answer in time, to the connection or to the question
	isHTTP
	isTLS
	isOther // something else answers, or hangs up
)

// question is ApiVersions, version 0, of client null: size, key 18, version, correlation id 1, length -1. Every broker since
// Kafka 0.10 answers it, before authentication too.
var question = []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff}

// mostAnswer is the longest answer that is believed.
const mostAnswer = 1 << 20

// probe connects to an address and asks it for its API versions. It reads eight bytes.
func probe(ctx context.Context, addr string) answer {
	started := time.Now()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return answer{kind: dialKind(err), err: err}
	}
	defer func() { _ = c.Close() }() // nothing is lost with it
	took := time.Since(started)
	if limit, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(limit); err != nil {
			return answer{kind: isOther, took: took, err: err}
		}
	}
	if _, err := c.Write(question); err != nil {
		return answer{kind: isOther, took: took, err: err}
	}
	head := make([]byte, 8)
	n, err := io.ReadFull(c, head)
	var timed net.Error
	switch {
	case n >= 2 && head[0] == 0x15 && head[1] == 3, n >= 2 && head[0] == 0x16 && head[1] == 3: // an alert or a handshake
		return answer{kind: isTLS, took: took}
	case n >= 4 && bytes.HasPrefix(head, []byte("HTTP")):
		return answer{kind: isHTTP, took: took}
	case errors.As(err, &timed) && timed.Timeout():
		return answer{kind: isSilent, took: took, err: errors.New("it takes the connection and does not answer")}
	case err != nil:
		return answer{kind: isOther, took: took, err: fmt.Errorf("it hangs up: %w", err)}
	}
	size, id := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	if size < 6 || size > mostAnswer || id != 1 {
		return answer{kind: isOther, took: took, err: fmt.Errorf("it answers % x", head)}
	}
	return answer{kind: isKafka, took: took}
}

func dialKind(err error) kind {
	var dns *net.DNSError
	var timed net.Error
	switch {
	case errors.As(err, &dns):
		return isUnresolved
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		return isSilent
	}
	return isClosed
}

// judgeAnswer is the finding about an address that clients are sent to. A broker that answers is one only if it says so.
func judgeAnswer(check, who, addr string, a answer) Finding {
	f := Finding{Check: check, Severity: Error, Why: "Clients that are sent there get no further."}
	switch a.kind {
	case isKafka:
		return good(check, "%s answers at %s, connected in %.1f ms", who, addr, a.took.Seconds()*1e3)
	case isUnresolved:
		f.What = fmt.Sprintf("%s: the name in %s leads nowhere: %v", who, addr, a.err)
		f.Do = "Use a name or an address that clients can resolve, or add it to their DNS."
	case isClosed:
		f.What = fmt.Sprintf("%s: nobody listens at %s: %v", who, addr, a.err)
		f.Do = "Start the broker, or correct the address."
	case isSilent:
		f.What = fmt.Sprintf("%s: no answer at %s in time: %v", who, addr, a.err)
		f.Do = "Look for a firewall that drops packets, a wrong address, or a broker that hangs or starts."
	case isHTTP:
		f.What = fmt.Sprintf("%s: %s speaks HTTP, not Kafka", who, addr)
		f.Do = "Use the port of Kafka's listener, usually 9092; this may be the admin listener."
	case isTLS:
		f.What = fmt.Sprintf("%s: %s speaks TLS", who, addr)
		f.Do = "Use the plaintext listener: the command line does not speak TLS."
	default:
		f.What = fmt.Sprintf("%s: %s is no Kafka broker: %v", who, addr, a.err)
		f.Do = "Use the port of Kafka's listener, usually 9092. A listener that wants TLS may hang up like this too."
	}
	return f
}
