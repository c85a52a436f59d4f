package commit

import (
	"errors"
	"testing"
	"time"

	"penstock"
	"penstock/message"
	"penstock/record"
	"penstock/store"
)

// properties makes stored properties of keys and values.
func properties(kv ...string) []byte {
	var out []byte
	for i := 0; i < len(kv); i += 2 {
		var err error
		if out, err = message.AppendProperty(out, kv[i], kv[i+1]); err != nil {
			panic(err)
		}
	}
	return out
}

// messageTo makes a message of a topic's queue, stored at a time.
func messageTo(topic string, queue int32, at penstock.Timestamp, props []byte) penstock.Batch {
	b, err := message.Append(nil, &message.Message{QueueID: queue, StoreTime: at, Topic: []byte(topic), Body: []byte("body"), Properties: props, WithRecordCRC: true})
	if err != nil {
		panic(err)
	}
	return batchOf(message.Format{}, b)
}

// TestDelayedTags: in the queues of delayed messages the tag's place holds the time of delivery, after a walk over the log too.
func TestDelayedTags(t *testing.T) {
	const at = 1_700_000_000_000
	cases := []struct {
		topic string
		props []byte
		want  int64
	}{
		{scheduleTopic, properties("DELAY", "1"), at + 1000},
		{scheduleTopic, properties("TAGS", "a", "DELAY", "3"), at + 10_000},
		{scheduleTopic, properties("DELAY", "18"), at + 2*3600*1000},
		{scheduleTopic, properties("DELAY", "99"), at + 2*3600*1000}, // the last level there is
		{scheduleTopic, properties("DELAY", "0", "TAGS", "a"), 97},
		{scheduleTopic, properties("DELAY", "x", "TAGS", "a"), 97},
		{scheduleTopic, properties("TAGS", "a"), 97},
		{scheduleTopic, nil, 0},
		{"orders", properties("DELAY", "3", "TAGS", "a"), 97},
	}
	m := newMany(t, message.Format{}, 0)
	check := func() {
		t.Helper()
		for i, c := range cases {
			p, err := m.s.Open(m.id(i), store.Config{})
			m.must(err)
			if e, err := p.(*Partition).entryOf(0); err != nil || e.tag != c.want {
				t.Errorf("%s %q: tag %d, want %d, %v", c.topic, c.props, e.tag, c.want, err)
			}
		}
	}
	for i, c := range cases {
		p, err := m.s.Open(m.id(i), store.Config{})
		m.must(err)
		_, err = p.Append([]penstock.Batch{messageTo(c.topic, int32(i), at, c.props)}, 0, 0)
		m.must(err)
	}
	check()
	m.sync()
	old := m.fs
	m.fs = old.Crash(1)
	old.Halt()
	_, _ = m.s.Close(), m.d.Close()
	m.open()
	check()
	m.stop()
	m.open()
	check()
	m.stop()

	s := &Store{o: Options{DelayLevels: []time.Duration{time.Minute}}.withDefaults()}
	if d, ok := s.delay([]byte("2")); d != 60_000 || !ok {
		t.Errorf("level 2 of 1: %d ms, %t", d, ok)
	}
	s.o.DelayLevels = []time.Duration{}
	if d, ok := s.delay([]byte("2")); d != 1000 || !ok {
		t.Errorf("level 2 of none: %d ms, %t, want RocketMQ's second", d, ok)
	}
}

// TestHalfMessages: what RocketMQ leaves out of its queues is not taken.
func TestHalfMessages(t *testing.T) {
	m := newMany(t, message.Format{}, 1)
	for _, flag := range []message.SysFlag{message.FlagPrepared, message.FlagRollback} {
		b, err := message.Append(nil, &message.Message{SysFlag: flag, Topic: []byte("t")})
		m.must(err)
		if _, err := m.ps[0].Append([]penstock.Batch{batchOf(message.Format{}, b)}, 0, 0); !errors.Is(err, penstock.ErrInvalidRecord) {
			t.Errorf("flags %x: %v", flag, err)
		}
	}
	m.stop()
}

// TestLocateRecords finds batches of records, which do not say where they lie, in frames of many partitions.
func TestLocateRecords(t *testing.T) {
	m := newMany(t, record.Format{}, 4)
	for i := range 60 {
		m.append(i%4, (i+1)%4)
	}
	begins := map[penstock.Position]bool{}
	for i, p := range m.ps {
		for off := range penstock.Offset(len(m.want[i])) {
			e, err := p.entryOf(off)
			m.must(err)
			begins[e.pos] = true
			if id, got, err := m.s.Locate(e.pos); err != nil || id != m.id(i) || got != off {
				t.Errorf("locate %d: %v %d, want %v %d, %v", e.pos, id, got, m.id(i), off, err)
			}
		}
	}
	for at := penstock.Position(0); at < penstock.Position(m.s.log.end.Load())+100; at += 7 {
		if id, got, err := m.s.Locate(at); !begins[at] && !errors.Is(err, penstock.ErrOffsetOutOfRange) {
			t.Errorf("locate %d: %v %d, %v", at, id, got, err)
		}
	}
	m.stop()
}

// TestNames: a queue's name is free again when its partition was removed, and a first append that failed keeps nobody out for ever.
func TestNames(t *testing.T) {
	m := newMany(t, message.Format{}, 2)
	b := func() []penstock.Batch { return []penstock.Batch{messageTo("t", 0, 1, nil)} }
	m.fs.Inject("create#1=ENOSPC")
	if _, err := m.ps[0].Append(b(), 0, 0); !errors.Is(err, penstock.ErrDiskFull) {
		t.Fatalf("append without room: %v", err)
	}
	m.fs.Heal()
	m.must(m.s.Remove(m.id(0)))
	_, err := m.ps[1].Append(b(), 0, 0)
	m.must(err)
	if got := m.s.names.topic(m.id(1).Topic); got != "t" {
		t.Errorf("topic %q", got)
	}
	m.must(m.s.Remove(m.id(1)))
	if _, ok := m.s.names.holder([]byte("t"), 0); ok || m.s.names.topic(m.id(1).Topic) != "" {
		t.Error("the name is still taken")
	}
	m.stop()
}
