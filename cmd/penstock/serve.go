package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/node"
)

func newServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Runs the broker until SIGINT or SIGTERM; a second signal does not wait for connections.

It listens on this machine alone unless told otherwise. Every flag is also a key of the YAML file (--config) and an environment
variable (PENSTOCK_KAFKA_LISTEN); config print lists all keys. Flags go before the environment, that before the YAML file, and
that before RocketMQ's broker.conf (--rocket-config) and Kafka's server.properties (--kafka-config). Where the broker listens stands in the log's line "ready" and in
endpoints.json in the data directory while it runs.`,
		Example: `  penstock serve --data ./data
  penstock serve --data /var/lib/penstock --kafka-listen 127.0.0.1:0 --http-listen 127.0.0.1:0
  penstock serve --config penstock.yaml --set log.retention.ms=3600000
  penstock serve --kafka-config /etc/kafka/server.properties --insecure
  penstock serve --kafka-listen 0.0.0.0:9092 --advertise broker.example:9092 --insecure`,
		Args: cobra.NoArgs,
	}
	s := addSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := s.load(c)
		if err != nil {
			return err
		}
		return serve(l)
	}
	return c
}

// serve runs a node until a signal or a failure.
func serve(l *node.Loaded) error {
	l.Config.Level = new(slog.LevelVar)
	l.Config.Level.Set(l.Config.LogLevel)
	log := newLogger(os.Stderr, l.Config.LogFormat, l.Config.Level)
	for _, w := range l.Warnings {
		log.Warn(w)
	}
	tellImport(l.Imported, log)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	starting, abandon := context.WithCancel(context.Background())
	defer abandon()
	type started struct {
		n   *node.Node
		err error
	}
	result := make(chan started, 1)
	go func() {
		n, err := node.Start(starting, l.Config, log)
		result <- started{n, err}
	}()
	var n *node.Node
	select {
	case r := <-result:
		if r.err != nil {
			return r.err
		}
		n = r.n
	case sig := <-signals:
		log.Info("stopping before the start was done", "signal", sig.String())
		abandon()
		r := <-result
		if r.err != nil {
			return nil // it was told to
		}
		return r.n.Stop(context.Background())
	}
	announce(n.Info(), log)
	return await(n, signals, log)
}

// tellImport tells what became of each entry of Kafka's server.properties and RocketMQ's broker.conf: a table for a person, a line each for a program.
func tellImport(entries []node.Imported, log *slog.Logger) {
	if len(entries) > 0 && isatty.IsTerminal(os.Stderr.Fd()) {
		_ = printImport(os.Stderr, entries) // nobody is there to read it
		return
	}
	for _, i := range entries {
		level := slog.LevelInfo
		if i.Status == node.KafkaRefused || i.Status == node.KafkaUnknown {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "imported", "from", i.System, "key", i.Key, "value", i.Value, "line", i.Line,
			"status", string(i.Status), "sets", i.To, "to", i.As, "why", i.Why)
	}
}

// printImport shows the entries by whose they are and what became of them.
func printImport(out io.Writer, entries []node.Imported) error {
	e := &cli.Env{Out: out}
	return e.Emit(nil, func(t *cli.Table) {
		for _, system := range []string{"Kafka", "RocketMQ"} {
			for _, part := range []struct {
				status node.KafkaStatus
				head   string
			}{
				{node.KafkaHonoured, "Taken from " + system + "'s configuration:"},
				{node.KafkaAccepted, "Needs nothing here:"},
				{node.KafkaRefused, "Without effect, because it is not served:"},
				{node.KafkaUnknown, "Not known to " + system + " either:"},
			} {
				printPart(t, entries, system, part.status, part.head)
			}
		}
	})
}

// printPart shows the entries of one system of which the same became, under a heading if there are any.
func printPart(t *cli.Table, entries []node.Imported, system string, status node.KafkaStatus, head string) {
	for _, i := range entries {
		if i.Status != status || i.System != system {
			continue
		}
		if head != "" {
			t.Note("%s", head)
			head = ""
		}
		sets := ""
		if i.As != "" {
			sets = i.To + "=" + i.As
		}
		t.Row("  "+i.Key+"="+i.Value, sets, i.Why)
	}
}

// await waits for a reason to stop, and stops.
func await(n *node.Node, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, hurry := context.WithCancel(context.Background())
	defer hurry()
	var failed error
	select {
	case sig := <-signals:
		log.Info("stopping", "signal", sig.String())
	case failed = <-n.Failed():
		log.Error("stopping", "error", failed)
	}
	go func() {
		select {
		case <-signals:
			log.Info("second signal: not waiting for connections")
			hurry()
		case <-ctx.Done():
		}
	}()
	began := time.Now()
	if err := n.Stop(ctx); err != nil {
		return fmt.Errorf("the stop was not clean, the next start will check the logs: %w", err)
	}
	log.Info("stopped", "took", time.Since(began).Round(time.Microsecond).String())
	return failed
}

// newLogger logs text on a terminal and JSON elsewhere, unless a format is given.
func newLogger(w *os.File, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" || format == "auto" && !isatty.IsTerminal(w.Fd()) {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// announce says that the broker is ready: a block for a person, a line for a program.
func announce(i node.Info, log *slog.Logger) {
	if isatty.IsTerminal(os.Stdout.Fd()) {
		printBlock(os.Stdout, i)
		return
	}
	log.Info("ready", "kafka", i.Kafka, "http", i.HTTP, "advertised", i.Advertised,
		"rocket", i.Rocket, "rocket_namesrv", i.NameServer, "rocket_vip", i.VIP, "rocket_advertised", i.RocketAdvertised, "data", i.Data, "free", i.Free,
		"file_system", i.ZeroCopy.FileSystem, "durability", i.Durability, "zero_copy", i.ZeroCopy.Works, "zero_copy_fault", i.ZeroCopy.Why,
		"clean", i.Clean, "topics", i.Topics, "memory_limit", i.Limit, "cluster", i.ClusterID, "broker", int(i.Broker),
		"version", version, "took_ms", float64(i.Took.Microseconds())/1000)
}

// printBlock is the first thing that a person sees.
func printBlock(w io.Writer, i node.Info) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  penstock %s  ready in %.2f s\n\n", version, i.Took.Seconds())
	fmt.Fprintf(&b, "  Kafka       %s", i.Kafka)
	if i.Advertised != i.Kafka {
		fmt.Fprintf(&b, "  (clients are told %s)", i.Advertised)
	}
	if i.Rocket != "" {
		fmt.Fprintf(&b, "\n  RocketMQ    %s", i.Rocket)
		if i.NameServer != "" {
			fmt.Fprintf(&b, "  (name server %s)", i.NameServer)
		}
		if i.RocketAdvertised != i.Rocket {
			fmt.Fprintf(&b, "  (clients are told %s)", i.RocketAdvertised)
		}
	}
	fmt.Fprintf(&b, "\n  HTTP        http://%s  (/metrics, /readyz, /api/copies)\n", i.HTTP)
	fmt.Fprintf(&b, "  Data        %s  (%s free, %s)\n", i.Data, humanBytes(i.Free), i.ZeroCopy.FileSystem)
	fmt.Fprintf(&b, "  Durability  %s\n", durabilityText(i.Durability))
	if i.ZeroCopy.Works {
		fmt.Fprintf(&b, "  Zero copy   sendfile works from this directory\n")
	} else {
		fmt.Fprintf(&b, "  Zero copy   no: %s; answers are copied\n", i.ZeroCopy.Why)
	}
	if !i.Clean {
		fmt.Fprintf(&b, "  Recovery    the last stop was not clean; the ends of the logs were checked\n")
	}
	if i.Insecure {
		fmt.Fprintf(&b, "  Warning     anybody who reaches these addresses can read, write and delete everything\n")
	}
	fmt.Fprintf(&b, "\n  Try, in another terminal:\n")
	fmt.Fprintf(&b, "    penstock copies --http %s\n", i.HTTP)
	fmt.Fprintf(&b, "    penstock config print\n")
	fmt.Fprintf(&b, "    curl 'http://%s/readyz?verbose'\n\n", i.HTTP)
	_, _ = io.WriteString(w, b.String()) // nobody is there to read it
}

func durabilityText(d string) string {
	if d == "relaxed" {
		return "relaxed: acks=all is answered from the page cache"
	}
	return "fsync: acks=all is answered when the record is on disk"
}
