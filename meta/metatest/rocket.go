package metatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"penstock"
	"penstock/meta"
)

// testKinds: layout and format are chosen by configuration or by the creator, stay, may be said again, and decide on names; RocketMQ's
// attributes are parsed. Who opens the same engine sees the same.
func testKinds(t *testing.T, e meta.Engine) {
	s := over(t, e)
	make := func(name string, f penstock.Format, l penstock.Layout, configs map[string]string) (*meta.Topic, error) {
		return s.CreateTopic(t.Context(), meta.NewTopic{
			Name: name, Format: f, Layout: l, Partitions: 4, Replicas: []penstock.BrokerID{0}, Configs: configs,
		}, false)
	}
	for _, c := range []struct {
		name    string
		format  penstock.Format
		layout  penstock.Layout
		configs map[string]string
		want    string
		err     error
	}{
		{"plain", penstock.FormatRecord, penstock.LayoutSegment, nil, "record segment", nil},
		{"shared", penstock.FormatRecord, penstock.LayoutSegment, map[string]string{"penstock.layout": "commit"}, "record commit", nil},
		{"own", penstock.FormatMessage, penstock.LayoutCommit, map[string]string{"penstock.layout": "segment"}, "message segment", nil},
		{"%RETRY%g|1", penstock.FormatRecord, penstock.LayoutCommit, map[string]string{"penstock.format": "message"}, "message commit", nil},
		{"%DLQ%" + strings.Repeat("g", 250), penstock.FormatMessage, penstock.LayoutCommit, nil, "message commit", nil},
		{"%DLQ%" + strings.Repeat("g", 251), penstock.FormatMessage, penstock.LayoutCommit, nil, "", penstock.ErrInvalidTopic},
		{strings.Repeat("g", 128), penstock.FormatMessage, penstock.LayoutCommit, nil, "", penstock.ErrInvalidTopic},
		{"a.b", penstock.FormatMessage, penstock.LayoutCommit, nil, "", penstock.ErrInvalidTopic},
		{"%RETRY%g2", penstock.FormatRecord, penstock.LayoutSegment, nil, "", penstock.ErrInvalidTopic},
		{"x", penstock.FormatRecord, penstock.LayoutSegment, map[string]string{"penstock.layout": "heap"}, "", penstock.ErrInvalidConfig},
		{"x", penstock.FormatRecord, penstock.LayoutSegment, map[string]string{"penstock.format": "text"}, "", penstock.ErrInvalidConfig},
		{"x", penstock.FormatRecord, penstock.LayoutSegment, map[string]string{"rocketmq.perm": "8"}, "", penstock.ErrInvalidConfig},
		{"x", penstock.FormatRecord, penstock.LayoutSegment, map[string]string{"rocketmq.attributes": "+a"}, "", penstock.ErrInvalidConfig},
		{"x", penstock.FormatRecord, penstock.LayoutSegment, map[string]string{"rocketmq.attributes": "+a=" + strings.Repeat("b", 4096)}, "", penstock.ErrInvalidConfig},
	} {
		before := maps.Clone(c.configs)
		topic, err := make(c.name, c.format, c.layout, c.configs)
		if !errors.Is(err, c.err) || !maps.Equal(before, c.configs) {
			t.Fatalf("%.20s %v: %v, want %v", c.name, before, err, c.err)
		}
		for _, img := range []*meta.Image{s.Image(), over(t, e).Image()} {
			if topic == nil {
				continue
			}
			got := img.Topic(c.name)
			if kind := fmt.Sprint(got.Format, " ", got.Layout); kind != c.want || len(got.Configs) != 0 {
				t.Errorf("%.20s: %s with %v, want %s", c.name, kind, got.Configs, c.want)
			}
			bytes, stamped := int32(1<<20+12), false
			if got.Format == penstock.FormatMessage {
				bytes, stamped = 16<<20, true
			}
			if got.Settings.MaxMessageBytes != bytes || got.Settings.AppendTime != stamped {
				t.Errorf("%.20s: at most %d bytes, stamped by the broker %v", c.name, got.Settings.MaxMessageBytes, got.Settings.AppendTime)
			}
		}
	}
	stays(t, s, s.Image().Topic("shared"))

	topic, err := make("queues", penstock.FormatMessage, penstock.LayoutCommit, map[string]string{
		"rocketmq.perm": "4", "rocketmq.read.queues": "2", "rocketmq.order": "true", "rocketmq.attributes": "+message.type=FIFO,+x=y=z",
	})
	if err != nil {
		t.Fatal(err)
	}
	read, write := topic.Queues()
	if st := topic.Settings; read != 2 || write != 4 || st.Perm != meta.PermRead || !st.Order || st.Attribute("message.type") != "FIFO" || st.Attribute("x") != "y=z" || st.Attribute("message") != "" {
		t.Errorf("%d and %d queues, %+v", read, write, st)
	}
	if read, write := s.Image().Topic("plain").Queues(); read != 4 || write != 4 || s.Image().Topic("plain").Settings.Perm != meta.PermRead|meta.PermWrite {
		t.Errorf("%d and %d queues by default", read, write)
	}
}

