package meta

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"penstock"
)

var testID = penstock.TopicID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// TestRoundTrips writes and reads each value with every field set.
func TestRoundTrips(t *testing.T) {
	topic := &Topic{
		ID: testID, Name: "%RETRY%a", Format: penstock.FormatMessage, Layout: penstock.LayoutCommit,
		Configs: map[string]string{"retention.ms": "5"}, epoch: 7, replicas: []penstock.BrokerID{3, 1},
	}
	topic.Partitions = []Partition{topic.implied(), topic.implied()}
	got, err := decodeTopic(topicKey(testID), encode(topic.value()))
	if err != nil || !reflect.DeepEqual(got, topic) {
		t.Errorf("topic %+v, %v\nwant %+v", got, err, topic)
	}
	part := Partition{Leader: 2, Epoch: 9, Version: 11, Replicas: []penstock.BrokerID{2, 3}, InSync: []penstock.BrokerID{2}}
	gotPart, err := decodePart(encode(part.value()))
	if err != nil || !reflect.DeepEqual(gotPart, part) {
		t.Errorf("partition %+v, %v, want %+v", gotPart, err, part)
	}
	broker := &Broker{ID: 4, Epoch: 6, Rack: "r", Endpoints: map[string]string{"kafka": "h:1"}}
	gotBroker, err := decodeBroker(brokerKey(4), encode(brokerValue{version{1}, 6, "r", broker.Endpoints}))
	if err != nil || !reflect.DeepEqual(gotBroker, broker) {
		t.Errorf("broker %+v, %v, want %+v", gotBroker, err, broker)
	}
	if id, name, err := decodeName(encode(nameValue{version{1}, testID.Hex(), "a.b"})); err != nil || id != testID || name != "a.b" {
		t.Errorf("name %v %q, %v", id, name, err)
	}
	if id, err := decodeCluster(encode(clusterValue{version{1}, "c"})); err != nil || id != "c" {
		t.Errorf("cluster %q, %v", id, err)
	}
	if next, err := decodeProducers(encode(producersValue{version{1}, 12})); err != nil || next != 12 {
		t.Errorf("producers %d, %v", next, err)
	}
	if bs, err := decodeGone(encode(goneValue{version{1}, []penstock.BrokerID{5}})); err != nil || len(bs) != 1 || bs[0] != 5 {
		t.Errorf("gone %v, %v", bs, err)
	}
	if cs, err := decodeConfig(encode(configValue{version{1}, map[string]string{"num.partitions": "5"}})); err != nil || cs["num.partitions"] != "5" {
		t.Errorf("configuration of brokers %v, %v", cs, err)
	}
	for _, scope := range []string{EveryBroker, BrokerScope(0), BrokerScope(12)} {
		if got, err := parseConfigKey(configKey(scope)); err != nil || got != scope {
			t.Errorf("scope %q: %q, %v", scope, got, err)
		}
	}
	if id, n, err := parsePartKey(partKey(testID, 42)); err != nil || id != testID || n != 42 {
		t.Errorf("partition key %v %d, %v", id, n, err)
	}
}

// TestNewerVersion demands that a value of a later program is refused, not misread.
func TestNewerVersion(t *testing.T) {
	b := bytes.Replace(encode(Partition{Replicas: []penstock.BrokerID{1}}), []byte(`{`), []byte(`{"v":2,`), 1)
	if _, err := decodePart(b); !errors.Is(err, errVersion) {
		t.Fatalf("%v, want %v", err, errVersion)
	}
}

func TestBadValues(t *testing.T) {
	good := `{"v":1,"name":"a","partitions":2,"replicas":[1],"format":"record","layout":"segment"}`
	if _, err := decodeTopic(topicKey(testID), []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new string }{
		{`"v":1`, `"v":0`},
		{`"partitions":2`, `"partitions":0`},
		{`"partitions":2`, `"partitions":100001`},
		{`"partitions":2`, `"partitions":1e99`},
		{`[1]`, `[]`},
		{`[1]`, `[1,1]`},
		{`[1]`, `[-1]`},
		{`"a"`, `"a/b"`},
		{`"record"`, `"avro"`},
		{`"segment"`, `"heap"`},
		{`"v":1`, `"v":1,"epoch":-1`},
		{`}`, ``},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if got, err := decodeTopic(topicKey(testID), []byte(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", bad, got)
		}
	}
}

// FuzzDecode demands that no stored value makes a decoder panic or make more than the value's bounds allow, and that what is
// accepted is written back to the same meaning.
func FuzzDecode(f *testing.F) {
	topic := &Topic{ID: testID, Name: "a", replicas: []penstock.BrokerID{1, 2}, epoch: 3, Partitions: make([]Partition, 2)}
	f.Add(topicKey(testID), encode(topic.value()))
	f.Add(partKey(testID, 3), encode(partValue{version{1}, 1, 2, 3, []penstock.BrokerID{1}, nil}))
	f.Add(brokerKey(1), encode(brokerValue{version{1}, 1, "r", map[string]string{"k": "h:1"}}))
	f.Add(goneKey(testID), encode(goneValue{version{1}, []penstock.BrokerID{1}}))
	f.Add(keyCluster, encode(clusterValue{version{1}, "id"}))
	f.Add(nameKey("a"), encode(nameValue{version{1}, testID.Hex(), "a"}))
	f.Add(keyProducers, encode(producersValue{version{1}, 7}))
	f.Add(prefixGroup+"g", encode(groupValue{version{1}, DefaultGroup("g")}))
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		_, _ = decodeCluster(b)
		_, _ = decodeProducers(b)
		_, _, _ = decodeName(b)
		_, _ = decodeGone(b)
		_, _ = decodeBroker(key, b)
		_, _, _ = parsePartKey(key)
		if g, err := decodeGroup("g", b); err == nil && g.check() != nil {
			t.Fatalf("%+v: %v", g, g.check())
		}
		if p, err := decodePart(b); err == nil {
			again, err := decodePart(encode(p.value()))
			if err != nil || !sameJSON(again, p) {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
		if topic, err := decodeTopic(topicKey(testID), b); err == nil {
			again, err := decodeTopic(topicKey(testID), encode(topic.value()))
			if err != nil || !sameJSON(again.value(), topic.value()) {
				t.Fatalf("%+v became %+v, %v", topic, again, err)
			}
		}
	})
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}
