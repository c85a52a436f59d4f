package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"penstock/meta"
)

// TestKafkaTable compares the table with what Kafka 4.3.1 itself lists (testdata/KafkaKeys.java prints it): every key, and
// no other, with Kafka's type and default; and what is not honoured says why not.
func TestKafkaTable(t *testing.T) {
	b, err := os.ReadFile("testdata/kafka-4.3.1-broker-configs.tsv")
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string][2]string{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		theirs[f[0]] = [2]string{f[1], f[2]}
	}
	if len(theirs) < 300 {
		t.Fatalf("only %d keys to compare with", len(theirs))
	}
	ours := map[string]bool{}
	for _, k := range KafkaKeys() {
		if ours[k.Name] {
			t.Errorf("%s is there twice", k.Name)
		}
		ours[k.Name] = true
		if is := [2]string{k.Type, k.Default}; theirs[k.Name] != is {
			t.Errorf("%s: type and default %q, Kafka has %q", k.Name, is, theirs[k.Name])
		}
		if k.Status != KafkaHonoured && k.Why == "" {
			t.Errorf("%s is %s and does not say why", k.Name, k.Status)
		}
		if k.To != "" && newLoader().index[k.To] == 0 && k.To != "data" {
			t.Errorf("%s sets %s, which is no key", k.Name, k.To)
		}
		if k.Status == KafkaHonoured && k.To == "" && k.Why == "" {
			t.Errorf("%s is honoured and sets nothing", k.Name)
		}
		if strings.HasSuffix(k.Why, ".") {
			t.Errorf("%s: reasons end without a full stop: %q", k.Name, k.Why)
		}
	}
	for name := range theirs {
		if !ours[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, k := range meta.Catalog() {
		if k.Broker != "" && !strings.HasPrefix(k.Broker, "penstock.") && !ours[k.Broker] {
			t.Errorf("%s of topics has the broker-wide default %s, which Kafka does not have", k.Name, k.Broker)
		}
	}
}

// TestKafkaDefaults imports every key of Kafka with the default that Kafka has for it, one at a time: what it gives is what a
// user of Kafka who writes a default down must get, and no fault.
func TestKafkaDefaults(t *testing.T) {
	// Kafka would not start with one node and these defaults either, or listens to everybody.
	faulty := map[string]string{
		"listeners":                        "others can reach this address",
		"offsets.topic.replication.factor": "keeps one copy",
	}
	for _, k := range KafkaKeys() {
		if k.Default == "" {
			continue
		}
		r := Check(writeProperties(t, k.Name+"="+k.Default+"\n"))
		want := faulty[k.Name]
		all := (&ConfigError{r.Faults}).Error()
		if want == "" && len(r.Faults) > 0 || want != "" && !strings.Contains(all, want) {
			t.Errorf("%s=%s: %v, want %q", k.Name, k.Default, r.Faults, want)
		}
	}
}

func writeProperties(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stockFile is the configuration that Kafka 4 comes with, without its comments.
const stockFile = `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`

// TestStockFile demands that the file that everybody has begins a broker, once it may be reached.
func TestStockFile(t *testing.T) {
	l, err := Load(Sources{Kafka: writeProperties(t, stockFile), Flags: map[string]string{"insecure": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	if c.KafkaListen != ":9092" || c.Advertise != "localhost:9092" || c.Data != "/tmp/kraft-combined-logs" || c.Broker != 1 || c.RequestBytes != 100<<20 ||
		c.OpenParallel != 1 || c.TopicDefault["retention.ms"] != "604800000" || c.TopicDefault["segment.bytes"] != "1073741824" {
		t.Errorf("%+v", c)
	}
	if len(l.Imported) != strings.Count(stockFile, "\n") {
		t.Errorf("%d entries are told of", len(l.Imported))
	}
	for _, i := range l.Imported {
		if i.Status == KafkaUnknown || i.Status != KafkaHonoured && i.Why == "" {
			t.Errorf("%v", i)
		}
	}
}

// TestImportPrecedence sets what several keys of Kafka's say, and what higher ranks say.
func TestImportPrecedence(t *testing.T) {
	for _, c := range []struct {
		file string
		yaml string
		key  string
		want string // value and source without path
	}{
		{"log.retention.hours=1\n", "", "log.retention.ms", "3600000 :1 log.retention.hours"},
		{"log.retention.hours=1\nlog.retention.minutes=2\n", "", "log.retention.ms", "120000 :2 log.retention.minutes"},
		{"log.retention.ms=5\nlog.retention.hours=1\nlog.retention.minutes=2\n", "", "log.retention.ms", "5 :1 log.retention.ms"},
		{"log.retention.minutes=-1\n", "", "log.retention.ms", "-1 :1 log.retention.minutes"},
		{"log.retention.hours=1\nlog.retention.hours=2\n", "", "log.retention.ms", "7200000 :2 log.retention.hours"},
		{"log.roll.hours=2\n", "", "log.roll.ms", "7200000 :1 log.roll.hours"},
		{"log.roll.hours=2\nlog.roll.ms=100000\n", "", "log.roll.ms", "100000 :2 log.roll.ms"},
		{"node.id=7\nbroker.id=7\n", "", "broker.id", "7 :1 node.id"},
		{"broker.id=3\n", "", "broker.id", "3 :1 broker.id"},
		{"broker.id=-1\n", "", "broker.id", "0 default"},
		{"log.dir=/a\nlog.dirs=/b\n", "", "data", "/b :2 log.dirs"},
		{"log.dir=/a\n", "data: /c\n", "data", "/c file"},
		{"log.dirs=/a,/b\n", "data: /c\n", "data", "/c file"},
		{"max.connections.per.ip=2147483647\n", "", "connections.max.per.ip", "0 :1 max.connections.per.ip"},
		{"max.connections=2147483647\n", "", "connections.max", "10000000 :1 max.connections"},
		{"connections.max.idle.ms=9223372036854775807\n", "", "timeout.idle", "2562047h47m16.854s :1 connections.max.idle.ms"},
		{"offsets.retention.minutes=60\n", "", "offsets.retention", "1h0m0s :1 offsets.retention.minutes"},
		{"group.max.size=2147483647\n", "", "group.members.max", "0 :1 group.max.size"},
		{"queued.max.request.bytes=-1\n", "", "request.memory", "256MiB default"},
		{"message.max.bytes=2000000\n", "message.max.bytes: 3000000\n", "message.max.bytes", "3000000 file"},
		{"listeners=INTERNAL://127.0.0.1:1,EXTERNAL://127.0.0.1:2\ninter.broker.listener.name=INTERNAL\nlistener.security.protocol.map=INTERNAL:SSL,EXTERNAL:PLAINTEXT\n" +
			"advertised.listeners=INTERNAL://i:1,EXTERNAL://e:3\n", "", "advertise", "e:3 :4 advertised.listeners"},
		{"listeners=PLAINTEXT://[::1]:5\n", "", "kafka.listen", "[::1]:5 :1 listeners"},
		{"delete.topic.enable=FALSE\n", "", "delete.topics", "FALSE :1 delete.topic.enable"},
	} {
		path := writeProperties(t, c.file)
		s := Sources{Kafka: path}
		if c.yaml != "" {
			s.File = writeFile(t, c.yaml)
		}
		l, err := Load(s)
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		i := slices.IndexFunc(l.Values, func(v Value) bool { return v.Key == c.key })
		got := l.Values[i].Value + " " + strings.ReplaceAll(l.Values[i].Source, "kafka file "+path, "")
		if c.yaml != "" {
			got, _, _ = strings.Cut(got, " /")
		}
		if got != c.want {
			t.Errorf("%q: %s is %q, want %q", c.file, c.key, got, c.want)
		}
	}
}

// TestImportFaults demands that what would break a promise, or what Kafka would not start with, stops the start, and that
// all of it is told at once with its lines.
func TestImportFaults(t *testing.T) {
	path := writeProperties(t, `listeners=SASL_SSL://127.0.0.1:9092
log.dirs=/a,/b
authorizer.class.name=org.example.Authorizer
default.replication.factor=3
process.roles=controller
node.id=1
broker.id=2
log.retention.hour=5
num.partitions=many
log.cleanup.policy=compact
remote.log.storage.system.enable=true
group.coordinator.rebalance.protocols=consumer
max.connections.per.ip=0
num.io.threads=1.5
config.providers=file
broker.rack=${file:/etc/rack:name}
create.topic.policy.class.name=org.example.Policy
ssl.keystore.password=geheim
retention.ms=5
connections.max.idle.ms=0
\u00zz=1
`)
	_, err := Load(Sources{Kafka: path})
	var faults *ConfigError
	if !errors.As(err, &faults) {
		t.Fatalf("error %v", err)
	}
	want := []struct {
		line int
		says string
	}{
		{21, "hexadecimal"},
		{1, "listeners=SASL_SSL://127.0.0.1:9092 (kafka file " + path + ":1): listener SASL_SSL is SASL_SSL"},
		{2, "there is one data directory. Keep one here, or name it with --data"},
		{3, "nobody would be kept from anything"},
		{4, "keeps one copy. Set 1"},
		{5, "Set broker,controller"},
		{7, "node.id is 1"},
		{8, "unknown; did you mean log.retention.hours?"},
		{9, "want a whole number of 32 bits"},
		{10, "compaction does not exist yet"},
		{11, "Set it to false"},
		{12, "Set classic"},
		{13, "lets nobody connect"},
		{14, "want a whole number of 32 bits"},
		{16, "provider file"},
		{17, "the policy would not be kept"},
		{19, "the broker's is called log.retention.ms"},
		{20, "timeout.idle=0s: want a duration of at least 1ms"},
	}
	for _, w := range want {
		if !slices.ContainsFunc(faults.Faults, func(f Fault) bool { return f.Line == w.line && f.File == path && strings.Contains(f.String(), w.says) }) {
			t.Errorf("line %d: no fault says %q", w.line, w.says)
		}
	}
	if len(faults.Faults) != len(want) {
		t.Errorf("%d faults, want %d:\n%v", len(faults.Faults), len(want), err)
	}
	r := Check(path)
	if len(r.Faults) != len(want) || r.Syntax != "properties" || r.Findings() <= len(want) {
		t.Errorf("Check finds %d faults and %d findings", len(r.Faults), r.Findings())
	}
	for _, i := range r.Imported {
		if strings.Contains(i.String(), "geheim") {
			t.Errorf("a secret is shown: %v", i)
		}
	}
}

// TestOverridden demands that a fault of a value that is not used does not stop the start, and that the file's entry says so.
func TestOverridden(t *testing.T) {
	path := writeProperties(t, "listeners=SSL://:9092\nnum.partitions=0\n")
	l, err := Load(Sources{Kafka: path, Flags: map[string]string{"kafka.listen": "127.0.0.1:1", "default.partitions": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if w := l.Imported[0].Why; !strings.HasPrefix(w, "not used: kafka.listen is set by flag --kafka-listen. By itself it would be refused: listener SSL") {
		t.Errorf("listeners: %q", w)
	}
	if w := l.Imported[1].Why; w != "not used: default.partitions is set by flag --default-partitions" {
		t.Errorf("num.partitions: %q", w)
	}
}

// TestStrangers reads what is in files of older brokers, of plugins and of single listeners.
func TestStrangers(t *testing.T) {
	path := writeProperties(t, `zookeeper.connect=zk:2181
zookeeper.session.timeout.ms=1
super.users=User:admin
rsm.config.bucket=b
listener.name.internal.ssl.keystore.password=geheim
listener.name.external.scram-sha-256.sasl.jaas.config=geheim
listener.name.external.anything=1
confluent.something.else=1
inter.broker.protocol.version=3.9
`)
	l, err := Load(Sources{Kafka: path})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"removed ZooKeeper", "removed ZooKeeper", "no access rights", "class of Java", "no TLS", "no authentication", "one listener alone",
		"no broker of Kafka 4.3", "every version"}
	for i, im := range l.Imported {
		if !strings.Contains(im.Why, want[i]) || strings.Contains(im.String(), "geheim") || im.Status == KafkaHonoured {
			t.Errorf("%v: want %q", im, want[i])
		}
	}
	if r := Check(path); r.Findings() != len(want) {
		t.Errorf("%d findings, want %d", r.Findings(), len(want))
	}
}

// TestCheckYAML demands all faults of a YAML file, with their lines, those between values too.
func TestCheckYAML(t *testing.T) {
	path := writeFile(t, `kafka:
  listen: 0.0.0.0:9092
log.retention.hour: 5
log.retention.hours: 5
request.max.bytes: 1GiB
num.partitions: 3
timeout:
  idle: soon
  frames: 5s
group.session.min: 2h
`)
	r := Check(path)
	want := []struct {
		line    int
		says    string
		suggest string
	}{
		{3, "unknown", "log.retention.ms"},
		{4, "it is Kafka's; here it is called log.retention.ms", ""},
		{6, "it is Kafka's; here it is called default.partitions", ""},
		{9, "unknown", "timeout.frame"},
		{8, "want a duration", ""},
		{2, "accept that with --insecure", ""},
		{2, "--advertise HOST", ""},
		{5, "more than request.memory", ""},
		{10, "more than group.session.max", ""},
	}
	for _, w := range want {
		if !slices.ContainsFunc(r.Faults, func(f Fault) bool {
			return f.Line == w.line && strings.Contains(f.Problem, w.says) && f.Suggest == w.suggest && f.File == path
		}) {
			t.Errorf("line %d: no fault says %q, %q", w.line, w.says, w.suggest)
		}
	}
	if len(r.Faults) != len(want) || r.Findings() != len(want) || r.Syntax != "yaml" {
		t.Errorf("%s, %d findings, want %d: %v", r.Syntax, r.Findings(), len(want), r.Faults)
	}
	if r := Check(writeFile(t, "a: [\nb: ]}\n")); len(r.Faults) != 1 || r.Faults[0].Line == 0 {
		t.Errorf("syntax: %v", r.Faults)
	}
	if r := Check(filepath.Join(t.TempDir(), "nothing.yaml")); len(r.Faults) != 1 || !strings.Contains(r.Faults[0].String(), "nothing.yaml") {
		t.Errorf("missing: %v", r.Faults)
	}
	if r := Check(t.TempDir()); len(r.Faults) != 1 {
		t.Errorf("directory: %v", r.Faults)
	}
}

func TestSyntaxOf(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"a.yml", "a=b", "yaml"}, {"a.PROPERTIES", "a: b", "properties"}, {"a", "# x\n\nlisteners=PLAINTEXT://:1\n", "properties"},
		{"a.conf", "kafka:\n  listen: a=b\n", "yaml"}, {"a", "", "yaml"}, {"a", "! x\nword\n", "yaml"},
	} {
		if got := syntaxOf(c.name, []byte(c.content)); got != c.want {
			t.Errorf("%s %q is %s", c.name, c.content, got)
		}
	}
}

// FuzzKafkaFile demands that no file makes the import panic, and that each of its entries is told of.
func FuzzKafkaFile(f *testing.F) {
	f.Add(stockFile)
	f.Add("listeners=A://:1,B://:2\nadvertised.listeners=B://x:1\nlistener.name.a.b=${x:y}\nconfig.providers=x\n")
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "f.properties")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		entries, bad := parseProperties([]byte(content))
		keys := map[string]bool{}
		for _, e := range entries {
			keys[e.key] = true
		}
		r := Check(path)
		if len(r.Imported) != len(keys) || len(r.Faults) < len(bad) {
			t.Fatalf("%d of %d entries, %d of %d faults", len(r.Imported), len(keys), len(r.Faults), len(bad))
		}
	})
}

// TestStockFileIsClean demands that check has nothing to say of the file that Kafka comes with but that others may reach it.
func TestStockFileIsClean(t *testing.T) {
	r := Check(writeProperties(t, stockFile))
	if len(r.Faults) != 1 || r.Faults[0].Key != "listeners" || r.Findings() != 1 {
		t.Errorf("%v, %v, %v", r.Faults, r.Warnings, r.Refused())
	}
}

// TestUnwritable demands a warning of a configuration with which nobody could write.
func TestUnwritable(t *testing.T) {
	r := Check(writeProperties(t, "num.partitions=1\nmin.insync.replicas=2\n"))
	if len(r.Faults) != 0 || len(r.Warnings) != 1 || r.Warnings[0].Line != 2 || !strings.Contains(r.Warnings[0].Problem, "acks=all") {
		t.Errorf("%v, %v", r.Faults, r.Warnings)
	}
	if l, err := Load(Sources{Flags: map[string]string{"min.insync.replicas": "1"}}); err != nil || len(l.Warnings) != 0 {
		t.Errorf("%v, %v", l, err)
	}
}
