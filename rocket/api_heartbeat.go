package rocket

// How clients make themselves known: HEART_BEAT (34), each 30 seconds and when they begin to consume; UNREGISTER_CLIENT (35), when they stop; and
// CHECK_CLIENT_CONFIG (46), by which a consumer asks whether its expressions are understood.
//
// A heartbeat names all groups of its client, and makes the topic for messages that come again of those that consume. What it says is done when it is
// answered. A heartbeat of the newer kind (its fingerprint is not 0) may leave out the subscriptions, and is told by IS_SUB_CHANGE whether it
// has to tell them after all.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"penstock/group"
	"penstock/rocket/remoting"
)

func apiHeartbeat() *api {
	return &api{code: 34, name: "HEART_BEAT", frame: wideFrame, right: right{opNone, onNothing}, handle: heartbeat}
}

func apiUnregister() *api {
	return &api{code: 35, name: "UNREGISTER_CLIENT", frame: smallFrame, right: right{opNone, onNothing}, handle: unregister}
}

func apiCheckClient() *api {
	return &api{code: 46, name: "CHECK_CLIENT_CONFIG", frame: wideFrame, right: right{opNone, onNothing}, handle: checkClient}
}

// heartbeatJSON is RocketMQ's HeartbeatData. What is absent has Java's default, which is Go's.
type heartbeatJSON struct {
	ClientID    string `json:"clientID"`
	Fingerprint int32  `json:"heartbeatFingerprint"`
	Bare        bool   `json:"withoutSub"`
	Producers   []struct {
		Group string `json:"groupName"`
	} `json:"producerDataSet"`
	Consumers []consumerJSON `json:"consumerDataSet"`
}

// consumerJSON is RocketMQ's ConsumerData.
type consumerJSON struct {
	Group         string             `json:"groupName"`
	Type          enum               `json:"consumeType"`
	Model         enum               `json:"messageModel"`
	From          enum               `json:"consumeFromWhere"`
	Unit          bool               `json:"unitMode"`
	Subscriptions []subscriptionJSON `json:"subscriptionDataSet"`
}

// enum is a constant of Java: most clients write its name, the one in C++ its number. The zero value is that of absence.
type enum struct{ text string }

// UnmarshalJSON takes both.
func (e *enum) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &e.text)
	}
	e.text = string(b)
	return nil
}

// of is the place of the constant among names, absent where nothing is said. ok is false for what is none of them.
func (e enum) of(names []string, absent int) (n int, ok bool) {
	if e.text == "" || e.text == "null" {
		return absent, true
	}
	if n = slices.Index(names, e.text); n >= 0 {
		return n, true
	}
	n, err := strconv.Atoi(e.text)
	return n, err == nil && n >= 0 && n < len(names)
}

// The constants of a heartbeat, in Java's order.
var (
	consumeTypes = []string{group.ConsumeActively.String(), group.ConsumePassively.String(), group.ConsumePop.String()}
	models       = []string{group.Broadcasting.String(), group.Clustering.String()}
	fromWheres   = []string{fromWhere(0), fromWhere(1), fromWhere(2), fromWhere(3), fromWhere(4), fromWhere(5)}
)

func heartbeat(s *session, r *request) {
	t := r.ticket()
	b, err := s.beatOf(r)
	t.wire.Release()
	if err != nil {
		s.refuse(t, codeSystemError, err.Error())
		return
	}
	first := s.front.beforeBeat(b)
	if len(first) == 0 {
		changed, err := s.front.o.Roster.Beat(b)
		if !errors.Is(err, group.ErrLoading) {
			s.answerBeat(t, b, changed, err)
			return
		}
	}
	s.control(func(ctx context.Context) {
		for _, f := range first {
			if err := f(ctx); err != nil {
				s.fail(t, err)
				return
			}
		}
		changed, err := s.front.o.Roster.Beat(b)
		if errors.Is(err, group.ErrLoading) && s.front.o.Groups.Ready(ctx) == nil {
			changed, err = s.front.o.Roster.Beat(b)
		}
		s.answerBeat(t, b, changed, err)
	})
}

// answerBeat answers a heartbeat that was taken, or was not.
func (s *session) answerBeat(t ticket, b *group.Beat, changed bool, err error) {
	if s.ctx.Err() != nil {
		s.front.o.Roster.Closed(s) // it ended meanwhile, and nobody would say so any more
	}
	if err != nil {
		s.fail(t, err)
		return
	}
	s.reply(t, func(w *remoting.Writer) {
		w.Bool("IS_SUPPORT_HEART_BEAT_V2", true)
		w.Bool("IS_SUB_CHANGE", changed || b.Fingerprint == 0)
	}, nil)
}

