package rocket

// QUERY_MESSAGE (12): messages by key or unique id, by the index. Other keys may have the same hash: what is found is looked at before it is sent. The
// newest are chosen, and sent in the order in which they were stored.

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"penstock"
	"penstock/message"
	"penstock/metric"
	"penstock/replica"
	"penstock/rocket/remoting"
	"penstock/wire"
)

func apiQueryMessage() *api {
	return &api{code: 12, name: "QUERY_MESSAGE", frame: smallFrame, right: right{opSub, onTopic}, handle: queryMessage}
}

const (
	maxFound    = 64   // messages of one answer: RocketMQ's maxMsgsNumBatch
	uniqueFound = 32   // of a query for a unique id: RocketMQ's defaultQueryMaxNum
	maxLooked   = 1024 // entries of the index looked at for one query
)

// found are the messages that a query found.
type found struct {
	list  []foundMessage
	bytes int64
	last  penstock.Position  // of the newest
	at    penstock.Timestamp // of the newest
}

type foundMessage struct {
	extents []penstock.Extent // of a message that is stored as one
	made    []byte            // of a record
	at      penstock.Timestamp
	where   penstock.Position
}

// sort puts them in the order in which they were stored. Positions tell it only within a millisecond: not all queues share a log.
func (f *found) sort() {
	slices.SortStableFunc(f.list, func(a, b foundMessage) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.where, b.where))
	})
}

func queryMessage(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, key, most := q.Text("topic"), q.Text("key"), q.Int64("maxNum")
	from, to := q.Int64("beginTimestamp"), q.Int64("endTimestamp")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	if r.Text("_UNIQUE_KEY_QUERY") == "true" {
		most = uniqueFound
	}
	t.wire.Release()
	route := s.front.routes.Load().names[name]
	if route == nil || key == "" {
		s.refuse(t, codeQueryNotFound, "can not find message, maybe time range not correct")
		return
	}
	// It reads the disk: not in the reader.
	go func() {
		defer s.front.contain(s.conn)
		got, err := s.front.query(route, key, penstock.Timestamp(from), penstock.Timestamp(to), int(min(most, maxFound)), s.store)
		s.front.answerQuery(s, t, route, &got, err)
	}()
}

// query looks for messages, or for records, if their topic has an index of keys. What is found is the caller's to spend. Records are told as stored by host.
func (f *Front) query(r *route, key string, from, to penstock.Timestamp, most int, host netip.AddrPort) (found, error) {
	var got found
	err := f.o.FindKey(r.id, key, from, to, maxLooked, func(id penstock.PartitionID, at penstock.Offset) bool {
		if len(got.list) >= most {
			return false
		}
		p := f.partition(r, id.Partition)
		if p == nil {
			return true
		}
		one, m, err := f.foundAt(r, p, at, host)
		if err != nil {
			return true // gone meanwhile
		}
		if !hasKey(m.Properties, key) || m.StoreTime < from || m.StoreTime > to { // another key of the same hash
			one.release()
			return true
		}
		n := one.size()
		if got.bytes+n > f.o.Limits.PullBytes {
			one.release()
			return false
		}
		got.bytes += n
		got.list = append(got.list, one)
		if m.StoreTime >= got.at {
			got.at, got.last = m.StoreTime, m.Position
		}
		return true
	})
	got.sort()
	return got, err
}

// foundAt is the message, or the record as a message, at an offset. The caller releases or spends it.
func (f *Front) foundAt(r *route, p *replica.Partition, at penstock.Offset, host netip.AddrPort) (one foundMessage, m message.Message, err error) {
	if r.native {
		if m, err = f.message(p, at); err == nil {
			one.extents, err = f.one(p, at)
		}
	} else if one.made, err = f.recordMessage(r, p, at, host); err == nil {
		m, err = message.Parse(one.made)
	}
	one.at, one.where = m.StoreTime, m.Position
	return one, m, err
}

func (m *foundMessage) release() { penstock.ReleaseAll(m.extents) }

func (m *foundMessage) size() int64 {
	n := int64(len(m.made))
	for _, x := range m.extents {
		n += x.Len
	}
	return n
}

// hasKey reports whether a message has the key, as one of its keys or as its unique id.
func hasKey(props []byte, key string) bool {
	if id, ok := message.Property(props, message.PropertyUniqueID); ok && string(id) == key {
		return true
	}
	keys, _ := message.Property(props, message.PropertyKeys)
	for one := range bytes.SplitSeq(keys, []byte(message.KeySeparator)) {
		if string(one) == key {
			return true
		}
	}
	return false
}

func (f *Front) answerQuery(s *session, t ticket, r *route, got *found, err error) {
	result, remark := codeSuccess, ""
	switch {
	case err != nil:
		result, remark = codeOf(err), err.Error()
	case len(got.list) == 0:
		result, remark = codeQueryNotFound, "can not find message, maybe time range not correct"
	}
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, t.head(result, remark))
	w.Int("indexLastUpdateTimestamp", int64(got.at))
	w.Int("indexLastUpdatePhyoffset", int64(got.last))
	a.B = w.End()
	for i := range got.list {
		m := &got.list[i]
		if result != codeSuccess {
			m.release()
			continue
		}
		for _, e := range m.extents {
			a.Attach(e, r.out)
		}
		if len(m.made) > 0 {
			a.B = append(a.B, m.made...)
			a.Copied(len(m.made), metric.ReasonConverted, r.out)
		}
	}
	f.send(t, result, a)
}
