package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"penstock/bench/rocket/talk"
)

const (
	// arriveLimit bounds the wait for messages that must come.
	// A client looks for the queues of a retry topic every 30 seconds.
	arriveLimit = 2 * time.Minute
	// pullCount is how many messages one pull asks for.
	pullCount = 32
	// askEvery is the pause between two questions whose answer takes a moment to become true.
	askEvery = 100 * time.Millisecond
)

// stage is where one scenario is played. Its names are its own.
type stage struct {
	ctx   context.Context
	t     *target
	d     *talk.Driver
	name  string // of scenario and client, part of all names
	short bool
	facts map[string]string

	mu   sync.Mutex // guards open
	open []string   // clients to close
}

// pick is the first value in the short form, the second otherwise.
func (s *stage) pick(short, long int) int {
	if s.short {
		return short
	}
	return long
}

// fact notes what must be the same with every broker.
func (s *stage) fact(name, format string, args ...any) { s.facts[name] = fmt.Sprintf(format, args...) }

// do runs a command.
func (s *stage) do(c talk.Command) (talk.Answer, error) {
	c.Names = s.t.names
	if c.Name != "" {
		c.Name = s.name + "-" + c.Name
	}
	if c.Expr == "" {
		c.Expr = "*"
	}
	if c.Every == 0 {
		c.Every = 1
	}
	if c.Batch == 0 {
		c.Batch = 1
	}
	if c.Thread == 0 {
		c.Thread = 4
	}
	return s.d.Do(s.ctx, c)
}

// start runs a command that starts a client, which the end of the scenario closes.
func (s *stage) start(c talk.Command) error {
	if c.Group == "" {
		c.Group = s.group(c.Name)
	}
	s.mu.Lock()
	s.open = append(s.open, c.Name)
	s.mu.Unlock()
	_, err := s.do(c)
	return err
}

func (s *stage) group(name string) string { return "g-" + s.name + "-" + name }

func (s *stage) close(name string) error {
	_, err := s.do(talk.Command{Op: "close", Name: name})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(n string) bool { return n == name })
	return err
}

func (s *stage) closeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	for _, n := range s.open {
		_, _ = s.d.Ask(ctx, talk.Command{Op: "close", Name: s.name + "-" + n})
	}
}

// events are those of the clients of this scenario whose names start with prefix.
func (s *stage) events(prefix string) []talk.Answer {
	got, _ := s.d.Events(s.name + "-" + prefix)
	return got
}

// until waits for events of the clients of this scenario whose names start with prefix.
func (s *stage) until(what, prefix string, enough func([]talk.Answer) bool) ([]talk.Answer, error) {
	ctx, cancel := context.WithTimeout(s.ctx, arriveLimit)
	defer cancel()
	got, err := s.d.Until(ctx, s.name+"-"+prefix, enough)
	if err != nil {
		err = fmt.Errorf("%s: %d events so far: %w", what, len(got), err)
	}
	return got, err
}

// producer starts a producer named p and creates a topic through it.
func (s *stage) producer(queues int) (topic string, err error) {
	if err := s.start(talk.Command{Op: "producer", Name: "p"}); err != nil {
		return "", err
	}
	return s.topic("", queues)
}

// topic creates a topic.
func (s *stage) topic(name string, queues int) (string, error) {
	topic := "t-" + s.name + name
	_, err := s.do(talk.Command{Op: "create", Name: "p", Topic: topic, Queues: queues, Key: s.t.addr})
	return topic, err
}

// send sends and expects every message to be acknowledged.
func (s *stage) send(c talk.Command) (batch, error) {
	c.Op, c.Name = "send", "p"
	if c.Mode == "" {
		c.Mode = "sync"
	}
	b := batch{cmd: c}
	a, err := s.do(c)
	if err != nil {
		return b, err
	}
	b.sent = a.Sent
	for _, r := range a.Sent {
		if r.Error != "" || r.Status != "SEND_OK" {
			return b, fmt.Errorf("send %s, message %d: %s %s (code %d)", c.Mode, r.I, r.Status, r.Error, r.Code)
		}
	}
	if want := c.Count; c.Mode != "oneway" && len(a.Sent) != want {
		return b, fmt.Errorf("send %s: %d of %d messages have a result", c.Mode, len(a.Sent), want)
	}
	return b, nil
}

// puller starts a pull consumer of a topic.
func (s *stage) puller(name, topic string) error {
	return s.start(talk.Command{Op: "puller", Name: name, Topic: topic})
}

// readAll pulls all queues of a topic from the beginning to the end, in order.
func (s *stage) readAll(name, topic string) (map[int][]talk.Msg, error) {
	a, err := s.do(talk.Command{Op: "queues", Name: name, Topic: topic})
	if err != nil {
		return nil, err
	}
	out := map[int][]talk.Msg{}
	for _, q := range a.Queues {
		if out[q], err = s.readQueue(name, topic, q); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *stage) readQueue(name, topic string, q int) ([]talk.Msg, error) {
	var out []talk.Msg
	for next := int64(0); ; {
		a, err := s.do(talk.Command{Op: "pull", Name: name, Topic: topic, Queue: &q, Offset: next, Count: pullCount})
		if err != nil {
			return nil, err
		}
		switch a.Status {
		case "FOUND":
			for _, m := range a.Msgs {
				if m.Offset != next {
					return nil, fmt.Errorf("%s queue %d: offset %d came, want %d", topic, q, m.Offset, next)
				}
				next++
			}
			out = append(out, a.Msgs...)
			if next >= a.Max { // the Go client would wait there
				return out, nil
			}
		case "NO_NEW_MSG":
			return out, nil
		case "NO_MATCHED_MSG", "OFFSET_ILLEGAL":
			if a.Next == next {
				return out, nil
			}
			next = a.Next
		default:
			return nil, fmt.Errorf("%s queue %d, offset %d: pull says %q", topic, q, next, a.Status)
		}
	}
}

// eventually asks until it is so.
func (s *stage) eventually(what string, so func() (bool, error)) error {
	limit := time.Now().Add(arriveLimit)
	for {
		well, err := so()
		if err != nil || well {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s: not so after %s", what, arriveLimit)
		}
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("%s: %w", what, s.ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// refused says how a send was refused; it is an error if it was not.
func refused(err error) (string, error) {
	if err == nil {
		return "", errors.New("was not refused")
	}
	f, ok := errors.AsType[*talk.Failure](err)
	if !ok {
		return "", err
	}
	return strconv.Itoa(f.Code), nil
}
