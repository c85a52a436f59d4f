package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock/cli"
	"penstock/node"
)

// write makes a file of its own.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	faultyYAML  = "kafka:\n  lisen: 127.0.0.1:1\nstop.time: soon\nlog.retention.ms: -7\n"
	faultyKafka = "num.partitions=3\nlog.retention.hour=5\nlisteners=SSL://127.0.0.1:1\nzookeeper.connect=zk:2181\nnum.io.threads=8\nnum.partitions=4\n"
)

// TestConfigCheck demands every fault of every file at once, in both forms, and the exit code of findings.
func TestConfigCheck(t *testing.T) {
	yaml, props := write(t, "p.yaml", faultyYAML), write(t, "server.properties", faultyKafka)
	out, err := run("config", "check", yaml, props)
	if cli.ExitCode(err) != cli.ExitFindings || err.Error() != "7 findings" {
		t.Errorf("ends with %v", err)
	}
	for _, want := range []string{
		yaml + ":", "2     fault  kafka.lisen", "did you mean kafka.listen?", "3     fault  stop.time=soon", "4     fault  log.retention.ms=-7",
		props + ":", "2     fault    log.retention.hour", "did you mean log.retention.hours?", "3     fault    listeners=SSL://127.0.0.1:1", "4     refused",
		"6     warning  -", "it is set in line 1 already",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	out, err = run("config", "check", yaml, props, "-o", "json")
	if cli.ExitCode(err) != cli.ExitFindings {
		t.Errorf("ends with %v", err)
	}
	var reports []node.Report
	if err := json.Unmarshal([]byte(out), &reports); err != nil || len(reports) != 2 {
		t.Fatalf("%v in\n%s", err, out)
	}
	if r := reports[0]; len(r.Faults) != 3 || r.Syntax != "yaml" || r.Faults[0].Suggest != "kafka.listen" || r.Faults[0].Line != 2 || r.Faults[0].File != yaml {
		t.Errorf("%+v", r)
	}
	if r := reports[1]; len(r.Faults) != 2 || len(r.Warnings) != 1 || len(r.Imported) != 5 || r.Syntax != "properties" {
		t.Errorf("%+v", r)
	}
	if out, err := run("config", "check", write(t, "good.yaml", "stop.time: 1s\n")); err != nil || !strings.Contains(out, "nothing to say") {
		t.Errorf("a good file: %v, %s", err, out)
	}
}

// TestConfigPrintImport demands that an imported value shows its file, line and key, that higher ranks go before it, and that
// what is not honoured is told.
func TestConfigPrintImport(t *testing.T) {
	props := write(t, "server.properties", "num.partitions=3\nlog.retention.hours=1\nnode.id=7\nmetric.reporters=a.b\n")
	t.Setenv(node.EnvKafkaConfig, props)
	t.Setenv("PENSTOCK_BROKER_ID", "8")
	root := newRoot()
	var out, said bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&said)
	root.SetArgs([]string{"config", "print", "-o", "json"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	var rows []configRow
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	got := map[string]configRow{}
	for _, r := range rows {
		got[r.Key] = r
	}
	if r := got["default.partitions"]; r.Value != "3" || r.Source != "kafka file "+props+":1 num.partitions" || r.File != props || r.Line != 1 {
		t.Errorf("%+v", r)
	}
	if r := got["log.retention.ms"]; r.Value != "3600000" || r.Line != 2 {
		t.Errorf("%+v", r)
	}
	if r := got["broker.id"]; r.Value != "8" || r.Source != "environment PENSTOCK_BROKER_ID" || r.Line != 0 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(said.String(), "line 4: metric.reporters=a.b: refused: classes of Java") || strings.Contains(said.String(), "num.partitions") {
		t.Errorf("remarks are\n%s", said.String())
	}
}

func TestPrintImport(t *testing.T) {
	var out bytes.Buffer
	err := printImport(&out, []node.Imported{
		{System: "Kafka", Key: "a.b", Value: "1", Status: node.KafkaRefused, Why: "it is not served"},
		{System: "Kafka", Key: "c", Value: "2", Status: node.KafkaHonoured, To: "d", As: "2s"},
		{System: "Kafka", Key: "e", Value: "3", Status: node.KafkaHonoured, Why: "not used: d is set by flag --d"},
		{System: "RocketMQ", Key: "fileReservedTime", Value: "1", Status: node.KafkaHonoured, To: "log.retention.ms", As: "3600000"},
	})
	want := `Taken from Kafka's configuration:
  c=2  d=2s
  e=3        not used: d is set by flag --d
Without effect, because it is not served:
  a.b=1    it is not served
Taken from RocketMQ's configuration:
  fileReservedTime=1  log.retention.ms=3600000
`
	if err != nil || out.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestConfigKafka(t *testing.T) {
	out, err := run("config", "kafka", "log.retention.hours", "-o", "json")
	if err != nil || !strings.Contains(out, `"sets": "log.retention.ms"`) || !strings.Contains(out, `"status": "honoured"`) {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := run("config", "kafka"); err != nil || strings.Count(out, "\n") < 300 {
		t.Errorf("%v, %d lines", err, strings.Count(out, "\n"))
	}
	if _, err := run("config", "kafka", "nothing"); cli.ExitCode(err) != cli.ExitNotFound {
		t.Error(err)
	}
}

// TestServeImports runs the program with a file of Kafka's, and one that it must not start with.
func TestServeImports(t *testing.T) {
	bad := write(t, "bad.properties", "listeners=SASL_SSL://127.0.0.1:0\nauthorizer.class.name=x\n")
	cmd := program("serve", "--kafka-config", bad, "--data", t.TempDir())
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != cli.ExitUsage || !strings.Contains(string(out), bad+":1") || !strings.Contains(string(out), bad+":2") {
		t.Errorf("%v, %s", err, out)
	}
	var config *node.ConfigError
	if _, err := node.Load(node.Sources{Kafka: bad}); !errors.As(err, &config) || len(config.Faults) != 2 {
		t.Errorf("%v", err)
	}
}

// TestRocketConfig: broker.conf is read by --rocket-config, looked at by config check, and its keys are told by config rocket.
func TestRocketConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte("brokerName=b-7\ntransactionTimeOut=7000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run("config", "print", "--rocket-config", path, "-o", "json")
	if err != nil || !strings.Contains(out, `"b-7"`) || !strings.Contains(out, "rocket file "+path+":1 brokerName") {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := run("config", "check", path); err == nil || !strings.Contains(out, "transactions are not served yet") || strings.Contains(out, "fault") {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := run("config", "rocket", "flushDiskType"); err != nil || !strings.Contains(out, "penstock.durability") {
		t.Errorf("%v, %s", err, out)
	}
	if _, err := run("config", "rocket", "log.dirs"); err == nil || !strings.Contains(err.Error(), "no broker of RocketMQ 5.5 has it") {
		t.Errorf("%v", err)
	}
}
