package main

import (
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"penstock"
	"penstock/cli"
	"penstock/node"
)

func newAdopt() *cobra.Command {
	c := &cobra.Command{
		Use:   "adopt KAFKA_LOG_DIR",
		Short: "Take over the topics of a Kafka log directory",
		Long: `Takes over what a Kafka broker left in one of its log directories: topics get the same names and ids, records the
same offsets. The source is never changed. Neither broker may be running. Every batch is checked on the way.

What Kafka keeps elsewhere is not taken over: the configuration of topics, groups and their offsets. Internal topics (__*) are
left out unless --internal is given. If it is interrupted, run it again.`,
		Example: `  penstock adopt /var/lib/kafka/data --data ./data
  penstock adopt /var/lib/kafka/data --data /var/lib/penstock --link`,
		Args: cobra.ExactArgs(1),
	}
	var o node.AdoptOptions
	var broker int32
	c.Flags().StringVar(&o.Data, "data", "./data", "data directory of the broker, made if missing")
	c.Flags().BoolVar(&o.Internal, "internal", false, "also take over internal topics (__*)")
	c.Flags().BoolVar(&o.Link, "link", false, "link closed segments instead of copying them, where both directories are on one file system; neither side writes to them")
	c.Flags().Int32Var(&broker, "broker-id", 0, "broker.id that will serve the data directory")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.Source, o.Broker = args[0], penstock.BrokerID(broker)
		o.Log = newLogger(os.Stderr, "auto", slog.LevelWarn)
		if broker < 0 {
			return cli.Usage("--broker-id %d: want 0 or more", broker)
		}
		tty := isatty.IsTerminal(os.Stderr.Fd())
		o.Progress = func(p node.AdoptProgress) {
			if tty {
				fmt.Fprintf(c.ErrOrStderr(), "\r\x1b[K%d of %d partitions, %s of %s  %s", p.Partitions, p.OfPartitions, humanBytes(p.Bytes), humanBytes(p.OfBytes), p.Now)
			}
		}
		sum, err := node.Adopt(c.Context(), o)
		if tty {
			fmt.Fprintln(c.ErrOrStderr())
		}
		if err != nil {
			return err
		}
		return printAdopted(c, sum, o.Data)
	}
	return c
}

func printAdopted(c *cobra.Command, s *node.Adopted, data string) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tID\tPARTITIONS\tRECORDS\tBYTES\tEPOCH")
	for _, t := range s.Topics {
		fmt.Fprintf(w, "%s\t%v\t%d\t%d\t%s\t%d\n", t.Name, t.ID, t.Partitions, t.Records, humanBytes(t.Bytes), t.Epoch)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	out := c.OutOrStdout()
	for _, n := range s.Notes {
		fmt.Fprintln(out, "note:", n)
	}
	_, err := fmt.Fprintf(out, "\n%d topics taken over, %s copied, %s linked. Next: penstock serve --data %s\n",
		len(s.Topics), humanBytes(s.Copied), humanBytes(s.Linked), data)
	return err
}
