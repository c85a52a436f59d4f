package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/cli"
	"penstock/metric"
)

// verdict is what a judgement is to say.
type verdict struct {
	name     string
	got      Finding
	severity Severity
	says     string
}

// check compares, and demands that a bad finding says why it matters and what to do.
func check(t *testing.T, all []verdict) {
	t.Helper()
	for _, v := range all {
		if v.got.Severity != v.severity || !strings.Contains(v.got.What, v.says) || v.got.Check == "" {
			t.Errorf("%s: %+v, want %s with %q", v.name, v.got, v.severity, v.says)
		}
		if bad := v.severity == Error || v.severity == Warning; bad && (v.got.Why == "" || v.got.Do == "") {
			t.Errorf("%s: no why or no do: %+v", v.name, v.got)
		}
	}
}

func TestJudgeAnswer(t *testing.T) {
	at := func(k kind, err error) Finding {
		return judgeAnswer(checkBootstrap, "a broker", "h:1", answer{kind: k, err: err})
	}
	why := errors.New("because")
	check(t, []verdict{
		{"kafka", at(isKafka, nil), OK, "answers at h:1"},
		{"unresolved", at(isUnresolved, why), Error, "leads nowhere"},
		{"closed", at(isClosed, why), Error, "nobody listens at h:1"},
		{"silent", at(isSilent, why), Error, "in time"},
		{"http", at(isHTTP, nil), Error, "speaks HTTP"},
		{"tls", at(isTLS, nil), Error, "speaks TLS"},
		{"other", at(isOther, why), Error, "no Kafka broker: because"},
	})
}

func TestJudgeAdvertised(t *testing.T) {
	loop, far := []net.IP{net.IPv4(127, 0, 0, 1)}, []net.IP{net.IPv4(192, 0, 2, 1)}
	for _, c := range []struct {
		host     string
		ips      []net.IP
		remote   string
		severity Severity // "" is none
	}{
		{"localhost", loop, "", ""}, {"localhost", loop, "192.0.2.9:9092", Warning}, {"::1", []net.IP{net.IPv6loopback}, "192.0.2.9:9092", Warning},
		{"broker", far, "192.0.2.9:9092", ""}, {"broker", nil, "192.0.2.9:9092", ""}, {"0.0.0.0", nil, "", Error}, {"::", nil, "", Error}, {"", nil, "", Error},
	} {
		f, bad := judgeAdvertised("broker 1", c.host+":9092", c.host, c.ips, c.remote)
		if bad != (c.severity != "") {
			t.Errorf("%+v: %+v", c, f)
		}
		if bad {
			check(t, []verdict{{c.host, f, c.severity, "broker 1 advertises " + c.host + ":9092"}})
		}
	}
	check(t, []verdict{
		{"same machine", judgeWay("broker 1", "h:1", far, far, good(checkAdvertised, "fine")), OK, "fine"},
		{"unknown", judgeWay("broker 1", "h:1", nil, far, good(checkAdvertised, "fine")), OK, "fine"},
		{"other machine", judgeWay("broker 1", "h:1", far, loop, good(checkAdvertised, "fine")), Note, "another machine's address"},
	})
	same := good(checkAdvertised, "fine")
	check(t, []verdict{
		{"same cluster", judgeCluster("broker 1", "h:1", "A", "A", same), OK, "fine"},
		{"old cluster without id", judgeCluster("broker 1", "h:1", "A", "", same), OK, "fine"},
		{"other cluster", judgeCluster("broker 1", "h:1", "A", "B", same), Error, "cluster B answers instead of A"},
	})
}

func TestJudgeVersions(t *testing.T) {
	all := map[int16]int16{}
	for k := range int16(60) {
		all[k] = k
	}
	some := maps.Clone(all)
	delete(some, kmsg.JoinGroup.Int16())
	check(t, []verdict{
		{"all", judgeVersions(1, "v4.1", all), OK, "60 APIs of Kafka's protocol, Fetch up to version 1: Kafka v4.1"},
		{"like no release", judgeVersions(1, "between v0.9.0 and v0.10.0", all), OK, "60 APIs of Kafka's protocol, Fetch up to version 1"},
		{"no groups", judgeVersions(1, "v4.1", some), Warning, "broker 1 does not serve JoinGroup"},
	})
	if f := judgeVersions(1, "between v0.9.0 and v0.10.0", all); strings.Contains(f.What, "v0.9") {
		t.Errorf("a guess that is none is told: %+v", f)
	}
}

