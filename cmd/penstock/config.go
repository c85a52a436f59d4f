package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/meta"
	"penstock/node"
)

// settings are the flags that make up a node's configuration.
type settings struct {
	file string
	set  []string
	keys map[string]*string // by key, for those with a flag of their own
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
	f.StringArrayVar(&s.set, "set", nil, "any key as `key=value`, may be repeated: --set log.segment.bytes=268435456")
	return s
}

// load reads defaults, file, environment and flags.
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
	file := s.file
	if file == "" {
		file = os.Getenv("PENSTOCK_CONFIG")
	}
	return node.Load(node.Sources{File: file, Env: os.Environ(), Flags: flags})
}

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Show configuration",
		Example: "  penstock config print",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigPrint(), newConfigTopics())
	return c
}

func newConfigPrint() *cobra.Command {
	c := &cobra.Command{
		Use:   "print",
		Short: "Show every configuration of the broker, and where its value comes from",
		Long: `Shows what serve would run with: defaults, then the file, then the environment, then flags, each going
before those ahead of it. Nothing is started.`,
		Example: `  penstock config print
  penstock config print --config penstock.yaml --set log.segment.bytes=268435456
  PENSTOCK_KAFKA_LISTEN=127.0.0.1:19092 penstock config print -o json`,
		Args: cobra.NoArgs,
	}
	var format string
	c.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	s := addSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := s.load(c)
		if err != nil {
			return err
		}
		for _, w := range l.Warnings {
			fmt.Fprintln(c.ErrOrStderr(), "note:", w)
		}
		docs := map[string]string{}
		for _, k := range node.Keys() {
			docs[k.Name] = k.Doc
		}
		if format == "json" {
			return printJSON(c, configRows(l.Values, docs))
		}
		if format != "table" {
			return cli.Usage("-o %s: want table or json", format)
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "KEY\tVALUE\tSOURCE\tMEANING")
		for _, v := range l.Values {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Key, v.Value, v.Source, docs[v.Key])
		}
		return w.Flush()
	}
	return c
}

// configRow is one configuration as JSON shows it.
type configRow struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Source      string `json:"source"`
	Environment string `json:"environment"`
	Meaning     string `json:"meaning"`
}

func configRows(values []node.Value, docs map[string]string) []configRow {
	rows := make([]configRow, len(values))
	for i, v := range values {
		rows[i] = configRow{v.Key, v.Value, v.Source, node.EnvName(v.Key), docs[v.Key]}
	}
	return rows
}

func newConfigTopics() *cobra.Command {
	c := &cobra.Command{
		Use:   "topics",
		Short: "Show every configuration that a topic may have",
		Example: `  penstock config topics
  penstock config topics -o json`,
		Args: cobra.NoArgs,
	}
	var format string
	c.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		type row struct {
			Name     string `json:"name"`
			Default  string `json:"default"`
			Broker   string `json:"broker,omitempty"`
			Honoured bool   `json:"honoured"`
			Meaning  string `json:"meaning"`
		}
		var rows []row
		for _, k := range meta.Catalog() {
			rows = append(rows, row{k.Name, k.Default, k.Broker, k.Honoured, k.Doc})
		}
		if format == "json" {
			return printJSON(c, rows)
		}
		if format != "table" {
			return cli.Usage("-o %s: want table or json", format)
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tDEFAULT\tBROKER-WIDE DEFAULT\tMEANING")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, r.Default, r.Broker, r.Meaning)
		}
		return w.Flush()
	}
	return c
}

func printJSON(c *cobra.Command, v any) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
