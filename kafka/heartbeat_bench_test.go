package kafka

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/group"
)

// BenchmarkHeartbeats is one heartbeat of one of 10,000 members in 1,000 groups over a connection, 100 requests at a time. It reports the
// processor time of client and broker together, and what that makes when each member beats every 3 seconds, as Kafka's clients do.
func BenchmarkHeartbeats(b *testing.B) {
	const groups, size, ahead = 1000, 10, 100
	h := build(b, "", nil)
	if err := h.groups.Ready(h.ctx()); err != nil {
		b.Fatal(err)
	}
	for i := range groups {
		h.fillGroup(fmt.Sprint("group-", i), size)
	}
	c := dial(b, h.addr)
	beat := func(i int) []byte {
		q := kmsg.NewPtrHeartbeatRequest()
		q.Group, q.Generation, q.MemberID = fmt.Sprint("group-", i%groups), size, fmt.Sprint("m-", i/groups%size)
		return frame(q, 4, int32(i))
	}
	began, i := cpuTime(b), 0
	for b.Loop() {
		if i%ahead == 0 {
			if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				b.Fatal(err)
			}
			for k := range ahead {
				c.send(beat(i + k))
			}
		}
		resp := kmsg.NewPtrHeartbeatResponse()
		if c.answer(int32(i), resp, 4); resp.ErrorCode != 0 {
			b.Fatal(code(resp.ErrorCode))
		}
		i++
	}
	each := (cpuTime(b) - began) / time.Duration(i)
	b.ReportMetric(float64(each.Nanoseconds()), "cpu-ns/op")
	b.ReportMetric(each.Seconds()*groups*size/3*100, "%cpu/10000-members")
}

// fillGroup has members join one after the other; those before join again, so the last makes the generation of their number.
func (h *house) fillGroup(name string, n int) {
	for k := range n {
		var waits []chan group.JoinAnswer
		for i := k; i >= 0; i-- {
			id := fmt.Sprint("m-", i)
			j := group.Join{
				MemberID: id, NewID: id, SessionTimeout: 10 * time.Minute, RebalanceTimeout: 10 * time.Minute, ProtocolType: "consumer",
				Protocols: []group.Protocol{{Name: "range"}},
			}
			if i == k {
				j.MemberID = ""
			}
			wait := make(chan group.JoinAnswer, 1)
			h.groups.Join(name, j, func(a group.JoinAnswer) { wait <- a })
			waits = append(waits, wait)
		}
		for _, w := range waits {
			if a := <-w; a.Err != nil {
				h.t.Fatal(a.Err)
			}
		}
	}
}

// cpuTime is what the process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
