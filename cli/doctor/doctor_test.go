package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/cli"
	"penstock/cli/clitest"
)

// by gathers the findings of one check.
func by(r report, check string) (out []Finding) {
	for _, f := range r.Findings {
		if f.Check == check {
			out = append(out, f)
		}
	}
	return out
}

// TestWholeBroker examines a broker that is well, with its directory.
func TestWholeBroker(t *testing.T) {
	dir := t.TempDir()
	c := clitest.Start(t, Commands, map[string]string{"data": dir})
	var r report
	c.JSON(t, &r, "doctor", "--data", dir, "--http", c.HTTP, "--fail-on", "never", "--timeout", "60s")
	for _, name := range []string{checkBootstrap, checkAdvertised, checkVersions, checkPartitions, checkRocket, checkReady, checkClock, checkCopies, checkSendfile} {
		fs := by(r, name)
		if len(fs) == 0 || fs[0].Severity != OK {
			t.Errorf("%s: %+v", name, fs)
		}
	}
	for _, name := range []string{checkPorts, checkFiles, checkMemory, checkKernel, checkNetwork, checkFileSystem, checkSpace, checkFsync} {
		if len(by(r, name)) == 0 {
			t.Errorf("%s was not looked at", name)
		}
	}
	ports := by(r, checkPorts)
	if len(ports) != 4 || !strings.Contains(ports[0].What, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("ports: %+v", ports)
	}
	if f := by(r, checkRocket); len(f) != 3 || !strings.Contains(f[0].What, c.Node.Info().NameServer) || !strings.Contains(f[1].What, c.Node.Info().RocketAdvertised) || f[2].Severity != Note {
		t.Errorf("rocketmq: %+v", f)
	}
	if f := by(r, checkFsync)[0]; !strings.Contains(f.What, "200 appends") && !strings.Contains(f.What, "appends of 4.0 KiB") {
		t.Errorf("fsync: %+v", f)
	}
	if _, err := os.Stat(filepath.Join(dir, scratchDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	out := c.Do(t, "doctor", "--http", c.HTTP, "--fail-on", "never", "--timeout", "60s")
	if !strings.HasPrefix(out, "CHECK ") || !strings.Contains(out, "--data names the broker's data directory") || strings.Contains(out, "p99") {
		t.Errorf("prints\n%s", out)
	}
}

// TestFindings examines what is ill, and looks at the exit codes.
func TestFindings(t *testing.T) {
	run := func(args ...string) (clitest.Result, string) {
		r := clitest.Run(t.Context(), Commands, "", append([]string{"doctor", "--timeout", "30s"}, args...)...)
		return r, r.Out
	}
	free := freePort(t)
	r, out := run("--brokers", free)
	if r.Code != cli.ExitFindings || !strings.Contains(out, "nobody listens at "+free) || !strings.Contains(out, "  do:  Start the broker") || !strings.Contains(out, " is free") {
		t.Errorf("closed: %d %v\n%s", r.Code, r.Failure, out)
	}
	if r, _ := run("--brokers", free, "--fail-on", "never"); r.Failure != nil {
		t.Errorf("never: %v", r.Failure)
	}
	if r, _ := run("--brokers", free, "--fail-on", "sometimes"); r.Code != cli.ExitUsage {
		t.Errorf("sometimes: %d %v", r.Code, r.Failure)
	}
	r, out = run("--brokers", free, "--http", free, "--data", filepath.Join(t.TempDir(), "none"))
	if !strings.Contains(out, "admin listener does not answer") || !strings.Contains(out, "cannot be looked at") || !strings.Contains(r.Failure.Error(), "errors") {
		t.Errorf("nothing there: %v\n%s", r.Failure, out)
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("the data directory was made")
	}
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	addr := web.Listener.Addr().String()
	if _, out = run("--brokers", addr, "--http", addr); !strings.Contains(out, "speaks HTTP, not Kafka") || !strings.Contains(out, "is no Penstock broker") {
		t.Errorf("a web server:\n%s", out)
	}
	// A resolver that is not there may take its time to say so; either is an error.
	if _, out = run("--brokers", "name.invalid:9092", "--timeout", "2s"); !strings.Contains(out, "bootstrap") || !strings.Contains(out, "error") {
		t.Errorf("a name that leads nowhere:\n%s", out)
	}
}

// freePort is an address where nobody listens, and where nobody else can begin to: a socket is bound to it.
func freePort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// TestAdvertisedElsewhere examines brokers that send their clients to the wrong place.
func TestAdvertisedElsewhere(t *testing.T) {
	t.Run("nobody there", func(t *testing.T) {
		gone := freePort(t)
		c := clitest.Start(t, Commands, map[string]string{"advertise": gone})
		r := c.Run(t.Context(), "", "doctor", "--timeout", "60s")
		if r.Code != cli.ExitFindings || !strings.Contains(r.Out, "nobody listens at "+gone) || !strings.Contains(r.Out, "advertise names the address") {
			t.Errorf("%d %v\n%s", r.Code, r.Failure, r.Out)
		}
	})
	t.Run("another cluster", func(t *testing.T) {
		other := clitest.Start(t, Commands, nil)
		c := clitest.Start(t, Commands, map[string]string{"advertise": other.Addr})
		r := c.Run(t.Context(), "", "doctor", "--timeout", "60s")
		if r.Code != cli.ExitFindings || !strings.Contains(r.Out, "advertises "+other.Addr+", where cluster ") {
			t.Errorf("%d %v\n%s", r.Code, r.Failure, r.Out)
		}
	})
}

// TestProbe asks servers of every kind.
func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string // "": none, the connection is kept
		hangUp bool
		want   kind
	}{
		{"kafka", "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", false, isKafka},
		{"http", "HTTP/1.1 400 Bad Request\r\n\r\n", true, isHTTP},
		{"tls alert", "\x15\x03\x01\x00\x02\x02\x46", true, isTLS},
		{"silent", "", false, isSilent},
		{"hangs up", "", true, isOther},
		{"hangs up early", "\x00\x00", true, isOther},
		{"other id", "\x00\x00\x00\x0a\x00\x00\x00\x02", false, isOther},
		{"huge", "\x7f\x00\x00\x0a\x00\x00\x00\x01", false, isOther},
		{"tiny", "\x00\x00\x00\x01\x00\x00\x00\x01", false, isOther},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			asked := make(chan string, 1)
			ended := make(chan struct{})
			defer close(ended)
			go func() {
				s, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = s.Close() }()
				b := make([]byte, len(question))
				_, _ = io.ReadFull(s, b)
				asked <- string(b)
				_, _ = io.WriteString(s, c.answer)
				if !c.hangUp {
					<-ended
				}
			}()
			limit := 30 * time.Second
			if c.want == isSilent {
				limit = 3 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if a := probe(ctx, l.Addr().String()); a.kind != c.want {
				t.Errorf("%+v, want %d", a, c.want)
			}
			if got := <-asked; got != string(question) {
				t.Errorf("asks %q", got)
			}
		})
	}
	if a := probe(t.Context(), freePort(t)); a.kind != isClosed {
		t.Errorf("closed: %+v", a)
	}
	if k := dialKind(&net.OpError{Err: &net.DNSError{Err: "no such host"}}); k != isUnresolved {
		t.Errorf("a name without address is %d", k)
	}
	if k := dialKind(fmt.Errorf("x: %w", context.DeadlineExceeded)); k != isSilent {
		t.Errorf("no answer is %d", k)
	}
}

