package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/metric"
	"penstock/node"
)

// asProgram makes the test binary be the program, so that signals and exit codes can be tested.
const asProgram = "TEST_BINARY_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program prepares a run of the program.
func program(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// run runs a command of the program in this process.
func run(args ...string) (string, error) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

// TestHelp demands that every command has a description, examples that parse, and no screen over forty lines.
func TestHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no description or no example", c.CommandPath())
		}
		out, err := run(append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if err != nil || strings.Count(out, "\n") > 40 {
			t.Errorf("%s --help: %d lines, %v", c.CommandPath(), strings.Count(out, "\n"), err)
		}
		for _, line := range strings.Split(c.Example, "\n") {
			checkExample(t, strings.TrimSpace(line))
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
}

// checkExample parses an example's command and flags without running it.
func checkExample(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:] // an environment variable
	}
	if len(words) == 0 || words[0] != "penstock" {
		t.Errorf("example %q does not begin with penstock", line)
		return
	}
	c, rest, err := newRoot().Find(words[1:])
	if err != nil {
		t.Errorf("example %q: %v", line, err)
		return
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Errorf("example %q: %v", line, err)
		return
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		t.Errorf("example %q: %v", line, err)
	}
}

// TestFamilies: a command that holds others, wherever it is, takes a name that it does not know for a wrong use, and nothing for a question.
func TestFamilies(t *testing.T) {
	families := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.HasSubCommands() {
			families++
			path := strings.Fields(c.CommandPath())[1:]
			_, err := run(append(path, "zzzzzz")...)
			if cli.ExitCode(err) != cli.ExitUsage || !strings.Contains(err.Error(), "There are ") {
				t.Errorf("%s zzzzzz: %v", c.CommandPath(), err)
			}
			if out, err := run(path...); err != nil || !strings.Contains(out, "Usage:") {
				t.Errorf("%s: %v, %q", c.CommandPath(), err, out)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
	if families < 5 {
		t.Errorf("only %d families", families)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"version"}, 0, "penstock unknown"},
		{[]string{"version", "-o", "json"}, 0, `"version": "unknown"`},
		{[]string{"serv"}, cli.ExitUsage, "penstock has no command serv. Did you mean serve? "},
		{[]string{"nothing"}, cli.ExitUsage, "There are "},
		{[]string{"topic", "lits"}, cli.ExitUsage, "penstock topic has no command lits. Did you mean list? penstock topic --help shows what there is"},
		{[]string{"topic", "foo"}, cli.ExitUsage, "There are alter, create, delete, "},
		{[]string{"help", "serv"}, cli.ExitUsage, "Did you mean serve?"},
		{[]string{"help", "topic", "lits"}, cli.ExitUsage, "Did you mean list?"},
		{[]string{"help", "version", "x"}, cli.ExitUsage, "penstock version has no commands"},
		{[]string{"help", "topic"}, 0, "penstock topic [command]"},
		{[]string{"help"}, 0, "penstock [command]"},
		{[]string{"completion", "bsh"}, cli.ExitUsage, "Did you mean bash or "},
		{[]string{"completion", "bash"}, 0, "bash completion"},
		{[]string{"serve", "--kafka-lisen", "x"}, cli.ExitUsage, "--help"},
		{[]string{"serve", "extra"}, cli.ExitUsage, "extra"},
		{[]string{"serve", "--kafka-listen", "nowhere"}, cli.ExitUsage, "want host:port"},
		{[]string{"serve", "--kafka-listen", "0.0.0.0:0"}, cli.ExitUsage, "--insecure"},
		{[]string{"serve", "--set", "x"}, cli.ExitUsage, "want key=value"},
		{[]string{"config", "print", "--set", "log.segment.byte=1"}, cli.ExitUsage, "did you mean log.segment.bytes?"},
		{[]string{"config", "nothing"}, cli.ExitUsage, "penstock config has no command nothing. There are "},
		{[]string{"config", "chek"}, cli.ExitUsage, "Did you mean check?"},
		{[]string{"copies", "--http", "127.0.0.1:1"}, cli.ExitUnreachable, "Is it running?"},
		{[]string{"copies", "-o", "xml"}, cli.ExitUsage, "want text or json"},
		{[]string{"config", "print", "-o", "xml"}, cli.ExitUsage, "want text or json"},
		{[]string{"config", "check"}, cli.ExitUsage, "--help"},
		{[]string{"config", "check", "/nonexistent.yaml"}, cli.ExitFindings, "1 finding"},
		{[]string{"config", "kafka", "log.retention.hour"}, cli.ExitNotFound, "no broker of Kafka"},
		{[]string{"serve", "--kafka-config", "/nonexistent"}, cli.ExitUsage, "/nonexistent"},
		{[]string{"adopt"}, cli.ExitUsage, "--help"},
		{[]string{"adopt", "/nonexistent"}, cli.ExitFailed, "log.dirs"},
	} {
		cmd := program(c.args...)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
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

func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("broker.rack: r1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PENSTOCK_CONFIG", file)
	t.Setenv("PENSTOCK_KAFKA_LISTEN", "127.0.0.1:19092")
	out, err := run("config", "print", "--http-listen", "127.0.0.1:18080", "--insecure", "--set", "log.retention.ms=5", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []configRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatal(err)
	}
	got := map[string]configRow{}
	for _, r := range rows {
		got[r.Key] = r
	}
	for key, want := range map[string][2]string{
		"broker.rack":      {"r1", "file " + file + ":1"},
		"kafka.listen":     {"127.0.0.1:19092", "environment PENSTOCK_KAFKA_LISTEN"},
		"http.listen":      {"127.0.0.1:18080", "flag --http-listen"},
		"insecure":         {"true", "flag --insecure"},
		"log.retention.ms": {"5", "flag --log-retention-ms"},
		"data":             {"./data", "default"},
	} {
		if r := got[key]; r.Value != want[0] || r.Source != want[1] {
			t.Errorf("%s: %+v, want %v", key, r, want)
		}
	}
	if out, err := run("config", "print"); err != nil || !strings.Contains(out, "environment PENSTOCK_KAFKA_LISTEN") {
		t.Errorf("table: %v\n%s", err, out)
	}
	if out, err := run("config", "topics"); err != nil || !strings.Contains(out, "penstock.durability") {
		t.Errorf("topics: %v\n%s", err, out)
	}
}

func TestPrintCopies(t *testing.T) {
	var out bytes.Buffer
	a := summarise(&node.Copies{Lines: []metric.CopyLine{
		{Listener: "kafka", Topic: "a", Path: "sendfile", Bytes: 3 << 30},
		{Listener: "kafka", Topic: "b", Path: "copied", Reason: "small", Bytes: 1 << 30},
	}})
	if err := printCopies(&out, a); err != nil {
		t.Fatal(err)
	}
	want := `LISTENER  TOPIC  PATH      BYTES    SHARE    REASON
kafka     a      sendfile  3.0 GiB  75.00 %  
kafka     b      copied    1.0 GiB  25.00 %  small: cheaper to copy than to hand to the kernel

4.0 GiB out, 3.0 GiB of it by the kernel: 75.00 % without a copy
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	// Every reason that the account has is explained.
	for r := metric.ReasonSmall; r <= metric.ReasonNoFile; r++ {
		if reasons[r.String()] == "" {
			t.Errorf("reason %q is not explained", r)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 40: "5.0 TiB", 1<<63 - 1: "8.0 EiB"} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestAdopted shows what was taken over in both forms.
func TestAdopted(t *testing.T) {
	sum := &node.Adopted{Topics: []node.AdoptedTopic{{Name: "a", Partitions: 2, Records: 3, Bytes: 1024, Epoch: 4}}, Copied: 1024, Notes: []string{"one"}}
	var out bytes.Buffer
	e := &cli.Env{Out: &out, Output: "json"}
	if err := e.Emit(adoptedJSON(sum), nil); err != nil {
		t.Fatal(err)
	}
	var back adopted
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Copied != 1024 || back.Topics[0].Records != 3 || back.Notes[0] != "one" {
		t.Errorf("%v, %+v", err, back)
	}
	out.Reset()
	e.Output = "text"
	if err := e.Emit(nil, func(tab *cli.Table) { printAdopted(tab, sum, "./d") }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"TOPIC", "1.0 KiB", "note: one", "1 topics taken over, 1.0 KiB copied, 0 B linked. Next: penstock serve --data ./d"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestBlock holds the first thing that a person sees to what it must say.
func TestBlock(t *testing.T) {
	var out bytes.Buffer
	printBlock(&out, node.Info{
		Kafka: "127.0.0.1:9092", HTTP: "127.0.0.1:8080", Advertised: "h:1", Data: "/d", Free: 12 << 30, Durability: "fsync",
		ZeroCopy: node.ZeroCopy{Works: true, FileSystem: "ext4"}, Took: 120 * time.Millisecond, Insecure: true,
	})
	for _, want := range []string{"127.0.0.1:9092", "clients are told h:1", "http://127.0.0.1:8080", "/d  (12.0 GiB free, ext4)", "fsync", "sendfile works", "0.12 s", "not clean", "anybody"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the block does not say %q:\n%s", want, out.String())
		}
	}
	commands := 0
	for _, line := range strings.Split(out.String(), "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "penstock ") && !strings.Contains(line, "ready") {
			checkExample(t, line)
			commands++
		}
	}
	if commands != 2 || !strings.Contains(out.String(), "curl 'http://127.0.0.1:8080/readyz?verbose'") {
		t.Errorf("%d commands of its own to try, want two and one more:\n%s", commands, out.String())
	}
}

// TestServe runs the program, reads where it listens from its log, asks it, and stops it by signals.
func TestServe(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		data := t.TempDir()
		cmd := program("serve", "--data", data, "--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--rocket-listen", "127.0.0.1:0", "--rocket-namesrv-listen", "127.0.0.1:0")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stderr)
		ready := readUntil(t, lines, "ready")
		var info node.Info
		b, err := os.ReadFile(filepath.Join(data, "endpoints.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &info); err != nil || info.HTTP != ready["http"] || info.Kafka != ready["kafka"] || info.PID != cmd.Process.Pid {
			t.Errorf("endpoints.json %s, %v; the log says %v", b, err, ready)
		}
		if r, err := http.Get(fmt.Sprintf("http://%v/readyz", ready["http"])); err != nil || r.StatusCode != 200 {
			t.Errorf("readyz: %v, %v", r, err)
		}
		if out, err := run("copies", "--http", info.HTTP); err != nil || !strings.Contains(out, "No payload has left") {
			t.Errorf("copies: %q, %v", out, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		readUntil(t, lines, "stopped")
		_, _ = io.Copy(io.Discard, stderr)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// readUntil reads log lines until one has the message, and returns it.
func readUntil(t *testing.T, lines *bufio.Scanner, message string) map[string]any {
	t.Helper()
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", lines.Text(), err)
		}
		if line[slog.MessageKey] == message {
			return line
		}
	}
	t.Fatalf("the log ends without %q", message)
	return nil
}