// beatOf reads a heartbeat. Nothing of it is the frame's.
func (s *session) beatOf(r *request) (*group.Beat, error) {
	var j heartbeatJSON
	if err := json.Unmarshal(r.Body, &j); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	b := &group.Beat{
		Client:      group.Client{Link: s, ClientID: j.ClientID, Host: s.born.String(), Language: languageOf(r), Version: int(r.Version)},
		Fingerprint: j.Fingerprint, Bare: j.Bare && j.Fingerprint != 0,
	}
	for i := range j.Producers {
		b.Producers = append(b.Producers, j.Producers[i].Group)
	}
	for i := range j.Consumers {
		cj := &j.Consumers[i]
		g, ok := s.front.group(cj.Group)
		if !ok {
			continue // as RocketMQ: of a group that there cannot be no member is known
		}
		c := group.Consumer{Group: cj.Group, Unit: cj.Unit, Quiet: !g.NotifyIDs}
		kind, a := cj.Type.of(consumeTypes, int(group.ConsumePassively))
		model, b1 := cj.Model.of(models, int(group.Clustering))
		from, b2 := cj.From.of(fromWheres, int(group.FromLast))
		if !a || !b1 || !b2 {
			return nil, fmt.Errorf("heartbeat: group %.99s: consumeType %.40q, messageModel %.40q, consumeFromWhere %.40q: not all are known", cj.Group, cj.Type.text, cj.Model.text, cj.From.text)
		}
		c.Type, c.Model, c.From = group.ConsumeType(kind), group.Model(model), group.FromWhere(from)
		for k := range cj.Subscriptions {
			sj := &cj.Subscriptions[k]
			if sj.Kind == "" {
				sj.Kind = tagKind
			}
			c.Subscriptions = append(c.Subscriptions, group.Subscription{
				Topic: sj.Topic, Kind: sj.Kind, Expression: sj.Expression, Tags: sj.Tags, Codes: sj.Codes, Version: sj.Version, ClassFilter: sj.ClassFilter,
			})
		}
		b.Consumers = append(b.Consumers, c)
	}
	return b, nil
}

// beforeBeat is what must be done before a heartbeat counts: making the topics for messages that come again. There is no order among them.
func (f *Front) beforeBeat(b *group.Beat) (first []func(ctx context.Context) error) {
	for i := range b.Consumers {
		g, _ := f.group(b.Consumers[i].Group)
		name := retryPrefix + b.Consumers[i].Group
		if g.RetryQueues > 0 && f.routes.Load().names[name] == nil && checkTopic(name) == "" {
			queues := g.RetryQueues
			first = append(first, func(ctx context.Context) error { return f.makeTopic(ctx, name, queues) })
		}
	}
	return first
}

// languageOf is the language that a client says it is written in.
func languageOf(r *request) string {
	if r.LanguageCode < 0 {
		return string(r.Language)
	}
	if int(r.LanguageCode) < len(languages) {
		return languages[r.LanguageCode]
	}
	return "OTHER"
}

// languages are RocketMQ's, by their codes (LanguageCode).
var languages = [...]string{"JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS"}

func unregister(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	_ = q.Text("clientID")
	producer, consumer := r.Text("producerGroup"), r.Text("consumerGroup")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	quiet := false
	if g, ok := s.front.group(consumer); ok {
		quiet = !g.NotifyIDs
	}
	s.front.o.Roster.Unregister(s, producer, consumer, quiet)
	s.reply(t, nil, nil)
}

// checkClient says whether messages can be chosen as a consumer wants.
func checkClient(s *session, r *request) {
	t := r.ticket()
	var j struct {
		Subscription *subscriptionJSON `json:"subscriptionData"`
	}
	err := json.Unmarshal(r.Body, &j)
	t.wire.Release()
	if err != nil {
		s.refuse(t, codeSystemError, fmt.Sprintf("configuration of a client: %v", err))
		return
	}
	if sub := j.Subscription; sub != nil && sub.Kind != "" && sub.Kind != tagKind {
		s.refuse(t, codeSystemError, fmt.Sprintf("The broker does not support consumer to filter message by %.40s", sub.Kind))
		return
	}
	s.reply(t, nil, nil)
}

// tagKind is the kind of a subscription that chooses by tags.
const tagKind = "TAG"

// ConsumersChanged tells the client that the members of a group of its changed (NOTIFY_CONSUMER_IDS_CHANGED, 40). A client whose connection is full of what
// it does not read finds out by itself: it looks each 20 seconds.
func (s *session) ConsumersChanged(group string) {
	err := s.push(40, s.front.relays.number(), remoting.FlagOneWay, nil, func(w *remoting.Writer) { w.Text("consumerGroup", group) })
	if err != nil {
		s.front.o.Logger.Debug("a client is not told that its group has changed", "group", group, "client", s.born.String(), "err", err)
	}
}
