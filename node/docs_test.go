package node

import (
	command "flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"penstock/meta"
)

var rewrite = command.Bool("rewrite", false, "write the documentation instead of comparing it")

const docsFile = "../docs/configuration.md"

// TestDocs compares docs/configuration.md with what the code knows of itself; -rewrite writes it.
func TestDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString(docsHead)
	docsOwn(&b)
	docsTopics(&b)
	docsAltered(&b)
	docsForeign(&b, "Kafka's broker keys", "Kafka 4.3", "Kafka", "--kafka-config", KafkaKeys())
	docsForeign(&b, "RocketMQ's broker keys", "RocketMQ 5.5.0", "RocketMQ", "--rocket-config", RocketKeys())
	if *rewrite {
		if err := os.WriteFile(docsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	have, want := strings.Split(string(is), "\n"), strings.Split(b.String(), "\n")
	for i := range max(len(have), len(want)) {
		h, w := at(have, i), at(want, i)
		if h != w {
			t.Fatalf("line %d of docs/configuration.md is not what the code says; go test ./node -run TestDocs -rewrite writes it:\n%s\n%s", i+1, h, w)
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

const docsHead = `# Configuration

Written from the code by ` + "`go test ./node -run TestDocs -rewrite`" + `; a test compares it.

A value comes from the first of these that has one:

1. a flag: those marked in the table, and ` + "`--set key=value`" + ` for every key;
2. an environment variable;
3. the YAML file that ` + "`--config`" + ` or ` + "`PENSTOCK_CONFIG`" + ` names, with dotted keys, nested ones, or both;
4. RocketMQ's ` + "`broker.conf`" + ` that ` + "`--rocket-config`" + ` or ` + "`PENSTOCK_ROCKET_CONFIG`" + ` names;
5. Kafka's ` + "`server.properties`" + ` that ` + "`--kafka-config`" + ` or ` + "`PENSTOCK_KAFKA_CONFIG`" + ` names;
6. the default.

` + "`penstock config print`" + ` shows every value with where it came from, and ` + "`penstock config check FILE...`" + ` finds everything that is wrong with
files before a broker has them. Sizes are bytes or have a unit (64KiB, 1GiB; units count by 1024), times are such as 500ms, 30s, 5m, 7d. Names
that are not known are faults, with what was probably meant.
`

// cell is text within a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// code is text in the fixed font, nothing if there is none.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func docsOwn(b *strings.Builder) {
	b.WriteString("\n## The broker's keys\n\n| key | default | flag | environment | meaning |\n|---|---|---|---|---|\n")
	topics := topicSettings()
	for i, k := range Keys() {
		if i == len(Keys())-len(topics) {
			b.WriteString("\nBroker-wide defaults of topics, by Kafka's names; [below](#topics) is what they do.\n\n" +
				"| key | default | environment | of the topics' |\n|---|---|---|---|\n")
		}
		if i >= len(Keys())-len(topics) {
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(k.Name), code(k.Default), code(EnvName(k.Name)), code(topicOf(k.Name)))
			continue
		}
		name := ""
		if k.Flag {
			name = "--" + FlagName(k.Name)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", code(k.Name), code(k.Default), code(name), code(EnvName(k.Name)), cell(k.Doc))
	}
}

func topicOf(broker string) string {
	for _, k := range meta.Catalog() {
		if k.Broker == broker {
			return k.Name
		}
	}
	return ""
}

func docsTopics(b *strings.Builder) {
	keys := meta.Catalog()
	counts := map[KafkaStatus]int{}
	for _, k := range keys {
		counts[KafkaStatus(k.Status)]++
	}
	fmt.Fprintf(b, "\n## Topics\n\nAll %d keys that a topic may have: %s. **Honoured** has its effect; **accepted** is checked, kept and shown, and\n"+
		"nothing has to be done; of **refused** only some values are served. Keys of this broker alone begin with `penstock.`.\n\n", len(keys), countText(counts))
	b.WriteString("| key | default | values | status | meaning |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", code(k.Name), code(k.Default), cell(k.Valid), k.Status, cell(strings.TrimSpace(k.Doc+" "+k.Why)))
	}
}

// restartsOnly are the honoured configurations that Kafka alters while a broker runs and this broker does not.
var restartsOnly = []string{"advertised.listeners", "listener.security.protocol.map", "listeners", "num.recovery.threads.per.data.dir"}

func docsAltered(b *strings.Builder) {
	keys := meta.BrokerCatalog()
	for _, name := range restartsOnly {
		if _, ok := meta.LookupBroker(name); ok {
			panic(name + " is altered while the broker runs: take it off restartsOnly")
		}
	}
	fmt.Fprintf(b, "\n## Altered while a broker runs\n\nThese %d of the brokers' keys are altered without a restart, for one broker or for all, by `penstock config set broker/1`, `kafka-configs --entity-type\n"+
		"brokers` and every client's IncrementalAlterConfigs. What was altered stays over restarts and goes before the broker's file; deleting it goes back to that. All\n"+
		"other keys count from the start on and are described as read-only. Of those that are honoured Kafka alters some while it runs and this broker does not: %s.\n\n",
		len(keys), strings.Join(restartsOnly, ", "))
	b.WriteString("| key | Kafka's default | values | status | meaning |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", code(k.Name), code(k.Default), cell(k.Valid), k.Status, cell(strings.TrimSpace(k.Doc+" "+k.Why)))
	}
}

// altersWhile says whether Kafka's key is altered while the broker runs, by its own name or by another.
func altersWhile(k KafkaKey) string {
	for _, name := range []string{k.Name, k.To} {
		if _, ok := meta.LookupBroker(name); ok {
			return choose(name == k.Name, "yes", "as "+code(name))
		}
	}
	return choose(k.Status == KafkaHonoured, "restart", "")
}

func choose(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func docsForeign(b *strings.Builder, head, version, system, flag string, keys []KafkaKey) {
	counts := map[KafkaStatus]int{}
	for _, k := range keys {
		counts[k.Status]++
	}
	fmt.Fprintf(b, "\n## %s\n\nWhat becomes of all %d keys that a broker of %s has, those that it does not document included, when `%s` reads\n"+
		"them: %s. **Honoured** sets a key of this broker, or is kept; **accepted** needs nothing here; **refused** asks for what is not\n"+
		"served: the start tells it, and where it would break a promise, such as encryption, access rights or a number of copies, the broker does\n"+
		"not start. Keys that no broker of %s has are told too; one that looks like a slip stops the start.", head, len(keys), version, flag, countText(counts), system)
	if system != "Kafka" {
		fmt.Fprintf(b, "\n\n| key | %s's default | status | sets | why |\n|---|---|---|---|---|\n", system)
	} else {
		b.WriteString(" **Altered** says of what is\nhonoured whether it can be altered while the broker runs.\n\n| key | Kafka's default | status | altered | sets | why |\n|---|---|---|---|---|---|\n")
	}
	for _, k := range keys {
		altered := ""
		if system == "Kafka" {
			altered = " | " + altersWhile(k)
		}
		fmt.Fprintf(b, "| %s | %s | %s%s | %s | %s |\n", code(k.Name), code(k.Default), k.Status, altered, code(k.To), cell(k.Why))
	}
}

func countText(n map[KafkaStatus]int) string {
	return fmt.Sprintf("%d honoured, %d accepted, %d refused", n[KafkaHonoured], n[KafkaAccepted], n[KafkaRefused])
}
