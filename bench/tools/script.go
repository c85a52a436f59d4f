package main

import (
	_ "embed"
	"fmt"
	"strings"

	"penstock/bench/compare"
)

// scriptText is what is run against both brokers.
//
//go:embed script.txt
var scriptText string

// classes are the main classes behind Kafka's shell scripts.
var classes = map[string]string{
	"kafka-topics":              "org.apache.kafka.tools.TopicCommand",
	"kafka-configs":             "kafka.admin.ConfigCommand",
	"kafka-consumer-groups":     "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"kafka-groups":              "org.apache.kafka.tools.GroupsCommand",
	"kafka-get-offsets":         "org.apache.kafka.tools.GetOffsetShell",
	"kafka-delete-records":      "org.apache.kafka.tools.DeleteRecordsCommand",
	"kafka-log-dirs":            "org.apache.kafka.tools.LogDirsCommand",
	"kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
	"kafka-cluster":             "org.apache.kafka.tools.ClusterTool",
	"kafka-features":            "org.apache.kafka.tools.FeatureCommand",
	"kafka-transactions":        "org.apache.kafka.tools.TransactionsCommand",
	"kafka-leader-election":     "org.apache.kafka.tools.LeaderElectionCommand",
	"kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"kafka-acls":                "org.apache.kafka.tools.AclCommand",
	"kafka-client-metrics":      "org.apache.kafka.tools.ClientMetricsCommand",
	"kafka-share-groups":        "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
	"kafka-streams-groups":      "org.apache.kafka.tools.streams.StreamsGroupCommand",
	"kafka-metadata-quorum":     "org.apache.kafka.tools.MetadataQuorumCommand",
	"kafka-console-producer":    "org.apache.kafka.tools.ConsoleProducer",
	"kafka-console-consumer":    "org.apache.kafka.tools.consumer.ConsoleConsumer",
}

// differencesText lists the differences that are expected, with a reason each.
//
//go:embed differences.txt
var differencesText string

// step is one line of the script: a tool with its arguments, or a directive (a name that starts with "!").
type step struct {
	line      string // as it stands in the script, without marks
	words     []string
	input     string // what the tool reads
	again     bool   // may be repeated until the brokers agree: it changes nothing
	unordered bool   // its lines come in no particular order
	short     bool   // part of the short form
}

// readScript reads a script. A line is a step; empty lines and those that start with "#" are left out. Marks before a step:
// "?" it only asks, and may be asked again while a broker has not caught up with itself; "~" its lines have no order; "*" it
// is part of the short form. Indented lines below a step are what it reads, or the text of the file that it writes.
func readScript(s string) ([]step, error) {
	var out []step
	for n, line := range strings.Split(s, "\n") {
		if body, ok := strings.CutPrefix(line, "    "); ok {
			if len(out) == 0 {
				return nil, fmt.Errorf("script, line %d: input without a step", n+1)
			}
			out[len(out)-1].input += body + "\n"
			continue
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		st, err := readStep(line)
		if err != nil {
			return nil, fmt.Errorf("script, line %d: %w", n+1, err)
		}
		out = append(out, st)
	}
	return out, nil
}

func readStep(line string) (step, error) {
	var st step
	for len(line) > 0 && strings.ContainsRune("?~* ", rune(line[0])) {
		st.again = st.again || line[0] == '?'
		st.unordered = st.unordered || line[0] == '~'
		st.short = st.short || line[0] == '*'
		line = line[1:]
	}
	st.line = line
	var err error
	if st.words, err = compare.Split(line); err != nil {
		return st, err
	}
	if len(st.words) == 0 {
		return st, fmt.Errorf("marks without a step")
	}
	if name := st.words[0]; classes[name] == "" && directives[name] == nil {
		return st, fmt.Errorf("neither tool nor directive: %s", name)
	}
	return st, nil
}
