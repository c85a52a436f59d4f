package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/cli"
)

const (
	kindTopic  = kmsg.ConfigResourceTypeTopic
	kindBroker = kmsg.ConfigResourceTypeBroker
)

// errNoAnswer says that a cluster left out something of its answer.
var errNoAnswer = errors.New("the cluster's answer does not tell")

// resource is what has configuration: a topic, a broker by its id, or all brokers ("").
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// parseResource reads a resource as a person names it.
func parseResource(s string) (resource, error) {
	kind, name, ok := strings.Cut(s, "/")
	switch {
	case s == "brokers":
		return resource{kindBroker, ""}, nil
	case ok && kind == "topic" && name != "":
		return resource{kindTopic, name}, nil
	case ok && kind == "broker":
		if _, err := strconv.ParseUint(name, 10, 31); err == nil {
			return resource{kindBroker, name}, nil
		}
	}
	return resource{}, cli.Usage("%s: want topic/NAME, broker/ID or brokers", s)
}

// String is the resource as a person names it.
func (r resource) String() string {
	switch {
	case r.kind == kindTopic:
		return "topic/" + r.name
	case r.name == "":
		return "brokers"
	}
	return "broker/" + r.name
}

// own says whether a value from a source is one that was set on the resource itself.
func (r resource) own(source string) bool {
	return source == "topic" && r.kind == kindTopic || r.kind == kindBroker && (source == "broker" && r.name != "" || source == "brokers" && r.name == "")
}

func topicResources(topics []string) []resource {
	out := make([]resource, len(topics))
	for i, t := range topics {
		out[i] = resource{kindTopic, t}
	}
	return out
}

// configView is one configuration as commands show it. What is null is not known, or hidden.
type configView struct {
	Key       string  `json:"key"`
	Value     *string `json:"value"`
	Source    string  `json:"source"` // topic, broker, brokers, static or default
	Default   *string `json:"default"`
	ReadOnly  bool    `json:"read_only"`
	Sensitive bool    `json:"sensitive"`
	Type      string  `json:"type,omitempty"`
	Doc       string  `json:"doc,omitempty"`
	Layers    []layer `json:"layers,omitempty"` // the values that lie over each other, the one in force first
}

