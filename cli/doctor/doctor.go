package doctor

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/cli"
)

const (
	// stepTime bounds each wait for the network, unless --timeout says otherwise.
	stepTime = 5 * time.Second
	// atOnce bounds the brokers asked at the same time, mostBrokers those asked at all.
	atOnce      = 16
	mostBrokers = 1000
	defaultPort = "9092"
	defaultHTTP = "8080"
)

// doctor is one examination.
type doctor struct {
	e      *cli.Env
	data   string   // data directory, empty: none
	http   string   // the broker's admin listener
	named  bool     // by the user
	names  string   // RocketMQ's name server, empty: looked for
	seen   []string // addresses of RocketMQ's protocol that answered
	failOn string
	ports  []int32
	wait   time.Duration // for one answer
	host   machine
}

// Commands is doctor.
func Commands(e *cli.Env) []*cobra.Command {
	d := &doctor{e: e, host: machine{proc: "/proc"}}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps clients away, and what makes a broker slow or unsafe",
		Long: `Looks at a cluster as a client does: do the brokers answer, do the addresses that they advertise lead to them, are all
partitions served, is the clock right; and as RocketMQ's clients do, from the name server on. If the broker runs on this machine it looks at that too: ports, descriptors, memory,
kernel, network. With --data it measures the disk below the data directory: a scratch directory there, removed at the end,
takes 200 small appends with fdatasync. An answer is waited for 5 s, or for --timeout.

Each finding says what is, why it matters and what to do. With findings the exit code is 5; --fail-on says from which on.`,
		Example: `  penstock doctor
  penstock doctor --brokers kafka.example.com:9092 -o json
  penstock doctor --data /var/lib/penstock --http 127.0.0.1:8080 --fail-on error`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d.named, d.wait = c.Flags().Changed("http"), stepTime
			if c.Flags().Changed("timeout") {
				d.wait = d.e.Timeout
			}
			if !slices.Contains(severities, d.failOn) {
				return cli.Usage("--fail-on %s: want one of %s", d.failOn, strings.Join(severities, ", "))
			}
			r := newReport(d.examine(c.Context()))
			if err := d.e.Emit(r, r.text); err != nil {
				return cli.Fail("the findings cannot be printed", err, "")
			}
			return r.failure(d.failOn)
		},
	}
	fl := c.Flags()
	fl.StringVar(&d.data, "data", "", "the broker's data `directory` on this machine")
	fl.StringVar(&d.http, "http", "", "the broker's http.listen `address`; default: the first broker's host, port "+defaultHTTP)
	fl.StringVar(&d.names, "namesrv", "", "the `address` of RocketMQ's name server; default: what --data tells, else the first broker's host, port "+defaultNames)
	fl.StringVar(&d.failOn, "fail-on", "warning", "`severity` from which on the exit code is 5: "+strings.Join(severities, ", "))
	fl.Int32SliceVar(&d.ports, "port", nil, "look who has these `ports` on this machine; default: those of --brokers, --http and RocketMQ's that answered")
	if err := c.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(severities, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("penstock doctor: " + err.Error())
	}
	return []*cobra.Command{c}
}

var severities = []string{"error", "warning", "never"}

// examine runs all checks that apply.
func (d *doctor) examine(ctx context.Context) []Finding {
	if d.http == "" {
		host, _ := split(d.e.Brokers[0], defaultPort)
		d.http = net.JoinHostPort(host, defaultHTTP)
	}
	fs, answers := d.bootstrap(ctx)
	if answers {
		fs = append(fs, d.cluster(ctx)...)
	}
	fs = append(fs, d.rocket(ctx)...)
	fs = append(fs, d.admin(ctx)...)
	if d.data != "" || d.local(ctx) {
		fs = append(fs, d.machine(ctx)...)
	}
	if d.data == "" {
		return append(fs, note(checkFsync, "not looked at: --data names the broker's data directory"))
	}
	return append(fs, d.directory(ctx)...)
}

// step is ctx with the limit of one wait.
func (d *doctor) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d.wait)
}

// split cuts an address into host and port.
func split(addr, port string) (string, string) {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return strings.Trim(addr, "[]"), port
	}
	return h, p
}

// local reports whether a bootstrap address leads to this machine.
func (d *doctor) local(ctx context.Context) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, addr := range d.e.Brokers {
		host, _ := split(addr, defaultPort)
		for _, ip := range d.lookup(ctx, host) {
			if ip.IsLoopback() || slices.ContainsFunc(own, func(a net.Addr) bool {
				n, ok := a.(*net.IPNet)
				return ok && n.IP.Equal(ip)
			}) {
				return true
			}
		}
	}
	return false
}

// lookup resolves a host; without an answer in time there are no addresses.
func (d *doctor) lookup(ctx context.Context, host string) []net.IP {
	if ip := net.ParseIP(host); ip != nil {
		return []net.IP{ip}
	}
	ctx, cancel := d.step(ctx)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	return ips
}
