package kafka

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/meta"
)

// configSource is where a value comes from, with Kafka's numbers.
type configSource int8

const (
	sourceTopic       configSource = 1 // set on the topic
	sourceBroker      configSource = 2 // set on this broker while it ran
	sourceEveryBroker configSource = 3 // set on all brokers while they ran
	sourceStatic      configSource = 4 // from the broker's file
	sourceDefault     configSource = 5
)

// config is one configuration as it is described. Its layers are what it was set to, under whatever name, the one in force
// first; there is always one.
type config struct {
	key      meta.Key
	readOnly bool // it counts from the broker's start on
	secret   bool // its value is never shown
	layers   []configLayer
}

// configLayer is one place that sets a configuration.
type configLayer struct {
	name   string
	value  string
	source configSource
}

func (c *config) value() string        { return c.layers[0].value }
func (c *config) source() configSource { return c.layers[0].source }

// shown is the value of a layer as clients see it.
func (c *config) shown(layer int) *string {
	if c.secret {
		return nil
	}
	return kmsg.StringPtr(c.layers[layer].value)
}

// add puts a layer under the others.
func (c *config) add(name, value string, source configSource) {
	c.layers = append(c.layers, configLayer{name, value, source})
}

// addDynamic puts the layers of what was set while brokers ran.
func (c *config) addDynamic(img *meta.Image, name string, self string) {
	if v, ok := img.BrokerConfigs(self)[name]; ok {
		c.add(name, v, sourceBroker)
	}
	if v, ok := img.BrokerConfigs(meta.EveryBroker)[name]; ok {
		c.add(name, v, sourceEveryBroker)
	}
}

// self is the name of this broker as a resource.
func (f *Front) self() string { return meta.BrokerScope(f.o.Broker) }

// topicConfigs lists the configuration of a topic, by name; of one that sets nothing itself if t is nil.
func (f *Front) topicConfigs(img *meta.Image, t *meta.Topic) []config {
	var out []config
	self := f.self()
	for _, k := range meta.Catalog() {
		c := config{key: k, readOnly: k.Fixed}
		if t != nil {
			v, ok := t.Configs[k.Name]
			if k.Fixed {
				v, ok = t.Fixed(k.Name)
				ok = ok && v != k.Default // so that an ordinary topic shows nothing that Kafka's would not
			}
			if ok {
				c.add(k.Name, v, sourceTopic)
			}
		}
		under := cmp.Or(k.Broker, k.Name)
		if k.Broker != "" {
			c.addDynamic(img, k.Broker, self)
		}
		if v, ok := f.o.TopicDefaults[k.Name]; ok {
			c.add(under, v, sourceStatic)
		}
		c.add(under, k.Default, sourceDefault)
		out = append(out, c)
	}
	return out
}

// BrokerKey is what is told of one configuration of the broker by Kafka's name.
type BrokerKey struct {
	Kind     meta.Kind // default string
	Doc      string
	Default  string // this broker's; empty if it has none
	File     string // the key that sets it in this broker's own configuration; empty if there is none
	Unserved string // of one that has no effect here, why not
	Secret   bool   // its value is never shown
}

// ownKeys are those that the front has values of. Options.BrokerKeys goes before them.
var ownKeys = map[string]BrokerKey{
	"broker.id":                  {Kind: meta.KindInt, Doc: "Number of this broker.", File: "broker.id"},
	"node.id":                    {Kind: meta.KindInt, Doc: "Number of this broker.", File: "broker.id"},
	"fetch.max.bytes":            {Kind: meta.KindInt, Doc: "Most stored bytes of one answer to a fetch, one batch aside.", File: "fetch.max.bytes"},
	"socket.request.max.bytes":   {Kind: meta.KindInt, Doc: "Largest request.", File: "request.max.bytes"},
	"default.replication.factor": {Kind: meta.KindInt, Doc: "Replicas of a topic whose creator does not say. There is one broker, so one."},
	"max.incremental.fetch.session.cache.slots": {Kind: meta.KindInt, Doc: "Incremental fetch sessions kept.", File: "fetch.sessions"},
}

