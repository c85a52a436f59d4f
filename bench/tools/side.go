package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/bench/broker"
)

const (
	// awaitLimit bounds the wait for a broker to get where a directive wants it.
	awaitLimit = 60 * time.Second
	// awaitEvery is the pause between two looks.
	awaitEvery = 50 * time.Millisecond
)

// side is one of the two brokers, with what speaks to it.
type side struct {
	name    string
	br      *broker.Broker
	dir     string // for files that tools read, shared by both sides
	began   time.Time
	client  *kgo.Client
	admin   *kadm.Client
	members map[string]*kgo.Client // by group and client id
	words   *strings.Replacer      // turns what is this side's own into words
}

// newSide connects to a broker; logs is its directory of logs.
func newSide(name string, br *broker.Broker, logs, dir string, began time.Time) (*side, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(br.Kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(br.Kafka)
	if err != nil {
		return nil, err
	}
	return &side{
		name: name, br: br, dir: dir, began: began, client: cl, admin: kadm.NewClient(cl), members: map[string]*kgo.Client{},
		words: strings.NewReplacer(logs, "LOGS", dir, "DIR", ":"+port, ":PORT", " "+port+" ", " PORT "),
	}, nil
}

func (s *side) close() {
	for _, m := range s.members {
		m.Close()
	}
	s.client.Close()
}

// holes are what the script leaves open for each run and each side.
var holes = regexp.MustCompile(`\{(id:|ms:)?([^{}"]*)\}`)

// fill puts values into the holes of a word.
func (s *side) fill(ctx context.Context, word string) (string, error) {
	var failed error
	out := holes.ReplaceAllStringFunc(word, func(h string) string {
		m := holes.FindStringSubmatch(h)
		if m[2] == "dir" {
			return s.dir
		}
		if m[1] == "id:" {
			id, err := s.topicID(ctx, m[2])
			failed = errors.Join(failed, err)
			return id
		}
		d, err := time.ParseDuration(m[2])
		if err != nil {
			return h
		}
		at := s.began.Add(d).UTC()
		if m[1] == "ms:" {
			return strconv.FormatInt(at.UnixMilli(), 10)
		}
		return at.Format("2006-01-02T15:04:05.000")
	})
	return out, failed
}

func (s *side) topicID(ctx context.Context, topic string) (string, error) {
	m, err := s.admin.Metadata(ctx, topic)
	if err != nil {
		return "", err
	}
	id := m.Topics[topic].ID
	return base64.RawURLEncoding.EncodeToString(id[:]), m.Topics[topic].Err
}

// arguments are the tool's arguments for this side.
func (s *side) arguments(ctx context.Context, words []string) ([]string, error) {
	tool, rest := words[0], words[1:]
	server := []string{"--bootstrap-server", s.br.Kafka}
	var args []string
	for _, w := range rest {
		w, err := s.fill(ctx, w)
		if err != nil {
			return nil, err
		}
		args = append(args, w)
	}
	if tool == "kafka-features" || tool == "kafka-transactions" || tool == "kafka-metadata-quorum" {
		return append(server, args...), nil // they take it before their command alone
	}
	return append(args, server...), nil
}

// directives are the steps that are not tools.
var directives = map[string]func(context.Context, *side, step) error{
	"!await":   awaitTopic,
	"!write":   writeFile,
	"!produce": produceHours,
	"!member":  joinGroup,
	"!leave":   leaveGroup,
}

// awaitTopic waits until a topic has so many partitions with leaders; none means that it is gone.
func awaitTopic(ctx context.Context, s *side, st step) error {
	topic := st.words[1]
	want, err := strconv.Atoi(st.words[2])
	if err != nil {
		return err
	}
	return await(ctx, fmt.Sprintf("%s: topic %s has %d partitions", s.name, topic, want), func() (bool, error) {
		req := kmsg.NewPtrMetadataRequest()
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t)
		req.AllowAutoTopicCreation = false
		resp, err := req.RequestWith(ctx, s.client)
		if err != nil {
			return false, err
		}
		led := 0
		for _, p := range resp.Topics[0].Partitions {
			if p.Leader >= 0 && p.ErrorCode == 0 {
				led++
			}
		}
		return led == want, nil
	})
}

// await asks until it is so.
func await(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	for {
		ok, err := ask()
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(awaitEvery):
		}
	}
}

// writeFile writes the step's input to a file for the tools.
func writeFile(_ context.Context, s *side, st step) error {
	return os.WriteFile(filepath.Join(s.dir, st.words[1]), []byte(st.input), 0o644)
}

// produceHours writes records to a partition, an hour apart, the last one an hour before the run began.
func produceHours(ctx context.Context, s *side, st step) error {
	p, err := strconv.Atoi(st.words[2])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(st.words[3])
	if err != nil {
		return err
	}
	for i := range n {
		r := &kgo.Record{
			Topic: st.words[1], Partition: int32(p), Value: fmt.Appendf(nil, "hour %d", i),
			Timestamp: s.began.Add(time.Duration(i-n) * time.Hour),
		}
		if err := s.client.ProduceSync(ctx, r).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// joinGroup adds a consumer to a group and waits until the group is stable with it. It commits nothing.
func joinGroup(ctx context.Context, s *side, st step) error {
	group, id, topic := st.words[1], st.words[2], st.words[3]
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.br.Kafka), kgo.ConsumerGroup(group), kgo.ClientID(id), kgo.InstanceID(id),
		kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.Balancers(kgo.RangeBalancer()))
	if err != nil {
		return err
	}
	s.members[group+" "+id] = cl
	return s.settled(ctx, group)
}

// leaveGroup takes a consumer out of its group.
func leaveGroup(ctx context.Context, s *side, st step) error {
	group, id := st.words[1], st.words[2]
	name := group + " " + id
	s.members[name].Close()
	delete(s.members, name)
	_, err := s.admin.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(id).Reason("the script says so"))
	if err != nil {
		return err
	}
	return s.settled(ctx, group)
}

// settled waits until a group consists of the members that this side runs, each with its part.
func (s *side) settled(ctx context.Context, group string) error {
	var want []string
	for name := range s.members {
		if g, id, _ := strings.Cut(name, " "); g == group {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	state := "Stable"
	if len(want) == 0 {
		state = "Empty"
	}
	return await(ctx, fmt.Sprintf("%s: group %s is %s with %v", s.name, group, state, want), func() (bool, error) {
		all, err := s.admin.DescribeGroups(ctx, group)
		if err != nil {
			return false, err
		}
		var have []string
		for _, m := range all[group].Members {
			have = append(have, m.ClientID)
		}
		slices.Sort(have)
		return all[group].State == state && slices.Equal(have, want), all[group].Err
	})
}
