package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/cli"
	"penstock/message"
	"penstock/node"
)

// rocketDir is a store directory with twenty messages in two queues as a RocketMQ broker leaves it when it is killed before it wrote its queues.
func rocketDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	var log []byte
	for i := range int64(20) {
		at := 1_700_000_000_000 + i
		b, err := message.Append(nil, &message.Message{QueueID: int32(i % 2), QueueOffset: penstock.Offset(i / 2), Position: penstock.Position(len(log)),
			BornTime: penstock.Timestamp(at), BornHost: host, StoreTime: penstock.Timestamp(at), StoreHost: host, Topic: []byte("orders"), Body: []byte("an order")})
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, b...)
	}
	log = append(log, make([]byte, 4<<20-len(log))...)
	zeros := strings.Repeat("0", 20)
	for name, b := range map[string][]byte{
		"commitlog/" + zeros: log, "consumequeue/orders/0/" + zeros: nil, "consumequeue/orders/1/" + zeros: nil,
		"config/topics.json":            []byte(`{"dataVersion":{"counter":1},"topicConfigTable":{"orders":{"topicName":"orders","readQueueNums":2,"writeQueueNums":2,"perm":6}}}`),
		"config/subscriptionGroup.json": []byte(`{"subscriptionGroupTable":{"billing":{"groupName":"billing","retryMaxTimes":3}}}`),
		"config/consumerOffset.json":    []byte(`{"offsetTable":{"orders@billing":{0:4,1:7},"gone@billing":{0:1}}}`),
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRocketStore takes a store over, serves it once, and writes it again, by the commands; and shows their refusals.
func TestRocketStore(t *testing.T) {
	theirs, data := rocketDir(t), filepath.Join(t.TempDir(), "data")
	told := func(out []byte) (s rocketStore) {
		t.Helper()
		if err := json.Unmarshal(out, &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if len(s.Topics) != 1 || s.Topics[0] != (rocketStoreTopic{"orders", 2}) || s.Groups != 1 || s.Offsets != 2 {
			t.Errorf("%+v", s)
		}
		return s
	}
	out, err := program("rocketmq", "import", theirs, "--data", data, "-o", "json").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s := told(out); s.Bytes != 4<<20 {
		t.Errorf("%d bytes of log", s.Bytes)
	}
	l, err := node.Load(node.Sources{Flags: map[string]string{"data": data, "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0",
		"rocket.listen": "", "rocket.namesrv.listen": "", "commit.file.bytes": "4MiB"}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), l.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	back := filepath.Join(t.TempDir(), "store")
	if out, err = program("rocketmq", "export", back, "--data", data, "-o", "json").Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	told(out)
	zeros := strings.Repeat("0", 20)
	want, err := os.ReadFile(filepath.Join(theirs, "commitlog", zeros))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(back, "commitlog", zeros)); err != nil || string(got) != string(want) {
		t.Errorf("the log is not what it was: %d bytes, %v", len(got), err)
	}
	if q, err := os.ReadFile(filepath.Join(back, "consumequeue", "orders", "1", zeros)); err != nil || len(q) < 200 || string(q[180:200]) == string(make([]byte, 20)) {
		t.Errorf("queue of %d bytes, %v", len(q), err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"import"}, cli.ExitUsage, "--help"},
		{[]string{"export"}, cli.ExitUsage, "--help"},
		{[]string{"exprot"}, cli.ExitUsage, "--help"},
		{[]string{"import", theirs, "--data", data, "--broker-id", "-1"}, cli.ExitUsage, "want 0 or more"},
		{[]string{"import", theirs, "--data", data}, cli.ExitFailed, "nothing was taken over"},
		{[]string{"import", filepath.Join(back, "none"), "--data", t.TempDir()}, cli.ExitFailed, "no such file"},
		{[]string{"export", back, "--data", data}, cli.ExitFailed, "is there already"},
	} {
		out, err := program(append([]string{"rocketmq"}, c.args...)...).CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%v: exit code %d, %q; want %d and %q", c.args, code, out, c.code, c.says)
		}
	}
}
