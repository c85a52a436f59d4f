package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
	"penstock/meta"
)

// alteration is what a request wants done to the configuration of one resource, however it says so.
type alteration struct {
	kind    kmsg.ConfigResourceType
	name    string
	whole   bool // what is not named goes back to the default
	changes []configChange
}

// configChange is what is wanted of one configuration.
type configChange struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// Why an alteration is refused as a whole, whatever its values are.
var errAlter = errors.New("cannot be altered")

// alterAll alters one resource after another and tells of each. One that occurs twice is refused each time, as in Kafka.
func (s *session) alterAll(ctx context.Context, r request, all []alteration, check bool, tell func(a *alteration, why int16, message *string)) {
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	named := map[resource]int{}
	for i := range all {
		named[resource{all[i].kind, all[i].name}]++
	}
	for i := range all {
		a := &all[i]
		why, err := codeInvalidRequest, fmt.Errorf("%s %q is named more than once", a.kind, a.name)
		if named[resource{a.kind, a.name}] == 1 {
			why, err = s.alter(ctx, a, check)
		}
		if err != nil {
			tell(a, s.count(r, why), kmsg.StringPtr(err.Error()))
			continue
		}
		tell(a, 0, nil)
	}
}

// alter alters one resource, or with check only says whether it could.
func (s *session) alter(ctx context.Context, a *alteration, check bool) (code, error) {
	if err := a.check(); err != nil {
		return codeInvalidRequest, err
	}
	switch a.kind {
	case kmsg.ConfigResourceTypeTopic:
		return s.alterTopic(ctx, a, check)
	case kmsg.ConfigResourceTypeBroker:
		return s.alterBroker(ctx, a, check)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return s.front.alterLogger(a, check)
	case kmsg.ConfigResourceTypeGroupConfig:
		return alterGroup(a)
	}
	return codeInvalidRequest, fmt.Errorf("%w: %s", errAlter, notConfigured(a.kind))
}

// notConfigured says why there is nothing to configure in resources of a kind.
func notConfigured(kind kmsg.ConfigResourceType) string {
	if kind == kmsg.ConfigResourceTypeClientMetrics {
		return "this broker does not collect the metrics of clients (KIP-714)"
	}
	return "only topics, brokers, their loggers and groups have configuration here"
}

// check refuses what no resource can take: a configuration named twice, an unknown operation, a value that is missing.
func (a *alteration) check() error {
	seen := map[string]bool{}
	for i := range a.changes {
		c := &a.changes[i]
		if seen[c.name] {
			return fmt.Errorf("configuration %q is named more than once", brief(c.name))
		}
		seen[c.name] = true
		if c.op < kmsg.IncrementalAlterConfigOpSet || c.op > kmsg.IncrementalAlterConfigOpSubtract {
			return fmt.Errorf("configuration %q: operation %d is none: want 0 to set, 1 to delete, 2 to append or 3 to subtract", brief(c.name), c.op)
		}
		if c.value == nil && c.op != kmsg.IncrementalAlterConfigOpDelete {
			return fmt.Errorf("configuration %q has no value", brief(c.name))
		}
	}
	return nil
}

// brief keeps what a client sent from flooding a message.
func brief(v string) string {
	const most = 80
	if len(v) > most {
		return v[:most] + "…"
	}
	return v
}

// view is how an alteration sees configurations: what kind each has, whether there is one of that name, and the value in force
// where the resource sets none itself.
type view func(name string) (kind meta.Kind, under string, known bool)

// apply makes the new configuration of the old one, which it may change. Names and values are checked by who stores them;
// only what leaves no trace there is checked here.
func (a *alteration) apply(has map[string]string, see view) (map[string]string, error) {
	if a.whole {
		clear(has)
	}
	for i := range a.changes {
		c := &a.changes[i]
		kind, under, known := see(c.name)
		switch c.op {
		case kmsg.IncrementalAlterConfigOpSet:
			has[c.name] = *c.value
		case kmsg.IncrementalAlterConfigOpDelete:
			if _, set := has[c.name]; !set && !known {
				return nil, &unknownConfig{c.name}
			}
			delete(has, c.name)
		default:
			if known && kind != meta.KindList {
				return nil, fmt.Errorf("%w: %s is no list, so nothing can be appended to it or subtracted from it; set it", penstock.ErrInvalidConfig, c.name)
			}
			if was, set := has[c.name]; set {
				under = was
			}
			has[c.name] = edit(under, *c.value, c.op)
		}
	}
	return has, nil
}

