package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"penstock"
)

// Brokers have configuration that is changed while they run, kept here and not in their files: that of every broker,
// and that of one, which goes before it. Most of it are broker-wide defaults of topics, which count at once for every
// topic that does not say otherwise itself. The order is Kafka's: topic, this broker, every broker, the broker's file, the default.

// EveryBroker is the scope of what all brokers have; that of one broker is its number, as in Kafka's resource names.
const EveryBroker = ""

// BrokerScope is the scope of one broker.
func BrokerScope(id penstock.BrokerID) string { return strconv.Itoa(int(id)) }

// BrokerKey describes one configuration of brokers that can be changed while they run. Its Name is the broker's, Broker is empty.
type BrokerKey struct {
	Key
	Topic string // the topic configuration whose default it is; empty if it is the broker's own
}

// brokerSpec is a BrokerKey and what checks a value of it.
type brokerSpec struct {
	BrokerKey
	check func(value string) error
}

// The configurations of brokers, other than defaults of topics, that can be changed while they run.
const (
	BrokerAutoCreate = "auto.create.topics.enable"
	BrokerPartitions = "num.partitions"

	BrokerConns          = "max.connections"
	BrokerConnsPerIP     = "max.connections.per.ip"
	BrokerProducerExpiry = "producer.id.expiration.ms"
)

// brokerCatalog is sorted by name. It is built once.
var brokerCatalog = sync.OnceValue(func() []brokerSpec {
	own := func(name string, kind Kind, def, doc string, r rule) brokerSpec {
		k := Key{Name: name, Kind: kind, Default: def, Doc: doc, Valid: r.valid, Status: StatusHonoured}
		return brokerSpec{BrokerKey{k, ""}, func(v string) error { return r.set(&Settings{}, v) }}
	}
	list := []brokerSpec{
		own(BrokerAutoCreate, KindBool, "true", "Create a topic when a client asks for metadata of one that does not exist.", boolean(nil)),
		own(BrokerPartitions, KindInt, "1", "Partitions of a topic whose creator does not say.", long(1, MaxPartitions, nil)),
		own(BrokerConns, KindInt, "2147483647", "Most connections of a listener. Those that are open stay.", long(1, math.MaxInt32, nil)),
		own(BrokerConnsPerIP, KindInt, "2147483647", "Most connections of one address to a listener; the default is no limit. Those that are open stay.", long(1, math.MaxInt32, nil)),
		own(BrokerProducerExpiry, KindInt, "86400000", "A producer that has sent nothing for longer is forgotten, in milliseconds.", long(1, math.MaxInt32, nil)),
	}
	for _, s := range catalog() {
		if s.Broker == "" {
			continue
		}
		k := s.Key
		k.Name, k.Broker, k.Doc = s.Broker, "", "Default of the topics' "+s.Name+". "+s.Doc
		list = append(list, brokerSpec{BrokerKey{k, s.Name}, func(v string) error { return s.set(&Settings{}, v) }})
	}
	slices.SortFunc(list, func(a, b brokerSpec) int { return strings.Compare(a.Name, b.Name) })
	return list
})

// BrokerCatalog lists every configuration of brokers that can be changed while they run, by name. The slice is the caller's.
func BrokerCatalog() []BrokerKey {
	specs := brokerCatalog()
	out := make([]BrokerKey, len(specs))
	for i := range specs {
		out[i] = specs[i].BrokerKey
	}
	return out
}

// LookupBroker returns the entry of that name.
func LookupBroker(name string) (BrokerKey, bool) {
	if s := findBroker(name); s != nil {
		return s.BrokerKey, true
	}
	return BrokerKey{}, false
}

func findBroker(name string) *brokerSpec {
	specs := brokerCatalog()
	i, ok := slices.BinarySearchFunc(specs, name, func(s brokerSpec, n string) int { return strings.Compare(s.Name, n) })
	if !ok {
		return nil
	}
	return &specs[i]
}

// CheckBrokerConfigs reports all that is wrong with configuration of brokers; the error wraps ErrInvalidConfig.
func CheckBrokerConfigs(configs map[string]string) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		s := findBroker(name)
		if s == nil {
			faults = append(faults, unknownBroker(name))
			continue
		}
		if err := s.check(configs[name]); err != nil {
			faults = append(faults, fmt.Errorf("%s=%s: %w", name, clip(configs[name]), err))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", penstock.ErrInvalidConfig, &Faults{faults})
}

func unknownBroker(name string) error {
	var names []string
	for _, k := range brokerCatalog() {
		names = append(names, k.Name)
		if k.Topic == name {
			return fmt.Errorf("%s: it is a topic's; the broker-wide default is called %s", name, k.Name)
		}
	}
	if near := Nearest(name, names); near != "" {
		return fmt.Errorf("%s: no configuration of brokers that can be changed while they run; did you mean %s?", clip(name), near)
	}
	return fmt.Errorf("%s: no configuration of brokers that can be changed while they run", clip(name))
}

// scope is the configuration of one scope, and the revision of its last change.
type scope struct {
	values   map[string]string
	revision int64
}