func TestJudgePartitions(t *testing.T) {
	topics := func(ps ...kadm.PartitionDetail) kadm.TopicDetails {
		d := kadm.TopicDetail{Topic: "t", Partitions: kadm.PartitionDetails{}}
		for i, p := range ps {
			p.Topic, p.Partition = "t", int32(i)
			d.Partitions[int32(i)] = p
		}
		return kadm.TopicDetails{"t": d}
	}
	well := kadm.PartitionDetail{Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}}
	behind := kadm.PartitionDetail{Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1}}
	down := kadm.PartitionDetail{Leader: -1, Replicas: []int32{1, 2}, Err: kerr.LeaderNotAvailable}
	check(t, []verdict{
		{"none", judgePartitions(kadm.TopicDetails{}), OK, "all 0 partitions"},
		{"well", judgePartitions(topics(well, well)), OK, "all 2 partitions of 1 topics"},
		{"behind", judgePartitions(topics(well, behind)), Warning, "1 of 2 partitions have replicas that are behind: t-1"},
		{"down", judgePartitions(topics(down, behind)), Error, "1 of 2 partitions have no leader: t-0"},
		{"many", judgePartitions(topics(down, down, down, down, down, down, down)), Error, "7 of 7 partitions have no leader: t-0, t-1, t-2, t-3, t-4, …"},
	})
}

func TestJudgeReadyAndClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC)
	clock := func(d, took time.Duration) Finding { return judgeClock(now.Add(d).Truncate(time.Second), now, took) }
	check(t, []verdict{
		{"ready", judgeReady("h:1", http.StatusOK, "[+] disk\nready\n"), OK, "h:1 is ready"},
		{"not ready", judgeReady("h:1", http.StatusServiceUnavailable, "[+] metadata\n[-] disk: offline\nnot ready\n"), Error, "not ready: disk: offline"},
		{"same clock", clock(0, 0), OK, "less than 0.5 s"},
		{"a second", clock(time.Second, 0), OK, "less than 1.5 s"},
		{"five seconds ahead", clock(5*time.Second, 0), Warning, "5.0 s away"},
		{"five seconds behind", clock(-5*time.Second, 0), Warning, "-5.0 s away"},
		{"five seconds over a slow way", clock(5*time.Second, 8*time.Second), OK, "less than"},
		{"an hour", clock(time.Hour, 0), Error, "3600.0 s away"},
		{"no date", judgeClock(time.Time{}, now, 0), Note, "does not tell"},
	})
}

func TestJudgeCopies(t *testing.T) {
	line := func(path, reason string, n int64) metric.CopyLine {
		return metric.CopyLine{Listener: "kafka", Topic: "t", Path: path, Reason: reason, Bytes: n}
	}
	const g = 1 << 30
	check(t, []verdict{
		{"nothing", judgeCopies(nil), OK, "no payload"},
		{"sendfile", judgeCopies([]metric.CopyLine{line("sendfile", "", 3*g), line("copied", "small", g)}), OK, "4.0 GiB left the broker: 75.0 % sendfile, 25.0 % copied (small)"},
		{"tls", judgeCopies([]metric.CopyLine{line("sendfile", "", g), line("copied", "tls", g), line("copied", "tls", g), line("copied", "converted", g)}), Warning, "50.0 % copied (tls)"},
		{"little", judgeCopies([]metric.CopyLine{line("copied", "tls", 1<<20)}), OK, "100.0 % copied (tls)"},
	})
	if f := judgeCopies([]metric.CopyLine{line("copied", "tls", g), line("copied", "nofile", 2*g)}); f.Do != remedies["nofile"] {
		t.Errorf("the largest reason is nofile: %+v", f)
	}
}

