package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
	"penstock/meta"
)

// The operations of IncrementalAlterConfigs, and the kinds of resources, written short.
const (
	opSet      = kmsg.IncrementalAlterConfigOpSet
	opUnset    = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract

	ofTopic  = kmsg.ConfigResourceTypeTopic
	ofBroker = kmsg.ConfigResourceTypeBroker
)

// resourceOf is a resource of IncrementalAlterConfigs with one change; a value of "null" is none.
func resourceOf(kind kmsg.ConfigResourceType, name, key string, op kmsg.IncrementalAlterConfigOp, value string) kmsg.IncrementalAlterConfigsRequestResource {
	c := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Op: op}
	if value != "null" {
		c.Value = &value
	}
	return kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name, Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{c}}
}

// alter sends IncrementalAlterConfigs.
func (h *house) alter(version int16, only bool, rs ...kmsg.IncrementalAlterConfigsRequestResource) []kmsg.IncrementalAlterConfigsResponseResource {
	h.t.Helper()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	q.ValidateOnly, q.Resources = only, rs
	return h.ask(q, version).(*kmsg.IncrementalAlterConfigsResponse).Resources
}

// set makes one change and demands that it is done.
func (h *house) set(kind kmsg.ConfigResourceType, name, key, value string) {
	h.t.Helper()
	if got := h.alter(1, false, resourceOf(kind, name, key, opSet, value))[0]; got.ErrorCode != 0 {
		h.t.Fatalf("%s=%s: %d %s", key, value, got.ErrorCode, said(got.ErrorMessage))
	}
}

// TestIncrementalAlterConfigs: in every version values are set, deleted, appended to and subtracted from, those that are not
// named stay, and with validate only nothing changes.
func TestIncrementalAlterConfigs(t *testing.T) {
	for v := int16(0); v <= 1; v++ {
		h := build(t, "", nil)
		h.topic("t", 1, map[string]string{"segment.ms": "5000"})
		const list = "leader.replication.throttled.replicas"
		want := map[string]string{"segment.ms": "5000"}
		for _, step := range []struct {
			key   string
			op    kmsg.IncrementalAlterConfigOp
			value string
			gives string // "null": not set
		}{
			{"retention.ms", opSet, "7000", "7000"},
			{"retention.ms", opSet, "8000", "8000"},
			{list, opAppend, "0:1, 1:1", "0:1,1:1"},
			{list, opAppend, "1:1,2:2", "0:1,1:1,2:2"},
			{list, opSubtract, "1:1,9:9", "0:1,2:2"},
			{"cleanup.policy", opAppend, "delete", "delete"}, // to the default
			{"cleanup.policy", opSubtract, "delete", ""},     // everything is kept
			{"cleanup.policy", opAppend, "delete", "delete"}, // and no longer
			{"cleanup.policy", opUnset, "ignored", "null"},   //
			{"segment.ms", opUnset, "null", "null"},          //
			{"segment.bytes", opUnset, "null", "null"},       // not set, so nothing to delete
			{"penstock.durability", opSet, "relaxed", "relaxed"},
		} {
			for _, only := range []bool{true, false} {
				got := h.alter(v, only, resourceOf(ofTopic, "t", step.key, step.op, step.value))
				if len(got) != 1 || got[0].ErrorCode != 0 || got[0].ErrorMessage != nil || got[0].ResourceName != "t" || got[0].ResourceType != ofTopic {
					t.Fatalf("version %d, %+v: %+v", v, step, got)
				}
				if only && !maps.Equal(h.meta.Image().Topic("t").Configs, want) {
					t.Fatalf("version %d, %+v: validate only changed it", v, step)
				}
			}
			if want[step.key] = step.gives; step.gives == "null" {
				delete(want, step.key)
			}
			if got := h.meta.Image().Topic("t").Configs; !maps.Equal(got, want) {
				t.Fatalf("version %d, %+v: %v, want %v", v, step, got, want)
			}
		}
	}
}

