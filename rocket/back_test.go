package rocket

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock"
	"penstock/delay"
	"penstock/message"
	"penstock/meta"
	"penstock/replica"
	"penstock/rocket/remoting"
)

// all is what a queue holds.
func (h *house) all(topic string, queue int32) []message.Message {
	h.t.Helper()
	out, err := h.read(topic, queue)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// read is all on a disk that may fail.
func (h *house) read(topic string, queue int32) (out []message.Message, err error) {
	tp := h.meta.Image().Topic(topic)
	if tp == nil {
		return nil, nil
	}
	p := h.replicas.Partition(penstock.PartitionID{Topic: tp.ID, Partition: queue})
	if p == nil {
		return nil, penstock.ErrNotLeader
	}
	for at := p.Offsets().Start; at < p.Offsets().HighWatermark; at++ {
		e, _, _, err := p.Pull(replica.PullRequest{From: at, Max: 1, Count: 1, Scan: 1}, nil)
		if err != nil {
			return out, err
		}
		b, err := load(e)
		if err == nil {
			err = message.Format{}.Verify(b)
		}
		if err != nil {
			return out, err
		}
		m, err := message.Parse(b)
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
	return out, nil
}

// back is the head of a message sent back.
func back(m message.Message, level int) fields {
	return fields{
		"offset": strconv.FormatInt(int64(m.Position), 10), "group": "G", "delayLevel": strconv.Itoa(level), "originMsgId": "x", "originTopic": "T",
		"unitMode": "false", "maxReconsumeTimes": "16",
	}
}

// TestSendBack: the copy waits in the queue of its level, and says where it was first and where it goes.
func TestSendBack(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, "", nil)
		h.topic("T", 2, nil)
		c := dial(t, h.addr, kind)
		c.body(310, sendV2("T", 1, props("KEYS", "k", "TAGS", "A", "WAIT", "false", "UNIQ_KEY", "u1")), "body")
		m := h.all("T", 1)[0]
		c.body(36, back(m, 0), "")
		waiting := h.all(delayTopic, 2) // level 3
		if len(waiting) != 1 {
			t.Fatal(waiting)
		}
		w := waiting[0]
		if w.Reconsumed != 1 || w.BornTime != m.BornTime || w.BornHost != m.BornHost || w.Flag != 7 || string(w.Body) != "body" || !w.WithRecordCRC {
			t.Errorf("%+v", w)
		}
		for key, want := range map[string]string{
			"RETRY_TOPIC": "T", "ORIGIN_MESSAGE_ID": message.OffsetID(m.StoreHost, m.Position), "DELAY": "3", "REAL_TOPIC": retryPrefix + "G", "REAL_QID": "0",
			"KEYS": "k", "TAGS": "A", "UNIQ_KEY": "u1", "WAIT": "false",
		} {
			if got := property(w, key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		// A copy that comes back keeps its first topic and id; a level may be asked for, and is at most the last.
		c.body(36, back(w, 99), "")
		if again := h.all(delayTopic, 17); len(again) != 1 || again[0].Reconsumed != 2 || property(again[0], "RETRY_TOPIC") != "T" ||
			property(again[0], "ORIGIN_MESSAGE_ID") != property(w, "ORIGIN_MESSAGE_ID") || property(again[0], "DELAY") != "18" {
			t.Errorf("%+v", again)
		}
		c.body(36, back(w, 0), "") // was consumed once: level 4
		if n := len(h.all(delayTopic, 3)); n != 1 {
			t.Error(n)
		}
		// Dead at once, and dead because it came back as often as the request allows.
		c.body(36, back(m, -1), "")
		c.body(36, back(w, 0).with("maxReconsumeTimes", "1"), "")
		dead := h.all(deadPrefix+"G", 0)
		if len(dead) != 2 || dead[0].Reconsumed != 1 || dead[1].Reconsumed != 2 || property(dead[0], "RETRY_TOPIC") != "T" || property(dead[0], "DELAY") != "0" || property(dead[0], "REAL_TOPIC") != "" ||
			property(dead[1], "REAL_TOPIC") != retryPrefix+"G" || property(dead[1], "REAL_QID") != "0" {
			t.Errorf("%+v", dead)
		}
	})
}

// TestSendBackRefused: what cannot be sent back is refused, and a group that wants nothing again is told that all is well.
func TestSendBackRefused(t *testing.T) {
	h := build(t, "", nil)
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.body(310, sendV2("T", 0, ""), "body")
	m := h.all("T", 0)[0]
	c.refused(36, back(m, 0).with("offset", strconv.Itoa(int(m.Position)+1)), "", codeSystemError, "look message by offset failed")
	c.refused(36, back(m, 0).with("offset", "-1"), "", codeSystemError, "look message by offset failed")
	c.refused(36, back(m, 0).with("offset", strconv.FormatInt(1<<62, 10)), "", codeSystemError, "look message by offset failed")
	c.refused(36, back(m, 0).with("group", "a b"), "", codeGroupNotExist, "subscription group not exist")
	c.refused(36, back(m, 0).with("delayLevel", ""), "", codeSystemError, "delayLevel")
	g := meta.DefaultGroup("G")
	g.RetryMax = 0
	if err := h.meta.SetGroup(h.ctx(), g); err != nil {
		t.Fatal(err)
	}
	c.body(36, back(m, 0).with("maxReconsumeTimes", ""), "")
	if n := len(h.all(deadPrefix+"G", 0)); n != 1 {
		t.Errorf("%d dead letters of a group that wants nothing again", n)
	}
	g.RetryQueues = 0
	if err := h.meta.SetGroup(h.ctx(), g); err != nil {
		t.Fatal(err)
	}
	c.body(36, back(m, 0), "")
	if h.end(deadPrefix+"G") != 1 || h.end(delayTopic) != 0 {
		t.Error("a group without retry queues has got one")
	}
	h.topic(retryPrefix+"H", 1, map[string]string{meta.ConfigPerm: "4"})
	c.refused(36, back(m, 0).with("group", "H"), "", codeNoPermission, "forbidden")
}

// TestRetryToDeadLetter has a message fail as often as it may, by way of the real scheduler: it comes 17 times, with a count that grows by one,
// and is then among the dead letters, once.
func TestRetryToDeadLetter(t *testing.T) {
	h := build(t, "", func(o *Options) {
		var waits []time.Duration
		for i := range 18 {
			waits = append(waits, time.Duration(i+1)*time.Millisecond)
		}
		d := delay.New(delay.Options{Topics: o.Topics.(*meta.Store), Partitions: o.Partitions.(*replica.Replicas), Progress: o.Groups.(delay.Progress), Levels: waits})
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan struct{})
		go func() {
			defer close(over)
			d.Run(ctx)
		}()
		t.Cleanup(func() { cancel(); <-over })
		o.Delay = d
	})
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.body(310, sendV2("T", 0, props("TAGS", "A")), "body")
	m := h.all("T", 0)[0]
	seen := []string{fmt.Sprint(m.Reconsumed)}
	for i := range 16 {
		c.body(36, back(m, 0), "")
		h.until("it comes again", func() bool { return h.end(retryPrefix+"G") == int64(i+1) })
		m = h.all(retryPrefix+"G", 0)[i]
		seen = append(seen, fmt.Sprint(m.Reconsumed))
		if property(m, "RETRY_TOPIC") != "T" || string(m.Topic) != retryPrefix+"G" || string(m.Body) != "body" {
			t.Fatalf("%+v", m)
		}
	}
	c.body(36, back(m, 0), "")
	if got := strings.Join(seen, " "); got != "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16" {
		t.Error(got)
	}
	if dead := h.all(deadPrefix+"G", 0); len(dead) != 1 || dead[0].Reconsumed != 17 || property(dead[0], "RETRY_TOPIC") != "T" {
		t.Errorf("%+v", dead)
	}
	if h.end(retryPrefix+"G") != 16 {
		t.Error("it comes again although it is dead")
	}
}

// slowPartitions opens each partition of a topic only after it was asked for some times.
type slowPartitions struct {
	Partitions
	slow atomic.Pointer[penstock.TopicID]
	left atomic.Int32
}

func (s *slowPartitions) Partition(id penstock.PartitionID) *replica.Partition {
	if slow := s.slow.Load(); slow != nil && *slow == id.Topic && s.left.Add(-1) >= 0 {
		return nil
	}
	return s.Partitions.Partition(id)
}

// TestDeadLetterWaits: a message that becomes a dead letter while the topic of dead letters is still being opened is not refused.
func TestDeadLetterWaits(t *testing.T) {
	slow := &slowPartitions{}
	h := build(t, "", func(o *Options) { slow.Partitions, o.Partitions = o.Partitions, slow })
	h.topic("T", 1, nil)
	dead := h.topic("%DLQ%G", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.body(310, sendV2("T", 0, ""), "body")
	slow.left.Store(5)
	slow.slow.Store(&dead.ID)
	c.body(36, back(h.all("T", 0)[0], -1), "")
	if got := h.all("%DLQ%G", 0); len(got) != 1 || slow.left.Load() >= 0 {
		t.Errorf("%d dead letters, %d looks left", len(got), slow.left.Load())
	}
}
