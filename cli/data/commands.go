package data

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// Commands are produce, consume, find and bench.
func Commands(e *cli.Env) []*cobra.Command {
	return []*cobra.Command{newProduce(e), newConsume(e), newFind(e), newBench(e)}
}

// codecs are the compressions by their names in Kafka's configuration.
var codecs = map[string]func() kgo.CompressionCodec{
	"none":   kgo.NoCompression,
	"gzip":   kgo.GzipCompression,
	"snappy": kgo.SnappyCompression,
	"lz4":    kgo.Lz4Compression,
	"zstd":   kgo.ZstdCompression,
}

var codecNames = []string{"none", "gzip", "snappy", "lz4", "zstd"}

var acksNames = []string{"all", "1", "0"}

// codecOption is the option for the value of --codec.
func codecOption(name string) (kgo.Opt, error) {
	c, ok := codecs[name]
	if !ok {
		return nil, cli.Usage("--codec %s: want one of %s", name, strings.Join(codecNames, ", "))
	}
	return kgo.ProducerBatchCompression(c()), nil
}

// acksOptions are the options for the value of --acks. Only producers that wait for all are idempotent.
func acksOptions(name string) ([]kgo.Opt, error) {
	switch name {
	case "all", "-1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.AllowIdempotentProduceCancellation()}, nil
	case "1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()}, nil
	case "0":
		return []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()}, nil
	}
	return nil, cli.Usage("--acks %s: want one of %s", name, strings.Join(acksNames, ", "))
}

// values completes a flag that takes one of some words.
func values(words []string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// complete registers the completion of a flag. It fails only if there is no such flag, which is a fault of this package.
func complete(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic("penstock " + c.Name() + ": " + err.Error())
	}
}