// TestAlterConfigs: in every version the whole configuration is replaced, and with validate only nothing changes.
func TestAlterConfigs(t *testing.T) {
	for v := int16(0); v <= 2; v++ {
		h := build(t, "", nil)
		h.topic("t", 1, map[string]string{"segment.ms": "5000"})
		h.set(ofBroker, "", "log.retention.ms", "1")
		replace := func(kind kmsg.ConfigResourceType, name string, only bool, configs map[string]string) {
			t.Helper()
			q := kmsg.NewPtrAlterConfigsRequest()
			q.ValidateOnly = only
			r := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
			for k, v := range configs {
				r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: k, Value: &v})
			}
			q.Resources = []kmsg.AlterConfigsRequestResource{r}
			if got := h.ask(q, v).(*kmsg.AlterConfigsResponse).Resources; len(got) != 1 || got[0].ErrorCode != 0 || got[0].ResourceName != name {
				t.Fatalf("version %d: %+v", v, got)
			}
		}
		topic, broker := map[string]string{"retention.ms": "7", "max.message.bytes": "8"}, map[string]string{"num.partitions": "9"}
		replace(ofTopic, "t", true, topic)
		replace(ofBroker, "", true, broker)
		img := h.meta.Image()
		if !maps.Equal(img.Topic("t").Configs, map[string]string{"segment.ms": "5000"}) || img.BrokerConfigs("")["log.retention.ms"] != "1" {
			t.Fatalf("version %d: validate only changed something", v)
		}
		replace(ofTopic, "t", false, topic)
		replace(ofBroker, "", false, broker)
		replace(ofBroker, "0", false, broker)
		img = h.meta.Image()
		if !maps.Equal(img.Topic("t").Configs, topic) || !maps.Equal(img.BrokerConfigs(""), broker) || !maps.Equal(img.BrokerConfigs("0"), broker) {
			t.Errorf("version %d: %v, %v", v, img.Topic("t").Configs, img.BrokerConfigs(""))
		}
		replace(ofTopic, "t", false, nil)
		if got := h.meta.Image().Topic("t").Configs; len(got) != 0 {
			t.Errorf("version %d: %v after everything was taken away", v, got)
		}
	}
}

