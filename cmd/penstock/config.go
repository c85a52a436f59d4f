package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/cli/admin"
	"penstock/meta"
	"penstock/node"
)

// settings are the flags that make up a node's configuration.
type settings struct {
	file   string
	kafka  string
	rocket string
	set    []string
	keys   map[string]*string // by key, for those with a flag of their own
}

// addSettings gives a command the flags of a node's configuration.
func addSettings(c *cobra.Command) *settings {
	s := &settings{keys: map[string]*string{}}
	f := c.Flags()
	f.SortFlags = false
	for _, k := range node.Keys() {
		if !k.Flag {
			continue
		}
		v := new(string)
		s.keys[k.Name] = v
		name := node.FlagName(k.Name)
		f.StringVar(v, name, k.Default, k.Doc)
		if k.Default == "true" || k.Default == "false" {
			f.Lookup(name).NoOptDefVal = "true"
		}
	}
	f.StringVar(&s.file, "config", "", "YAML file with any of the keys that config print lists")
	f.StringVar(&s.kafka, "kafka-config", "", "Kafka's server.properties; what it sets and what not is told")
	f.StringVar(&s.rocket, "rocket-config", "", "RocketMQ's broker.conf; what it sets and what not is told")
	f.StringArrayVar(&s.set, "set", nil, "any key as `key=value`, may be repeated: --set log.segment.bytes=268435456")
	return s
}

// load reads defaults, files, environment and flags.
func (s *settings) load(c *cobra.Command) (*node.Loaded, error) {
	flags := map[string]string{}
	for key, v := range s.keys {
		if c.Flags().Changed(node.FlagName(key)) {
			flags[key] = *v
		}
	}
	for _, kv := range s.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, cli.Usage("--set %s: want key=value", kv)
		}
		if _, twice := flags[key]; twice {
			return nil, cli.Usage("--set %s: %s is given twice", kv, key)
		}
		flags[key] = value
	}
	return node.Load(node.Sources{
		Kafka: cmp.Or(s.kafka, os.Getenv(node.EnvKafkaConfig)), Rocket: cmp.Or(s.rocket, os.Getenv(node.EnvRocketConfig)), File: cmp.Or(s.file, os.Getenv(node.EnvConfig)),
		Env: os.Environ(), Flags: flags,
	})
}

// local gives a command that asks no cluster its form of output.
func local(c *cobra.Command) *cli.Env {
	e := &cli.Env{Brokers: []string{cli.DefaultBroker}, Timeout: askTime}
	c.Flags().StringVarP(&e.Output, "output", "o", "text", "`form` of the output: text or json")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		e.Out, e.Err = c.OutOrStdout(), c.ErrOrStderr()
		return e.Check()
	}
	return e
}

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show and check the configuration of a broker, and change that of a running cluster",
		Example: `  penstock config print
  penstock config get topic/orders
  penstock config check penstock.yaml server.properties`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigPrint(), newConfigCheck(), newConfigTopics(), newConfigKafka(), newConfigRocket())
	e := &cli.Env{}
	e.Mount(c, admin.ConfigCommands(e)...)
	return c
}

func newConfigPrint() *cobra.Command {
	c := &cobra.Command{
		Use:   "print",
		Short: "Show every configuration of the broker, and where its value comes from",
		Long: `Shows what serve would run with: defaults, then Kafka's server.properties, RocketMQ's broker.conf, the YAML file, the environment and
flags, each going before those ahead of it. Nothing is started. Of a server.properties or a broker.conf, what is not honoured is
told on standard error.`,
		Example: `  penstock config print
  penstock config print --config penstock.yaml --set log.segment.bytes=268435456
  penstock config print --kafka-config server.properties --insecure
  PENSTOCK_KAFKA_LISTEN=127.0.0.1:19092 penstock config print -o json`,
		Args: cobra.NoArgs,
	}
	e := local(c)
	s := addSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := s.load(c)
		if err != nil {
			return err
		}
		for _, w := range l.Warnings {
			e.Remark("note: %s", w)
		}
		for _, i := range l.Imported {
			if i.Status != node.KafkaHonoured {
				e.Remark("line %d: %s", i.Line, i)
			}
		}
		rows := configRows(l.Values)
		return e.Emit(rows, func(t *cli.Table) {
			t.Header("key", "value", "source", "meaning")
			for _, r := range rows {
				t.Row(r.Key, r.Value, r.Source, r.Meaning)
			}
		})
	}
	return c
}

// configRow is one configuration as JSON shows it.
type configRow struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Source      string `json:"source"`
	File        string `json:"file,omitempty"`
	Line        int    `json:"line,omitempty"`
	Environment string `json:"environment"`
	Meaning     string `json:"meaning"`
}

func configRows(values []node.Value) []configRow {
	docs := map[string]string{}
	for _, k := range node.Keys() {
		docs[k.Name] = k.Doc
	}
	rows := make([]configRow, len(values))
	for i, v := range values {
		rows[i] = configRow{v.Key, v.Value, v.Source, v.File, v.Line, node.EnvName(v.Key), docs[v.Key]}
	}
	return rows
}

func newConfigCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Look for everything that is wrong with configuration files",
		Long: `Reads files as serve would, each by itself: YAML files for --config, Kafka's server.properties for --kafka-config and
RocketMQ's broker.conf for --rocket-config; which of them a file is say its name and its content. All faults are told at once, with their lines and
with what was probably meant. Nothing is started.

  fault     a broker with this file does not start
  warning   it starts, and this is probably not what was meant
  refused   of Kafka's or RocketMQ's file: it asks for what this broker does not do, and the broker starts without it
  unknown   no broker of Kafka, or RocketMQ, has this key

With findings the exit code is 5.`,
		Example: `  penstock config check penstock.yaml
  penstock config check /etc/kafka/server.properties -o json`,
		Args: cobra.MinimumNArgs(1),
	}
	e := local(c)
	c.RunE = func(_ *cobra.Command, files []string) error {
		var reports []*node.Report
		findings := 0
		for _, f := range files {
			r := node.Check(f)
			reports, findings = append(reports, r), findings+r.Findings()
		}
		if err := e.Emit(reports, func(t *cli.Table) { printReports(t, reports) }); err != nil {
			return err
		}
		switch findings {
		case 0:
			return nil
		case 1:
			return cli.Findings("1 finding")
		}
		return cli.Findings("%d findings", findings)
	}
	return c
}

// finding is a line of what config check prints.
type finding struct {
	line             int
	kind, what, text string
}

func printReports(t *cli.Table, reports []*node.Report) {
	for _, r := range reports {
		var all []finding
		for _, f := range r.Faults {
			all = append(all, finding{f.Line, "fault", faultWhat(f), faultText(f)})
		}
		for _, f := range r.Warnings {
			all = append(all, finding{f.Line, "warning", faultWhat(f), faultText(f)})
		}
		for _, i := range r.Refused() {
			all = append(all, finding{i.Line, string(i.Status), i.Key + "=" + i.Value, i.Why})
		}
		if len(all) == 0 {
			t.Note("%s: nothing to say", r.File)
			continue
		}
		slices.SortStableFunc(all, func(a, b finding) int { return cmp.Compare(a.line, b.line) })
		t.Note("%s:", r.File)
		t.Header("line", "kind", "key", "what")
		for _, f := range all {
			line := any("-")
			if f.line > 0 {
				line = f.line
			}
			t.Row(line, f.kind, f.what, f.text)
		}
	}
}

func faultWhat(f node.Fault) string {
	if f.Value != "" {
		return f.Key + "=" + f.Value
	}
	return cmp.Or(f.Key, "-")
}

func faultText(f node.Fault) string {
	if f.Suggest != "" {
		return f.Problem + "; did you mean " + f.Suggest + "?"
	}
	return f.Problem
}

func newConfigTopics() *cobra.Command {
	c := &cobra.Command{
		Use:   "topics",
		Short: "Show every configuration that a topic may have",
		Example: `  penstock config topics
  penstock config topics -o json`,
		Args: cobra.NoArgs,
	}
	e := local(c)
	c.RunE = func(*cobra.Command, []string) error {
		type row struct {
			Name    string `json:"name"`
			Default string `json:"default"`
			Valid   string `json:"valid"`
			Broker  string `json:"broker,omitempty"`
			Status  string `json:"status"`
			Why     string `json:"why,omitempty"`
			Meaning string `json:"meaning"`
		}
		var rows []row
		for _, k := range meta.Catalog() {
			rows = append(rows, row{k.Name, k.Default, k.Valid, k.Broker, string(k.Status), k.Why, k.Doc})
		}
		return e.Emit(rows, func(t *cli.Table) {
			t.Header("name", "default", "broker-wide default", "status", "meaning")
			for _, r := range rows {
				t.Row(r.Name, r.Default, r.Broker, r.Status, strings.TrimSpace(r.Meaning+" "+r.Why))
			}
		})
	}
	return c
}

func newConfigKafka() *cobra.Command {
	return newForeign("kafka [KEY...]", "Kafka", "4.3", "--kafka-config", `  penstock config kafka
  penstock config kafka log.retention.hours listeners -o json`, node.KafkaKeys())
}

func newConfigRocket() *cobra.Command {
	return newForeign("rocket [KEY...]", "RocketMQ", "5.5", "--rocket-config", `  penstock config rocket
  penstock config rocket flushDiskType fileReservedTime -o json`, node.RocketKeys())
}

// newForeign makes the command that shows what becomes of another system's configurations.
func newForeign(use, system, version, flag, example string, keys []node.KafkaKey) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: fmt.Sprintf("Show what becomes of %s's broker configurations", system),
		Long: fmt.Sprintf(`Lists every configuration that a broker of %s %s has, or those named: which key of this broker it sets when
%s reads it, or why it is accepted without effect or refused.`, system, version, flag),
		Example: example,
		ValidArgsFunction: func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, k := range keys {
				if strings.HasPrefix(k.Name, begun) {
					names = append(names, k.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	e := local(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		type row struct {
			Name    string `json:"name"`
			Type    string `json:"type"`
			Default string `json:"default"`
			Status  string `json:"status"`
			Sets    string `json:"sets,omitempty"`
			Why     string `json:"why,omitempty"`
		}
		rows := []row{}
		for _, k := range keys {
			if len(args) == 0 || slices.Contains(args, k.Name) {
				rows = append(rows, row{k.Name, k.Type, k.Default, string(k.Status), k.To, k.Why})
			}
		}
		for _, a := range args {
			if !slices.ContainsFunc(rows, func(r row) bool { return r.Name == a }) {
				return cli.NotFound("%s: no broker of %s %s has it", a, system, version)
			}
		}
		return e.Emit(rows, func(t *cli.Table) {
			t.Header("name", "default", "status", "sets", "why")
			for _, r := range rows {
				t.Row(r.Name, r.Default, r.Status, r.Sets, r.Why)
			}
		})
	}
	return c
}