func TestJudgeHost(t *testing.T) {
	const g = 1 << 30
	check(t, []verdict{
		{"free port", judgePort(9092, nil), Note, "port 9092 is free"},
		{"seen", judgePort(9092, &holder{12, "nginx"}), OK, "process 12 (nginx)"},
		{"unseen", judgePort(9092, &holder{}), OK, "only its owner"},
		{"many files", judgeFiles("x", 10, 1<<20), OK, "1048576"},
		{"any files", judgeFiles("x", 10, -1), OK, "any number"},
		{"some files", judgeFiles("x", 10, 4096), Warning, "4096"},
		{"filling", judgeFiles("x", 80_000, 100_000), Warning, "80000 are"},
		{"full", judgeFiles("x", 95_000, 100_000), Error, "95000 are"},
		{"few files", judgeFiles("x", 10, 256), Error, "256"},
		{"memory", judgeMemory(8*g, 16*g), OK, "8.0 GiB of 16.0 GiB"},
		{"tenth", judgeMemory(2*g, 64*g), Warning, "2.0 GiB"},
		{"small", judgeMemory(g/4, g), Warning, "256.0 MiB"},
		{"new kernel", judgeKernel("6.8.0-31-generic"), OK, "6.8.0"},
		{"5.10", judgeKernel("5.10.1"), OK, "5.10"},
		{"5.4", judgeKernel("5.4.0"), Warning, "older than 5.10"},
		{"4.19", judgeKernel("4.19"), Warning, "older"},
		{"odd kernel", judgeKernel("next"), Note, "no version"},
		{"backlog", judgeBacklog(4096), OK, "4096"},
		{"short backlog", judgeBacklog(128), Warning, "only 128"},
		{"calm", judgeTimeWait(100, 28232), OK, "100 connections"},
		{"churn", judgeTimeWait(20000, 28232), Warning, "20000 connections"},
		{"no ports", judgeTimeWait(0, 0), Warning, "0 local ports"},
	})
}

func TestJudgeDirectory(t *testing.T) {
	const g = 1 << 30
	times := func(d ...time.Duration) Finding { return judgeSyncs(d) }
	slow := slices.Repeat([]time.Duration{time.Millisecond}, 200)
	slow[3], slow[100], slow[7] = time.Second, time.Second, time.Second
	check(t, []verdict{
		{"ext4", judgeFileSystem("ext4"), OK, "ext4"}, {"tmpfs", judgeFileSystem("tmpfs"), Warning, "tmpfs"}, {"overlayfs", judgeFileSystem("overlayfs"), Warning, "overlayfs"},
		{"nfs", judgeFileSystem("nfs"), Warning, "nfs"}, {"other", judgeFileSystem("file system 0x1"), Note, "not tried"},
		{"room", judgeSpace(200*g, 400*g), OK, "200.0 GiB of 400.0 GiB"}, {"small and empty", judgeSpace(6*g, 8*g), OK, "6.0 GiB"},
		{"tight", judgeSpace(30*g, 400*g), Warning, "30.0 GiB"}, {"small and tight", judgeSpace(2*g, 9*g), Warning, "2.0 GiB"},
		{"nearly full", judgeSpace(5*g, 400*g), Error, "5.0 GiB"}, {"full", judgeSpace(g/2, 2*g), Error, "512.0 MiB"},
		{"fast", times(time.Millisecond), OK, "1 appends"}, {"slow", times(11 * time.Millisecond), Warning, "p50 11.00 ms"},
		{"slow at times", judgeSyncs(slow), Warning, "200 appends of 4.0 KiB with fdatasync: p50 1.00 ms, p99 1000.00 ms"},
		{"too fast", times(time.Microsecond), Note, "no disk does"},
		{"full disk", judgeSyncError(fmt.Errorf("x: %w", penstock.ErrDiskFull)), Error, "full"},
		{"broken disk", judgeSyncError(errors.New("EIO")), Error, "does not take an append: EIO"},
		{"interrupted", judgeSyncError(context.Canceled), Note, "not looked at"},
		{"sendfile", judgeSendfile(nil), OK, "sendfile"}, {"no sendfile", judgeSendfile(errors.New("EINVAL")), Warning, "EINVAL"},
	})
}