// TestAlterRefusals: what is refused, with Kafka's codes, what is wrong and what to do; nothing changes.
func TestAlterRefusals(t *testing.T) {
	h := build(t, "", func(o *Options) {
		o.BrokerConfigs = map[string]string{"log.dirs": "/data"}
		o.BrokerKeys = map[string]BrokerKey{"log.dirs": {File: "data"}, "num.io.threads": {Unserved: "there are no such threads"}, "log.retention.hours": {File: "log.retention.ms"}}
	})
	h.topic("t", 1, nil)
	h.topic(group.JournalTopic, 1, map[string]string{"retention.ms": "-1"})
	for _, test := range []struct {
		r    kmsg.IncrementalAlterConfigsRequestResource
		want code
		text string
	}{
		{resourceOf(ofTopic, "none", "retention.ms", opSet, "1"), codeUnknownTopicOrPartition, "no topic"},
		{resourceOf(ofTopic, "", "retention.ms", opSet, "1"), codeInvalidRequest, "a topic has a name"},
		{resourceOf(ofTopic, "a/b", "retention.ms", opSet, "1"), codeInvalidTopic, "a/b"},
		{resourceOf(ofTopic, "t", "retention.mss", opSet, "1"), codeInvalidConfig, "did you mean retention.ms?"},
		{resourceOf(ofTopic, "t", "retention.mss", opUnset, "null"), codeInvalidConfig, "did you mean retention.ms?"},
		{resourceOf(ofTopic, "t", "log.retention.ms", opSet, "1"), codeInvalidConfig, "on a topic it is called retention.ms"},
		{resourceOf(ofTopic, "t", "retention.ms", opSet, "soon"), codeInvalidConfig, "want a whole number"},
		{resourceOf(ofTopic, "t", "retention.ms", opSet, "-2"), codeInvalidConfig, "want at least -1"},
		{resourceOf(ofTopic, "t", "retention.ms", opSet, "null"), codeInvalidRequest, "has no value"},
		{resourceOf(ofTopic, "t", "retention.ms", 4, "1"), codeInvalidRequest, "operation 4"},
		{resourceOf(ofTopic, "t", "retention.ms", -1, "1"), codeInvalidRequest, "operation -1"},
		{resourceOf(ofTopic, "t", "retention.ms", opAppend, "1"), codeInvalidConfig, "is no list"},
		{resourceOf(ofTopic, "t", "retention.ms", opSubtract, "1"), codeInvalidConfig, "is no list"},
		{resourceOf(ofTopic, "t", "cleanup.policy", opAppend, "compact"), codeInvalidConfig, "compaction does not exist yet"},
		{resourceOf(ofTopic, "t", "compression.type", opSet, "zstd"), codeInvalidConfig, "set compression.type in the producers"},
		{resourceOf(ofTopic, "t", "remote.storage.enable", opSet, "true"), codeInvalidConfig, "tiered storage does not exist"},
		{resourceOf(ofTopic, group.JournalTopic, "retention.ms", opSet, "1"), codeInvalidRequest, "offsets of groups would be lost"},
		{resourceOf(ofTopic, group.JournalTopic, "retention.ms", opUnset, "null"), codeInvalidRequest, "offsets of groups would be lost"},
		{resourceOf(ofBroker, "7", "log.retention.ms", opSet, "1"), codeInvalidRequest, "does not exist"},
		{resourceOf(ofBroker, "x", "log.retention.ms", opSet, "1"), codeInvalidRequest, "want a number"},
		{resourceOf(ofBroker, "0", "retention.ms", opSet, "1"), codeInvalidRequest, "is called log.retention.ms"},
		{resourceOf(ofBroker, "0", "log.retention.ms", opSet, "soon"), codeInvalidRequest, "want a whole number"},
		{resourceOf(ofBroker, "", "log.dirs", opSet, "/x"), codeInvalidRequest, "Set data in the broker's configuration"},
		{resourceOf(ofBroker, "0", "broker.id", opSet, "5"), codeInvalidRequest, "cannot update these configs dynamically: broker.id"},
		{resourceOf(ofBroker, "0", "broker.id", opUnset, "null"), codeInvalidRequest, "cannot update these configs dynamically: broker.id"},
		{resourceOf(ofBroker, "0", "log.retention.hours", opSet, "5"), codeInvalidRequest, "Alter log.retention.ms instead"},
		{resourceOf(ofBroker, "0", "num.io.threads", opSet, "5"), codeInvalidRequest, "num.io.threads has no effect here: there are no such threads"},
		{resourceOf(ofBroker, "0", "num.partition", opSet, "5"), codeInvalidRequest, "did you mean num.partitions?"},
		{resourceOf(ofBroker, "0", "num.partition", opUnset, "null"), codeInvalidRequest, "did you mean num.partitions?"},
		{resourceOf(kmsg.ConfigResourceTypeBrokerLogger, "0", "root", opSet, "DEBUG"), codeInvalidRequest, "set logs.level in its configuration"},
		{resourceOf(kmsg.ConfigResourceTypeClientMetrics, "m", "x", opSet, "1"), codeInvalidRequest, "metrics of clients"},
		{resourceOf(3, "t", "retention.ms", opSet, "1"), codeInvalidRequest, "only topics, brokers, their loggers"},
	} {
		for _, only := range []bool{true, false} {
			got := h.alter(1, only, test.r)[0]
			if code(got.ErrorCode) != test.want || !strings.Contains(said(got.ErrorMessage), test.text) {
				t.Errorf("%+v, validate only %v: %d %q, want %d %q", test.r, only, got.ErrorCode, said(got.ErrorMessage), test.want, test.text)
			}
		}
	}
	twice := resourceOf(ofTopic, "t", "retention.ms", opSet, "1")
	for _, got := range h.alter(1, false, twice, twice) {
		if code(got.ErrorCode) != codeInvalidRequest {
			t.Errorf("a resource named twice: %+v", got)
		}
	}
	twice.Configs = append(twice.Configs, twice.Configs[0])
	if got := h.alter(1, false, twice)[0]; code(got.ErrorCode) != codeInvalidRequest || !strings.Contains(said(got.ErrorMessage), "more than once") {
		t.Errorf("a configuration named twice: %+v", got)
	}
	h.engine.Fail(errors.New("gone fishing"))
	for _, r := range []kmsg.IncrementalAlterConfigsRequestResource{
		resourceOf(ofTopic, "t", "retention.ms", opSet, "1"), resourceOf(ofBroker, "", "log.retention.ms", opSet, "1"),
	} {
		if got := h.alter(1, false, r)[0]; code(got.ErrorCode) != codeRequestTimedOut {
			t.Errorf("while the metadata store is away: %+v", got)
		}
	}
	h.engine.Fail(nil)
	img := h.meta.Image()
	if len(img.Topic("t").Configs) != 0 || len(img.BrokerConfigs("")) != 0 || len(img.BrokerConfigs("0")) != 0 || img.Topic(group.JournalTopic).Configs["retention.ms"] != "-1" {
		t.Errorf("something changed: %v %v", img.Topic("t").Configs, img.BrokerConfigs(""))
	}
	h.set(ofTopic, group.JournalTopic, "file.delete.delay.ms", "1000")
}

// TestThrottlesAreDeleted: kafka-reassign-partitions --verify deletes throttles that nobody set, which is no fault; setting one is.
func TestThrottlesAreDeleted(t *testing.T) {
	h := build(t, "", nil)
	for _, name := range throttles {
		if got := h.alter(1, false, resourceOf(ofBroker, "0", name, opUnset, "null"))[0]; got.ErrorCode != 0 {
			t.Errorf("delete %s: %d %s", name, got.ErrorCode, said(got.ErrorMessage))
		}
		if got := h.alter(1, false, resourceOf(ofBroker, "0", name, opSet, "1"))[0]; code(got.ErrorCode) != codeInvalidRequest {
			t.Errorf("set %s: %d %s", name, got.ErrorCode, said(got.ErrorMessage))
		}
	}
	if has := h.meta.Image().BrokerConfigs("0"); len(has) != 0 {
		t.Errorf("stored: %v", has)
	}
}