// brokerKey is what is known of a configuration of the broker that counts from its start on.
func (f *Front) brokerKey(name string) (BrokerKey, bool) {
	k, ok := f.o.BrokerKeys[name]
	if !ok {
		k, ok = ownKeys[name]
	}
	if _, described := f.o.BrokerConfigs[name]; described {
		ok = true
	}
	k.Kind = cmp.Or(k.Kind, meta.KindString)
	return k, ok
}

// fixedConfigs are the values of what counts from the broker's start on, by Kafka's names.
func (f *Front) fixedConfigs() map[string]string {
	out := map[string]string{
		"broker.id":                  strconv.Itoa(int(f.o.Broker)),
		"node.id":                    strconv.Itoa(int(f.o.Broker)),
		"fetch.max.bytes":            strconv.FormatInt(f.o.Limits.FetchBytes, 10),
		"socket.request.max.bytes":   strconv.Itoa(f.o.Limits.ProduceBytes),
		"default.replication.factor": "1",
		"max.incremental.fetch.session.cache.slots": strconv.Itoa(f.o.Limits.FetchSessions),
	}
	for name, v := range f.o.BrokerConfigs {
		out[name] = v
	}
	return out
}

// brokerConfigs lists the configuration of this broker, by name.
func (f *Front) brokerConfigs(img *meta.Image) []config {
	var out []config
	for _, k := range meta.BrokerCatalog() {
		if b := f.o.BrokerKeys[k.Name]; k.Topic == "" && b.Default != "" {
			k.Default = b.Default // this broker's own, where Kafka's is another
		}
		c := config{key: k.Key}
		c.addDynamic(img, k.Name, f.self())
		if v, ok := f.static(k); ok {
			c.add(k.Name, v, sourceStatic)
		}
		c.add(k.Name, k.Default, sourceDefault)
		out = append(out, c)
	}
	for name, v := range f.fixedConfigs() {
		if hasBroker(name) {
			continue
		}
		k, _ := f.brokerKey(name)
		c := config{key: meta.Key{Name: name, Kind: k.Kind, Doc: k.Doc}, readOnly: true, secret: k.Secret}
		if v != k.Default || k.Default == "" {
			c.add(name, v, sourceStatic)
		}
		if k.Default != "" {
			c.add(name, k.Default, sourceDefault)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b config) int { return cmp.Compare(a.key.Name, b.key.Name) })
	return out
}

// static is what the broker's file says of a configuration that can be altered while it runs. Of the broker's own it says
// something where it does not say the default.
func (f *Front) static(k meta.BrokerKey) (string, bool) {
	var v string
	switch k.Name {
	case meta.BrokerAutoCreate:
		v = strconv.FormatBool(f.o.AutoCreate)
	case meta.BrokerPartitions:
		v = strconv.Itoa(f.o.DefaultPartitions)
	case meta.BrokerConns, meta.BrokerConnsPerIP, meta.BrokerProducerExpiry:
		var ok bool
		if v, ok = f.o.BrokerConfigs[k.Name]; !ok {
			return "", false
		}
	default:
		v, ok := f.o.TopicDefaults[k.Topic]
		return v, ok
	}
	return v, v != k.Default
}

// everyBrokerConfigs lists what was set on all brokers while they ran, by name.
func (f *Front) everyBrokerConfigs(img *meta.Image) []config {
	var out []config
	for _, k := range meta.BrokerCatalog() {
		if v, ok := img.BrokerConfigs(meta.EveryBroker)[k.Name]; ok {
			c := config{key: k.Key}
			c.add(k.Name, v, sourceEveryBroker)
			out = append(out, c)
		}
	}
	return out
}

// autoCreate reports whether a client may have a topic created by asking for it.
func (f *Front) autoCreate() bool {
	if v, ok := f.o.Topics.Image().BrokerConfig(meta.BrokerAutoCreate); ok {
		return strings.EqualFold(strings.TrimSpace(v), "true")
	}
	return f.o.AutoCreate
}

// defaultPartitions is how many partitions a topic has whose creator leaves it open.
func (f *Front) defaultPartitions() int {
	if v, ok := f.o.Topics.Image().BrokerConfig(meta.BrokerPartitions); ok {
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && n >= 1 && n <= meta.MaxPartitions {
			return n
		}
	}
	return f.o.DefaultPartitions
}
