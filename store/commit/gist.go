package commit

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"

	"penstock"
	"penstock/message"
)

// scheduleTopic is RocketMQ's topic of delayed messages. In its queues the tag's place holds the time of delivery.
const scheduleTopic = "SCHEDULE_TOPIC_XXXX"

// defaultDelays are the delays of RocketMQ's levels, from 1 on.
var defaultDelays = [...]time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
	3 * time.Minute, 4 * time.Minute, 5 * time.Minute, 6 * time.Minute, 7 * time.Minute, 8 * time.Minute, 9 * time.Minute, 10 * time.Minute,
	20 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}

// gist is what a message says to those who file it. Its bytes are the message's.
type gist struct {
	topic  []byte
	queue  int32
	tag    int64 // code of the tag; of a delayed message the delay in milliseconds
	late   bool  // it is a delayed message
	half   bool  // it is part of a transaction and in no queue
	back   bool  // it rolls a transaction back, and has no keys
	words  words
	stored penstock.Timestamp
}

// words are the properties that somebody is to find a message by; nil is absent.
type words struct{ unique, keys, tag, delay []byte }

// wordsOf looks them up in one go. As everywhere the first of a name counts.
func wordsOf(props []byte) (w words) {
	message.Properties(props, func(k, v []byte) bool {
		var to *[]byte
		switch string(k) {
		case message.PropertyUniqueID:
			to = &w.unique
		case message.PropertyKeys:
			to = &w.keys
		case message.PropertyTags:
			to = &w.tag
		case message.PropertyDelayLevel:
			to = &w.delay
		}
		if to != nil && *to == nil {
			*to = v[:len(v):len(v)]
		}
		return true
	})
	return w
}

// code is what the queue holds of a message that was stored at a time.
func (g *gist) code(at penstock.Timestamp) int64 {
	if g.late {
		return int64(at) + g.tag
	}
	return g.tag
}

// describe takes the gist of a message. Properties that end in a zero byte are refused: this is how a message looks of which a power
// cut has taken the end, its record's checksum with it.
func (s *Store) describe(b []byte) (gist, error) {
	m, err := message.Parse(b)
	if err != nil {
		return gist{}, err
	}
	if n := len(m.Properties); n > 0 && m.Properties[n-1] == 0 {
		return gist{}, fmt.Errorf("%w: message whose properties end in a zero byte", penstock.ErrCorrupt)
	}
	state := m.SysFlag & message.FlagRollback // the mask
	g := gist{topic: m.Topic, queue: m.QueueID, half: state == message.FlagPrepared || state == message.FlagRollback, back: state == message.FlagRollback,
		words: wordsOf(m.Properties), stored: m.StoreTime}
	if g.words.delay != nil && string(m.Topic) == scheduleTopic {
		if g.tag, g.late = s.delay(g.words.delay); g.late {
			return g, nil
		}
	}
	g.tag = int64(message.HashOn(0, g.words.tag))
	return g, nil
}

// delay is how many milliseconds a message of a level is delayed by, as RocketMQ reads it: the last level where there are fewer, a second where there
// is none.
func (s *Store) delay(level []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(level)), 10, 32)
	if err != nil || n <= 0 {
		return 0, false
	}
	d := time.Second
	if levels := s.o.DelayLevels; len(levels) > 0 {
		d = levels[min(n, int64(len(levels)))-1]
	}
	return max(0, min(d.Milliseconds(), math.MaxInt32)), true
}
