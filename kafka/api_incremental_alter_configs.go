package kafka

// IncrementalAlterConfigs (key 44), versions 0-1.
//
//	1  flexible
//
// Each configuration named is set, deleted, or, if it is a list, appended to or subtracted from; the others stay (KIP-339).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const keyIncrementalAlterConfigs int16 = 44

// apiIncrementalAlterConfigs is the row of IncrementalAlterConfigs.
func apiIncrementalAlterConfigs() *api {
	return &api{
		key: keyIncrementalAlterConfigs, name: "IncrementalAlterConfigs", shown: 0, min: 0, max: 1, flexible: 1,
		before: refuse, after: wideFrame, right: right{opAlterConfigs, onTopicOrCluster},
		shape: shape{
			array[kmsg.IncrementalAlterConfigsRequestResource](
				fixed(1), text(), array[kmsg.IncrementalAlterConfigsRequestResourceConfig](text(), fixed(1), text()),
			),
			fixed(1),
		},
		handle: incrementalAlterConfigs,
	}
}

// incrementalAlterConfigs alters one resource after another in a goroutine of its own: each is a transaction in the metadata
// store.
func incrementalAlterConfigs(s *session, r request) {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	var all []alteration
	for i := range q.Resources {
		qr := &q.Resources[i]
		a := alteration{kind: qr.ResourceType, name: qr.ResourceName}
		for _, c := range qr.Configs {
			a.changes = append(a.changes, configChange{c.Name, c.Op, c.Value})
		}
		all = append(all, a)
	}
	s.control(r, func(ctx context.Context) {
		resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
		s.alterAll(ctx, r, all, q.ValidateOnly, func(a *alteration, why int16, message *string) {
			out := kmsg.NewIncrementalAlterConfigsResponseResource()
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = a.kind, a.name, why, message
			resp.Resources = append(resp.Resources, out)
		})
		s.reply(r, resp)
	})
}
