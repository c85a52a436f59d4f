package data_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
	"penstock/cli/clitest"
	"penstock/cli/data"
)

func start(t testing.TB) *clitest.Cluster { return clitest.Start(t, data.Commands, nil) }

func admin(t testing.TB, c *clitest.Cluster) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

func create(t testing.TB, c *clitest.Cluster, topic string, partitions int32) {
	t.Helper()
	if _, err := admin(t, c).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// run runs a command that must succeed, with input.
func run(t testing.TB, c *clitest.Cluster, in string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clitest.Patience)
	defer cancel()
	r := c.Run(ctx, in, args...)
	if r.Failure != nil {
		t.Fatalf("penstock %q: %v\n%s", args, r.Failure, r.Err)
	}
	return r.Out
}

func TestLines(t *testing.T) {
	c := start(t)
	create(t, c, "orders", 1)
	out := run(t, c, "a:1\nplain\n:empty key\nb:\n", "produce", "orders", "-K", ":", "-H", "who=me", "-H", "x=a=b", "--count")
	if !strings.HasPrefix(out, "4 records, 17 B in ") || !strings.HasSuffix(out, " 0 failed\n") {
		t.Errorf("summary %q", out)
	}
	got := run(t, c, "", "consume", "orders", "--exit", "--null", "NULL", "-f", `%p %o %K %k|%S %s|%h\n`)
	want := "0 0 1 a|1 1|who=me,x=a=b\n0 1 -1 NULL|5 plain|who=me,x=a=b\n0 2 0 |9 empty key|who=me,x=a=b\n0 3 1 b|0 |who=me,x=a=b\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	run(t, c, "a:\x00:x:", "produce", "orders", "-Z", "-D", ":", "-k", "key")
	if got := run(t, c, "", "consume", "orders", "-e", "--from", "4", "-f", `%k=%s;`); got != "key=a;key=\x00;key=x;" {
		t.Errorf("delimited: %q", got)
	}
	run(t, c, "gone:\n", "produce", "orders", "-Z", "-K", ":")
	if got := run(t, c, "", "consume", "orders", "-e", "--from", "-1", "-f", `%k %S`); got != "gone -1" {
		t.Errorf("tombstone: %q", got)
	}
}

