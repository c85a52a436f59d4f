package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// answerPulls answers each request on a connection with what head says of it, and so many bytes of messages.
func answerPulls(t *testing.T, head func(request string) string, payload int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			var size [4]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			b := make([]byte, binary.BigEndian.Uint32(size[:]))
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			text := head(string(b[4:]))
			frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(text)+payload))
			frame = binary.BigEndian.AppendUint32(frame, uint32(len(text)))
			if _, err := conn.Write(append(append(frame, text...), make([]byte, min(payload, 8<<10))...)); err != nil { // a frame that is refused need not come
				return
			}
		}
	}()
	return l.Addr().String()
}

func TestPull(t *testing.T) {
	asked := 0
	addr := answerPulls(t, func(request string) string {
		for _, want := range []string{`"code":11`, `"topic":"t"`, `"maxMsgNums":"10"`, fmt.Sprintf(`"queueId":"%d"`, asked/3), fmt.Sprintf(`"queueOffset":"%d"`, asked%3*10)} {
			if !strings.Contains(request, want) {
				t.Errorf("request %d is %s, without %s", asked, request, want)
			}
		}
		asked++
		return fmt.Sprintf(`{"code":0,"extFields":{"nextBeginOffset":"%d","maxOffset":"45"}}`, ((asked-1)%3+1)*10)
	}, 1000)
	got, err := Pulling{Addr: addr, Topic: "t", Queues: 2, Count: 10}.Pull(context.Background(), 20)
	if err != nil || got.Answers != 6 || got.Payload != 6000 || got.Smallest != 1000 || got.Wire <= got.Payload {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPullFaults(t *testing.T) {
	for want, c := range map[string]struct {
		head    string
		payload int
	}{
		"code 17, no topic":   {`{"code":17,"remark":"no topic"}`, 0},
		"0 bytes of messages": {`{"code":0,"extFields":{"nextBeginOffset":"1","maxOffset":"9"}}`, 0},
		"go on at 0":          {`{"code":0,"extFields":{"nextBeginOffset":"0","maxOffset":"9"}}`, 5},
		"invalid syntax":      {`{"code":0}`, 5},
		"invalid character":   {`nonsense`, 5},
		"a frame of":          {`{}`, maxPulled + 1},
	} {
		addr := answerPulls(t, func(string) string { return c.head }, c.payload)
		if _, err := (Pulling{Addr: addr, Topic: "t", Queues: 1, Count: 1}).Pull(context.Background(), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	addr := answerPulls(t, func(string) string {
		cancel()
		<-ctx.Done()
		return `{"code":0,"extFields":{"nextBeginOffset":"1","maxOffset":"9"}}`
	}, 5)
	if _, err := (Pulling{Addr: addr, Topic: "t", Queues: 1 << 30, Count: 1}).Pull(ctx, 100); err == nil {
		t.Error("a pull goes on after its end")
	}
}
