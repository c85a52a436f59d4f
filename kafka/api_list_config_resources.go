package kafka

// ListConfigResources (key 74), versions 0-1.
//
//	0  client metrics, of which there are none here (KIP-1000)
//	1  the types of resources wanted in the request, and of each in the answer (KIP-1142)

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/meta"
)

const keyListConfigResources int16 = 74

// apiListConfigResources is the row of ListConfigResources.
func apiListConfigResources() *api {
	return &api{
		key: keyListConfigResources, name: "ListConfigResources", shown: 0, min: 0, max: 1, flexible: 0,
		before: refuse, after: smallFrame, right: right{opDescribeConfigs, onCluster},
		shape:  shape{plain[int8](fixed(1)).from(1)},
		handle: listConfigResources,
	}
}

// resourceTypes are those that Kafka lists, all of them when a request names none. Groups and client metrics have no
// configuration here, so there are never any.
var resourceTypes = [...]kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig,
}

// listConfigResources answers from the image in memory; it waits for nothing.
func listConfigResources(s *session, r request) {
	q := kmsg.NewPtrListConfigResourcesRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrListConfigResourcesResponse()
	wanted := map[kmsg.ConfigResourceType]bool{}
	for _, t := range q.ResourceTypes {
		if !slices.Contains(resourceTypes[:], kmsg.ConfigResourceType(t)) {
			resp.ErrorCode = s.count(r, codeUnsupportedVersion)
			s.reply(r, resp)
			return
		}
		wanted[kmsg.ConfigResourceType(t)] = true
	}
	add := func(t kmsg.ConfigResourceType, name string) {
		out := kmsg.NewListConfigResourcesResponseConfigResource()
		out.Name, out.Type = name, int8(t)
		resp.ConfigResources = append(resp.ConfigResources, out)
	}
	img, all := s.front.o.Topics.Image(), len(wanted) == 0
	if r.version >= 1 && (all || wanted[kmsg.ConfigResourceTypeTopic]) {
		var names []string
		img.Topics(func(t *meta.Topic) bool {
			names = append(names, t.Name)
			return true
		})
		slices.Sort(names)
		for _, name := range names {
			add(kmsg.ConfigResourceTypeTopic, name)
		}
	}
	if r.version >= 1 && (all || wanted[kmsg.ConfigResourceTypeBroker]) {
		for _, id := range sortedBrokers(img.Brokers) {
			add(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id)))
		}
	}
	if r.version >= 1 && (all || wanted[kmsg.ConfigResourceTypeBrokerLogger]) && s.front.o.LogLevel != nil {
		add(kmsg.ConfigResourceTypeBrokerLogger, s.front.self())
	}
	s.reply(r, resp)
}