// stays demands that what was chosen for a topic in the commit layout can be said again, and nothing else.
func stays(t *testing.T, s *meta.Store, topic *meta.Topic) {
	t.Helper()
	set := func(configs map[string]string) error {
		return s.SetConfigs(t.Context(), topic.ID, func(map[string]string) (map[string]string, error) { return configs, nil })
	}
	if err := set(map[string]string{"penstock.layout": "commit", "penstock.format": "record", "segment.ms": "5"}); err != nil {
		t.Error(err)
	}
	for k, v := range map[string]string{"penstock.layout": "segment", "penstock.format": "message"} {
		if err := set(map[string]string{k: v}); !errors.Is(err, penstock.ErrInvalidConfig) || !strings.Contains(err.Error(), "chosen when the topic was created") {
			t.Errorf("%s=%s: %v", k, v, err)
		}
	}
	if got := s.Image().TopicByID(topic.ID); got.Layout != penstock.LayoutCommit || len(got.Configs) != 1 || got.Configs["segment.ms"] != "5" {
		t.Errorf("%+v", got)
	}
}

// testGroups: a group's configuration is set, replaced, seen by who opens the same engine, and deleted; what is out of bounds is refused;
// subscribers hear of it.
func testGroups(t *testing.T, e meta.Engine) {
	s := over(t, e)
	heard := 0
	s.Subscribe(func(old, img *meta.Image) {
		if old != img {
			heard++
		}
	})
	g := meta.DefaultGroup("g%1")
	g.RetryMax, g.Attributes = 3, map[string]string{"a": "b"}
	for _, retries := range []int{3, -1} {
		g.RetryMax = retries
		if err := s.SetGroup(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		for _, img := range []*meta.Image{s.Image(), over(t, e).Image()} {
			got := img.Group("g%1")
			if got == nil || got.RetryMax != retries || !got.Consume || got.Attributes["a"] != "b" || got.Revision == 0 {
				t.Fatalf("%+v", got)
			}
		}
	}
	for _, bad := range []func(*meta.GroupConfig){
		func(g *meta.GroupConfig) { g.Name = "" },
		func(g *meta.GroupConfig) { g.Name = "a/b" },
		func(g *meta.GroupConfig) { g.Name = strings.Repeat("a", 256) },
		func(g *meta.GroupConfig) { g.RetryQueues = meta.MaxRetryQueues + 1 },
		func(g *meta.GroupConfig) { g.RetryQueues = -1 },
		func(g *meta.GroupConfig) { g.RetryMax = -2 },
		func(g *meta.GroupConfig) { g.RetryPolicy = strings.Repeat("a", 65<<10) },
	} {
		c := g
		bad(&c)
		if err := s.SetGroup(t.Context(), c); !errors.Is(err, penstock.ErrInvalidConfig) {
			t.Errorf("%.40q: %v", c.Name, err)
		}
	}
	for range 2 {
		if err := s.DeleteGroup(t.Context(), g.Name); err != nil {
			t.Error(err)
		}
	}
	left := 0
	over(t, e).Image().Groups(func(*meta.GroupConfig) bool { left++; return true })
	if left != 0 || s.Image().Group(g.Name) != nil || heard != 3 {
		t.Errorf("%d groups left, subscribers were called %d times", left, heard)
	}
}

// testGroupsTogether: configurations of different groups set at once do not lose each other, and of the same group one counts.
func testGroupsTogether(t *testing.T, e meta.Engine) {
	s := over(t, e)
	names := []string{"a", "b", "c", "a", "b", "c"}
	together(t, names, func(name string) error { return s.SetGroup(context.Background(), meta.DefaultGroup(name)) })
	n := 0
	over(t, e).Image().Groups(func(g *meta.GroupConfig) bool { n++; return g.Consume })
	if n != 3 {
		t.Errorf("%d groups", n)
	}
}

// testValues: pairs are set, replaced and deleted, one namespace apart from the other, whatever their names hold.
func testValues(t *testing.T, e meta.Engine) {
	s := over(t, e)
	set := func(namespace, key, value string) error { return s.SetValue(t.Context(), namespace, key, &value) }
	for _, c := range [][3]string{{"ORDER_TOPIC_CONFIG", "t", "broker-a:4"}, {"a/b %", "t", "1"}, {"a", "b %/t", "2"}, {"a", "gone", "3"}, {"a", "b %/t", "4"}} {
		if err := set(c[0], c[1], c[2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetValue(t.Context(), "a", "gone", nil); err != nil {
		t.Fatal(err)
	}
	for _, img := range []*meta.Image{s.Image(), over(t, e).Image()} {
		got := fmt.Sprint(img.Values("ORDER_TOPIC_CONFIG"), img.Values("a/b %"), img.Values("a"), len(img.Values("b")))
		if want := "map[t:broker-a:4] map[t:1] map[b %/t:4] 0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	many := strings.Repeat("v", 300<<10)
	for _, err := range []error{set("", "k", "v"), set("n", "", "v"), set("n", strings.Repeat("k", 256), "v"), set("n", "k", many)} {
		if !errors.Is(err, penstock.ErrInvalidConfig) {
			t.Errorf("%v", err)
		}
	}
	for i := len([]string{"ORDER_TOPIC_CONFIG", "a/b %", "a"}); i < meta.MaxNamespaces; i++ {
		if err := set(fmt.Sprint("n", i), "k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	if err := set("one more", "k", "v"); !errors.Is(err, penstock.ErrInvalidConfig) {
		t.Errorf("%v", err)
	}
	if err := set("a", "k", "v"); err != nil {
		t.Error(err)
	}
}