// layer is a value that holds unless one lies over it.
type layer struct {
	Key    string  `json:"key"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

// shown is the value as a cell shows it.
func (c *configView) shown() string { return showValue(c.Value, c.Sensitive) }

func showValue(v *string, sensitive bool) string {
	switch {
	case v != nil:
		return *v
	case sensitive:
		return "(hidden)"
	}
	return "-"
}

// differs reports whether somebody chose another value than the default.
func (c *configView) differs() bool {
	return c.Source != "default" && (c.Value == nil || c.Default == nil || *c.Value != *c.Default)
}

// sourceName says where a value comes from.
func sourceName(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return "broker"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "brokers"
	case kmsg.ConfigSourceStaticBrokerConfig:
		return "static"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	}
	return strings.ToLower(s.String())
}

// inMillis has units that a key may end with, in milliseconds.
var inMillis = map[string]int64{"hours": 3_600_000, "minutes": 60_000}

// as is a layer's value in the unit of the key that it lies under: Kafka has log.retention.hours under retention.ms. It is null
// where the units do not go together.
func (l *layer) as(key string) *string {
	unit, own := key[strings.LastIndexByte(key, '.')+1:], l.Key[strings.LastIndexByte(l.Key, '.')+1:]
	if unit == own || l.Value == nil {
		return l.Value
	}
	n, err := strconv.ParseInt(*l.Value, 10, 32)
	if unit != "ms" || inMillis[own] == 0 || err != nil {
		return nil
	}
	if n > 0 {
		n *= inMillis[own]
	}
	s := strconv.FormatInt(n, 10)
	return &s
}

// described is the configuration of a resource, sorted by key.
type described struct {
	configs []configView
	err     error
	message string // the cluster's words for err
}

// keys lists the keys that the resource has.
func (d *described) keys() []string {
	out := make([]string, len(d.configs))
	for i, c := range d.configs {
		out[i] = c.Key
	}
	return out
}

// find looks a key up; nil for one that is not described.
func (d *described) find(key string) *configView {
	i, ok := slices.BinarySearchFunc(d.configs, key, func(c configView, key string) int { return cmp.Compare(c.Key, key) })
	if !ok {
		return nil
	}
	return &d.configs[i]
}

// maxDescribed bounds the resources of one request, so that the answer stays far from what a client takes: some 5 KiB each.
const maxDescribed = 500

// describeConfigs asks for all configuration of resources.
func (k *cluster) describeConfigs(ctx context.Context, of []resource) (map[resource]*described, error) {
	out := map[resource]*described{}
	for some := range slices.Chunk(of, maxDescribed) {
		if err := k.describeSome(ctx, some, out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// describeSome adds the configuration of a few resources to out.
func (k *cluster) describeSome(ctx context.Context, of []resource, out map[resource]*described) error {
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeSynonyms, q.IncludeDocumentation = true, len(of) == 1
	for _, r := range of {
		qr := kmsg.NewDescribeConfigsRequestResource()
		qr.ResourceType, qr.ResourceName = r.kind, r.name
		q.Resources = append(q.Resources, qr)
	}
	var failed error
	for _, shard := range k.raw.RequestSharded(ctx, q) {
		if shard.Err != nil {
			failed = cmp.Or(failed, shard.Err)
			continue
		}
		for _, r := range shard.Resp.(*kmsg.DescribeConfigsResponse).Resources {
			d := &described{err: kerr.ErrorForCode(r.ErrorCode)}
			if r.ErrorMessage != nil {
				d.message = *r.ErrorMessage
			}
			for i := range r.Configs {
				d.configs = append(d.configs, viewConfig(&r.Configs[i]))
			}
			slices.SortFunc(d.configs, func(a, b configView) int { return cmp.Compare(a.Key, b.Key) })
			out[resource{r.ResourceType, r.ResourceName}] = d
		}
	}
	return failed
}

func viewConfig(c *kmsg.DescribeConfigsResponseResourceConfig) configView {
	v := configView{Key: c.Name, Value: c.Value, Source: sourceName(c.Source), ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive}
	if c.ConfigType != 0 {
		v.Type = strings.ToLower(c.ConfigType.String())
	}
	if c.Documentation != nil {
		v.Doc = *c.Documentation
	}
	for _, y := range c.ConfigSynonyms {
		l := layer{y.Name, y.Value, sourceName(y.Source)}
		v.Layers = append(v.Layers, l)
		if l.Source == "default" {
			v.Default = l.as(v.Key)
		}
	}
	if v.Source == "default" {
		v.Default = v.Value
	}
	return v
}

// configOf asks for all configuration of one resource that must exist.
func (k *cluster) configOf(ctx context.Context, r resource) (*described, error) {
	if r.kind == kindTopic {
		if _, err := k.topics(ctx, []string{r.name}, true); err != nil {
			return nil, err
		}
	}
	if r.kind == kindBroker && r.name != "" {
		if err := k.hasBroker(ctx, r.name); err != nil {
			return nil, err
		}
	}
	all, err := k.describeConfigs(ctx, []resource{r})
	d := all[r]
	if err == nil && d == nil {
		err = errNoAnswer
	}
	if err == nil && d.err != nil {
		return nil, refused("configuration of "+r.String()+" cannot be described", d.err, d.message, "")
	}
	if err != nil {
		return nil, cli.Fail("configuration of "+r.String()+" cannot be described", err, "")
	}
	return d, nil
}

// hasBroker makes sure that a broker is one of the cluster's.
func (k *cluster) hasBroker(ctx context.Context, id string) error {
	all, err := k.ListBrokers(ctx)
	if err != nil {
		return cli.Fail("brokers cannot be listed", err, "")
	}
	if ids := all.NodeIDs(); !slices.ContainsFunc(ids, func(n int32) bool { return strconv.Itoa(int(n)) == id }) {
		return cli.NotFound("broker %s does not exist: the cluster has %s", id, numbers(ids))
	}
	return nil
}

// known lists the keys that may be set on a resource. What all brokers share is described by one of them.
func (k *cluster) known(ctx context.Context, r resource, d *described) ([]string, error) {
	if r.kind != kindBroker || r.name != "" {
		return d.keys(), nil
	}
	all, err := k.ListBrokers(ctx)
	if err != nil || len(all) == 0 {
		return nil, cli.Fail("brokers cannot be listed", cmp.Or(err, errNoAnswer), "")
	}
	one, err := k.configOf(ctx, resource{kindBroker, strconv.Itoa(int(all[0].NodeID))})
	if err != nil {
		return nil, err
	}
	keys := append(one.keys(), d.keys()...)
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// pair is a key with a value.
type pair struct{ key, value string }

// parsePairs reads key=value; no key may come twice.
func parsePairs(flag string, words []string) ([]pair, error) {
	var out []pair
	seen := map[string]bool{}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return nil, cli.Usage("%s %s: want key=value", flag, w)
		}
		if seen[key] {
			return nil, cli.Usage("%s %s: %s is given twice", flag, w, key)
		}
		seen[key] = true
		out = append(out, pair{key, value})
	}
	return out, nil
}

// advise adds to a refused creation what a misspelt key may have meant, as far as a topic of the cluster shows the keys.
func (o *creation) advise(ctx context.Context, k *cluster, why error) error {
	var told *cli.Error
	if len(o.config) == 0 || !errors.As(why, &told) || !errors.Is(why, kerr.InvalidConfig) {
		return why
	}
	all, err := k.ListTopicsWithInternal(ctx)
	if err != nil || len(all) == 0 {
		return why
	}
	any := slices.Sorted(maps.Keys(all))[:1]
	set, err := k.describeConfigs(ctx, topicResources(any))
	d := set[resource{kindTopic, any[0]}]
	if err != nil || d == nil || len(d.configs) == 0 {
		return why
	}
	for _, p := range o.config {
		if d.find(p.key) == nil {
			told.Next = "No configuration is called " + p.key + ". " + didYouMean(p.key, d.keys(), "penstock config get topic/"+any[0]+" --all lists them")
			break
		}
	}
	return told
}

// alterConfigs changes the configuration of a resource, or checks whether it could be changed.
func (k *cluster) alterConfigs(ctx context.Context, r resource, changes []kadm.AlterConfig, check bool) error {
	var brokers []int32
	if r.kind == kindBroker && r.name != "" {
		n, err := strconv.ParseInt(r.name, 10, 32)
		if err != nil {
			return cli.Usage("broker/%s: want a number", r.name)
		}
		brokers = append(brokers, int32(n))
	}
	var answers kadm.AlterConfigsResponses
	var err error
	switch {
	case r.kind == kindTopic && check:
		answers, err = k.ValidateAlterTopicConfigs(ctx, changes, r.name)
	case r.kind == kindTopic:
		answers, err = k.AlterTopicConfigs(ctx, changes, r.name)
	case check:
		answers, err = k.ValidateAlterBrokerConfigs(ctx, changes, brokers...)
	default:
		answers, err = k.AlterBrokerConfigs(ctx, changes, brokers...)
	}
	what := "configuration of " + r.String() + " was not changed"
	if err != nil {
		return cli.Fail(what, err, "")
	}
	if len(answers) == 0 {
		return cli.Fail(what, errNoAnswer, "")
	}
	return refused(what, answers[0].Err, answers[0].ErrMessage, "")
}