// TestJournalStays: nobody deletes the topic that holds the groups, by name or by id.
func TestJournalStays(t *testing.T) {
	h := build(t, "", nil)
	id := h.topic(group.JournalTopic, 1, nil).ID
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr(group.JournalTopic)}, {TopicID: id}}
	for _, got := range h.ask(q, 6).(*kmsg.DeleteTopicsResponse).Topics {
		if code(got.ErrorCode) != codeInvalidTopic || !strings.Contains(said(got.ErrorMessage), "offsets would be lost") {
			t.Errorf("%+v", got)
		}
	}
	if h.meta.Image().TopicByID(id) == nil {
		t.Error("it is gone")
	}
}

// TestAlterTogether: alterations of one topic by many clients at the same time do not lose each other.
func TestAlterTogether(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	names := []string{"segment.ms", "retention.ms", "max.message.bytes", "index.interval.bytes", "flush.ms", "delete.retention.ms"}
	var wg sync.WaitGroup
	for _, name := range names {
		adm := kadm.NewClient(h.franz())
		wg.Go(func() {
			rs, err := adm.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr("4")}}, "t")
			if err != nil || rs[0].Err != nil {
				t.Errorf("%s: %+v %v", name, rs, err)
			}
		})
	}
	wg.Wait()
	if got := h.meta.Image().Topic("t").Configs; len(got) != len(names) {
		t.Errorf("%v: alterations lost each other", got)
	}
}

