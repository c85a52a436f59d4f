package kafka

// DescribeConfigs (key 32), versions 1-4.
//
//	1  source and synonyms
//	3  type and documentation
//	4  flexible
//
// Topics (resource type 2) are described from the catalogue of topic configuration, this broker (type 4) by its
// defaults for topics and what its node says of it.

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/meta"
)

const keyDescribeConfigs int16 = 32

// apiDescribeConfigs is the row of DescribeConfigs.
func apiDescribeConfigs() *api {
	return &api{
		key: keyDescribeConfigs, name: "DescribeConfigs", shown: 1, min: 1, max: 4, flexible: 4,
		before: refuse, after: wideFrame, right: right{opDescribeConfigs, onTopicOrCluster},
		shape: shape{
			array[kmsg.DescribeConfigsRequestResource](fixed(1), text(), plain[string](text())),
			fixed(1), fixed(1).from(3),
		},
		handle: describeConfigs,
	}
}

// configSource is where a value comes from, with Kafka's numbers.
type configSource int8

const (
	sourceTopic   configSource = 1
	sourceStatic  configSource = 4
	sourceDefault configSource = 5
)

// config is one configuration in force. broker is the broker-wide default that lies under a topic's, if there is one.
type config struct {
	key    meta.Key
	value  string
	source configSource
	broker *string
}

// topicConfigs lists the configuration of a topic, by name, given what was set on it.
func (f *Front) topicConfigs(set map[string]string) []config {
	var out []config
	for _, k := range meta.Catalog() {
		c := config{key: k, value: k.Default, source: sourceDefault}
		if v, ok := f.o.TopicDefaults[k.Name]; ok {
			c.value, c.source, c.broker = v, sourceStatic, &v
		}
		if v, ok := set[k.Name]; ok {
			c.value, c.source = v, sourceTopic
		}
		out = append(out, c)
	}
	return out
}

// brokerConfigs lists the configuration of this broker, by name.
func (f *Front) brokerConfigs() []config {
	own := map[string]string{
		"auto.create.topics.enable": strconv.FormatBool(f.o.AutoCreate),
		"broker.id":                 strconv.Itoa(int(f.o.Broker)),
		"node.id":                   strconv.Itoa(int(f.o.Broker)),
		"num.partitions":            strconv.Itoa(f.o.DefaultPartitions),
		"fetch.max.bytes":           strconv.FormatInt(f.o.Limits.FetchBytes, 10),
		"socket.request.max.bytes":  strconv.Itoa(f.o.Limits.ProduceBytes),
		"max.incremental.fetch.session.cache.slots": strconv.Itoa(f.o.Limits.FetchSessions),
		"default.replication.factor":                "1",
	}
	maps.Copy(own, f.o.BrokerConfigs)
	var out []config
	for name, v := range own {
		out = append(out, config{key: meta.Key{Name: name, Kind: meta.KindString, Default: v}, value: v, source: sourceStatic})
	}
	for _, c := range f.topicConfigs(nil) {
		if _, known := own[c.key.Broker]; c.key.Broker != "" && !known {
			c.key.Name, c.broker = c.key.Broker, nil
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b config) int { return cmp.Compare(a.key.Name, b.key.Name) })
	return out
}

// describeConfigs answers from the catalogue and the image in memory; it waits for nothing.
func describeConfigs(s *session, r request) {
	q := kmsg.NewPtrDescribeConfigsRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range q.Resources {
		resp.Resources = append(resp.Resources, s.describeResource(r, q, &q.Resources[i]))
	}
	s.reply(r, resp)
}

// describeResource describes one topic or broker: all of its configuration, or what the request names of it.
func (s *session) describeResource(r request, q *kmsg.DescribeConfigsRequest, qr *kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
	out := kmsg.NewDescribeConfigsResponseResource()
	out.ResourceType, out.ResourceName = qr.ResourceType, qr.ResourceName
	configs, why, message := s.configsOf(qr)
	if why != codeNone {
		out.ErrorCode, out.ErrorMessage = s.count(r, why), kmsg.StringPtr(message)
	}
	for i := range configs {
		c := &configs[i]
		if qr.ConfigNames == nil || slices.Contains(qr.ConfigNames, c.key.Name) {
			out.Configs = append(out.Configs, c.describe(q.IncludeSynonyms, q.IncludeDocumentation))
		}
	}
	return out
}

// configsOf finds the configuration of what a request names.
func (s *session) configsOf(q *kmsg.DescribeConfigsRequestResource) ([]config, code, string) {
	f := s.front
	switch q.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t := f.o.Topics.Image().Topic(q.ResourceName)
		if t == nil {
			return nil, codeUnknownTopicOrPartition, "no topic has this name"
		}
		return f.topicConfigs(t.Configs), codeNone, ""
	case kmsg.ConfigResourceTypeBroker:
		if q.ResourceName != "" && q.ResourceName != strconv.Itoa(int(f.o.Broker)) {
			return nil, codeInvalidRequest, "ask broker " + q.ResourceName + " itself; this is " + strconv.Itoa(int(f.o.Broker))
		}
		return f.brokerConfigs(), codeNone, ""
	}
	return nil, codeInvalidRequest, "only topics and brokers have configuration here"
}

// describe is the configuration as the answer has it.
func (c *config) describe(synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value = c.key.Name, kmsg.StringPtr(c.value)
	out.Source, out.IsDefault = kmsg.ConfigSource(c.source), c.source == sourceDefault
	out.ConfigType = kmsg.ConfigType(c.key.Kind)
	out.ReadOnly = c.source == sourceStatic
	if documentation && c.key.Doc != "" {
		out.Documentation = kmsg.StringPtr(c.key.Doc)
	}
	if !synonyms {
		return out
	}
	add := func(name, value string, source configSource) {
		y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		y.Name, y.Value, y.Source = name, kmsg.StringPtr(value), kmsg.ConfigSource(source)
		out.ConfigSynonyms = append(out.ConfigSynonyms, y)
	}
	if c.source == sourceTopic {
		add(c.key.Name, c.value, sourceTopic)
	}
	under := cmp.Or(c.key.Broker, c.key.Name)
	if c.broker != nil {
		add(under, *c.broker, sourceStatic)
	}
	add(under, c.key.Default, sourceDefault)
	return out
}
