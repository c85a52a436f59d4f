package commit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"penstock"
	"penstock/disk"
	"penstock/message"
)

// voidLog marks in the exported log what truncations of the partitions have made void: as messages of transactions that were rolled back, which are in no queue
// for RocketMQ, nor for Import, whatever else they look at. Else what was cut would come back where a queue is made of the log, in place of
// what was appended after it. The store's own log is only read.
func (x *transfer) voidLog(s *Store, c *checkpoint) error {
	cut, err := s.truncated()
	if err != nil || len(cut) == 0 {
		return err
	}
	s.log = newLog(s)
	defer s.log.close()
	if err := s.listFiles(c.pos); err != nil {
		return err
	}
	for _, f := range s.log.files {
		if err := x.voidFile(s, f, c.pos, cut); err != nil {
			return fmt.Errorf("%s: %w", s.log.fileName(f.start), err)
		}
	}
	return nil
}

// truncated are the partitions that were ever truncated, by the names of their queues.
func (s *Store) truncated() (map[queueName]*Partition, error) {
	ids, err := s.List()
	if err != nil {
		return nil, err
	}
	out := map[queueName]*Partition{}
	for _, id := range ids {
		p := newPartition(s, id)
		b, err := s.d.ReadFile(path.Join(p.dir, factsFile), maxFactsBytes)
		if err == nil {
			p.facts, err = parseFacts(b)
		}
		if err == nil && len(p.facts.cuts) > 0 {
			if b, err = s.d.ReadFile(path.Join(p.dir, ownerFile), maxSmallBytes); err == nil {
				p.owner, err = parseOwner(b)
			}
			if err == nil {
				out[p.owner.name] = p
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errFile) {
			return nil, fmt.Errorf("partition %v: %w", id, err)
		}
	}
	return out, nil
}

// voidFile marks what is void in the copy of one file of the log, which ends at end.
func (x *transfer) voidFile(s *Store, f *logFile, end penstock.Position, cut map[queueName]*Partition) error {
	var to *disk.Handle
	defer func() {
		if to != nil {
			to.Release()
		}
	}()
	w := walk{s: s, pos: f.start}
	for w.pos < min(end, f.end()) {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		b, err := w.batch(f)
		var m message.Message
		if err == nil {
			m, err = message.Parse(b)
		}
		if errors.Is(err, penstock.ErrCorrupt) || errors.Is(err, io.EOF) {
			break // the rest is blank, or damaged
		}
		if err != nil {
			return err
		}
		p := cut[queueName{string(m.Topic), m.QueueID}]
		if p != nil && w.pos >= p.owner.from && p.facts.void(m.QueueOffset, w.pos) {
			if to == nil {
				if to, err = x.to.OpenFile(path.Join(rocketLog, digits(int64(f.start))), true); err != nil {
					return err
				}
			}
			if _, err := to.WriteVec([][]byte{rolledBack(b, &m)}, int64(w.pos-f.start)); err != nil {
				return err
			}
		}
		w.pos += penstock.Position(len(b))
	}
	if to == nil {
		return nil
	}
	return to.Sync()
}

// atSysFlag is where a message has its flags.
const atSysFlag = 36

// rolledBack is the stored message b as one of a transaction that was rolled back.
func rolledBack(b []byte, m *message.Message) []byte {
	b = append([]byte(nil), b...)
	binary.BigEndian.PutUint32(b[atSysFlag:], uint32(m.SysFlag|message.FlagRollback))
	message.Format{}.Stamp(b, penstock.Stamp{Base: m.QueueOffset, Position: m.Position, AppendTime: penstock.NoTimestamp})
	return b
}