// TestAdmin asks admin listeners of every kind.
func TestAdmin(t *testing.T) {
	for _, c := range []struct {
		name, ready, copies string
		status              int
		date                time.Duration // from now
		check               string
		severity            Severity
		says                string
	}{
		{"well", "ready", `{"lines":[{"path":"sendfile","bytes":5}]}`, 200, 0, checkCopies, OK, "100.0 % sendfile"},
		{"not ready", "[-] disk: offline\nnot ready", `{}`, 503, 0, checkReady, Error, "disk: offline"},
		{"fast clock", "ready", `{}`, 200, time.Hour, checkClock, Error, "s away"},
		{"no JSON", "ready", `x`, 200, 0, checkCopies, Note, "not looked at"},
		{"another program", "hello", `{}`, 200, 0, checkReady, Error, "no Penstock broker"},
		{"elsewhere", "ready", `{}`, 302, 0, checkReady, Error, "no Penstock broker"},
		{"long", strings.Repeat("x", mostBody+1), `{}`, 200, 0, checkReady, Error, "more than 16.0 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(c.date).UTC().Format(http.TimeFormat))
				if r.URL.Path == "/api/copies" {
					_, _ = io.WriteString(w, c.copies)
					return
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.ready)
			}))
			defer s.Close()
			d := &doctor{e: &cli.Env{}, wait: clitest.Patience, http: s.Listener.Addr().String(), named: true}
			fs := d.admin(t.Context())
			i := slices.IndexFunc(fs, func(f Finding) bool { return f.Check == c.check })
			if i < 0 || fs[i].Severity != c.severity || !strings.Contains(fs[i].What, c.says) {
				t.Errorf("%+v, want %s %s with %q", fs, c.check, c.severity, c.says)
			}
		})
	}
	d := &doctor{e: &cli.Env{}, wait: clitest.Patience, http: freePort(t)}
	if fs := d.admin(t.Context()); len(fs) != 1 || fs[0].Severity != Note {
		t.Errorf("none, and none was named: %+v", fs)
	}
}

