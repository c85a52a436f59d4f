package kafka

// DescribeConfigs (key 32), versions 1-4.
//
//	1  source and synonyms
//	3  type and documentation
//	4  flexible
//
// Topics (resource type 2) are described from the catalogue of topic configuration, this broker (type 4) by what can be
// altered while it runs and what its node says of it; the broker without a name is what was altered for all brokers. Groups (type 32)
// have Kafka's defaults.

import (
	"slices"

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

// maxDocumented is the number of resources of one request that documentation is given with. It is the same for all topics, and
// the largest part of an answer.
const maxDocumented = 100

// describeConfigs answers from the catalogue and the image in memory; it waits for nothing. A resource that is named again
// is refused, so that a small request cannot make an answer of any size.
func describeConfigs(s *session, r request) {
	q := kmsg.NewPtrDescribeConfigsRequest()
	if !r.decode(q) {
		return
	}
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	seen := map[resource]bool{}
	img := s.front.o.Topics.Image()
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range q.Resources {
		qr := &q.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = qr.ResourceType, qr.ResourceName
		configs, why, message := []config(nil), codeInvalidRequest, "named more than once"
		if key := (resource{qr.ResourceType, qr.ResourceName}); !seen[key] {
			seen[key] = true
			configs, why, message = s.front.configsOf(img, qr)
		}
		if why != codeNone {
			out.ErrorCode, out.ErrorMessage = s.count(r, why), kmsg.StringPtr(message)
		}
		for j := range configs {
			if c := &configs[j]; len(qr.ConfigNames) == 0 || slices.Contains(qr.ConfigNames, c.key.Name) {
				out.Configs = append(out.Configs, c.describe(q.IncludeSynonyms, q.IncludeDocumentation && i < maxDocumented))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	s.reply(r, resp)
}

// configsOf finds the configuration of what a request names.
func (f *Front) configsOf(img *meta.Image, q *kmsg.DescribeConfigsRequestResource) ([]config, code, string) {
	switch q.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t := img.Topic(q.ResourceName)
		if t == nil {
			why, err := missingTopic(q.ResourceName)
			return nil, why, err.Error()
		}
		return f.topicConfigs(img, t), codeNone, ""
	case kmsg.ConfigResourceTypeBroker:
		if err := f.scopeOf(q.ResourceName); err != nil {
			return nil, codeInvalidRequest, err.Error()
		}
		if q.ResourceName == meta.EveryBroker {
			return f.everyBrokerConfigs(img), codeNone, ""
		}
		return f.brokerConfigs(img), codeNone, ""
	case kmsg.ConfigResourceTypeBrokerLogger:
		if err := f.loggerOf(q.ResourceName); err != nil {
			return nil, codeInvalidRequest, err.Error()
		}
		return f.loggerConfigs(), codeNone, ""
	case kmsg.ConfigResourceTypeGroupConfig:
		if q.ResourceName == "" {
			return nil, codeInvalidRequest, "Group name must not be empty"
		}
		return groupConfigs(), codeNone, ""
	}
	return nil, codeInvalidRequest, notConfigured(q.ResourceType)
}

// describe is the configuration as the answer has it.
func (c *config) describe(synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.IsSensitive = c.key.Name, c.shown(0), c.secret
	out.Source, out.IsDefault = kmsg.ConfigSource(c.source()), c.source() == sourceDefault
	out.ConfigType = kmsg.ConfigType(c.key.Kind)
	out.ReadOnly = c.readOnly
	if documentation && c.key.Doc != "" {
		out.Documentation = kmsg.StringPtr(c.key.Doc)
		if c.key.Why != "" {
			out.Documentation = kmsg.StringPtr(c.key.Doc + " (" + string(c.key.Status) + ": " + c.key.Why + ")")
		}
	}
	if !synonyms {
		return out
	}
	for i := range c.layers {
		y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		y.Name, y.Value, y.Source = c.layers[i].name, c.shown(i), kmsg.ConfigSource(c.layers[i].source)
		out.ConfigSynonyms = append(out.ConfigSynonyms, y)
	}
	return out
}
