package meta

import (
	"errors"
	"fmt"
	"strings"

	"penstock"
)

// The configurations of a topic that are chosen when it is created and stay: its files are laid out by them. They are not among
// Topic.Configs but told by Topic.Layout and Topic.Format.
const (
	ConfigLayout = "penstock.layout"
	ConfigFormat = "penstock.format"
)

// The attributes that RocketMQ has of a topic.
const (
	ConfigPerm        = "rocketmq.perm"
	ConfigReadQueues  = "rocketmq.read.queues"
	ConfigWriteQueues = "rocketmq.write.queues"
	ConfigOrder       = "rocketmq.order"
	ConfigAttributes  = "rocketmq.attributes"
)

// The bits of rocketmq.perm (PermName).
const (
	PermInherit = 1 // topics that clients create take their queues from this one
	PermWrite   = 2
	PermRead    = 4
)

// maxAttributes bounds rocketmq.attributes, in bytes.
const maxAttributes = 4096

var errFixed = errors.New("it was chosen when the topic was created and stays")

// FormatOf is the format that a new topic's configuration asks for; records where it says nothing, or nothing that there is.
func FormatOf(configs map[string]string) penstock.Format {
	if configs[ConfigFormat] == penstock.FormatMessage.String() {
		return penstock.FormatMessage
	}
	return penstock.FormatRecord
}

// ParseLayout reads a value of penstock.layout.
func ParseLayout(v string) (penstock.Layout, error) {
	switch v {
	case penstock.LayoutSegment.String():
		return penstock.LayoutSegment, nil
	case penstock.LayoutCommit.String():
		return penstock.LayoutCommit, nil
	}
	return 0, errors.New("want segment or commit")
}

// Fixed is the value of one of the configurations that were chosen when the topic was created; ok is false for any other.
func (t *Topic) Fixed(name string) (value string, ok bool) {
	switch name {
	case ConfigLayout:
		return t.Layout.String(), true
	case ConfigFormat:
		return t.Format.String(), true
	}
	return "", false
}

// TakeFixed takes out of a configuration for the topic what was chosen when it was created. Saying it again is allowed, so that what a
// tool was shown may be sent back whole; to say anything else is an error, which wraps penstock.ErrInvalidConfig.
func (t *Topic) TakeFixed(configs map[string]string) error {
	for _, name := range []string{ConfigFormat, ConfigLayout} {
		has, _ := t.Fixed(name)
		if v, ok := configs[name]; ok && v != has {
			return fmt.Errorf("%w: %s=%s: %w: %s. Create another topic with it", penstock.ErrInvalidConfig, name, clip(v), errFixed, has)
		}
	}
	delete(configs, ConfigFormat)
	delete(configs, ConfigLayout)
	return nil
}

// choose takes layout and format out of a new topic's configuration, which was checked.
func (n *NewTopic) choose() {
	if v, ok := n.Configs[ConfigFormat]; ok {
		n.Format = FormatOf(map[string]string{ConfigFormat: v})
	}
	if l, err := ParseLayout(n.Configs[ConfigLayout]); err == nil {
		n.Layout = l
	}
	delete(n.Configs, ConfigFormat)
	delete(n.Configs, ConfigLayout)
}

// messageBytes is the largest stored message of a topic that does not say max.message.bytes, whose default is that of Kafka's batches: what RocketMQ's
// clients take in one frame. Its fronts hold producers to less.
const messageBytes = 16 << 20

// of are the settings as they hold for topics of a format. The time of a message is that of storing, whatever message.timestamp.type says of records.
func (s Settings) of(f penstock.Format, configs map[string]string) Settings {
	if f != penstock.FormatMessage {
		return s
	}
	s.AppendTime = true
	if _, said := configs["max.message.bytes"]; !said {
		s.MaxMessageBytes = messageBytes
	}
	return s
}

// Queues are the numbers of queues that RocketMQ's clients read and write of a topic: those configured, or all partitions.
func (t *Topic) Queues() (read, write int) {
	n := len(t.Partitions)
	read, write = t.Settings.ReadQueues, t.Settings.WriteQueues
	if read < 0 {
		read = n
	}
	if write < 0 {
		write = n
	}
	return min(read, n), min(write, n)
}

// fixedKeys are chosen once.
func fixedKeys() []spec {
	const doc = "Chosen when the topic is created, and never altered. "
	fixed := func(s spec) spec { s.Fixed = true; return s }
	return []spec{
		fixed(honour(ConfigLayout, KindString, "segment", "",
			doc+"How partitions lie on logs: segment is a log for each partition, as Kafka has it; commit is one log that many partitions share, as "+
				"RocketMQ has it. Where the creator does not say it, the broker's kafka.layout or, for the message format, rocket.layout counts.",
			rule{"segment, commit", func(_ *Settings, v string) error { _, err := ParseLayout(v); return err }})),
		fixed(honour(ConfigFormat, KindString, "record", "",
			doc+"What is stored: record is Kafka's batches, message is RocketMQ's messages. Clients of the other protocol get them converted.",
			oneOf(func(*Settings, string) {}, "record", "message"))),
	}
}

// rocketKeys are what RocketMQ keeps of a topic.
func rocketKeys() []spec {
	const queues = "Partitions that RocketMQ's clients %s, from the first on; -1 for all."
	return []spec{
		honour(ConfigPerm, KindInt, "6", "", "What RocketMQ's clients may do, as its perm: 4 is to read, 2 to write, 1 that topics made by clients take it as their pattern.",
			long(0, PermRead|PermWrite|PermInherit, func(s *Settings, n int64) { s.Perm = int(n) })),
		honour(ConfigReadQueues, KindInt, "-1", "", fmt.Sprintf(queues, "read"), long(-1, MaxPartitions, func(s *Settings, n int64) { s.ReadQueues = int(n) })),
		honour(ConfigWriteQueues, KindInt, "-1", "", fmt.Sprintf(queues, "write"), long(-1, MaxPartitions, func(s *Settings, n int64) { s.WriteQueues = int(n) })),
		honour(ConfigOrder, KindBool, "false", "", "Told to RocketMQ's clients: whether the topic's messages are ordered over brokers.",
			boolean(func(s *Settings, v bool) { s.Order = v })),
		honour(ConfigAttributes, KindString, "", "", "RocketMQ's attributes of the topic, as its tools send them: +name=value, separated by commas.",
			rule{fmt.Sprintf("at most %d bytes of +name=value, separated by commas", maxAttributes), attributes}),
	}
}

// attributes checks the form of RocketMQ's attributes (AttributeParser) and keeps them as they are.
func attributes(s *Settings, v string) error {
	if len(v) > maxAttributes {
		return fmt.Errorf("want at most %d bytes", maxAttributes)
	}
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	for pair := range strings.SplitSeq(v, ",") {
		name, _, ok := strings.Cut(pair, "=")
		if v != "" && (!ok || len(name) < 2 || name[0] != '+' || strings.ContainsFunc(pair, unprintable)) {
			return errors.New("want +name=value, separated by commas")
		}
	}
	s.Attributes = v
	return nil
}

// Attribute is the value of one of RocketMQ's attributes of a topic, "" if it has none of that name.
func (s *Settings) Attribute(name string) string {
	for pair := range strings.SplitSeq(s.Attributes, ",") {
		if n, v, _ := strings.Cut(pair, "="); n == "+"+name {
			return v
		}
	}
	return ""
}
