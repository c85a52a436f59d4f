package metatest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/meta"
)

// TestChanges runs the suite of what a store changes on a running cluster, over any engine: more partitions, topics'
// configuration and brokers', RocketMQ's groups and values. open makes an engine that is empty; it stays open for the whole of a case.
func TestChanges(t *testing.T, open func(t *testing.T) meta.Engine) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e meta.Engine)
	}{
		{"Partitions", testPartitions},
		{"PartitionsTogether", testPartitionsTogether},
		{"Configs", testConfigs},
		{"Kinds", testKinds},
		{"Groups", testGroups},
		{"GroupsTogether", testGroupsTogether},
		{"Values", testValues},
		{"BrokerConfigs", testBrokerConfigs},
		{"BrokerConfigsTogether", testBrokerConfigsTogether},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// over opens a store on the engine, closed when the case ends.
func over(t *testing.T, e meta.Engine) *meta.Store {
	t.Helper()
	s, err := meta.Open(t.Context(), meta.Options{Engine: e, Broker: 3, Defaults: map[string]string{"segment.ms": "7000", "retention.ms": "9000"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// testPartitions: the number grows and is seen at once, also by who opens the same engine; what partitions were they stay; a
// number that is not more, or too much, changes nothing; and asking whether it could changes nothing.
func testPartitions(t *testing.T, e meta.Engine) {
	s := over(t, e)
	topic := Topic(t, s, "a", 2, map[string]string{"segment.ms": "5"})
	for _, c := range []struct {
		id    penstock.TopicID
		count int
		want  error
	}{
		{topic.ID, 2, penstock.ErrInvalidPartitions}, {topic.ID, 1, penstock.ErrInvalidPartitions}, {topic.ID, 0, penstock.ErrInvalidPartitions},
		{topic.ID, -1, penstock.ErrInvalidPartitions}, {topic.ID, meta.MaxPartitions + 1, penstock.ErrInvalidPartitions},
		{penstock.TopicID{9}, 5, penstock.ErrUnknownTopicID},
	} {
		for _, check := range []bool{true, false} {
			if err := s.AddPartitions(t.Context(), c.id, c.count, check); !errors.Is(err, c.want) {
				t.Errorf("%d partitions, check %v: %v, want %v", c.count, check, err, c.want)
			}
		}
	}
	if err := s.AddPartitions(t.Context(), topic.ID, 5, true); err != nil || s.Image().Topic("a") != topic {
		t.Fatalf("asked whether it could: %v, %d partitions", err, len(s.Image().Topic("a").Partitions))
	}
	if err := s.AddPartitions(t.Context(), topic.ID, 5, false); err != nil {
		t.Fatal(err)
	}
	for _, img := range []*meta.Image{s.Image(), over(t, e).Image()} {
		got := img.Topic("a")
		if len(got.Partitions) != 5 || got.Partitions[4].Leader != 0 || got.ID != topic.ID || got.Configs["segment.ms"] != "5" {
			t.Errorf("%+v", got)
		}
	}
	if len(topic.Partitions) != 2 {
		t.Error("an image that was published has changed")
	}
}

// testPartitionsTogether: of many who ask at once for the same number one does it, and the others are told that it is so
// already; a change of configuration beside them is not lost.
func testPartitionsTogether(t *testing.T, e meta.Engine) {
	s := over(t, e)
	topic := Topic(t, s, "a", 1, nil)
	const callers = 6
	errs := make(chan error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			if i == 0 {
				errs <- s.SetConfigs(context.Background(), topic.ID, func(c map[string]string) (map[string]string, error) {
					c["retention.ms"] = "1"
					return c, nil
				})
				return
			}
			errs <- s.AddPartitions(context.Background(), topic.ID, 4, false)
		})
	}
	wg.Wait()
	done := 0
	for range callers {
		switch err := <-errs; {
		case err == nil:
			done++
		case !errors.Is(err, penstock.ErrInvalidPartitions):
			t.Error(err)
		}
	}
	got := s.Image().Topic("a")
	if done != 2 || len(got.Partitions) != 4 || got.Configs["retention.ms"] != "1" {
		t.Errorf("%d calls changed something, want two; %d partitions, %v", done, len(got.Partitions), got.Configs)
	}
}

// testConfigs: alterations at the same time do not lose each other.
func testConfigs(t *testing.T, e meta.Engine) {
	s := over(t, e)
	topic := Topic(t, s, "a", 1, nil)
	names := []string{"segment.ms", "retention.ms", "max.message.bytes", "index.interval.bytes", "min.insync.replicas"}
	together(t, names, func(name string) error {
		return s.SetConfigs(context.Background(), topic.ID, func(c map[string]string) (map[string]string, error) {
			c[name] = "4"
			return c, nil
		})
	})
	for _, img := range []*meta.Image{s.Image(), over(t, e).Image()} {
		if got := img.Topic("a"); len(got.Configs) != len(names) || got.Settings.MaxMessageBytes != 4 {
			t.Errorf("%v: alterations lost each other", got.Configs)
		}
	}
}

// together calls f with every name at once.
func together(t *testing.T, names []string, f func(name string) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			if err := f(name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// testBrokerConfigs: a default set while brokers run counts at once for the topics that do not say otherwise, one broker's
// before everybody's before the file's, and after opening anew; what is taken away uncovers what lay under it; and what is not
// valid changes nothing.
func testBrokerConfigs(t *testing.T, e meta.Engine) {
	s := over(t, e)
	Topic(t, s, "plain", 1, nil)
	set := Topic(t, s, "set", 1, map[string]string{"retention.ms": "5000"})
	put := func(scope string, configs map[string]string) {
		t.Helper()
		err := s.SetBrokerConfigs(t.Context(), scope, func(map[string]string) (map[string]string, error) { return configs, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(plain, other time.Duration) {
		t.Helper()
		for _, img := range []*meta.Image{s.Image(), over(t, e).Image()} {
			got, was := img.Topic("plain").Settings, img.Topic("set").Settings
			if got.RetentionAge != plain || was.RetentionAge != other || got.SegmentAge != 7*time.Second || img.Defaults.RetentionAge != plain {
				t.Errorf("retention of a topic without its own %v, with %v, by default %v; want %v and %v",
					got.RetentionAge, was.RetentionAge, img.Defaults.RetentionAge, plain, other)
			}
			if checked, err := img.CheckConfigs(nil); err != nil || checked != img.Defaults {
				t.Errorf("a topic without configuration would be %+v, %v", checked, err)
			}
		}
	}
	expect(9*time.Second, 5*time.Second)
	put(meta.EveryBroker, map[string]string{"log.retention.ms": "2000", "num.partitions": "6"})
	expect(2*time.Second, 5*time.Second)
	put("3", map[string]string{"log.retention.ms": "3000"})
	put("4", map[string]string{"log.retention.ms": "4000", "num.partitions": "9"})
	expect(3*time.Second, 5*time.Second)
	if v, ok := s.Image().BrokerConfig("num.partitions"); v != "6" || !ok || s.Image().BrokerConfigs("4")["num.partitions"] != "9" {
		t.Errorf("num.partitions %q, %v", v, s.Image().BrokerConfigs("4"))
	}
	if s.Image().Topic("set") != set {
		t.Error("a topic whose settings stayed as they were is another")
	}
	put("3", nil)
	expect(2*time.Second, 5*time.Second)
	put(meta.EveryBroker, map[string]string{})
	expect(9*time.Second, 5*time.Second)
	if kvs, _, err := e.Range(t.Context(), "penstock/config/"); err != nil || len(kvs) != 1 {
		t.Errorf("keys %v, %v: want broker 4's alone", kvs, err)
	}
	refusals(t, s)
	expect(9*time.Second, 5*time.Second)
}

// refusals asks for what is not valid.
func refusals(t *testing.T, s *meta.Store) {
	t.Helper()
	for _, c := range []struct{ scope, name, value string }{
		{"", "log.retention.ms", "soon"}, {"", "num.partitions", "0"}, {"", "log.cleanup.policy", "compact"}, {"", "retention.ms", "1"},
		{"", "log.dirs", "/x"}, {"x", "log.retention.ms", "1"}, {"-1", "log.retention.ms", "1"}, {"03", "log.retention.ms", "1"},
	} {
		err := s.SetBrokerConfigs(t.Context(), c.scope, func(map[string]string) (map[string]string, error) {
			return map[string]string{c.name: c.value}, nil
		})
		if !errors.Is(err, penstock.ErrInvalidConfig) {
			t.Errorf("broker %q, %s=%s: %v, want %v", c.scope, c.name, c.value, err, penstock.ErrInvalidConfig)
		}
	}
	mine := fmt.Errorf("mine")
	if err := s.SetBrokerConfigs(t.Context(), "", func(map[string]string) (map[string]string, error) { return nil, mine }); !errors.Is(err, mine) {
		t.Errorf("error of the caller's own function: %v", err)
	}
}

// testBrokerConfigsTogether: alterations of one scope at the same time do not lose each other.
func testBrokerConfigsTogether(t *testing.T, e meta.Engine) {
	s := over(t, e)
	names := []string{"log.roll.ms", "log.retention.ms", "message.max.bytes", "num.partitions", "min.insync.replicas"}
	together(t, names, func(name string) error {
		return s.SetBrokerConfigs(context.Background(), "3", func(c map[string]string) (map[string]string, error) {
			c[name] = "4"
			return c, nil
		})
	})
	if got := s.Image().BrokerConfigs("3"); len(got) != len(names) {
		t.Errorf("%v: alterations lost each other", got)
	}
}
