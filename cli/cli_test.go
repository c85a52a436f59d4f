package cli_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/cli"
	"penstock/cli/clitest"
)

// probe is a family of commands that does one of everything.
func probe(e *cli.Env) []*cobra.Command {
	names := &cobra.Command{Use: "names", ValidArgsFunction: e.CompleteTopics()}
	names.RunE = func(c *cobra.Command, args []string) error {
		a, err := e.Admin(c.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		for _, n := range args {
			_, err := a.CreateTopic(c.Context(), 1, 1, nil, n)
			if err != nil {
				return cli.Fail("topic "+n+" was not created", err, "Take another name")
			}
		}
		topics, err := a.ListTopics(c.Context())
		if err != nil {
			return cli.Fail("topics cannot be listed", err, "")
		}
		return e.Emit(topics.Names(), func(t *cli.Table) {
			t.Header("name")
			for _, n := range topics.Names() {
				t.Row(n)
			}
			t.Note("%d in all", len(topics))
		})
	}
	describe := &cobra.Command{Use: "describe", Args: cobra.ExactArgs(1)}
	describe.RunE = func(c *cobra.Command, args []string) error {
		a, err := e.Admin(c.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		var d kadm.TopicDetails
		if d, err = a.ListTopics(c.Context(), args[0]); err == nil {
			err = d.Error()
		}
		return cli.Fail("topic "+args[0]+" cannot be described", err, "penstock topic list shows what there is")
	}
	return []*cobra.Command{names, describe}
}

func TestAgainstBroker(t *testing.T) {
	c := clitest.Start(t, probe, map[string]string{"auto.create.topics": "false"})
	if out := c.Do(t, "names", "orders", "other"); !strings.HasPrefix(out, "NAME\norders\nother\n") || !strings.HasSuffix(out, "2 in all\n") {
		t.Errorf("text is %q", out)
	}
	var names []string
	c.JSON(t, &names, "names")
	if len(names) != 2 || names[0] != "orders" {
		t.Errorf("JSON is %q", names)
	}
	r := c.Run(t.Context(), "", "names", "orders")
	if r.Code != cli.ExitFailed || !strings.Contains(r.Failure.Error(), "TOPIC_ALREADY_EXISTS") || !strings.HasSuffix(r.Failure.Error(), ". Take another name") {
		t.Errorf("again: %d %v", r.Code, r.Failure)
	}
	if r := c.Run(t.Context(), "", "describe", "nothing"); r.Code != cli.ExitNotFound {
		t.Errorf("of nothing: %d %v", r.Code, r.Failure)
	}
	if r := c.Run(t.Context(), "", "names", "-o", "xml"); r.Code != cli.ExitUsage || !strings.Contains(r.Failure.Error(), "text or json") {
		t.Errorf("xml: %d %v", r.Code, r.Failure)
	}
}

// TestCompletion asks as a shell does.
func TestCompletion(t *testing.T) {
	c := clitest.Start(t, probe, nil)
	c.Do(t, "names", "orders", "other", "unlike")
	e := &cli.Env{Brokers: []string{c.Addr}}
	var got []string
	var directive cobra.ShellCompDirective
	for range 20 { // a shell is given nothing after two seconds, which a busy machine may need
		if got, directive = e.CompleteTopics()(&cobra.Command{}, []string{"other"}, "o"); len(got) > 0 {
			break
		}
	}
	if len(got) != 1 || got[0] != "orders" || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("completes %q, %v", got, directive)
	}
}

func TestUnreachable(t *testing.T) {
	r := clitest.Run(t.Context(), probe, "", "names", "--brokers", "127.0.0.1:1", "--timeout", "1s")
	if r.Code != cli.ExitUnreachable || !strings.Contains(r.Failure.Error(), "127.0.0.1:1") || !strings.Contains(r.Failure.Error(), "--brokers") {
		t.Errorf("%d %v", r.Code, r.Failure)
	}
}

func TestErrors(t *testing.T) {
	err := cli.Fail("it was not done", kerr.GroupIDNotFound, "Do that")
	if cli.ExitCode(err) != cli.ExitNotFound || !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("%d %v", cli.ExitCode(err), err)
	}
	err = cli.Fail("it was not done", context.DeadlineExceeded, "")
	if err.Error() != "it was not done: no answer within the time limit" || cli.ExitCode(err) != cli.ExitFailed {
		t.Errorf("%d %v", cli.ExitCode(err), err)
	}
	if cli.ExitCode(nil) != cli.ExitDone || cli.ExitCode(cli.Findings("two")) != cli.ExitFindings {
		t.Error("exit codes")
	}
}

// TestTableKeepsTerminalsSafe prints a name that would move the cursor.
func TestTableKeepsTerminalsSafe(t *testing.T) {
	var out strings.Builder
	e := &cli.Env{Out: &out, Output: "text", Timeout: time.Second}
	if err := e.Emit(nil, func(t *cli.Table) { t.Row("a\x1b[2J\tb", 1) }); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a·[2J·b  1\n" {
		t.Errorf("prints %q", out.String())
	}
}