func TestReport(t *testing.T) {
	bad, worse := Finding{Check: "a", Severity: Warning}, Finding{Check: "b", Severity: Error}
	for _, c := range []struct {
		found  []Finding
		failOn string
		fails  bool
	}{
		{nil, "warning", false}, {[]Finding{good("c", "x"), note("c", "x")}, "warning", false},
		{[]Finding{bad}, "warning", true}, {[]Finding{bad}, "error", false}, {[]Finding{worse}, "error", true}, {[]Finding{worse}, "warning", true},
		{[]Finding{worse, bad}, "never", false},
	} {
		err := newReport(c.found).failure(c.failOn)
		if (err != nil) != c.fails || err != nil && cli.ExitCode(err) != cli.ExitFindings {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if s := newReport([]Finding{worse, bad, bad}).sum(); s != "1 error, 2 warnings" {
		t.Error(s)
	}
}

// fixture writes files below a made-up /proc.
func fixture(t *testing.T, files map[string]string) machine {
	t.Helper()
	m := machine{proc: t.TempDir()}
	for name, text := range files {
		p := filepath.Join(m.proc, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestProc reads a made-up /proc.
func TestProc(t *testing.T) {
	m := fixture(t, map[string]string{
		"self/limits":                      "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files     \n",
		"77/limits":                        "Max open files            unlimited            unlimited            files     \n",
		"77/comm":                          "penstock\n",
		"meminfo":                          "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:   8192000 kB\n",
		"sys/kernel/osrelease":             "6.1.0\n",
		"sys/net/core/somaxconn":           "4096\n",
		"sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
		"net/sockstat":                     "sockets: used 9\nTCP: inuse 5 orphan 0 tw 123 alloc 9 mem 1\nUDP: inuse 1 mem 0\n",
		"net/tcp":                          "  sl  local_address rem_address   st tx rx tr tm retr uid timeout inode\n   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0\n   1: 0100007F:2385 0100007F:2384 01 00000000:00000000 00:00000000 00000000 0 0 4712 1 0\n",
		"net/tcp6":                         "  sl  local_address\n   0: 00000000000000000000000000000000:1F90 0:0 0A 0:0 0:0 0 0 0 4713 1 0\nshort\n",
	})
	if err := os.Mkdir(filepath.Join(m.proc, "77/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4711]", filepath.Join(m.proc, "77/fd/3")); err != nil {
		t.Fatal(err)
	}
	check(t, []verdict{
		{"own files", m.files(0), Warning, "a program started from here may have 1024 files"},
		{"broker's files", m.files(77), OK, "process 77 may have any number of files open, 1 are"},
		{"ended", m.files(78), Note, "not looked at"},
		{"memory", m.memory(), OK, "7.8 GiB of 15.6 GiB"},
		{"kernel", m.kernel(), OK, "6.1.0"},
	})
	net := m.network()
	if len(net) != 2 || net[0].Severity != OK || !strings.Contains(net[1].What, "123 connections linger in TIME_WAIT, for 28232") {
		t.Errorf("network: %+v", net)
	}
	held, err := m.listeners(t.Context(), []int32{9092, 9093, 8080})
	if err != nil || len(held) != 2 || *held[9092] != (holder{77, "penstock"}) || *held[8080] != (holder{}) {
		t.Errorf("listeners: %v, %v", held, err)
	}
	empty := machine{proc: t.TempDir()}
	for _, f := range append(empty.network(), empty.memory(), empty.kernel(), empty.files(0)) {
		if f.Severity != Note || !strings.Contains(f.What, "not looked at") {
			t.Errorf("without /proc: %+v", f)
		}
	}
	if _, err := empty.listeners(t.Context(), []int32{1}); err == nil {
		t.Error("ports were found without /proc")
	}
	for _, bad := range []string{"", "Max open files", "Max open files x y"} {
		if n, err := openFiles(bad); err == nil {
			t.Errorf("%q is %d", bad, n)
		}
	}
	for _, bad := range []string{"", "TCP: inuse 1", "TCP: tw x", "TCP: tw"} {
		if n, err := timeWait(bad); err == nil {
			t.Errorf("%q is %d", bad, n)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string][2]string{
		"h": {"h", "1"}, "h:2": {"h", "2"}, "[::1]:2": {"::1", "2"}, "[::1]": {"::1", "1"}, "::1": {"::1", "1"}, "10.0.0.1": {"10.0.0.1", "1"},
	} {
		if h, p := split(in, "1"); h != want[0] || p != want[1] {
			t.Errorf("%s is %s and %s", in, h, p)
		}
	}
}
