// Package clitest runs commands in a test against a broker of its own.
package clitest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/node"
)

// Patience bounds a test; nothing waits as long when all is well.
const Patience = 60 * time.Second

// Cluster is one broker and the commands under test.
type Cluster struct {
	Addr     string // where Kafka clients find it
	HTTP     string // its admin listener
	Node     *node.Node
	commands func(*cli.Env) []*cobra.Command
}

// Start runs a broker on free ports, stopped when the test ends. The configuration is by key; nil is fine.
func Start(t testing.TB, commands func(*cli.Env) []*cobra.Command, config map[string]string) *Cluster {
	t.Helper()
	all := map[string]string{"data": t.TempDir(), "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0"}
	for k, v := range config {
		all[k] = v
	}
	l, err := node.Load(node.Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), l.Config, slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &Cluster{Addr: n.Info().Kafka, HTTP: n.Info().HTTP, Node: n, commands: commands}
}

// Result is what a command did.
type Result struct {
	Out, Err string // standard output and standard error
	Failure  error
	Code     int // exit code
}

// Run runs one command line, with the given input. The broker's address is put behind the arguments.
func (c *Cluster) Run(ctx context.Context, in string, args ...string) Result {
	return Run(ctx, c.commands, in, append(args[:len(args):len(args)], "--brokers", c.Addr)...)
}

// Do runs one command line that must succeed, and returns what it printed.
func (c *Cluster) Do(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	r := c.Run(ctx, "", args...)
	if r.Failure != nil {
		t.Fatalf("penstock %s: %v\n%s", strings.Join(args, " "), r.Failure, r.Err)
	}
	return r.Out
}

// JSON runs one command line with -o json that must succeed, and decodes what it printed into v.
func (c *Cluster) JSON(t testing.TB, v any, args ...string) {
	t.Helper()
	out := c.Do(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("penstock %s prints no JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Run runs one command line of the commands given, mounted as the program mounts them.
func Run(ctx context.Context, commands func(*cli.Env) []*cobra.Command, in string, args ...string) Result {
	var out, errs bytes.Buffer
	e := &cli.Env{In: strings.NewReader(in), Out: &out, Err: &errs}
	root := &cobra.Command{Use: "penstock", SilenceErrors: true, SilenceUsage: true}
	root.SetOut(&out)
	root.SetErr(&errs)
	e.Mount(root, commands(e)...)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return Result{Out: out.String(), Err: errs.String(), Failure: err, Code: cli.ExitCode(err)}
}

// testLog shows what a broker logs if the test fails.
type testLog struct{ t testing.TB }

// Write logs a line.
func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}
