package node_test

import (
	"errors"
	"fmt"
	"github.com/twmb/franz-go/pkg/kmsg"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/node"
)

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came about that " + what)
		}
	}
}

// set is one alteration.
func set(name, value string) []kadm.AlterConfig {
	return []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}
}

// done demands that an alteration was done.
func done(t *testing.T, rs kadm.AlterConfigsResponses, err error) {
	t.Helper()
	if err != nil || len(rs) != 1 || rs[0].Err != nil {
		t.Fatalf("%+v %v", rs, err)
	}
}

// starts is the first offset of a topic's partition 0.
func starts(t *testing.T, adm *kadm.Client, topic string) int64 {
	t.Helper()
	at, err := adm.ListStartOffsets(within(t), topic)
	if err != nil || at.Error() != nil {
		t.Fatal(err, at.Error())
	}
	o, _ := at.Lookup(topic, 0)
	return o.Offset
}

// TestAlteredRetention: lowering how long records are kept deletes them from the running partitions: of the topic that says
// so, and of those that say nothing where it is the default of all.
func TestAlteredRetention(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"retention.interval": "1s"})
	c := client(t, n)
	adm := kadm.NewClient(c)
	keep := "-1"
	for name, configs := range map[string]map[string]*string{"own": nil, "plain": nil, "kept": {"retention.ms": &keep}} {
		if _, err := adm.CreateTopic(within(t), 1, 1, configs, name); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			r := &kgo.Record{Topic: name, Timestamp: time.Now().Add(-time.Hour), Value: fmt.Appendf(nil, "%d", i)}
			if err := c.ProduceSync(within(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	rs, err := adm.AlterTopicConfigs(within(t), set("retention.ms", "60000"), "own")
	done(t, rs, err)
	until(t, "the topic's records were deleted", func() bool { return starts(t, adm, "own") == 10 })
	if plain, kept := starts(t, adm, "plain"), starts(t, adm, "kept"); plain != 0 || kept != 0 {
		t.Fatalf("others lost records: %d, %d", plain, kept)
	}
	rs, err = adm.AlterBrokerConfigs(within(t), set("log.retention.ms", "60000"))
	done(t, rs, err)
	until(t, "the records of the topic without a setting were deleted", func() bool { return starts(t, adm, "plain") == 10 })
	if kept := starts(t, adm, "kept"); kept != 0 {
		t.Fatalf("the topic that keeps everything lost records: %d", kept)
	}
}

// TestAlteredStays: what was altered while the broker ran is in force after a restart, and goes before the broker's file; what
// counts from the start on is described with its key and cannot be altered.
func TestAlteredStays(t *testing.T) {
	dir, file := t.TempDir(), map[string]string{"log.segment.bytes": "65536", "connections.max": "1234"}
	n := start(t, dir, file)
	adm := kadm.NewClient(client(t, n))
	if _, err := adm.CreateTopic(within(t), 1, 1, nil, "a"); err != nil {
		t.Fatal(err)
	}
	rs, err := adm.AlterBrokerConfigs(within(t), append(set("log.segment.bytes", "131072"), set("num.partitions", "4")...))
	done(t, rs, err)
	rs, err = adm.AlterBrokerConfigs(within(t), set("message.max.bytes", "1000"), 0)
	done(t, rs, err)
	rs, err = adm.AlterTopicConfigs(within(t), set("retention.ms", "5000"), "a")
	done(t, rs, err)
	parts, err := adm.UpdatePartitions(within(t), 3, "a")
	if err != nil || parts["a"].Err != nil {
		t.Fatalf("%+v %v", parts, err)
	}
	check := func(n *node.Node) {
		t.Helper()
		adm := kadm.NewClient(client(t, n))
		topic, err := adm.DescribeTopicConfigs(within(t), "a")
		if err != nil || topic[0].Err != nil {
			t.Fatal(err, topic)
		}
		broker, err := adm.DescribeBrokerConfigs(within(t), 0)
		if err != nil || broker[0].Err != nil {
			t.Fatal(err, broker)
		}
		got := map[string]string{}
		for _, c := range append(topic[0].Configs, broker[0].Configs...) {
			got[c.Key] = c.MaybeValue() + " " + c.Source.String()
		}
		for key, want := range map[string]string{
			"segment.bytes": "131072 DYNAMIC_DEFAULT_BROKER_CONFIG", "max.message.bytes": "1000 DYNAMIC_BROKER_CONFIG",
			"retention.ms": "5000 DYNAMIC_TOPIC_CONFIG", "num.partitions": "4 DYNAMIC_DEFAULT_BROKER_CONFIG",
			"max.connections": "1234 STATIC_BROKER_CONFIG", "connections.max.idle.ms": "600000 DEFAULT_CONFIG",
			"offsets.retention.minutes": "10080 DEFAULT_CONFIG", "log.retention.ms": "604800000 DEFAULT_CONFIG",
		} {
			if got[key] != want {
				t.Errorf("%s: %s, want %s", key, got[key], want)
			}
		}
		c := client(t, n, kgo.DefaultProduceTopic("a"), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err := c.ProduceSync(within(t), kgo.SliceRecord(make([]byte, 2000))).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("a record larger than what all topics take: %v", err)
		}
		made, err := adm.CreateTopic(within(t), -1, 1, nil, "made")
		if err != nil || made.NumPartitions != 4 {
			t.Errorf("a new topic: %+v %v", made, err)
		}
		if _, err := adm.DeleteTopic(within(t), "made"); err != nil {
			t.Error(err)
		}
		fixed, err := adm.AlterBrokerConfigs(within(t), set("connections.max.idle.ms", "5"), 0)
		if err != nil || !errors.Is(fixed[0].Err, kerr.InvalidRequest) {
			t.Errorf("what counts from the start on: %+v %v", fixed, err)
		}
		if d, err := adm.ListTopics(within(t), "a"); err != nil || len(d["a"].Partitions) != 3 {
			t.Errorf("partitions: %+v %v", d, err)
		}
	}
	check(n)
	stop(t, n)
	check(start(t, dir, file))
}

// TestAlterLimits: the number of connections is altered while the broker runs, and goes back to what its file says. Connections that
// are open stay.
func TestAlterLimits(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"connections.max": "1000"})
	adm := kadm.NewClient(client(t, n))
	rs, err := adm.AlterBrokerConfigs(within(t), append(set("max.connections.per.ip", "1"), set("producer.id.expiration.ms", "60000")...), 0)
	done(t, rs, err)
	taken := func() bool {
		c, err := net.Dial("tcp", n.Info().Kafka)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		f := kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
		if _, err := c.Write(f); err != nil {
			return false
		}
		_, err = c.Read(make([]byte, 4))
		return err == nil
	}
	until(t, "a second connection was refused", func() bool { return !taken() })
	rs, err = adm.AlterBrokerConfigs(within(t), []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "max.connections.per.ip"}}, 0)
	done(t, rs, err)
	until(t, "a second connection was taken", taken)
	rs, err = adm.AlterBrokerConfigs(within(t), set("max.connections", "0"), 0)
	if err != nil || !errors.Is(rs[0].Err, kerr.InvalidRequest) {
		t.Errorf("a broker that nobody can reach: %+v %v", rs, err)
	}
}
