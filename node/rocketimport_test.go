package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// stockBroker is the broker.conf that RocketMQ comes with.
const stockBroker = `
# comment
brokerClusterName = DefaultCluster
brokerName = broker-a
brokerId = 0
deleteWhen = 04
fileReservedTime = 48
brokerRole = ASYNC_MASTER
flushDiskType = ASYNC_FLUSH
`

func writeBroker(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRocketTable holds the table to its promises: sorted, unique, with types, reasons and targets that exist, and every default taken.
func TestRocketTable(t *testing.T) {
	targets := map[string]bool{"penstock.durability": true}
	for _, k := range Keys() {
		targets[k.Name] = true
	}
	last := ""
	for _, k := range RocketKeys() {
		if k.Name <= last {
			t.Errorf("%s after %s", k.Name, last)
		}
		last = k.Name
		if !slices.Contains([]string{"int", "long", "double", "boolean", "string"}, k.Type) {
			t.Errorf("%s has the type %q", k.Name, k.Type)
		}
		if (k.Status == KafkaHonoured) && k.To == "" && k.Why == "" || k.Status != KafkaHonoured && k.Why == "" || k.To != "" && !targets[k.To] {
			t.Errorf("%s is %s, sets %q, because %q", k.Name, k.Status, k.To, k.Why)
		}
		if k.Default == "" || k.Name == "bindAddress" {
			continue // the machine decides on it; the other address is one that others reach
		}
		l, err := Load(Sources{Rocket: writeBroker(t, k.Name+"="+k.Default+"\n")})
		if err != nil {
			t.Errorf("%s has RocketMQ's default, and %v", k.Name, err)
			continue
		}
		if i := l.Imported[0]; i.Status == KafkaRefused || i.Status == KafkaUnknown || i.System != "RocketMQ" {
			t.Errorf("%+v", i)
		}
	}
	if n := len(RocketKeys()); n != 518 {
		t.Errorf("%d keys; BrokerConfig, MessageStoreConfig, NettyServerConfig, NettyClientConfig and AuthConfig of RocketMQ 5.5.0 have 518", n)
	}
}

// TestRocketImport: the file that RocketMQ comes with is taken, and what stands in it and in others has its effect, or its reason.
func TestRocketImport(t *testing.T) {
	l, err := Load(Sources{Rocket: writeBroker(t, stockBroker)})
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Config; c.TopicDefault["retention.ms"] != "172800000" || c.TopicDefault["penstock.durability"] != "relaxed" || c.Rocket.Listen != "127.0.0.1:10911" {
		t.Errorf("%+v", c)
	}
	for _, c := range []struct {
		file     string
		key, has string // a value as config print shows it, and its source behind the file's name
	}{
		{"listenPort=20911\n", "rocket.listen", "127.0.0.1:20911 :1 listenPort"},
		{"listenPort=20911\nbindAddress=127.0.0.2\n", "rocket.listen", "127.0.0.2:20911 :1 listenPort"},
		{"bindAddress=127.0.0.3\n", "rocket.listen", "127.0.0.3:10911 :1 bindAddress"},
		{"namesrvAddr=10.0.0.7:1;127.0.0.1:9877\n", "rocket.namesrv.listen", "127.0.0.1:9877 :1 namesrvAddr"},
		{"namesrvAddr=10.0.0.7:9876\n", "rocket.namesrv.listen", "127.0.0.1:9876 default"},
		{"brokerIP1=10.0.0.5\n", "rocket.advertise", "10.0.0.5 :1 brokerIP1"},
		{"flushDiskType=SYNC_FLUSH\n", "penstock.durability", "fsync :1 flushDiskType"},
		{"storePathRootDir=/d\n", "data", "/d :1 storePathRootDir"},
		{"messageDelayLevel=1s 5s 1d\n", "rocket.delay.levels", "1s 5s 1d :1 messageDelayLevel"},
		{"channelExpiredTimeout=60000\n", "rocket.client.expiry", "1m0s :1 channelExpiredTimeout"},
		{"maxTransferCountOnMessageInMemory=64\n", "rocket.pull.max.count", "64 :1 maxTransferCountOnMessageInMemory"},
		{"deleteWhen=04;16\n", "commit.delete.hours", "04;16 :1 deleteWhen"},
		{"diskSpaceCleanForciblyRatio=85\n", "commit.disk.force", "85 :1 diskSpaceCleanForciblyRatio"},
		{"diskSpaceCleanForciblyRatio=85\ncleanFileForciblyEnable=false\n", "commit.disk.force", "0 default"},
		{"messageIndexEnable=false\n", "rocket.index", "false :1 messageIndexEnable"},
	} {
		path := writeBroker(t, c.file)
		l, err := Load(Sources{Rocket: path})
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		for _, v := range l.Values {
			if got := v.Value + " " + strings.TrimPrefix(v.Source, "rocket file "+path); v.Key == c.key && got != c.has {
				t.Errorf("%q: %s is %q, want %q", c.file, c.key, got, c.has)
			}
		}
	}
	if l, err := Load(Sources{Rocket: writeBroker(t, "messageDelayLevel=1s 2m\n")}); err != nil || !slices.Equal(l.Config.Rocket.Levels, []time.Duration{time.Second, 2 * time.Minute}) {
		t.Errorf("%v", err)
	}
}

// TestRocketRefusals: what would break a promise, or is no value, stops the start and says why; what only is not served is told.
func TestRocketRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"brokerRole=SYNC_MASTER": "one copy", "brokerRole=SLAVE": "one copy", "brokerId=1": "copies from nobody", "inSyncReplicas=2": "one copy", "enableDLegerCommitLog=true": "one copy",
		"aclEnable=true": "nobody would be kept from anything", "authenticationEnabled=true": "nobody would be kept", "messageStorePlugIn=a.B": "not be the one asked for",
		"bindAddress=10.0.0.5": "--insecure", "listenPort=x": "whole number", "flushDiskType=NEVER": "SYNC_FLUSH or ASYNC_FLUSH", "brokerClusterNam=x": "did you mean brokerClusterName?",
		"maxMessageSize=99999999": "15MiB", "namesrvAddr=nowhere": "host:port",
	} {
		_, err := Load(Sources{Rocket: writeBroker(t, line+"\n")})
		var faults *ConfigError
		if !errors.As(err, &faults) || len(faults.Faults) != 1 || !strings.Contains(err.Error(), want) || faults.Faults[0].Line != 1 {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	l, err := Load(Sources{Rocket: writeBroker(t, "transactionTimeOut=7000\nbrokerFastFailureEnable=false\ntls.enable=true\nwhatIsThisAtAllThen=1\nbrokerRole=ASYNC_MASTER\n")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range l.Imported {
		got = append(got, string(i.Status))
	}
	if want := []string{"refused", "accepted", "refused", "unknown", "accepted"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := Load(Sources{Flags: map[string]string{"flushDiskType": "SYNC_FLUSH"}}); err == nil || !strings.Contains(err.Error(), "--rocket-config") {
		t.Errorf("a key of RocketMQ's as one of the broker's own: %v", err)
	}
}

// TestBothFiles: with both systems' files RocketMQ's goes before, and Kafka's entry says so.
func TestBothFiles(t *testing.T) {
	l, err := Load(Sources{Kafka: writeProperties(t, "log.dirs=/k\n"), Rocket: writeBroker(t, "storePathRootDir=/r\n")})
	if err != nil || l.Config.Data != "/r" || !strings.Contains(l.Imported[0].Why, "not used: data is set by rocket file") {
		t.Errorf("%v, %+v", err, l)
	}
	for name, want := range map[string]string{"broker.conf": syntaxRocket, "x.properties": syntaxRocket, "y": syntaxRocket} {
		if got := syntaxOf(name, []byte(stockBroker)); got != want {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
	if got := syntaxOf("x.properties", []byte("log.dirs=/k\n")); got != syntaxProperties {
		t.Errorf("Kafka's file is taken for %s", got)
	}
	if r := Check(writeBroker(t, "brokerRole=SLAVE\n")); len(r.Faults) != 1 || r.Syntax != syntaxRocket {
		t.Errorf("%+v", r)
	}
}