// BrokerConfigs is what was set for a scope while brokers ran: EveryBroker, or one broker's number. It must not be changed.
func (i *Image) BrokerConfigs(name string) map[string]string { return i.configs[name].values }

// BrokerConfig is the value in force of a configuration that was set while brokers ran, for the broker of this store.
func (i *Image) BrokerConfig(name string) (value string, ok bool) {
	if value, ok = i.configs[i.self].values[name]; !ok {
		value, ok = i.configs[EveryBroker].values[name]
	}
	return value, ok
}

// CheckConfigs parses a topic's explicit configuration over the broker-wide defaults; see Parse.
func (i *Image) CheckConfigs(configs map[string]string) (Settings, error) {
	return Parse(configs, i.defaults)
}

// SetBrokerConfigs replaces what is set for a scope by what f makes of a copy of it; f may be called again after a
// conflict. An error of f is returned as it is. When it returns, the running partitions have the new defaults.
// Errors: ErrInvalidConfig, ErrConflict, ErrUnavailable.
func (s *Store) SetBrokerConfigs(ctx context.Context, name string, f func(map[string]string) (map[string]string, error)) error {
	key := configKey(name)
	if _, err := parseConfigKey(key); err != nil {
		return fmt.Errorf("%w: broker %q: want its number, or nothing for every broker", penstock.ErrInvalidConfig, clip(name))
	}
	for range maxTries {
		was := s.Image().configs[name]
		configs, err := f(cloneMap(was.values))
		if err != nil {
			return err
		}
		if err := CheckBrokerConfigs(configs); err != nil {
			return fmt.Errorf("broker %q: %w", name, err)
		}
		change := Change{Key: key}
		if len(configs) > 0 {
			change.Value = encode(configValue{version{valueVersion}, configs})
		}
		if len(change.Value) > maxValue {
			return fmt.Errorf("broker %q: %w: %d bytes, at most %d fit", name, penstock.ErrInvalidConfig, len(change.Value), maxValue)
		}
		ok, revision, err := s.engine.Commit(ctx, []Cond{{key, was.revision}}, []Change{change})
		if err != nil {
			return fmt.Errorf("configure broker %q: %w", name, unavailable(err))
		}
		if ok {
			return s.await(ctx, revision)
		}
		s.settled(ctx, revision)
	}
	return fmt.Errorf("configure broker %q: %w", name, penstock.ErrConflict)
}

// config takes over the configuration of a scope.
func (b *builder) config(c Change, revision int64) error {
	name, err := parseConfigKey(c.Key)
	if err != nil {
		return err
	}
	var values map[string]string
	if c.Value != nil {
		if values, err = decodeConfig(c.Value); err != nil {
			return err
		}
	}
	if !b.ownConfigs {
		b.next.configs, b.ownConfigs = cloneMap(b.next.configs), true
	}
	if c.Value == nil {
		delete(b.next.configs, name)
	} else {
		b.next.configs[name] = scope{values, revision}
	}
	b.redefault()
	return nil
}

// redefault works out the broker-wide defaults of topics, and gives every topic the settings that follow. A topic whose
// settings stay as they were stays the same pointer. A value that is not valid any more gives way to what lies under it.
func (b *builder) redefault() {
	defaults := maps.Clone(b.static)
	if defaults == nil {
		defaults = map[string]string{}
	}
	for _, name := range []string{EveryBroker, b.next.self} {
		for k, v := range b.next.configs[name].values {
			s := findBroker(k)
			if s == nil || s.check(v) != nil {
				b.log.Warn("configuration of brokers holds what is not valid now; it is left out", "broker", name, "key", k, "value", clip(v))
				continue
			}
			if s.Topic != "" {
				defaults[s.Topic] = v
			}
		}
	}
	b.next.defaults = defaults
	b.next.Defaults, _ = parse(nil, defaults)
	for id, t := range b.next.ids {
		settings, _ := parse(t.Configs, defaults)
		settings = settings.of(t.Format, t.Configs)
		if settings == t.Settings {
			continue
		}
		b.ownMaps()
		c := *t
		c.Settings = settings
		b.next.ids[id], b.next.topics[t.Name] = &c, &c
	}
}

// configValue is the configuration of a scope.
type configValue struct {
	version
	Configs map[string]string `json:"configs"`
}

// everyName stands for EveryBroker in a key.
const everyName = "default"

func configKey(name string) string {
	if name == EveryBroker {
		name = everyName
	}
	return prefixConfig + name
}

var errScope = errors.New("want default or the number of a broker")

func parseConfigKey(key string) (name string, err error) {
	name = strings.TrimPrefix(key, prefixConfig)
	if name == everyName {
		return EveryBroker, nil
	}
	id, err := strconv.ParseUint(name, 10, 31)
	if err != nil || configKey(BrokerScope(penstock.BrokerID(id))) != key {
		return "", fmt.Errorf("key %q: %w", key, errScope)
	}
	return name, nil
}

func decodeConfig(b []byte) (map[string]string, error) {
	var v configValue
	if err := decode(b, &v); err != nil {
		return nil, err
	}
	return v.Configs, nil
}
