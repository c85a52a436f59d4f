package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/metric"
)

// files is a file system for tests.
type files map[string]string

func (f files) ReadFile(name string) ([]byte, error) {
	if s, ok := f[name]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

// TestMemory reads what machines and containers of both kinds say.
func TestMemory(t *testing.T) {
	const meminfo = "MemFree:  1 kB\nMemTotal:       1000 kB\n"
	for _, c := range []struct {
		name string
		fs   files
		want int64
	}{
		{"nothing known", files{}, math.MaxInt64},
		{"machine", files{"proc/meminfo": meminfo}, 1000 << 10},
		{"nonsense", files{"proc/meminfo": "MemTotal: x kB\nMemTotal: 5 MB\n"}, math.MaxInt64},
		{"group without a limit", files{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 1000 << 10},
		{"group", files{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "4096\n"}, 4096},
		{"its parent", files{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2048\n"}, 2048},
		{"inside a container", files{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "512\n"}, 512},
		{"version 1", files{"proc/meminfo": meminfo, "proc/self/cgroup": "3:cpu:/x\n2:hugetlb,memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "77\n", "sys/fs/cgroup/x/memory.max": "1\n"}, 77},
		{"version 1 without a limit", files{"proc/meminfo": meminfo, "proc/self/cgroup": "2:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1000 << 10},
	} {
		if got := memory(c.fs); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := memory(root{}); got < 1<<20 {
		t.Errorf("this machine: %d", got)
	}
}

// TestProbe shows that the probe works here and leaves nothing behind, and that it sees what arrives.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		if z := probeZeroCopy(d, dir); !z.Works || z.Why != "" || z.FileSystem == "" {
			t.Errorf("%+v", z)
		}
	}
	if _, err := os.Stat(dir + "/" + probeFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the probe left its file: %v", err)
	}
	h, err := d.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	if _, err := h.WriteVec([][]byte{[]byte("what is sent")}, 0); err != nil {
		t.Fatal(err)
	}
	x := h.Extent(0, 12)
	defer x.Release()
	if err := sendOver(x, []byte("what is sent")); err != nil {
		t.Error(err)
	}
	if err := sendOver(x, []byte("was expected")); err == nil {
		t.Error("other bytes than expected are taken for a success")
	}
	if err := sendOver(x, make([]byte, 20)); err == nil {
		t.Error("a file that ends early is taken for a success")
	}
	if err := sendOver(penstock.Extent{File: noDescriptor{}, Len: 1}, []byte("x")); err == nil {
		t.Error("a file without a descriptor is taken for a success")
	}
}

type noDescriptor struct{ penstock.ExtentFile }

func (noDescriptor) Fd() (int, bool) { return 0, false }

// TestHealth shows what is told of checks that fail.
func TestHealth(t *testing.T) {
	h := &health{}
	h.add("one", func() error { return nil })
	broken := &flag{}
	h.add("two", broken.err)
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.serveReady(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := ask("/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("%d %q", code, body)
	}
	broken.set(errors.New("fell off"))
	for _, path := range []string{"/readyz", "/readyz?verbose"} {
		if code, body := ask(path); code != 503 || body != "[+] one\n[-] two: fell off\nnot ready\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
}

// TestProfilesAsked demands that profiles are served where others can reach them only if a key allows it.
func TestProfilesAsked(t *testing.T) {
	for _, c := range []struct {
		key, host string
		want      bool
	}{
		{"auto", "127.0.0.1", true}, {"auto", "::1", true}, {"off", "127.0.0.1", false}, {"auto", "0.0.0.0", false}, {"auto", "10.0.0.1", false},
		{"on", "0.0.0.0", true}, {"off", "0.0.0.0", false},
	} {
		if got := serveProfiles(c.key, c.host); got != c.want {
			t.Errorf("http.profiles=%s on %s: %v", c.key, c.host, got)
		}
	}
}

// TestProfiles shows that profiles are offered only where they are to be, and that metrics wait for the start.
func TestProfiles(t *testing.T) {
	for _, profiles := range []bool{true, false} {
		a := newAdmin(&health{}, metric.NewCopyAccount(), profiles, slog.New(slog.DiscardHandler))
		ask := func(path string) int {
			w := httptest.NewRecorder()
			a.server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			return w.Code
		}
		want := map[bool]int{true: 200, false: 404}[profiles]
		if code := ask("/debug/pprof/cmdline"); code != want {
			t.Errorf("profiles %v: %d, want %d", profiles, code, want)
		}
		if code := ask("/metrics"); code != http.StatusServiceUnavailable {
			t.Errorf("metrics before the start is done: %d", code)
		}
		if code := ask("/"); code != 200 {
			t.Errorf("the first page: %d", code)
		}
	}
}

func TestParsePartitionDir(t *testing.T) {
	for dir, want := range map[string]struct {
		topic string
		n     int32
	}{"a-0": {"a", 0}, "a.b_c-d-12": {"a.b_c-d", 12}, "-5-3": {"-5", 3}} {
		if topic, n, ok := parsePartitionDir(dir); !ok || topic != want.topic || n != want.n {
			t.Errorf("%q: %q %d %v", dir, topic, n, ok)
		}
	}
	for _, dir := range []string{"", "a", "-1", "a-", "a-x", "a-01", "a-+1", "a--1x", "a-99999999999", "a-100000", "..-0", "a/b-0", "a-1.0123456789abcdef0123456789abcdef-delete"} {
		if topic, n, ok := parsePartitionDir(dir); ok {
			t.Errorf("%q is taken for partition %d of %q", dir, n, topic)
		}
	}
}

// FuzzForeign demands that no name and no metadata file of a foreign directory makes us panic or leave the rules for names.
func FuzzForeign(f *testing.F) {
	f.Add("orders-0", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n")
	f.Add("../x-0", "topic_id: x")
	f.Fuzz(func(t *testing.T, dir, content string) {
		if topic, n, ok := parsePartitionDir(dir); ok && (strings.ContainsAny(topic, "/\x00") || n < 0) {
			t.Fatalf("%q gives %q %d", dir, topic, n)
		}
		if id, err := parseMetadata(content); err == nil && id.IsZero() {
			t.Fatal("a zero id is accepted")
		}
	})
}