// TestAlterByClient: what kadm can ask for is done, and described as it was done.
func TestAlterByClient(t *testing.T) {
	h := build(t, "", nil)
	h.topic("a", 1, nil)
	h.topic("b", 1, map[string]string{"segment.ms": "5000"})
	adm := kadm.NewClient(h.franz())
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("1000")}, {Op: kadm.DeleteConfig, Name: "segment.ms"}}
	for _, f := range []func(context.Context, []kadm.AlterConfig, ...string) (kadm.AlterConfigsResponses, error){
		adm.ValidateAlterTopicConfigs, adm.AlterTopicConfigs,
	} {
		rs, err := f(h.ctx(), change, "a", "b", "none")
		if err != nil || len(rs) != 3 {
			t.Fatalf("%+v %v", rs, err)
		}
		for _, r := range rs {
			if want := map[bool]error{true: kerr.UnknownTopicOrPartition}[r.Name == "none"]; !errors.Is(r.Err, want) {
				t.Errorf("%+v, want %v", r, want)
			}
		}
	}
	rs, err := adm.AlterBrokerConfigs(h.ctx(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.segment.bytes", Value: kadm.StringPtr("1048576")}}, 0)
	if err != nil || len(rs) != 1 || rs[0].Err != nil {
		t.Fatalf("%+v %v", rs, err)
	}
	described, err := adm.DescribeTopicConfigs(h.ctx(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range described {
		got := map[string]string{}
		for _, c := range r.Configs {
			got[c.Key] = fmt.Sprint(c.MaybeValue(), " ", c.Source)
		}
		for name, want := range map[string]string{
			"retention.ms": "1000 DYNAMIC_TOPIC_CONFIG", "segment.ms": "604800000 DEFAULT_CONFIG", "segment.bytes": "1048576 DYNAMIC_BROKER_CONFIG",
		} {
			if got[name] != want {
				t.Errorf("%s of %s: %s, want %s", name, r.Name, got[name], want)
			}
		}
	}
}

// layersOf describes one configuration of a resource as "value/source name=value/source …", the synonyms in their order.
func (h *house) layersOf(kind kmsg.ConfigResourceType, resource, name string) string {
	h.t.Helper()
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeSynonyms = true
	q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: resource, ConfigNames: []string{name}}}
	got := h.ask(q, 4).(*kmsg.DescribeConfigsResponse).Resources[0]
	if got.ErrorCode != 0 || len(got.Configs) > 1 {
		h.t.Fatalf("%+v", got)
	}
	if len(got.Configs) == 0 {
		return "none"
	}
	c := got.Configs[0]
	out := fmt.Sprintf("%s/%d", said(c.Value), c.Source)
	if c.ReadOnly {
		out += " fixed"
	}
	for _, s := range c.ConfigSynonyms {
		out += fmt.Sprintf(" %s=%s/%d", s.Name, said(s.Value), s.Source)
	}
	return out
}

// TestDescribeLayers: every place that sets a configuration is told, in Kafka's order: the topic (1), this broker (2), every
// broker (3), the broker's file (4), the default (5); and only what counts from the start on is read-only.
func TestDescribeLayers(t *testing.T) {
	h := build(t, "", func(o *Options) {
		o.TopicDefaults = map[string]string{"retention.ms": "4000"}
		o.BrokerConfigs = map[string]string{"log.dirs": "/data", "ssl.keystore.password": "hush", "max.connections": "5", "group.max.size": "7"}
		o.BrokerKeys = map[string]BrokerKey{"ssl.keystore.password": {Secret: true}, "max.connections": {Default: "6"}, "group.max.size": {Default: "7"}}
	})
	h.topic("t", 1, nil)
	const file, base = " log.retention.ms=4000/4", " log.retention.ms=604800000/5"
	expect := func(kind kmsg.ConfigResourceType, resource, name, want string) {
		t.Helper()
		if got := h.layersOf(kind, resource, name); got != want {
			t.Errorf("%s of %q: %s\nwant %s", name, resource, got, want)
		}
	}
	expect(ofTopic, "t", "retention.ms", "4000/4"+file+base)
	expect(ofBroker, "", "log.retention.ms", "none")
	h.set(ofBroker, "", "log.retention.ms", "3000")
	expect(ofTopic, "t", "retention.ms", "3000/3 log.retention.ms=3000/3"+file+base)
	expect(ofBroker, "", "log.retention.ms", "3000/3 log.retention.ms=3000/3")
	h.set(ofBroker, "0", "log.retention.ms", "2000")
	h.set(ofTopic, "t", "retention.ms", "1000")
	const all = " log.retention.ms=2000/2 log.retention.ms=3000/3" + file + base
	expect(ofTopic, "t", "retention.ms", "1000/1 retention.ms=1000/1"+all)
	expect(ofBroker, "0", "log.retention.ms", "2000/2"+all)
	expect(ofBroker, "0", "num.partitions", "1/5 num.partitions=1/5")
	expect(ofBroker, "0", "max.connections", "5/4 max.connections=5/4 max.connections=6/5")
	expect(ofBroker, "0", "group.max.size", "7/5 fixed group.max.size=7/5")
	expect(ofBroker, "0", "log.dirs", "/data/4 fixed log.dirs=/data/4")
	expect(ofBroker, "0", "ssl.keystore.password", "/4 fixed ssl.keystore.password=/4")
	expect(ofTopic, "t", "penstock.layout", "segment/5 fixed penstock.layout=segment/5")
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: ofTopic, ResourceName: "t"}, {ResourceType: ofTopic, ResourceName: "t"},
		{ResourceType: ofBroker, ResourceName: "0"}, {ResourceType: ofTopic, ResourceName: "a/b"}}
	got := h.ask(q, 4).(*kmsg.DescribeConfigsResponse).Resources
	if got[0].ErrorCode != 0 || code(got[1].ErrorCode) != codeInvalidRequest || len(got[1].Configs) != 0 || got[2].ErrorCode != 0 || code(got[3].ErrorCode) != codeInvalidTopic {
		t.Errorf("a resource named twice, and a bad name: %d, %d, %d, %d", got[0].ErrorCode, got[1].ErrorCode, got[2].ErrorCode, got[3].ErrorCode)
	}
	for _, c := range got[2].Configs {
		if c.Name == "ssl.keystore.password" && (c.Value != nil || !c.IsSensitive) {
			t.Errorf("a secret is shown: %+v", c)
		}
	}
	made := kmsg.NewPtrCreateTopicsRequest()
	made.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "made", NumPartitions: 1, ReplicationFactor: 1}}
	sources := map[string]string{}
	for _, c := range h.ask(made, 5).(*kmsg.CreateTopicsResponse).Topics[0].Configs {
		sources[c.Name] = fmt.Sprintf("%s/%d", said(c.Value), c.Source)
	}
	if sources["retention.ms"] != "2000/2" || sources["segment.ms"] != "604800000/5" || len(sources) != len(meta.Catalog()) {
		t.Errorf("a new topic is told %v", sources)
	}
}

