package main

import (
	"fmt"
	"log/slog"
	"os"

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
  penstock adopt /var/lib/kafka/data --data /var/lib/penstock --link -o json`,
		Args: cobra.ExactArgs(1),
	}
	e := local(c)
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
		return e.Emit(adoptedJSON(sum), func(t *cli.Table) { printAdopted(t, sum, o.Data) })
	}
	return c
}

// adopted is node.Adopted as JSON shows it.
type adopted struct {
	Topics []adoptedTopic `json:"topics"`
	Copied int64          `json:"copied_bytes"`
	Linked int64          `json:"linked_bytes"`
	Notes  []string       `json:"notes"`
}

type adoptedTopic struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
	Records    int64  `json:"records"`
	Bytes      int64  `json:"bytes"`
	Epoch      int32  `json:"epoch"`
}

func adoptedJSON(s *node.Adopted) adopted {
	out := adopted{Topics: []adoptedTopic{}, Copied: s.Copied, Linked: s.Linked, Notes: append([]string{}, s.Notes...)}
	for _, t := range s.Topics {
		out.Topics = append(out.Topics, adoptedTopic{t.Name, t.ID.String(), t.Partitions, t.Records, t.Bytes, int32(t.Epoch)})
	}
	return out
}

func printAdopted(t *cli.Table, s *node.Adopted, data string) {
	t.Header("topic", "id", "partitions", "records", "bytes", "epoch")
	for _, a := range s.Topics {
		t.Row(a.Name, a.ID, a.Partitions, a.Records, humanBytes(a.Bytes), a.Epoch)
	}
	for _, n := range s.Notes {
		t.Note("note: %s", n)
	}
	t.Note("")
	t.Note("%d topics taken over, %s copied, %s linked. Next: penstock serve --data %s", len(s.Topics), humanBytes(s.Copied), humanBytes(s.Linked), data)
}
