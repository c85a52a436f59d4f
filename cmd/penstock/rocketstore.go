package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"penstock"
	"penstock/cli"
	"penstock/node"
)

// newRocketStore is the family of commands that take stores of RocketMQ's brokers in and out.
func newRocketStore() *cobra.Command {
	c := &cobra.Command{
		Use:   "rocketmq",
		Short: "Take a RocketMQ broker's store over, or write one",
		Long: `The commit log, the consume queues and the index files of messages are RocketMQ's own, byte for byte; only their names differ. These commands
copy them to where a RocketMQ broker looks for them, and back, and write its configuration: topics, groups, how far they have read. Neither broker
may be running.`,
		Example: `  penstock rocketmq import /opt/rocketmq/store --data ./data
  penstock rocketmq export /opt/rocketmq/store --data ./data`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newRocketImport(), newRocketExport())
	return c
}

func newRocketImport() *cobra.Command {
	c := &cobra.Command{
		Use:   "import STORE_DIR",
		Short: "Take over the store directory of a RocketMQ broker",
		Long: `Takes over the commit log that a RocketMQ broker left in its store directory (storePathRootDir): messages keep their offsets, positions and ids. With it
come topics and their attributes (config/topics.json), what is configured of groups (subscriptionGroup.json), how far they have read
(consumerOffset.json) and how far delayed messages were delivered (delayOffset.json). The source is never changed. The data directory must have no
messages of the commit layout yet. The first start of the broker goes over the log once and makes queues and index of it.

What is not taken over: access rules, SQL filters, transactions that were not ended, and what is kept in RocksDB. Nothing is deleted by age until
retention.ms is set. Offsets of groups without members are forgotten after offsets.retention, counted from now.`,
		Example: `  penstock rocketmq import /opt/rocketmq/store --data ./data`,
		Args:    cobra.ExactArgs(1),
	}
	e := local(c)
	var o node.RocketStoreOptions
	var broker int32
	c.Flags().StringVar(&o.Data, "data", "./data", "data directory of the broker, made if missing")
	c.Flags().Int32Var(&broker, "broker-id", 0, "broker.id that will serve the data directory")
	c.RunE = func(c *cobra.Command, args []string) error {
		if broker < 0 {
			return cli.Usage("--broker-id %d: want 0 or more", broker)
		}
		o.Store, o.Broker, o.Log = args[0], penstock.BrokerID(broker), newLogger(os.Stderr, "auto", slog.LevelWarn)
		sum, err := node.ImportRocket(c.Context(), o)
		if err != nil {
			return err
		}
		return e.Emit(rocketStoreJSON(sum), func(t *cli.Table) { printRocketStore(t, sum) })
	}
	return c
}

func newRocketExport() *cobra.Command {
	c := &cobra.Command{
		Use:   "export STORE_DIR",
		Short: "Write the store directory of a RocketMQ broker",
		Long: `Writes all messages of the commit layout as the store directory (storePathRootDir) that a RocketMQ broker starts on: commitlog, consumequeue, index, checkpoint,
and below config topics.json, subscriptionGroup.json, consumerOffset.json and delayOffset.json. Nothing in the data directory is changed; its broker must have
been stopped cleanly. The RocketMQ broker needs the sizes of files that this one had (mappedFileSizeCommitLog, maxHashSlotNum, maxIndexNum): with the defaults
on both sides they are the same.`,
		Example: `  penstock rocketmq export /opt/rocketmq/store --data ./data`,
		Args:    cobra.ExactArgs(1),
	}
	e := local(c)
	var o node.RocketStoreOptions
	c.Flags().StringVar(&o.Data, "data", "./data", "data directory of the broker")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.Store, o.Log = args[0], newLogger(os.Stderr, "auto", slog.LevelWarn)
		sum, err := node.ExportRocket(c.Context(), o)
		if err != nil {
			return err
		}
		return e.Emit(rocketStoreJSON(sum), func(t *cli.Table) { printRocketStore(t, sum) })
	}
	return c
}

type rocketStore struct {
	Topics  []rocketStoreTopic `json:"topics"`
	Groups  int                `json:"groups"`
	Offsets int                `json:"offsets"`
	Bytes   int64              `json:"log_bytes"`
	Notes   []string           `json:"notes"`
}

type rocketStoreTopic struct {
	Name   string `json:"name"`
	Queues int    `json:"queues"`
}

func rocketStoreJSON(s *node.RocketStore) rocketStore {
	out := rocketStore{Topics: []rocketStoreTopic{}, Groups: s.Groups, Offsets: s.Offsets, Bytes: s.Bytes, Notes: append([]string{}, s.Notes...)}
	for _, t := range s.Topics {
		out.Topics = append(out.Topics, rocketStoreTopic{t.Name, t.Queues})
	}
	return out
}

func printRocketStore(t *cli.Table, s *node.RocketStore) {
	t.Header("topic", "queues")
	for _, a := range s.Topics {
		t.Row(a.Name, a.Queues)
	}
	t.Note("%d groups, %d offsets of groups", s.Groups, s.Offsets)
	for _, n := range s.Notes {
		t.Note("note: %s", n)
	}
}