// TestLoggers: the level of the broker's log is altered and described, until it is set back, and nothing else is.
func TestLoggers(t *testing.T) {
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn)
	h := build(t, "", func(o *Options) { o.LogLevel = level })
	const kind = kmsg.ConfigResourceTypeBrokerLogger
	if got := h.layersOf(kind, "0", "root"); got != "WARN/6 root=WARN/6" {
		t.Errorf("described as %s", got)
	}
	for _, step := range []struct {
		name, key string
		op        kmsg.IncrementalAlterConfigOp
		value     string
		want      code
		level     slog.Level
		shown     string
	}{
		{"0", "root", opSet, "DEBUG", codeNone, slog.LevelDebug, "DEBUG"},
		{"0", "root", opSet, "trace", codeNone, slog.LevelDebug - 4, "TRACE"},
		{"0", "root", opSet, "INFO", codeNone, slog.LevelInfo, "INFO"},
		{"0", "root", opSet, "loud", codeInvalidConfig, slog.LevelInfo, "INFO"},
		{"0", "kafka.server", opSet, "DEBUG", codeInvalidConfig, slog.LevelInfo, "INFO"},
		{"0", "root", opAppend, "DEBUG", codeInvalidRequest, slog.LevelInfo, "INFO"},
		{"", "root", opSet, "DEBUG", codeInvalidRequest, slog.LevelInfo, "INFO"},
		{"7", "root", opSet, "DEBUG", codeInvalidRequest, slog.LevelInfo, "INFO"},
		{"0", "root", opSet, "FATAL", codeNone, slog.LevelError + 4, "FATAL"},
		{"0", "root", opSet, "ERROR", codeNone, slog.LevelError, "ERROR"},
		{"0", "root", opUnset, "null", codeNone, slog.LevelWarn, "WARN"},
	} {
		was := level.Level()
		if got := h.alter(1, true, resourceOf(kind, step.name, step.key, step.op, step.value))[0]; code(got.ErrorCode) != step.want || level.Level() != was {
			t.Errorf("%+v, validate only: %d %s, %v", step, got.ErrorCode, said(got.ErrorMessage), level)
		}
		got := h.alter(1, false, resourceOf(kind, step.name, step.key, step.op, step.value))[0]
		if code(got.ErrorCode) != step.want || level.Level() != step.level || h.layersOf(kind, "0", "root") != step.shown+"/6 root="+step.shown+"/6" {
			t.Errorf("%+v: %d %s, %v", step, got.ErrorCode, said(got.ErrorMessage), level)
		}
	}
	whole := kmsg.NewPtrAlterConfigsRequest()
	whole.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kind, ResourceName: "0"}}
	if got := h.ask(whole, 2).(*kmsg.AlterConfigsResponse).Resources[0]; code(got.ErrorCode) != codeInvalidRequest {
		t.Errorf("AlterConfigs: %+v", got)
	}
	list := kmsg.NewPtrListConfigResourcesRequest()
	list.ResourceTypes = []int8{int8(kind)}
	if got := h.ask(list, 1).(*kmsg.ListConfigResourcesResponse).ConfigResources; len(got) != 1 || got[0].Name != "0" || got[0].Type != int8(kind) {
		t.Errorf("listed: %+v", got)
	}
}

// TestDocumentationIsBounded: documentation is given with the first resources of a request, and not with hundreds.
func TestDocumentationIsBounded(t *testing.T) {
	h := build(t, "", nil)
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeDocumentation = true
	for i := range maxDocumented + 1 {
		name := fmt.Sprint("t", i)
		h.topic(name, 1, nil)
		q.Resources = append(q.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: ofTopic, ResourceName: name})
	}
	for i, r := range h.ask(q, 4).(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs {
			if (c.Documentation != nil) != (i < maxDocumented) {
				t.Fatalf("resource %d, %s: %q", i, c.Name, said(c.Documentation))
			}
		}
	}
}

// TestListConfigResources: client metrics, of which there are none, in version 0; topics and brokers from version 1 on.
func TestListConfigResources(t *testing.T) {
	h := build(t, "", nil)
	h.topic("b", 1, nil)
	h.topic("a", 1, nil)
	list := func(v int16, types ...int8) (code, []string) {
		q := kmsg.NewPtrListConfigResourcesRequest()
		q.ResourceTypes = types
		resp := h.ask(q, v).(*kmsg.ListConfigResourcesResponse)
		var out []string
		for _, r := range resp.ConfigResources {
			out = append(out, fmt.Sprintf("%d:%s", r.Type, r.Name))
		}
		return code(resp.ErrorCode), out
	}
	for _, test := range []struct {
		version int16
		types   []int8
		want    code
		names   []string
	}{
		{0, nil, codeNone, nil}, {1, nil, codeNone, []string{"2:a", "2:b", "4:0"}}, {1, []int8{2}, codeNone, []string{"2:a", "2:b"}},
		{1, []int8{4, 4}, codeNone, []string{"4:0"}}, {1, []int8{8, 16, 32}, codeNone, nil}, {1, []int8{2, 3}, codeUnsupportedVersion, nil},
	} {
		if why, names := list(test.version, test.types...); why != test.want || !slices.Equal(names, test.names) {
			t.Errorf("version %d, types %v: %d %v, want %d %v", test.version, test.types, why, names, test.want, test.names)
		}
	}
	if got, err := kadm.NewClient(h.franz()).ListConfigResources(h.ctx()); err != nil || len(got.Resources) != 3 {
		t.Errorf("kadm: %+v %v", got, err)
	}
}

