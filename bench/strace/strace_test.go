package strace

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line   string
		name   string
		files  []string
		result int64
		ok     bool
		bad    bool
	}{
		{line: `sendfile(9<TCP:[127.0.0.1:9092->127.0.0.1:5000]>, 11</d/00.log>, [0] => [65536], 65536) = 65536`,
			name: "sendfile", files: []string{"TCP:[127.0.0.1:9092->127.0.0.1:5000]", "/d/00.log"}, result: 65536, ok: true},
		{line: `sendfile(9<TCPv6:[[::ffff:127.0.0.1]:9092->[::ffff:127.0.0.1]:5000]>, 11</d/a, b (c).log>, NULL, 5) = 3`,
			name: "sendfile", files: []string{"TCPv6:[[::ffff:127.0.0.1]:9092->[::ffff:127.0.0.1]:5000]", "/d/a, b (c).log"}, result: 3, ok: true},
		{line: `pread64(11</d/00.log>, ""..., 100, 0)  = 100`, name: "pread64", files: []string{"/d/00.log"}, result: 100, ok: true},
		{line: `read(6<TCP:[127.0.0.1:1->127.0.0.1:2]>, ""..., 8192) = 5095`, name: "read", files: []string{"TCP:[127.0.0.1:1->127.0.0.1:2]"}, result: 5095, ok: true},
		{line: `mmap(NULL, 10485760, PROT_READ, MAP_SHARED, 7</d/00.log>, 0) = 0x7f3a5c000000`, name: "mmap", files: []string{"/d/00.log"}, ok: true},
		{line: `mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f3a5c000000`, name: "mmap", ok: true},
		{line: `sendmsg(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, {msg_name=NULL, msg_iov=[{iov_base=""..., iov_len=60}], msg_flags=0}, MSG_MORE) = 60`,
			name: "sendmsg", files: []string{"TCP:[127.0.0.1:1->127.0.0.1:2]"}, result: 60, ok: true},
		{line: `read(6<TCP:[127.0.0.1:1->127.0.0.1:2]>, 0x1cce1f5c4000, 8192) = -1 EAGAIN (Resource temporarily unavailable)`},
		{line: `read(6<TCP:[127.0.0.1:1->127.0.0.1:2]>, 0x1cce, 8192) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)`},
		{line: `read(6<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <unfinished ...>`},
		{line: `read(6<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <detached ...>`},
		{line: `+++ exited with 0 +++`},
		{line: `--- SIGURG {si_signo=SIGURG} ---`},
		{line: ``},
		{line: `read(6<x>, 1)`, bad: true},
		{line: `read(6<x>, 1) = many`, bad: true},
	} {
		got, ok, err := parse(c.line)
		if ok != c.ok || (err != nil) != c.bad {
			t.Errorf("%s: %t, %v", c.line, ok, err)
			continue
		}
		if ok && (got.name != c.name || !slices.Equal(got.files, c.files) || got.result != c.result) {
			t.Errorf("%s: %+v", c.line, got)
		}
	}
}

