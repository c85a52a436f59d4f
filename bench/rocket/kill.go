package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"penstock/bench/rocket/talk"
)

const (
	// killQueues is how many queues the topic has.
	killQueues = 4
	// killLot is how many messages one command sends.
	killLot = 100
	// killFor bounds how long the broker runs before it is killed.
	killFor = 1500 * time.Millisecond
	// killWait is the pause of senders that reach nobody.
	killWait = 50 * time.Millisecond
)

// lot is one sender's messages so far: those that were acknowledged and those that may or may not be there.
type lot struct {
	b       batch
	sent    int
	unknown map[int]bool
}

// runKill has clients send one message at a time while the broker is killed with SIGKILL and started again. Every message that was
// acknowledged must lie where its sender was told, once, in the order in which it was sent, and must have reached the consumers.
func runKill(ctx context.Context, b *bench) (string, error) {
	kills := 20
	if b.Short {
		kills = 2
	}
	t, err := b.ours(ctx)
	if err != nil {
		return "", err
	}
	br := t.broker
	defer func() { _ = br.Kill() }()
	var crews []*stage
	for _, c := range fleet() {
		if !b.wants(c) {
			continue
		}
		d, err := b.hire(ctx, c, fmt.Sprintf("%s/kill-%s", b.Dir, c.name))
		if err != nil {
			return "", err
		}
		defer dismiss(d)
		crews = append(crews, &stage{ctx: ctx, t: t, d: d, name: "kill-" + c.name, facts: map[string]string{}})
	}
	lots := make([]*lot, len(crews))
	for i, s := range crews {
		if lots[i], err = openLot(s); err != nil {
			return "", err
		}
	}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	errs := make([]error, len(crews))
	for i, s := range crews {
		senders.Go(func() { errs[i] = lots[i].stream(s, stop) })
	}
	for n := 0; n < kills && err == nil; n++ {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(killFor/3 + rand.N(killFor*2/3)):
			if err = br.Kill(); err == nil {
				br, err = br.Restart(ctx)
			}
		}
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(killFor):
		}
	}
	close(stop)
	senders.Wait()
	if err := errors.Join(err, errors.Join(errs...)); err != nil {
		return "", err
	}
	acknowledged, sent := 0, 0
	for i, s := range crews {
		if err := lots[i].judge(s); err != nil {
			return "", fmt.Errorf("%s: %w", s.d.Client, err)
		}
		acknowledged, sent = acknowledged+len(lots[i].b.sent), sent+lots[i].sent
	}
	if acknowledged == 0 || acknowledged == sent {
		return "", fmt.Errorf("%d of %d messages were acknowledged: the kills did not meet the sends", acknowledged, sent)
	}
	return fmt.Sprintf("%d kills, %d messages acknowledged to %d clients, %d not: none lost, none twice, all in order", kills, acknowledged, len(crews), sent-acknowledged), nil
}

// openLot makes a topic, a producer that does not try again, and a consumer.
func openLot(s *stage) (*lot, error) {
	none := 0
	topic := "t-" + s.name
	if err := s.start(talk.Command{Op: "producer", Name: "p", Max: &none, Wait: 5000}); err != nil {
		return nil, err
	}
	if _, err := s.do(talk.Command{Op: "create", Name: "p", Topic: topic, Queues: killQueues, Key: s.t.addr}); err != nil {
		return nil, err
	}
	if err := s.start(talk.Command{Op: "push", Kind: "concurrent", Name: "c", Topic: topic}); err != nil {
		return nil, err
	}
	return &lot{b: batch{cmd: talk.Command{Op: "send", Name: "p", Mode: "ordered", Topic: topic, Prefix: "x", Thread: killQueues, Size: 300}}, unknown: map[int]bool{}}, nil
}

// stream sends until it is told to stop.
func (l *lot) stream(s *stage, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			l.b.cmd.From, l.b.cmd.Count = 0, l.sent
			return nil
		default:
		}
		c := l.b.cmd
		c.From, c.Count = l.sent, killLot
		a, err := s.do(c)
		if err != nil {
			return err
		}
		l.sent += killLot
		well := 0
		for _, r := range a.Sent {
			if r.Error == "" && r.Status == "SEND_OK" {
				l.b.sent = append(l.b.sent, r)
				well++
			} else {
				l.unknown[r.I] = true
			}
		}
		if well == 0 {
			select {
			case <-stop:
			case <-time.After(killWait):
			}
		}
	}
}

// judge reads everything.
func (l *lot) judge(s *stage) error {
	if err := s.puller("q", l.b.cmd.Topic); err != nil {
		return err
	}
	read, err := s.readAll("q", l.b.cmd.Topic)
	if err != nil {
		return err
	}
	acknowledged := func(_ batch, i int) bool { return !l.unknown[i] }
	var mine []talk.Msg // without those of which the sender does not know
	seen := map[string]bool{}
	for _, m := range flat(read) {
		b, i, err := number([]batch{l.b}, &m)
		if err != nil {
			return err
		}
		if seen[m.Body] {
			return fmt.Errorf("%s is there twice", m.Body)
		}
		seen[m.Body] = true
		if err := b.exact(i, &m); err != nil {
			return err
		}
		if acknowledged(b, i) {
			mine = append(mine, m)
		}
	}
	if err := errors.Join(account([]batch{l.b}, mine, false, acknowledged), places([]batch{l.b}, read), inOrder([]batch{l.b}, read)); err != nil {
		return err
	}
	want := len(seen)
	_, err = s.until("the consumer reads what is there", "c", func(got []talk.Answer) bool { return distinct(those(got, "read")) >= want })
	return err
}