// TestEveryWayOfSending sends with each codec and promise.
func TestEveryWayOfSending(t *testing.T) {
	t.Parallel()
	c := start(t)
	var want []string
	create(t, c, "ways", 1)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, acks := range []string{"all", "1", "0"} {
			name := codec + " " + acks
			want = append(want, name)
			run(t, c, name, "produce", "ways", "--codec", codec, "--acks", acks)
		}
	}
	got := strings.Split(strings.TrimSpace(run(t, c, "", "consume", "ways", "-n", fmt.Sprint(len(want)))), "\n")
	slices.Sort(got) // acks=0 is overtaken by what follows
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestBinary sends files of random bytes, and their JSON lines on to another topic.
func TestBinary(t *testing.T) {
	c := start(t)
	create(t, c, "raw", 3)
	create(t, c, "copy", 3)
	dir := t.TempDir()
	args := []string{"produce", "raw", "--whole-files", "--codec", "zstd", "--key", "k\xff\x00"}
	want := map[string]bool{}
	src := rand.NewChaCha8([32]byte{1})
	for i := range 20 {
		b := make([]byte, i*i*i*50)
		_, _ = src.Read(b) // it never fails
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
		want[string(b)] = true
	}
	run(t, c, "", args...)
	lines := run(t, c, "", "consume", "raw", "--exit", "-o", "json")
	if n := strings.Count(lines, "\n"); n != 20 {
		t.Fatalf("%d lines", n)
	}
	run(t, c, lines, "produce", "copy", "--json")
	if again := run(t, c, "", "consume", "copy", "--exit", "-o", "json"); strings.ReplaceAll(again, `"copy"`, `"raw"`) != lines {
		t.Error("the copy's lines differ")
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.ConsumeTopics("copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), clitest.Patience)
	defer cancel()
	for n := 0; n < 20; n++ {
		fs := cl.PollRecords(ctx, 1)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fs.Records() {
			if !want[string(r.Value)] || string(r.Key) != "k\xff\x00" {
				t.Errorf("offset %d is none of the files", r.Offset)
			}
			delete(want, string(r.Value))
		}
	}
}

func TestJSONLinesThroughABroker(t *testing.T) {
	c := start(t)
	create(t, c, "j", 4)
	in := `{"key":"k","value":"v","headers":{"a":"1"},"partition":2,"timestamp":1767366245678}
{"key":null,"value":null,"headers":[{"key":"b","value_base64":"/w=="}],"partition":3,"timestamp":1767366245679}

{"value":{"n":1},"partition":2,"timestamp":1767366245680}
`
	var sum struct{ Records, Bytes, Failed int64 }
	if err := json.Unmarshal([]byte(run(t, c, in, "produce", "j", "--json", "-o", "json")), &sum); err != nil || sum.Records != 3 || sum.Bytes != 9 || sum.Failed != 0 {
		t.Errorf("summary %+v, %v", sum, err)
	}
	want := `{"topic":"j","partition":2,"offset":0,"timestamp":1767366245678,"key":"k","value":"v","headers":[{"key":"a","value":"1"}]}
{"topic":"j","partition":2,"offset":1,"timestamp":1767366245680,"key":null,"value":"{\"n\":1}"}
`
	if got := run(t, c, "", "consume", "j", "-e", "-p", "2", "-o", "json"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `{"topic":"j","partition":3,"offset":0,"timestamp":1767366245679,"key":null,"value":null,"headers":[{"key":"b","value":null,"value_base64":"/w=="}]}
`
	if got := run(t, c, "", "consume", "j", "-e", "-p", "3,1", "-o", "json"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRefusedRecords sends records of which some cannot be.
func TestRefusedRecords(t *testing.T) {
	t.Parallel()
	c := start(t)
	if _, err := admin(t, c).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("1000")}, "small"); err != nil {
		t.Fatal(err)
	}
	in := "one\n" + strings.Repeat("x", 990) + "\n" + strings.Repeat("y", 5000) + "\nfour\n"
	r := c.Run(t.Context(), in, "produce", "small", "--count")
	if r.Code != cli.ExitFailed || !strings.Contains(r.Failure.Error(), "2 of 4 records") || !strings.HasPrefix(r.Out, "2 records, ") {
		t.Errorf("%d %v %q", r.Code, r.Failure, r.Out)
	}
	for _, says := range []string{"line 2: too large: 990 bytes", "line 3: too large: 5000 bytes", "max.message.bytes"} {
		if !strings.Contains(r.Err, says) {
			t.Errorf("%q does not say %q", r.Err, says)
		}
	}
	if got := run(t, c, "", "consume", "small", "-e"); got != "one\nfour\n" {
		t.Errorf("arrived: %q", got)
	}
	// The client may be told that the topic takes more than it does: then the broker refuses.
	r = c.Run(t.Context(), strings.Repeat("x", 1500)+"\n", "produce", "small", "--max-bytes", "2000")
	if r.Code != cli.ExitFailed || !strings.Contains(r.Err, "line 1: too large for the topic: 1500") {
		t.Errorf("%d %v %q", r.Code, r.Failure, r.Err)
	}
	r = c.Run(t.Context(), "{\"value\":\"a\",\"partition\":7}\nno\n\xff\n{\"value\":\"b\"}\n", "produce", "small", "--json")
	if r.Code != cli.ExitFailed || !strings.Contains(r.Failure.Error(), "3 of 4 records") {
		t.Errorf("%d %v", r.Code, r.Failure)
	}
	for _, says := range []string{"line 1: the topic has no partition 7", "line 2: want a JSON object", "line 3: not UTF-8"} {
		if !strings.Contains(r.Err, says) {
			t.Errorf("%q does not say %q", r.Err, says)
		}
	}
	if r := c.Run(t.Context(), "", "produce", "small", filepath.Join(t.TempDir(), "none")); r.Code != cli.ExitNotFound {
		t.Errorf("no file: %d %v", r.Code, r.Failure)
	}
	many := c.Run(t.Context(), strings.Repeat(strings.Repeat("z", 2000)+"\n", 50), "produce", "small")
	if lines := strings.Count(many.Err, "\n"); lines != 11 || !strings.Contains(many.Err, "… and 40 more") {
		t.Errorf("%d lines for 50 failures: %s", lines, many.Err)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, args := range [][]string{
		{"produce"}, {"produce", "t", "--codec", "rar"}, {"produce", "t", "--acks", "2"}, {"produce", "t", "--json", "-k", "x"},
		{"produce", "t", "--json", "--whole-files", "f"}, {"produce", "t", "-k", "x", "-K", ":"}, {"produce", "t", "--whole-files"},
		{"produce", "t", "-H", "x"}, {"produce", "t", "-D", "ab"}, {"produce", "t", "-p", "-2"}, {"produce", "t", "--max-bytes", "-1"},
		{"produce", "t", "."}, {"produce", "t", "--whole-files", "-"},
		{"consume"}, {"consume", "t", "--from", "x"}, {"consume", "t", "--until", "x"}, {"consume", "t", "--exit", "--until", "5"},
		{"consume", "t", "-g", "g", "-p", "1"}, {"consume", "t", "-n", "-1"}, {"consume", "t", "-f", "%"}, {"consume", "(", "-r"},
		{"bench", "produce", "--size", "-1"}, {"bench", "both", "--size", "15"}, {"bench", "consume", "--clients", "0"}, {"bench", "produce", "--codec", "x"},
		{"bench", "produce", "--acks", "x"}, {"bench", "produce", "--duration", "0s"}, {"bench", "produce", "--partitions", "0"},
		{"bench", "produce", "--rate", "-1"}, {"bench", "produce", "--batch-bytes", "1"},
	} {
		r := c.Run(t.Context(), "", args...)
		missing := len(args) == 1 // cobra's own; the program makes it a wrong use
		if r.Failure == nil || r.Code != cli.ExitUsage && !missing || r.Out != "" {
			t.Errorf("%q: %d %v", args, r.Code, r.Failure)
		}
	}
	for _, args := range [][]string{
		{"consume", "nothing"}, {"consume", "nothing.*", "-r"}, {"bench", "produce", "--topic", "nothing"}, {"consume", "nothing", "-g", "g"},
	} {
		if r := c.Run(t.Context(), "", args...); r.Code != cli.ExitNotFound {
			t.Errorf("%q: %d %v", args, r.Code, r.Failure)
		}
	}
	create(t, c, "two", 2)
	if r := c.Run(t.Context(), "", "consume", "two", "-p", "2", "-e"); r.Code != cli.ExitNotFound || !strings.Contains(r.Failure.Error(), "it has 2") {
		t.Errorf("%d %v", r.Code, r.Failure)
	}
	if r := clitest.Run(t.Context(), data.Commands, "x", "produce", "t", "--brokers", "127.0.0.1:1", "--timeout", "1s"); r.Code != cli.ExitUnreachable {
		t.Errorf("%d %v", r.Code, r.Failure)
	}
}

// TestWindows reads parts of a topic of ten records, one a second.
func TestWindows(t *testing.T) {
	t.Parallel()
	c := start(t)
	create(t, c, "w", 1)
	var in strings.Builder
	t0 := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for i := range 10 {
		fmt.Fprintf(&in, "{\"value\":\"%d\",\"timestamp\":%d}\n", i, t0.Add(time.Duration(i)*time.Second).UnixMilli())
	}
	run(t, c, in.String(), "produce", "w", "--json")
	for _, w := range []struct{ from, until, want string }{
		{"start", "end", "0123456789"}, {"end", "end", ""}, {"3", "7", "3456"}, {"-3", "end", "789"}, {"+8", "end", "89"},
		{"start", "+2", "01"}, {"start", "-7", "012"}, {"-5", "-2", "567"}, {"7", "3", ""}, {"100", "end", ""}, {"-100", "1", "0"},
		{"2026-01-02T03:04:05Z", "end", "56789"}, {"2026-01-02T03:04:04.5Z", "2026-01-02T03:04:07Z", "56"},
		{"start", fmt.Sprintf("@%d", t0.Add(2*time.Second).UnixMilli()), "01"}, {"2030-01-01", "end", ""}, {"2000-01-01", "3", "012"},
		{"-15m", "end", ""}, {"start", "-15m", "0123456789"},
	} {
		if got := run(t, c, "", "consume", "w", "--from", w.from, "--until", w.until, "-f", "%s"); got != w.want {
			t.Errorf("%s to %s: %q, want %q", w.from, w.until, got, w.want)
		}
	}
	if got := run(t, c, "", "consume", "w", "-e", "--from", "2", "-n", "3", "-f", "%s"); got != "234" {
		t.Errorf("three from 2: %q", got)
	}
	if got := run(t, c, "", "consume", "w", "-n", "4", "-f", "%s", "--read-committed"); got != "0123" {
		t.Errorf("four: %q", got)
	}
	// A time that comes while it is read ends it too.
	if got := run(t, c, "", "consume", "w", "-f", "%s", "--until", time.Now().Add(1500*time.Millisecond).Format(time.RFC3339Nano)); got != "0123456789" {
		t.Errorf("until a time to come: %q", got)
	}
	// An offset to come is waited for.
	done := make(chan string, 1)
	go func() { done <- run(t, c, "", "consume", "w", "-f", "%s", "--from", "9", "--until", "11") }()
	run(t, c, "a\nb\n", "produce", "w")
	if got := <-done; got != "9a" {
		t.Errorf("until an offset to come: %q", got)
	}
}

func TestRegex(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, topic := range []string{"orders.eu", "orders.us", "myorders.eu"} {
		create(t, c, topic, 1)
		run(t, c, topic, "produce", topic)
	}
	got := strings.Fields(run(t, c, "", "consume", `orders\..*`, "-r", "-e", "-f", `%t=%s\n`))
	slices.Sort(got)
	if !slices.Equal(got, []string{"orders.eu=orders.eu", "orders.us=orders.us"}) {
		t.Errorf("got %q", got)
	}
	got = strings.Fields(run(t, c, "", "consume", "orders.*", "-r", "-e", "-g", "g"))
	slices.Sort(got)
	if !slices.Equal(got, []string{"orders.eu", "orders.us"}) {
		t.Errorf("the group got %q", got)
	}
}

// watched is an output that can be waited for.
type watched struct {
	mu  sync.Mutex
	buf bytes.Buffer
	new chan struct{}
}

func newWatched() *watched { return &watched{new: make(chan struct{}, 1)} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	select {
	case w.new <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// wait waits until the output contains a text.
func (w *watched) wait(t testing.TB, text string) {
	t.Helper()
	limit := time.After(clitest.Patience)
	for !strings.Contains(w.String(), text) {
		select {
		case <-w.new:
		case <-limit:
			t.Fatalf("no %q in %q", text, w.String())
		}
	}
}

// background is a command that runs until it is interrupted.
type background struct {
	out, err  *watched
	interrupt context.CancelFunc
	done      chan error
}

func begin(t testing.TB, in io.Reader, args ...string) *background {
	ctx, cancel := context.WithTimeout(t.Context(), 2*clitest.Patience)
	b := &background{out: newWatched(), err: newWatched(), interrupt: cancel, done: make(chan error, 1)}
	e := &cli.Env{In: in, Out: b.out, Err: b.err}
	root := &cobra.Command{Use: "penstock", SilenceErrors: true, SilenceUsage: true}
	e.Mount(root, data.Commands(e)...)
	root.SetArgs(args)
	go func() { b.done <- root.ExecuteContext(ctx) }()
	t.Cleanup(cancel)
	return b
}

// end waits for the command.
func (b *background) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-b.done:
		return err
	case <-time.After(clitest.Patience):
		t.Fatalf("it does not end; it printed %q and %q", b.out, b.err)
		return nil
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	c := start(t)
	create(t, c, "f", 2)
	run(t, c, "old\n", "produce", "f")
	b := begin(t, nil, "consume", "f", "--brokers", c.Addr)
	b.out.wait(t, "old\n")
	run(t, c, "new\n", "produce", "f")
	b.out.wait(t, "new\n")
	b.interrupt()
	if err := b.end(t); err != nil || b.out.String() != "old\nnew\n" {
		t.Errorf("%v %q %q", err, b.out, b.err)
	}
	b = begin(t, nil, "consume", "f", "-n", "10", "--brokers", c.Addr)
	b.out.wait(t, "old\n")
	b.interrupt()
	if err := b.end(t); cli.ExitCode(err) != cli.ExitFailed || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted before the tenth: %v", err)
	}
}

// TestFollowSeesNewPartitions follows topics by an expression while one is created and one grows.
func TestFollowSeesNewPartitions(t *testing.T) {
	t.Parallel()
	c := start(t)
	create(t, c, "n1", 1)
	run(t, c, "first\n", "produce", "n1")
	b := begin(t, nil, "consume", "n.", "-r", "-f", `%t:%s\n`, "--brokers", c.Addr)
	b.out.wait(t, "n1:first\n")
	create(t, c, "n2", 1)
	run(t, c, "second\n", "produce", "n2")
	b.out.wait(t, "n2:second\n")
	b.interrupt()
	if err := b.end(t); err != nil {
		t.Error(err)
	}
}

// TestGroup demands that exactly what was printed is committed.
func TestGroup(t *testing.T) {
	t.Parallel()
	c := start(t)
	create(t, c, "g", 3)
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintf(&in, "%d:%d\n", i, i)
	}
	run(t, c, in.String(), "produce", "g", "-K", ":")
	got := strings.Fields(run(t, c, "", "consume", "g", "-g", "team", "-n", "50"))
	if len(got) != 50 || committed(t, c, "team") != 50 {
		t.Fatalf("%d printed, %d committed", len(got), committed(t, c, "team"))
	}
	b := begin(t, nil, "consume", "g", "-g", "team", "--brokers", c.Addr)
	last := time.Now()
	for len(strings.Fields(b.out.String())) < 250 && time.Since(last) < clitest.Patience {
		<-b.out.new
	}
	b.interrupt()
	if err := b.end(t); err != nil {
		t.Fatal(err)
	}
	got = append(got, strings.Fields(b.out.String())...)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 300 || len(got) != 300 || committed(t, c, "team") != 300 {
		t.Errorf("%d printed, %d of them once, %d committed", len(got), n, committed(t, c, "team"))
	}
	if again := run(t, c, "", "consume", "g", "-g", "team", "--exit"); again != "" {
		t.Errorf("read again: %q", again)
	}
	if got := run(t, c, "", "consume", "g", "-g", "late", "--exit", "--from", "end"); got != "" || committed(t, c, "late") > 0 {
		t.Errorf("from the end: %q", got)
	}
	if got := strings.Fields(run(t, c, "", "consume", "g", "-g", "other", "--until", "10")); len(got) != 30 || committed(t, c, "other") != 30 {
		t.Errorf("until 10 of each of three: %d printed, %d committed", len(got), committed(t, c, "other"))
	}
}

// committed is the sum of a group's offsets.
func committed(t testing.TB, c *clitest.Cluster, group string) (sum int64) {
	t.Helper()
	all, err := admin(t, c).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	all.Each(func(o kadm.OffsetResponse) { sum += max(o.At, 0) })
	return sum
}

// TestInterruptedInput interrupts a producer whose input is silent: what was read is sent.
func TestInterruptedInput(t *testing.T) {
	c := start(t)
	create(t, c, "i", 1)
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	b := begin(t, r, "produce", "i", "--count", "--brokers", c.Addr)
	if _, err := w.Write([]byte("one\ntwo\nthr")); err != nil {
		t.Fatal(err)
	}
	if got := run(t, c, "", "consume", "i", "-n", "2"); got != "one\ntwo\n" {
		t.Errorf("sent %q", got)
	}
	b.interrupt()
	if err := b.end(t); cli.ExitCode(err) != cli.ExitFailed || !strings.Contains(err.Error(), "interrupted after 2 records") {
		t.Error(err)
	}
}

// proxy stands before a broker and can be cut. The broker advertises it.
type proxy struct {
	ln    net.Listener
	mu    sync.Mutex
	to    string
	conns []net.Conn
	cut   bool
}

// startBehind starts a broker that clients reach through a proxy only.
func startBehind(t testing.TB) (*proxy, *clitest.Cluster) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln}
	t.Cleanup(func() { _ = ln.Close(); p.sever() })
	c := clitest.Start(t, data.Commands, map[string]string{"advertise": ln.Addr().String()})
	p.to = c.Addr
	go p.serve()
	c.Addr = ln.Addr().String()
	return p, c
}

func (p *proxy) serve() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		out, err := net.Dial("tcp", p.to)
		if p.cut || err != nil {
			_ = in.Close()
			if err == nil {
				_ = out.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		for _, d := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() { _, _ = io.Copy(d[0], d[1]); _ = d[0].Close(); _ = d[1].Close() }()
		}
	}
}