// unknownConfig is a name that is to be deleted and is none. Whoever knows the names says what may have been meant.
type unknownConfig struct{ name string }

func (e *unknownConfig) Error() string { return brief(e.name) + ": unknown" }

// edit appends the items of a list that are not in it yet, or takes away all that are.
func edit(list, items string, op kmsg.IncrementalAlterConfigOp) string {
	has, change := itemsOf(list), itemsOf(items)
	if op == kmsg.IncrementalAlterConfigOpSubtract {
		return strings.Join(slices.DeleteFunc(has, func(item string) bool { return slices.Contains(change, item) }), ",")
	}
	for _, item := range change {
		if !slices.Contains(has, item) {
			has = append(has, item)
		}
	}
	return strings.Join(has, ",")
}

// itemsOf splits a list at its commas.
func itemsOf(list string) []string {
	if strings.TrimSpace(list) == "" {
		return nil
	}
	items := strings.Split(list, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// alterTopic alters a topic. Its running partitions have the new settings when it returns.
func (s *session) alterTopic(ctx context.Context, a *alteration, check bool) (code, error) {
	o := &s.front.o
	if a.name == "" {
		return codeInvalidRequest, errors.New("a topic has a name; defaults of all topics are configuration of brokers, by the names that begin with log. for the most part")
	}
	img := o.Topics.Image()
	t := img.Topic(a.name)
	if t == nil {
		return missingTopic(a.name)
	}
	under := map[string]string{}
	for _, c := range s.front.topicConfigs(img, nil) {
		under[c.key.Name] = c.value()
	}
	see := func(name string) (meta.Kind, string, bool) {
		k, known := meta.Lookup(name)
		return k.Kind, under[name], known
	}
	var was, is map[string]string
	next := func(has map[string]string) (map[string]string, error) {
		was = maps.Clone(has)
		var err error
		if is, err = a.apply(has, see); err == nil && group.Internal(a.name) {
			err = keepsJournal(was, is)
		}
		if missing := (*unknownConfig)(nil); errors.As(err, &missing) {
			is = map[string]string{missing.name: ""} // what may have been meant says who refuses it
			err = nil
		}
		if err == nil {
			err = a.keepsFixed(t, is)
		}
		if err == nil {
			_, err = img.CheckConfigs(is)
		}
		return is, err
	}
	var err error
	if check {
		_, err = next(copyOf(t.Configs))
	} else {
		err = o.Topics.SetConfigs(ctx, t.ID, next)
	}
	switch {
	case errors.Is(err, errAlter):
		return codeInvalidRequest, err
	case err != nil:
		return topicCode(err), fmt.Errorf("topic %q: %w", a.name, err)
	case !check:
		o.Logger.Info("topic's configuration altered", slog.String("topic", a.name), slog.String("changes", difference(was, is)))
	}
	return codeNone, nil
}

// keepsFixed refuses to alter what was chosen when the topic was created, and takes out what says it again.
func (a *alteration) keepsFixed(t *meta.Topic, is map[string]string) error {
	for i := range a.changes {
		c := &a.changes[i]
		v, fixed := t.Fixed(c.name)
		if k, _ := meta.Lookup(c.name); fixed && c.op == kmsg.IncrementalAlterConfigOpDelete && v != k.Default {
			return fmt.Errorf("%w: %s=%s was chosen when the topic was created and cannot be taken back; create another topic", penstock.ErrInvalidConfig, c.name, v)
		}
	}
	return t.TakeFixed(is)
}

// missingTopic says why there is no topic of a name that is asked for its configuration.
func missingTopic(name string) (code, error) {
	if err := meta.CheckName(name); err != nil {
		return codeInvalidTopic, err
	}
	return codeUnknownTopicOrPartition, errNoTopic
}

// copyOf is a copy that is never nil.
func copyOf(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	maps.Copy(out, m)
	return out
}

// journalKeys are the configurations on which it depends that no group's state is lost.
var journalKeys = [...]string{
	"cleanup.policy", "retention.ms", "retention.bytes", "segment.bytes", "max.message.bytes", "message.timestamp.type",
	"message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "min.insync.replicas", "penstock.durability",
}

// keepsJournal refuses to alter what the groups' journal depends on.
func keepsJournal(was, is map[string]string) error {
	for _, name := range journalKeys {
		if before, set := was[name]; is[name] != before || set != hasKey(is, name) {
			return fmt.Errorf("%w: %s of a topic that is the broker's own: offsets of groups would be lost", errAlter, name)
		}
	}
	return nil
}

func hasKey(m map[string]string, k string) bool {
	_, ok := m[k]
	return ok
}

// alterBroker alters what every broker, or this one, is configured with while it runs. Kafka answers all that is wrong with
// it with INVALID_REQUEST (KAFKA-13609), and clients look for that.
func (s *session) alterBroker(ctx context.Context, a *alteration, check bool) (code, error) {
	o := &s.front.o
	if err := s.front.scopeOf(a.name); err != nil {
		return codeInvalidRequest, err
	}
	img := o.Topics.Image()
	under := map[string]string{}
	for _, c := range s.front.brokerConfigs(img) {
		under[c.key.Name] = c.value()
	}
	see := func(name string) (meta.Kind, string, bool) {
		k, known := meta.LookupBroker(name)
		return k.Kind, under[name], known || slices.Contains(throttles, name)
	}
	var was, is map[string]string
	next := func(has map[string]string) (map[string]string, error) {
		was = maps.Clone(has)
		var err error
		is, err = a.apply(has, see)
		if missing := (*unknownConfig)(nil); errors.As(err, &missing) {
			is = map[string]string{missing.name: ""}
		} else if err != nil {
			return nil, err
		}
		if fixed := s.front.fixedConfig(is); fixed != nil {
			return nil, fixed
		}
		return is, meta.CheckBrokerConfigs(is)
	}
	var err error
	if check {
		_, err = next(copyOf(img.BrokerConfigs(a.name)))
	} else {
		err = o.Topics.SetBrokerConfigs(ctx, a.name, next)
	}
	switch {
	case errors.Is(err, penstock.ErrInvalidConfig) || errors.Is(err, errAlter):
		return codeInvalidRequest, err
	case err != nil:
		return codeOf(err), err
	case !check:
		o.Logger.Info("brokers' configuration altered", slog.String("broker", a.name), slog.String("changes", difference(was, is)))
	}
	return codeNone, nil
}

// scopeOf checks that a resource's name is that of this broker, or empty for all.
func (f *Front) scopeOf(name string) error {
	self := strconv.Itoa(int(f.o.Broker))
	if name == meta.EveryBroker || name == self {
		return nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	switch {
	case err != nil:
		return fmt.Errorf("broker %q: want a number, or nothing for all brokers", brief(name))
	case f.o.Topics.Image().Brokers[penstock.BrokerID(id)] == nil:
		return fmt.Errorf("broker %d does not exist; this is %s", id, self)
	}
	return fmt.Errorf("ask broker %d itself; this is %s", id, self)
}

// throttles are configurations of brokers that Kafka has only while a reassignment runs. None can be set here, so deleting them
// changes nothing; kafka-reassign-partitions --verify deletes them from every broker.
var throttles = []string{
	"leader.replication.throttled.rate", "follower.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second",
}

// fixedConfig refuses the configurations of a broker that count from its start on, saying where they are set.
func (f *Front) fixedConfig(configs map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if hasBroker(name) {
			continue
		}
		k, known := f.brokerKey(name)
		switch {
		case !known:
		case k.Unserved != "":
			return fmt.Errorf("%w: %s has no effect here: %s", errAlter, name, k.Unserved)
		case k.File == "":
			return fmt.Errorf("%w while the broker runs: cannot update these configs dynamically: %s. Set it in the broker's configuration and start it again", errAlter, name)
		case hasBroker(k.File):
			return fmt.Errorf("%w while the broker runs: cannot update these configs dynamically: %s. Alter %s instead", errAlter, name, k.File)
		default:
			return fmt.Errorf("%w while the broker runs: cannot update these configs dynamically: %s. Set %s in the broker's configuration and start it again", errAlter, name, k.File)
		}
	}
	return nil
}

// hasBroker reports whether a configuration of brokers can be altered while they run.
func hasBroker(name string) bool {
	_, ok := meta.LookupBroker(name)
	return ok
}

// difference says what an alteration changed, for the log.
func difference(was, is map[string]string) string {
	var out []string
	names := slices.Collect(maps.Keys(is))
	for name := range was {
		if !hasKey(is, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		before, had := was[name]
		after, has := is[name]
		switch {
		case !has:
			out = append(out, fmt.Sprintf("%s: %s -> (default)", name, brief(before)))
		case !had:
			out = append(out, fmt.Sprintf("%s: (default) -> %s", name, brief(after)))
		case before != after:
			out = append(out, fmt.Sprintf("%s: %s -> %s", name, brief(before), brief(after)))
		}
	}
	return strings.Join(out, "; ")
}
