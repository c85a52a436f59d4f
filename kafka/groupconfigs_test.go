package kafka

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestGroupConfigs: any group is described with the defaults of Kafka 4.3.1, by name, each with its broker-wide synonym and why it is
// not honoured; nothing of it can be altered, and nothing that is no configuration is taken.
func TestGroupConfigs(t *testing.T) {
	h := build(t, "", nil)
	const ofGroup = kmsg.ConfigResourceTypeGroupConfig
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeSynonyms, q.IncludeDocumentation = true, true
	for _, name := range []string{"readers", ""} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = ofGroup, name
		q.Resources = append(q.Resources, r)
	}
	got := h.ask(q, 4).(*kmsg.DescribeConfigsResponse).Resources
	if code(got[1].ErrorCode) != codeInvalidRequest || len(got[1].Configs) != 0 {
		t.Errorf("a group without a name: %+v", got[1])
	}
	if got[0].ErrorCode != 0 || len(got[0].Configs) != len(groupKeys) {
		t.Fatalf("%+v", got[0])
	}
	if !slices.IsSortedFunc(got[0].Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in order")
	}
	for _, c := range got[0].Configs {
		if c.Source != kmsg.ConfigSourceDefaultConfig || c.IsSensitive || len(c.ConfigSynonyms) != 1 || said(c.ConfigSynonyms[0].Value) != said(c.Value) ||
			!strings.HasSuffix(c.ConfigSynonyms[0].Name, c.Name) || !strings.Contains(said(c.Documentation), "KIP-848") {
			t.Errorf("%+v", c)
		}
	}
	if c := got[0].Configs[2]; c.Name != "consumer.session.timeout.ms" || said(c.Value) != "45000" || c.ConfigType != kmsg.ConfigTypeInt || c.ConfigSynonyms[0].Name != "group."+c.Name {
		t.Errorf("%+v", c)
	}
	for _, test := range []struct {
		r    kmsg.IncrementalAlterConfigsRequestResource
		want code
		text string
	}{
		{resourceOf(ofGroup, "readers", "consumer.session.timeout.ms", opSet, "50000"), codeInvalidConfig, "does not serve"},
		{resourceOf(ofGroup, "readers", "consumer.session.timeout.ms", opAppend, "50000"), codeInvalidConfig, "does not serve"},
		{resourceOf(ofGroup, "readers", "consumer.session.timeout.ms", opUnset, "null"), codeNone, ""},
		{resourceOf(ofGroup, "readers", "consumer.session.timeout", opSet, "1"), codeInvalidConfig, "did you mean consumer.session.timeout.ms?"},
		{resourceOf(ofGroup, "readers", "nope", opUnset, "null"), codeInvalidConfig, "unknown group config name: nope"},
		{resourceOf(ofGroup, "", "consumer.session.timeout.ms", opSet, "50000"), codeInvalidRequest, "a group has a name"},
	} {
		for _, only := range []bool{true, false} {
			a := h.alter(1, only, test.r)[0]
			if code(a.ErrorCode) != test.want || !strings.Contains(said(a.ErrorMessage), test.text) {
				t.Errorf("%+v: %d %q, want %d %q", test.r, a.ErrorCode, said(a.ErrorMessage), test.want, test.text)
			}
		}
	}
}
