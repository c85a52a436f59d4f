package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/bench/clients/drive"
	"penstock/bench/clients/spec"
)

// Kafka's error codes that the scenario expects.
const (
	codeOffsetOutOfRange        = 1
	codeUnknownTopic            = 3
	codeInvalidTopic            = 17
	codeTopicExists             = 36
	codeInvalidPartitions       = 37
	codeInvalidConfig           = 40
	codeNonEmptyGroup           = 68
	codeGroupNotFound           = 69
	codeSubscribedToTopic       = 86
	adminPartitions             = 3
	adminRecords                = 50
	adminPartitionsLater        = 5
	adminBroker                 = "0"
	adminBase             int64 = 1_750_000_000_000
)

// adminRun is the scenario with one client.
type adminRun struct {
	*crewman
	ctx    context.Context
	addr   string
	broker int // its id
	topic  string
	group  string
	calls  int // administrative calls answered rightly
	// patience is how long an answer may be wrong before it counts: Apache Kafka learns of a change after it has answered.
	patience time.Duration
}

// errUnsupported is returned for an operation that the client does not have.
var errUnsupported = errors.New("the client has no such call")

// runAdmin plays the same scenario with the admin API of every client, and demands Kafka's answers.
func runAdmin(ctx context.Context, b *bench) (_ string, err error) {
	fleet, err := b.fleet(ctx)
	if err != nil {
		return "", err
	}
	br, end, err := b.peer(ctx, append(b.quick(), "--auto-create-topics=false"), []string{"auto.create.topics.enable=false"})
	if err != nil {
		return "", err
	}
	defer end(&err)
	id, err := brokerID(ctx, br.Kafka)
	if err != nil {
		return "", err
	}
	var failed error
	total, asked := 0, 0 // two of the old ones have no administration
	for _, c := range fleet {
		n, err := b.adminOf(ctx, c, br.Kafka, id)
		if total += n; n > 0 {
			asked++
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return fmt.Sprintf("%d administrative calls of %d clients answered as Kafka does", total, asked), failed
}

// brokerID is the id of the only broker.
func brokerID(ctx context.Context, addr string) (int, error) {
	cl, err := goClient(addr)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	m, err := kadm.NewClient(cl).BrokerMetadata(ctx)
	if err != nil || len(m.Brokers) != 1 {
		return 0, fmt.Errorf("%d brokers, want one: %w", len(m.Brokers), err)
	}
	return int(m.Brokers[0].NodeID), nil
}

// adminOf plays the scenario with one client.
func (b *bench) adminOf(ctx context.Context, c *drive.Client, addr string, broker int) (int, error) {
	w, err := hire(ctx, c, nil)
	if err != nil {
		return 0, err
	}
	defer w.dismiss()
	if len(w.info.Admin) == 0 {
		return 0, nil
	}
	name := strings.ReplaceAll(c.Name, "@", "-as-")
	r := &adminRun{crewman: w, ctx: ctx, addr: addr, broker: broker, topic: "admin-" + name, group: "admin-group-" + name}
	if b.apache {
		r.patience = 10 * time.Second
	}
	var failed error
	for _, scene := range []struct {
		name string
		play func() error
	}{
		{"topics", r.topics}, {"partitions", r.partitions}, {"configs", r.configs}, {"offsets", r.offsets}, {"groups", r.groups},
		{"a live group", r.liveGroup}, {"cluster", r.cluster}, {"deleting", r.deleting},
	} {
		if err := scene.play(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", scene.name, err))
		}
	}
	have := slices.DeleteFunc(slices.Clone(w.info.Admin), func(op string) bool { return !r.can(op) })
	result := fmt.Sprintf("ok, %d calls of %d operations", r.calls, len(have))
	if failed != nil {
		result = "FAILED"
	}
	b.report(w, "admin", 0, result)
	return r.calls, failed
}

// can reports whether the client has an operation.
func (r *adminRun) can(op string) bool {
	return slices.Contains(r.info.Admin, op) && !slices.Contains(r.Client.Lacks, op)
}

// ask makes one administrative call.
func (r *adminRun) ask(c spec.Command) (spec.Answer, error) {
	c.Do, c.Addr = "admin", r.addr
	if c.Topic == "" {
		c.Topic = r.topic
	}
	if c.Group == "" {
		c.Group = r.group
	}
	if !r.can(c.Op) {
		return spec.Answer{}, errUnsupported
	}
	ctx, cancel := context.WithTimeout(r.ctx, answerLimit)
	defer cancel()
	return r.Ask(ctx, c)
}

// want makes a call that must succeed and gives the answer to check, which says in words what is wrong with it. A client without the
// call passes.
func (r *adminRun) want(c spec.Command, check func(spec.Answer) error) error {
	a, err := r.ask(c)
	if errors.Is(err, errUnsupported) || err == nil && a.Unsupported {
		return nil
	}
	if err == nil && a.Error != "" {
		err = fmt.Errorf("%s (code %d)", a.Error, a.Code)
	}
	if err == nil && check != nil {
		err = check(a)
		for end := time.Now().Add(r.patience); err != nil && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if a, again := r.ask(c); again == nil && a.Error == "" {
				err = check(a)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s %+v: %w", c.Op, brief(c), err)
	}
	r.calls++
	return nil
}

// refused makes a call that must be refused with a code.
func (r *adminRun) refused(c spec.Command, code int) error {
	a, err := r.ask(c)
	if errors.Is(err, errUnsupported) || err == nil && a.Unsupported {
		return nil
	}
	if err == nil && (a.Error == "" || a.Code != code) {
		err = fmt.Errorf("answer %q with code %d, want a refusal with code %d", a.Error, a.Code, code)
	}
	if err != nil {
		return fmt.Errorf("%s %+v: %w", c.Op, brief(c), err)
	}
	r.calls++
	return nil
}

// brief is a command without what every command has.
func brief(c spec.Command) string {
	var out []string
	for _, f := range []struct {
		name string
		v    any
		zero bool
	}{
		{"topic", c.Topic, c.Topic == ""}, {"partitions", c.Partitions, c.Partitions == 0}, {"group", c.Group, c.Group == ""},
		{"configs", c.Configs, len(c.Configs) == 0}, {"ops", c.Ops, len(c.Ops) == 0}, {"offsets", c.Offsets, len(c.Offsets) == 0},
		{"at", c.At, c.At == ""}, {"validate", c.Validate, !c.Validate}, {"type", c.Type, c.Type == ""}, {"name", c.Name, c.Name == ""},
	} {
		if !f.zero {
			out = append(out, fmt.Sprintf("%s=%v", f.name, f.v))
		}
	}
	return strings.Join(out, " ")
}

// all runs steps and returns all that is wrong.
func all(steps ...error) error { return errors.Join(steps...) }

// has demands that a list has, or has not, an entry.
func has(list func(spec.Answer) []string, entry string, yes bool) func(spec.Answer) error {
	return func(a spec.Answer) error {
		if slices.Contains(list(a), entry) != yes {
			return fmt.Errorf("%q in the list: %v, want %v: %v", entry, !yes, yes, list(a))
		}
		return nil
	}
}

func topicsOf(a spec.Answer) []string { return a.Topics }

func groupsOf(a spec.Answer) []string { return a.Groups }

// layout demands so many partitions on the one broker.
func (r *adminRun) layout(n int) func(spec.Answer) error {
	return func(a spec.Answer) error {
		if len(a.Layout) != n {
			return fmt.Errorf("%d partitions, want %d", len(a.Layout), n)
		}
		for i, p := range a.Layout {
			if p.ID != i || p.Leader != r.broker || !slices.Equal(p.Replicas, []int{r.broker}) || !slices.Equal(p.ISR, []int{r.broker}) {
				return fmt.Errorf("partition %d is %+v, want it on broker %d alone", i, p, r.broker)
			}
		}
		return nil
	}
}

func (r *adminRun) topics() error {
	first := map[string]string{"retention.ms": "3600000"}
	create := spec.Command{Op: "create_topic", Partitions: adminPartitions, Configs: first}
	return all(
		r.want(spec.Command{Op: "create_topic", Topic: r.topic + "-not", Partitions: 1, Validate: true}, nil),
		r.want(create, nil),
		r.want(spec.Command{Op: "list_topics"}, has(topicsOf, r.topic, true)),
		r.want(spec.Command{Op: "list_topics"}, has(topicsOf, r.topic+"-not", false)),
		r.want(spec.Command{Op: "list_config_resources"}, has(topicsOf, r.topic, true)),
		r.refused(create, codeTopicExists),
		r.refused(spec.Command{Op: "create_topic", Topic: "not a name", Partitions: 1}, codeInvalidTopic),
		r.refused(spec.Command{Op: "create_topic", Topic: r.topic + "-bad", Partitions: 1, Configs: map[string]string{"retention.ms": "soon"}}, codeInvalidConfig),
		r.want(spec.Command{Op: "describe_topic"}, r.layout(adminPartitions)),
		r.want(spec.Command{Op: "describe_topic_partitions"}, r.layout(adminPartitions)),
		r.refused(spec.Command{Op: "describe_topic", Topic: "nobody-made-this"}, codeUnknownTopic),
	)
}

func (r *adminRun) partitions() error {
	if !r.can("create_partitions") {
		return fmt.Errorf("every client has create_partitions, the driver has not")
	}
	return all(
		r.want(spec.Command{Op: "create_partitions", Partitions: adminPartitionsLater + 1, Validate: true}, nil),
		r.want(spec.Command{Op: "create_partitions", Partitions: adminPartitionsLater}, nil),
		r.want(spec.Command{Op: "describe_topic"}, r.layout(adminPartitionsLater)),
		r.refused(spec.Command{Op: "create_partitions", Partitions: adminPartitionsLater - 1}, codeInvalidPartitions),
		r.refused(spec.Command{Op: "create_partitions", Topic: "nobody-made-this", Partitions: 2}, codeUnknownTopic),
	)
}

// configured demands values, and which of them are set on the topic itself.
func configured(values map[string]string, changed ...string) func(spec.Answer) error {
	return func(a spec.Answer) error {
		for k, v := range values {
			if a.Values[k] != v {
				return fmt.Errorf("%s is %q, want %q", k, a.Values[k], v)
			}
		}
		slices.Sort(a.Changed)
		if changed != nil && !slices.Equal(a.Changed, changed) {
			return fmt.Errorf("set on the resource: %v, want %v", a.Changed, changed)
		}
		return nil
	}
}

func (r *adminRun) configs() error {
	describe := spec.Command{Op: "describe_configs", Type: "topic", Name: r.topic}
	change := func(op, key, value string) spec.Command {
		return spec.Command{Op: "incremental_configs", Type: "topic", Name: r.topic, Ops: []spec.ConfigOp{{Op: op, Key: key, Value: value}}}
	}
	check := change("set", "max.message.bytes", "777777")
	check.Validate = true
	replace := spec.Command{Op: "alter_configs", Type: "topic", Name: r.topic, Configs: map[string]string{"retention.ms": "7200000"}}
	unknown := spec.Command{Op: "describe_configs", Type: "topic", Name: "nobody-made-this"}
	err := all(
		r.want(describe, configured(map[string]string{"retention.ms": "3600000", "cleanup.policy": "delete"}, "retention.ms")),
		r.want(spec.Command{Op: "describe_configs", Type: "broker", Name: fmt.Sprint(r.broker)}, func(a spec.Answer) error {
			if a.Values["log.segment.bytes"] != "1073741824" {
				return fmt.Errorf("log.segment.bytes of the broker is %q, want 1073741824, of %d values", a.Values["log.segment.bytes"], len(a.Values))
			}
			return nil
		}),
		r.refused(unknown, codeUnknownTopic),
		r.want(check, nil),
		r.want(describe, configured(nil, "retention.ms")),
		r.refused(change("set", "retention.ms", "banana"), codeInvalidConfig),
		r.refused(change("set", "no.such.config", "1"), codeInvalidConfig),
		r.want(replace, nil),
	)
	if r.can("alter_configs") {
		err = all(err, r.want(describe, configured(map[string]string{"retention.ms": "7200000"}, "retention.ms")))
	}
	if !r.can("incremental_configs") {
		return err
	}
	return all(err,
		r.want(change("set", "max.message.bytes", "123456"), nil),
		r.want(describe, configured(map[string]string{"max.message.bytes": "123456"}, "max.message.bytes", "retention.ms")),
		r.want(change("delete", "retention.ms", ""), nil),
		r.want(describe, configured(map[string]string{"retention.ms": "604800000"}, "max.message.bytes")),
		r.want(change("delete", "max.message.bytes", ""), nil),
		r.want(describe, configured(map[string]string{"max.message.bytes": "1048588"}, []string{}...)),
	)
}
