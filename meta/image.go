package meta

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"penstock"
)

// Gone lists the deleted topics whose files the broker may still have; see Store.Removed. The order is that of the ids.
func (i *Image) Gone(b penstock.BrokerID) []penstock.TopicID {
	var out []penstock.TopicID
	for id, g := range i.gone {
		if slices.Contains(g.brokers, b) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b penstock.TopicID) int { return strings.Compare(string(a[:]), string(b[:])) })
	return out
}

// gone is a deleted topic: the brokers that may have files of it.
type gone struct {
	brokers  []penstock.BrokerID
	revision int64
}

// builder makes the next image out of the last one. Published images are never changed: a map is copied when it is first
// changed, and a topic's partitions when the first of them is. What did not change is shared, so that whoever
// compares pointers sees at once what did.
type builder struct {
	last   *Image
	next   *Image
	static map[string]string // broker-wide defaults of topics from the broker's file, by catalogue key
	log    *slog.Logger

	ownTopics, ownBrokers, ownGone, ownConfigs bool                          // the maps of next are its own
	ownGroups, ownValues                       bool                          // and these
	touched                                    map[penstock.TopicID]struct{} // topics of next that are its own
}

func newBuilder(last *Image, static map[string]string, log *slog.Logger) *builder {
	next := *last
	return &builder{last: last, next: &next, static: static, log: log, touched: map[penstock.TopicID]struct{}{}}
}

// changed reports whether anything but the revision did.
func (b *builder) changed() bool {
	return b.ownTopics || b.ownBrokers || b.ownGone || b.ownConfigs || b.ownGroups || b.ownValues || b.next.ClusterID != b.last.ClusterID
}

// apply takes in what one transaction changed. A value that cannot be read leaves what was there: to go on with the old state
// is what losing the engine would mean, too.
func (b *builder) apply(u Update) {
	for _, c := range u.Changes {
		if err := b.change(c, u.Revision); err != nil {
			b.log.Error("metadata value ignored", "key", c.Key, "revision", u.Revision, "error", err)
		}
	}
	b.next.Revision = u.Revision
}

func (b *builder) change(c Change, revision int64) error {
	switch {
	case c.Key == keyCluster && c.Value != nil:
		id, err := decodeCluster(c.Value)
		if err == nil {
			b.next.ClusterID = id
		}
		return err
	case strings.HasPrefix(c.Key, prefixTopic):
		return b.topic(c, revision)
	case strings.HasPrefix(c.Key, prefixPart):
		return b.part(c, revision)
	case strings.HasPrefix(c.Key, prefixBroker):
		return b.broker(c)
	case strings.HasPrefix(c.Key, prefixConfig):
		return b.config(c, revision)
	case strings.HasPrefix(c.Key, prefixGone):
		return b.gone(c, revision)
	case strings.HasPrefix(c.Key, prefixGroup):
		return b.group(c, revision)
	case strings.HasPrefix(c.Key, prefixValues):
		return b.namespace(c, revision)
	}
	return nil
}

func (b *builder) broker(c Change) error {
	id, err := parseBrokerKey(c.Key)
	if err != nil {
		return err
	}
	var now *Broker
	if c.Value != nil {
		if now, err = decodeBroker(c.Key, c.Value); err != nil {
			return err
		}
	}
	if !b.ownBrokers {
		b.next.Brokers, b.ownBrokers = cloneMap(b.next.Brokers), true
	}
	if now == nil {
		delete(b.next.Brokers, id)
		return nil
	}
	b.next.Brokers[id] = now
	return nil
}

func (b *builder) gone(c Change, revision int64) error {
	id, err := parseHexID(strings.TrimPrefix(c.Key, prefixGone))
	if err != nil {
		return err
	}
	var brokers []penstock.BrokerID
	if c.Value != nil {
		if brokers, err = decodeGone(c.Value); err != nil {
			return err
		}
	}
	if !b.ownGone {
		b.next.gone, b.ownGone = cloneMap(b.next.gone), true
	}
	if c.Value == nil {
		delete(b.next.gone, id)
		return nil
	}
	b.next.gone[id] = gone{brokers, revision}
	return nil
}

// ownMaps makes the maps of topics next's own.
func (b *builder) ownMaps() {
	if !b.ownTopics {
		b.next.topics, b.next.ids, b.ownTopics = cloneMap(b.next.topics), cloneMap(b.next.ids), true
	}
}

