package kafka

// AlterConfigs (key 33), versions 0-2.
//
//	1  throttle time
//	2  flexible
//
// The request says the whole configuration of a resource: what it does not name goes back to the default. Kafka has
// deprecated it for IncrementalAlterConfigs (KIP-339); librdkafka, sarama and kafkajs still send it.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const keyAlterConfigs int16 = 33

// apiAlterConfigs is the row of AlterConfigs.
func apiAlterConfigs() *api {
	return &api{
		key: keyAlterConfigs, name: "AlterConfigs", shown: 0, min: 0, max: 2, flexible: 2,
		before: refuse, after: wideFrame, right: right{opAlterConfigs, onTopicOrCluster},
		shape: shape{
			array[kmsg.AlterConfigsRequestResource](fixed(1), text(), array[kmsg.AlterConfigsRequestResourceConfig](text(), text())),
			fixed(1),
		},
		handle: alterConfigs,
	}
}

// alterConfigs alters one resource after another in a goroutine of its own: each is a transaction in the metadata store.
func alterConfigs(s *session, r request) {
	q := kmsg.NewPtrAlterConfigsRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	var all []alteration
	for i := range q.Resources {
		qr := &q.Resources[i]
		a := alteration{kind: qr.ResourceType, name: qr.ResourceName, whole: true}
		for _, c := range qr.Configs {
			a.changes = append(a.changes, configChange{c.Name, kmsg.IncrementalAlterConfigOpSet, c.Value})
		}
		all = append(all, a)
	}
	s.control(r, func(ctx context.Context) {
		resp := kmsg.NewPtrAlterConfigsResponse()
		s.alterAll(ctx, r, all, q.ValidateOnly, func(a *alteration, why int16, message *string) {
			out := kmsg.NewAlterConfigsResponseResource()
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = a.kind, a.name, why, message
			resp.Resources = append(resp.Resources, out)
		})
		s.reply(r, resp)
	})
}