func TestAccount(t *testing.T) {
	const conn, other = "<TCP:[127.0.0.1:9092->127.0.0.1:5000]>", "<TCP:[127.0.0.1:5000->127.0.0.1:9092]>"
	trace := strings.Join([]string{
		"sendfile(9" + conn + ", 11</d/00.log>, [0] => [10], 10) = 10",
		"sendfile(9" + conn + ", 11</d/00.log>, [10] => [30], 20) = 20",
		"sendfile(9" + conn + ", 11</d/00.log>, [30], 20) = -1 EAGAIN (Resource temporarily unavailable)",
		"sendfile(9" + conn + ", 12</d/00.index>, NULL, 20) = 7",
		"splice(11</d/00.log>, [0], 5<pipe:[77]>, NULL, 40, 0) = 40",
		"splice(5<pipe:[77]>, NULL, 9" + conn + ", NULL, 40, 0) = 40",
		"pread64(11</d/00.log>, \"\"..., 5, 0) = 5",
		"read(12</d/00.index>, \"\"..., 6) = 6",
		"read(9" + conn + ", \"\"..., 6) = 6",
		"mmap(NULL, 4096, PROT_READ, MAP_SHARED, 11</d/00.log>, 0) = 0x7f3a5c000000",
		"mmap(NULL, 4096, PROT_READ, MAP_SHARED, 12</d/00.index>, 0) = 0x7f3a5c000000",
		"write(9" + conn + ", \"\"..., 3) = 3",
		"sendmsg(9" + conn + ", {msg_name=NULL, msg_iov=[{iov_base=\"\"..., iov_len=60}]}, MSG_MORE) = 60",
		"write(9" + other + ", \"\"..., 100) = 100",
		"write(9<UNIX-STREAM:[1->2]>, \"\"..., 100) = 100",
		"write(11</d/00.log>, \"\"..., 100) = 100",
		"io_uring_enter(5<anon_inode:[io_uring]>, 1, 1, IORING_ENTER_GETEVENTS, NULL, 8) = 1",
		"sendfile(9" + conn + ", 13</d/commit/message/log/00000000000000000000>, [0] => [100], 100) = 100",
		"splice(13</d/commit/record/log/00000000004194304000>, [0], 5<pipe:[77]>, NULL, 40, 0) = 200",
		"pread64(13</d/commit/record/log/00000000004194304000>, \"\"..., 5, 0) = 50",
		"pread64(14</d/commit/record/queues/abc/0/00000000000000000000>, \"\"..., 5, 0) = 20",
		"pread64(14</d/consumequeue/t/0/00000000000006000000>, \"\"..., 5, 0) = 40",
		"pread64(15</d/00.queue>, \"\"..., 5, 0) = 60",
		"pread64(16</d/commit/record/checkpoint>, \"\"..., 5, 0) = 1000",
		"mmap(NULL, 8192, PROT_READ, MAP_SHARED, 15</d/00.queue>, 0) = 0x7f3a5c000000",
		"+++ exited with 0 +++",
	}, "\n")
	var got Account
	if err := got.add(strings.NewReader(trace), "127.0.0.1:9092"); err != nil {
		t.Fatal(err)
	}
	want := Account{
		Sendfile: Sum{3, 130}, SendfileOther: Sum{1, 7}, Splice: Sum{2, 240}, SegmentReads: Sum{2, 55}, QueueReads: Sum{3, 120},
		SegmentMaps: Sum{2, 12288}, Written: Sum{2, 63}, Rings: Sum{1, 1},
	}
	if len(got.Strays) != 4 || !strings.HasPrefix(got.Strays[0], "pread64(") || !strings.HasPrefix(got.Strays[1], "mmap(") {
		t.Errorf("strays %q", got.Strays)
	}
	got.Strays = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Attach sees the reads of a real process and lets it go again.
func TestAttach(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		if _, err := Attach(os.Getpid(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "strace") {
			t.Errorf("without strace: %v", err)
		}
		return
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "x.log")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	// A shell that reads lines from a pipe, and at each reads the file by its own builtin.
	cmd := exec.Command("sh", "-c", `while read -r line; do read -r x < "$0"; echo done; done`, file)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process did not survive: %v", err)
		}
	}()
	traces := filepath.Join(dir, "traces")
	if err := os.Mkdir(traces, 0o700); err != nil {
		t.Fatal(err)
	}
	tr, err := Attach(cmd.Process.Pid, traces)
	if err != nil {
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Logf("no right to trace: %v", err)
		return
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	a, err := tr.Detach("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if a.SegmentReads.Bytes != 1000 || a.Sendfile.Bytes != 0 {
		t.Errorf("%+v, want 1000 bytes read", a)
	}
}

func TestAttachToNobody(t *testing.T) {
	if _, err := Attach(1<<23, t.TempDir()); err == nil {
		t.Error("no error for a process that cannot be")
	}
}