func (b *builder) topic(c Change, revision int64) error {
	id, err := parseHexID(strings.TrimPrefix(c.Key, prefixTopic))
	if err != nil {
		return err
	}
	old := b.next.ids[id]
	if c.Value == nil {
		if old != nil {
			b.ownMaps()
			delete(b.next.ids, id)
			delete(b.next.topics, old.Name)
		}
		return nil
	}
	t, err := decodeTopic(c.Key, c.Value)
	if err != nil {
		return err
	}
	t.Revision = revision
	b.settle(t)
	if old != nil {
		t.own = old.own
		for n := range t.own {
			if n < len(t.Partitions) && n < len(old.Partitions) {
				t.Partitions[n] = old.Partitions[n]
			}
		}
	}
	b.ownMaps()
	if old != nil && old.Name != t.Name {
		delete(b.next.topics, old.Name)
	}
	b.next.ids[id], b.next.topics[t.Name] = t, t
	delete(b.touched, id)
	return nil
}

// settle parses the settings of a topic. What was valid when it was set may not be any more.
func (b *builder) settle(t *Topic) {
	s, faults := parse(t.Configs, b.next.defaults)
	t.Settings = s.of(t.Format, t.Configs)
	if len(faults) > 0 {
		b.log.Warn("configuration of a topic holds what is not valid now; defaults count instead",
			"topic", t.Name, "faults", (&Faults{faults}).Error())
	}
}

func (b *builder) part(c Change, revision int64) error {
	id, n, err := parsePartKey(c.Key)
	if err != nil {
		return err
	}
	t := b.next.ids[id]
	if t == nil || n >= len(t.Partitions) {
		return nil // left over from a deletion that did not finish
	}
	p := t.implied()
	if c.Value != nil {
		if p, err = decodePart(c.Value); err != nil {
			return err
		}
	}
	t = b.touch(t)
	t.Partitions[n] = p
	if c.Value == nil {
		delete(t.own, n)
		return nil
	}
	t.own[n] = revision
	return nil
}

// touch makes the partitions of a topic next's own.
func (b *builder) touch(t *Topic) *Topic {
	if _, ok := b.touched[t.ID]; ok {
		return t
	}
	b.ownMaps()
	c := *t
	c.Partitions, c.own = slices.Clone(t.Partitions), cloneMap(t.own)
	b.next.ids[c.ID], b.next.topics[c.Name] = &c, &c
	b.touched[c.ID] = struct{}{}
	return &c
}

// keep puts topics of last that did not change in the place of their equals, so that subscribers can tell by the pointer.
func (b *builder) keep(last *Image) {
	for id, t := range b.next.ids {
		old := last.ids[id]
		if old != nil && old.Revision == t.Revision && old.Settings == t.Settings && maps.Equal(old.own, t.own) {
			b.next.ids[id], b.next.topics[t.Name] = old, old
		}
	}
}

// load makes an image of everything that is stored. Unlike a change while running, a value that cannot be read is an
// error: to start without a topic would look like losing it. left are keys that a deletion left behind. Configuration of
// brokers sorts before the topics that it is for.
func load(kvs []KV, revision int64, self penstock.BrokerID, static map[string]string, log *slog.Logger) (img *Image, left []KV, err error) {
	b := newBuilder(emptyImage(self), static, log)
	b.redefault()
	var parts []KV
	for _, kv := range kvs {
		if strings.HasPrefix(kv.Key, prefixPart) {
			parts = append(parts, kv) // they need their topics, which sort behind them
			continue
		}
		if err := b.change(Change{kv.Key, kv.Value}, kv.Revision); err != nil {
			return nil, nil, fmt.Errorf("metadata key %q: %w", kv.Key, err)
		}
	}
	for _, kv := range parts {
		id, _, err := parsePartKey(kv.Key)
		if err == nil && b.next.ids[id] == nil {
			left = append(left, kv)
			continue
		}
		if err := b.change(Change{kv.Key, kv.Value}, kv.Revision); err != nil {
			return nil, nil, fmt.Errorf("metadata key %q: %w", kv.Key, err)
		}
	}
	b.next.Revision = revision
	return b.next, left, nil
}

func emptyImage(self penstock.BrokerID) *Image {
	return &Image{
		Brokers: map[penstock.BrokerID]*Broker{}, topics: map[string]*Topic{}, ids: map[penstock.TopicID]*Topic{},
		gone: map[penstock.TopicID]gone{}, configs: map[string]scope{}, self: BrokerScope(self),
		groups: map[string]*GroupConfig{}, values: map[string]namespace{},
	}
}

// cloneMap is maps.Clone that never returns nil.
func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