// sever ends all connections and lets no new one through.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// TestBrokerGoesAway cuts the way to the broker under each command.
func TestBrokerGoesAway(t *testing.T) {
	t.Parallel()
	t.Run("consume to an end", func(t *testing.T) {
		t.Parallel()
		p, c := startBehind(t)
		create(t, c, "t", 1)
		run(t, c, "one\n", "produce", "t")
		b := begin(t, nil, "consume", "t", "--until", "2", "--brokers", c.Addr, "--timeout", "8s")
		b.out.wait(t, "one\n")
		p.sever()
		if err := b.end(t); cli.ExitCode(err) != cli.ExitUnreachable {
			t.Errorf("%d %v", cli.ExitCode(err), err)
		}
	})
	t.Run("consume and follow", func(t *testing.T) {
		t.Parallel()
		p, c := startBehind(t)
		create(t, c, "t", 1)
		run(t, c, "one\n", "produce", "t")
		b := begin(t, nil, "consume", "t", "--brokers", c.Addr, "--timeout", "8s")
		b.out.wait(t, "one\n")
		p.sever()
		b.err.wait(t, "no broker answers")
		p.mu.Lock()
		p.cut = false
		p.mu.Unlock()
		b.err.wait(t, "answers again")
		run(t, c, "two\n", "produce", "t")
		b.out.wait(t, "two\n")
		b.interrupt()
		if err := b.end(t); err != nil || b.out.String() != "one\ntwo\n" {
			t.Errorf("%v %q", err, b.out)
		}
	})
	t.Run("produce", func(t *testing.T) {
		t.Parallel()
		p, c := startBehind(t)
		create(t, c, "t", 1)
		r, w := io.Pipe()
		defer func() { _ = w.Close() }()
		b := begin(t, r, "produce", "t", "--count", "--brokers", c.Addr, "--timeout", "8s")
		if _, err := io.WriteString(w, "one\n"); err != nil {
			t.Fatal(err)
		}
		run(t, c, "", "consume", "t", "-n", "1")
		p.sever()
		if _, err := io.WriteString(w, "two\n"); err != nil {
			t.Fatal(err)
		}
		err := b.end(t)
		if err == nil || !strings.Contains(err.Error(), "1 of 2 records were not sent") || !strings.HasPrefix(b.out.String(), "1 records") {
			t.Errorf("%v %q %q", err, b.out, b.err)
		}
	})
	t.Run("bench", func(t *testing.T) {
		t.Parallel()
		p, c := startBehind(t)
		b := begin(t, nil, "bench", "produce", "--rate", "100", "--duration", "60s", "--brokers", c.Addr, "--timeout", "8s")
		cl := admin(t, c)
		for {
			topics, err := cl.ListTopics(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ends, err := cl.ListEndOffsets(t.Context(), topics.Names()...)
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
			if sum > 0 {
				break
			}
		}
		p.sever()
		if err := b.end(t); err == nil || !strings.Contains(err.Error(), "records were sent, then one was not") {
			t.Errorf("%v %q", err, b.out)
		}
	})
}

type benchResult struct {
	Topic   string
	Codec   string
	CPU     float64 `json:"cpu_seconds"`
	Produce *benchFigure
	Consume *benchFigure
}

type benchFigure struct {
	Records int64
	Bytes   int64
	Rate    float64            `json:"records_per_second"`
	Of      string             `json:"latency_of"`
	Latency map[string]float64 `json:"latency_ms"`
}

func (f *benchFigure) check(t *testing.T, records, size int64, of string) {
	t.Helper()
	if f == nil {
		t.Fatal("no figure")
	}
	l := f.Latency
	if f.Records != records || f.Bytes != records*size || f.Rate <= 0 || f.Of != of {
		t.Errorf("%+v, want %d records of %d bytes", *f, records, size)
	}
	if l["p50"] <= 0 || l["p50"] > l["p99"] || l["p99"] > l["p999"] || l["p999"] > l["max"] {
		t.Errorf("latencies %v", l)
	}
}

func TestBench(t *testing.T) {
	t.Parallel()
	c := start(t)
	base := []string{"--count", "2000", "--size", "100", "--duration", "60s", "--clients", "2", "--partitions", "3"}
	var r benchResult
	c.JSON(t, &r, append([]string{"bench", "produce", "--codec", "lz4", "--acks", "1"}, base...)...)
	r.Produce.check(t, 2000, 100, "acknowledgement")
	if r.Consume != nil || r.Codec != "lz4" || r.CPU <= 0 {
		t.Errorf("%+v", r)
	}
	r = benchResult{}
	c.JSON(t, &r, append([]string{"bench", "consume"}, base...)...)
	r.Consume.check(t, 2000, 100, "fetch")
	r = benchResult{}
	c.JSON(t, &r, append([]string{"bench", "both", "--rate", "5000", "--codec", "zstd"}, base...)...)
	r.Produce.check(t, 2000, 100, "acknowledgement")
	r.Consume.check(t, 2000, 100, "end_to_end")
	topics, err := admin(t, c).ListTopics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("topics left: %v, %v", topics.Names(), err)
	}
	create(t, c, "mine", 2)
	if r := c.Run(t.Context(), "", "bench", "consume", "--topic", "mine"); r.Code != cli.ExitNotFound {
		t.Errorf("of an empty topic: %d %v", r.Code, r.Failure)
	}
	out := run(t, c, "", append([]string{"bench", "both", "--topic", "mine"}, base...)...)
	if !strings.HasPrefix(out, " ") || !strings.Contains(out, "P99.9") || !strings.Contains(out, "\nproduce  2000") || !strings.Contains(out, "\nconsume  2000") ||
		!strings.Contains(out, "processor time") {
		t.Errorf("prints\n%s", out)
	}
	out = run(t, c, "", "bench", "consume", "--topic", "mine", "--duration", "300ms")
	if !strings.Contains(out, "\nconsume  ") {
		t.Errorf("prints\n%s", out)
	}
	ends, err := admin(t, c).ListEndOffsets(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	if sum != 2000 {
		t.Errorf("the topic that was named holds %d records", sum)
	}
}

// TestBenchInterrupted prints what was measured so far and takes its topic away.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	c := start(t)
	b := begin(t, nil, "bench", "produce", "--rate", "1000", "--duration", "10m", "--brokers", c.Addr, "-o", "json")
	cl := admin(t, c)
	for {
		topics, err := cl.ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(topics) > 0 {
			break
		}
	}
	b.interrupt()
	if err := b.end(t); err != nil {
		t.Fatal(err)
	}
	var r benchResult
	if err := json.Unmarshal([]byte(b.out.String()), &r); err != nil || r.Produce == nil {
		t.Errorf("%v %q", err, b.out)
	}
	topics, err := admin(t, c).ListTopics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("topics left: %v, %v", topics.Names(), err)
	}
}