// TestDirectoryInUse measures a directory where another doctor is at work, and one after a doctor that was killed.
func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	d := &doctor{e: &cli.Env{}, wait: clitest.Patience, data: dir}
	if err := os.MkdirAll(filepath.Join(dir, scratchDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, scratchDir, scratchFile), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	fs := d.directory(t.Context())
	if !slices.ContainsFunc(fs, func(f Finding) bool { return f.Check == checkSendfile && f.Severity == OK }) {
		t.Errorf("%+v", fs)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.data = file
	if fs := d.directory(t.Context()); len(fs) != 1 || fs[0].Severity != Error || !strings.Contains(fs[0].What, "no directory") {
		t.Errorf("a file: %+v", fs)
	}
}

// TestLimits examines a cluster that takes connections and never answers: it ends in time.
func TestLimits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	addr := l.Addr().String()
	began := time.Now()
	r := clitest.Run(t.Context(), Commands, "", "doctor", "--brokers", addr+","+addr+","+addr, "--http", addr, "--timeout", "1s")
	if took := time.Since(began); took > 30*time.Second || r.Code != cli.ExitFindings || strings.Count(r.Out, "takes the connection and does not answer") < 3 {
		t.Errorf("%v %d\n%s", took, r.Code, r.Out)
	}
	if !strings.Contains(r.Out, "within 1s") {
		t.Errorf("the admin listener:\n%s", r.Out)
	}
}

// TestRocket: what RocketMQ's clients would meet, at addresses where nobody listens or somebody else does; a name server that nobody named may be absent.
func TestRocket(t *testing.T) {
	c := clitest.Start(t, Commands, nil)
	free := freePort(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) // who asked reads it, or is gone
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	for _, k := range []struct {
		args     []string
		severity Severity
		says     string
	}{
		{[]string{"--namesrv", c.Node.Info().NameServer}, OK, "the name server answers at " + c.Node.Info().NameServer},
		{[]string{"--namesrv", free}, Error, "refused"},
		{[]string{"--namesrv", other.Addr().String()}, Error, "does not answer as RocketMQ does"},
		{[]string{"--namesrv", c.Node.Info().Rocket}, Error, "it answers with code"},
	} {
		var r report
		c.JSON(t, &r, append([]string{"doctor", "--http", c.HTTP, "--fail-on", "never", "--timeout", "30s"}, k.args...)...)
		if f := by(r, checkRocket); len(f) == 0 || f[0].Severity != k.severity || !strings.Contains(f[0].What, k.says) {
			t.Errorf("%v: %+v, want %q", k.args, f, k.says)
		}
	}
	got, err := parseCluster([]byte(`{"brokerAddrTable":{"a":{"brokerAddrs":{0:"h:1",1:"h:2"},"brokerName":"a"},"b":{"brokerAddrs":{"0":"h:3"}}},"clusterAddrTable":{"c":["a"]}}`))
	if err != nil || fmt.Sprint(got) != "map[a:[h:1 h:2] b:[h:3]]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"brokerAddrTable":3}`} {
		if got, err := parseCluster([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