// sized is a batch whose bytes are of about that size.
func sized(bytes int) []byte { return batch(1, bytes) }

// TestMaxMessageBytes: the largest batch is what it was altered to from the next produce on, by the topic or for all topics.
func TestMaxMessageBytes(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	expect := func(bytes int, want code) {
		t.Helper()
		if got := h.put(9, -1, sized(bytes)); code(got.ErrorCode) != want {
			t.Fatalf("%d bytes: %d %s, want %d", bytes, got.ErrorCode, said(got.ErrorMessage), want)
		}
	}
	expect(2000, codeNone)
	h.set(ofTopic, "t", "max.message.bytes", "1000")
	expect(2000, codeMessageTooLarge)
	expect(500, codeNone)
	h.set(ofBroker, "", "message.max.bytes", "300")
	expect(500, codeNone) // the topic says otherwise
	if got := h.alter(1, false, resourceOf(ofTopic, "t", "max.message.bytes", opUnset, "null"))[0]; got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	expect(500, codeMessageTooLarge)
	h.set(ofBroker, "0", "message.max.bytes", "5000")
	expect(2000, codeNone)
	c := h.franz(kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err := c.ProduceSync(h.ctx(), kgo.SliceRecord(make([]byte, 6000))).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("franz-go: %v", err)
	}
}

// TestTimestampType: the clock that stamps records, and what times are accepted, are what they were altered to from the next produce on.
func TestTimestampType(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	old := plainBatch(1, 10)
	old.FirstTimestamp, old.MaxTimestamp = 1000, 1000
	if p := h.put(9, -1, seal(old)); p.ErrorCode != 0 || p.LogAppendTime != -1 {
		t.Fatalf("%+v", p)
	}
	h.set(ofTopic, "t", "message.timestamp.before.max.ms", "3600000")
	if p := h.put(9, -1, seal(old)); code(p.ErrorCode) != codeInvalidTimestamp {
		t.Fatalf("%+v", p)
	}
	h.set(ofTopic, "t", "message.timestamp.type", "LogAppendTime")
	if p := h.put(9, -1, seal(old)); p.ErrorCode != 0 || p.LogAppendTime < time.Now().Add(-time.Hour).UnixMilli() {
		t.Fatalf("%+v", p)
	}
}

// TestBrokerOwnConfigs: whether topics are made on demand, and with how many partitions, is what it was altered to.
func TestBrokerOwnConfigs(t *testing.T) {
	h := build(t, "", nil)
	ask := func(name string) int {
		q := kmsg.NewPtrMetadataRequest()
		q.AllowAutoTopicCreation = true
		q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(name)}}
		return len(h.ask(q, 9).(*kmsg.MetadataResponse).Topics[0].Partitions)
	}
	if n := ask("a"); n != 1 {
		t.Fatalf("%d partitions, want the default", n)
	}
	h.set(ofBroker, "", "num.partitions", " 3 ")
	if n := ask("b"); n != 3 {
		t.Errorf("%d partitions, want 3", n)
	}
	h.set(ofBroker, "", "auto.create.topics.enable", "False")
	if n := ask("c"); n != 0 || h.meta.Image().Topic("c") != nil {
		t.Errorf("%d partitions of a topic made although nobody may", n)
	}
	h.set(ofBroker, "0", "auto.create.topics.enable", "true")
	if n := ask("d"); n != 3 {
		t.Errorf("%d partitions, want 3", n)
	}
}

