package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BrokersVariable is the environment variable that names the cluster.
const BrokersVariable = "PENSTOCK_BROKERS"

// DefaultBroker is where a broker listens that nobody told otherwise.
const DefaultBroker = "127.0.0.1:9092"

// Env is what a command gets: its streams, the cluster, and the form of its output. Fill the streams, bind the flags, and
// read the rest after parsing. One command runs at a time on an Env.
type Env struct {
	In       io.Reader // nil: standard input
	Out, Err io.Writer // nil: standard output, standard error

	Brokers []string      // bootstrap addresses, host or host:port
	Output  string        // text or json
	Timeout time.Duration // of one request to the cluster
}

// Bind adds the flags that every command against a cluster has.
func (e *Env) Bind(f *pflag.FlagSet) {
	brokers := []string{DefaultBroker}
	if v := os.Getenv(BrokersVariable); v != "" {
		brokers = strings.Split(v, ",")
	}
	f.StringSliceVarP(&e.Brokers, "brokers", "b", brokers, "`addresses` of the cluster; the environment's "+BrokersVariable+" is the default")
	f.StringVarP(&e.Output, "output", "o", "text", "`form` of the output: text or json")
	f.DurationVar(&e.Timeout, "timeout", 30*time.Second, "for one request to the cluster")
}

// Check looks at the values of the flags once they are parsed.
func (e *Env) Check() error {
	if e.Output != "text" && e.Output != "json" {
		return Usage("-o %s: want text or json", e.Output)
	}
	if e.Timeout <= 0 {
		return Usage("--timeout %v: want more than nothing, such as 30s", e.Timeout)
	}
	if len(e.Brokers) == 0 {
		return Usage("--brokers: want host:port, such as %s", DefaultBroker)
	}
	return nil
}

// Stdin is the command's input.
func (e *Env) Stdin() io.Reader {
	if e.In == nil {
		return os.Stdin
	}
	return e.In
}

// Stdout is where a command's result goes, and nothing else.
func (e *Env) Stdout() io.Writer {
	if e.Out == nil {
		return os.Stdout
	}
	return e.Out
}

// Stderr is where everything goes that is not the result: progress, remarks, warnings.
func (e *Env) Stderr() io.Writer {
	if e.Err == nil {
		return os.Stderr
	}
	return e.Err
}

// JSON reports whether the result is wanted as JSON.
func (e *Env) JSON() bool { return e.Output == "json" }

// Terminal reports whether a person watches standard error: progress may be drawn there.
func (e *Env) Terminal() bool { return isTerminal(e.Stderr()) }

// Interactive reports whether a person can be asked: input and standard error are a terminal.
func (e *Env) Interactive() bool {
	f, ok := e.Stdin().(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && e.Terminal()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// Remark tells a person something beside the result, on standard error.
func (e *Env) Remark(format string, args ...any) {
	_, _ = fmt.Fprintf(e.Stderr(), format+"\n", args...) // nobody is left to be told
}

// Confirm asks a yes-or-no question. Where nobody can be asked the answer is no.
func (e *Env) Confirm(question string) bool {
	if !e.Interactive() {
		return false
	}
	_, _ = fmt.Fprintf(e.Stderr(), "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(e.Stdin(), &answer) // an empty line is an error, and a no
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes"
}

// Client makes a client of the cluster. The caller closes it. It has not connected yet; see Reach.
func (e *Env) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	base := []kgo.Opt{
		kgo.SeedBrokers(e.Brokers...),
		kgo.ClientID("penstock-cli"),
		kgo.RequestTimeoutOverhead(e.Timeout),
		kgo.RetryTimeout(e.Timeout),
		kgo.DialTimeout(min(e.Timeout, 10*time.Second)),
		kgo.MetadataMinAge(250 * time.Millisecond), // a name given or taken a moment ago must be seen
		// A partition whose offset the client checks first waits for the fetch under way to end; nobody should wait five seconds.
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
	c, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		return nil, Usage("--brokers %s: %v", strings.Join(e.Brokers, ","), err)
	}
	return c, nil
}

// Admin makes an administrative client, and makes sure that the cluster answers. The caller closes it.
func (e *Env) Admin(ctx context.Context, opts ...kgo.Opt) (*kadm.Client, error) {
	c, err := e.Client(opts...)
	if err != nil {
		return nil, err
	}
	if err := e.Reach(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	a := kadm.NewClient(c)
	a.SetTimeoutMillis(int32(min(e.Timeout.Milliseconds(), 1<<30)))
	return a, nil
}

// Reach makes sure that one broker of the cluster answers, within the shorter of the time limit and ten seconds, so that a wrong address is
// told as what it is.
func (e *Env) Reach(ctx context.Context, c *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, min(e.Timeout, 10*time.Second))
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		return e.Unreachable(err)
	}
	return nil
}

// Within is ctx with the time limit of one request.
func (e *Env) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.Timeout)
}