// TestFixedConfigs: layout and format are chosen by CreateTopics, or by the broker's default for the format, described as what cannot be altered,
// and refused where they are altered; saying them again is no alteration.
func TestFixedConfigs(t *testing.T) {
	h := build(t, "", func(o *Options) {
		o.Layouts = map[penstock.Format]penstock.Layout{penstock.FormatMessage: penstock.LayoutCommit}
	})
	create := func(name string, configs ...string) map[string]string {
		q := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: 1, ReplicationFactor: 1}
		for i := 0; i < len(configs); i += 2 {
			topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
		}
		q.Topics = append(q.Topics, topic)
		out := map[string]string{}
		got := h.ask(q, 7).(*kmsg.CreateTopicsResponse).Topics[0]
		if got.ErrorCode != 0 {
			out["error"] = said(got.ErrorMessage)
		}
		for _, c := range got.Configs {
			out[c.Name] = fmt.Sprintf("%s/%d", said(c.Value), c.Source)
		}
		return out
	}
	for _, c := range []struct {
		name         string
		configs      []string
		layout, form string
	}{
		{"plain", nil, "segment/5", "record/5"},
		{"shared", []string{"penstock.layout", "commit"}, "commit/1", "record/5"},
		{"message", []string{"penstock.format", "message"}, "commit/1", "message/1"},
		{"own", []string{"penstock.format", "message", "penstock.layout", "segment"}, "segment/5", "message/1"},
	} {
		got := create(c.name, c.configs...)
		if got["error"] != "" || got["penstock.layout"] != c.layout || got["penstock.format"] != c.form {
			t.Errorf("%s: %s, %s, error %q", c.name, got["penstock.layout"], got["penstock.format"], got["error"])
		}
		for _, key := range []string{"penstock.layout", "penstock.format"} {
			if d := h.describe(ofTopic, c.name, key); !d.ReadOnly || fmt.Sprintf("%s/%d", said(d.Value), d.Source) != got[key] {
				t.Errorf("%s: %s is described as %+v", c.name, key, d)
			}
		}
	}
	for _, bad := range [][]string{{"penstock.layout", "heap"}, {"penstock.format", "text"}} {
		if got := create("bad", bad...); !strings.Contains(got["error"], "want ") {
			t.Errorf("%v: %v", bad, got)
		}
	}
	const stays = "chosen when the topic was created"
	for _, c := range []struct {
		key   string
		op    kmsg.IncrementalAlterConfigOp
		value string
		says  string
	}{
		{"penstock.layout", opSet, "commit", ""},
		{"penstock.layout", opSet, "segment", stays},
		{"penstock.layout", opUnset, "null", stays},
		{"penstock.layout", opAppend, "commit", "no list"},
		{"penstock.format", opSet, "record", ""},
		{"penstock.format", opUnset, "null", ""},
		{"penstock.format", opSet, "message", stays},
	} {
		for _, only := range []bool{true, false} {
			got := h.alter(1, only, resourceOf(ofTopic, "shared", c.key, c.op, c.value))[0]
			if got.ErrorCode != 0 != (c.says != "") || !strings.Contains(said(got.ErrorMessage), c.says) {
				t.Errorf("%+v, only asked %v: %d %s", c, only, got.ErrorCode, said(got.ErrorMessage))
			}
		}
	}
	whole := kmsg.NewPtrAlterConfigsRequest()
	layout, retention := "commit", "9000"
	whole.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: ofTopic, ResourceName: "shared", Configs: []kmsg.AlterConfigsRequestResourceConfig{
		{Name: "penstock.layout", Value: &layout}, {Name: "retention.ms", Value: &retention},
	}}}
	if got := h.ask(whole, 2).(*kmsg.AlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("all that was described, sent back: %s", said(got.ErrorMessage))
	}
	if topic := h.meta.Image().Topic("shared"); topic.Layout != penstock.LayoutCommit || !maps.Equal(topic.Configs, map[string]string{"retention.ms": "9000"}) {
		t.Errorf("%v %v", topic.Layout, topic.Configs)
	}
}

// TestForeignNames: a topic whose name only RocketMQ allows is described, as an internal one.
func TestForeignNames(t *testing.T) {
	h := build(t, "", nil)
	for _, name := range []string{"%RETRY%g", "m"} {
		if _, err := h.meta.CreateTopic(h.ctx(), meta.NewTopic{Name: name, Format: penstock.FormatMessage, Partitions: 1, Replicas: []penstock.BrokerID{0}}, false); err != nil {
			t.Fatal(err)
		}
	}
	q := kmsg.NewPtrMetadataRequest()
	internal := map[string]bool{}
	for _, topic := range h.ask(q, 12).(*kmsg.MetadataResponse).Topics {
		internal[*topic.Topic] = topic.IsInternal
		if topic.ErrorCode != 0 {
			t.Errorf("%s: %d", *topic.Topic, topic.ErrorCode)
		}
	}
	parts := kmsg.NewPtrDescribeTopicPartitionsRequest()
	parts.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "%RETRY%g"}, {Topic: "m"}}
	for _, topic := range h.ask(parts, 0).(*kmsg.DescribeTopicPartitionsResponse).Topics {
		if topic.ErrorCode != 0 || topic.IsInternal != internal[*topic.Topic] {
			t.Errorf("%+v", topic)
		}
	}
	if !internal["%RETRY%g"] || internal["m"] || len(internal) != 2 {
		t.Errorf("internal: %v", internal)
	}
	if d := h.describe(ofTopic, "%RETRY%g", "penstock.format"); said(d.Value) != "message" {
		t.Errorf("%+v", d)
	}
}

// describe asks for one configuration of a resource.
func (h *house) describe(kind kmsg.ConfigResourceType, name, key string) kmsg.DescribeConfigsResponseResourceConfig {
	h.t.Helper()
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: []string{key}}}
	got := h.ask(q, 4).(*kmsg.DescribeConfigsResponse).Resources[0]
	if len(got.Configs) != 1 {
		h.t.Fatalf("%s of %q: %+v", key, name, got)
	}
	return got.Configs[0]
}
