package meta

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"penstock"
)

// NewTopic says what to create.
type NewTopic struct {
	Name       string
	ID         penstock.TopicID    // zero: a random one
	Format     penstock.Format     // unless Configs say otherwise
	Layout     penstock.Layout     // unless Configs say otherwise
	Partitions int                 // 1..MaxPartitions
	Replicas   []penstock.BrokerID // every partition's, leader first
	Configs    map[string]string
	Epoch      penstock.Epoch // of the first leader; more than 0 where there are records already, all of older epochs
}

// MaxPartitions bounds the partitions of one topic.
const MaxPartitions = 100_000

// CreateTopic creates a topic. With check it only says whether it could. Errors: ErrTopicExists, ErrInvalidTopic,
// ErrInvalidPartitions, ErrInvalidConfig, ErrUnavailable.
//
// It is one transaction whatever the number of partitions. Names that differ only in '.' and '_' exclude each other.
func (s *Store) CreateTopic(ctx context.Context, n NewTopic, check bool) (*Topic, error) {
	t, err := s.newTopic(n)
	if err != nil {
		return nil, err
	}
	value := encode(t.value())
	if len(value) > maxValue {
		return nil, fmt.Errorf("topic %q: %w: its configuration has %d bytes, at most %d fit", n.Name, penstock.ErrInvalidConfig, len(value), maxValue)
	}
	if s.Image().Topic(n.Name) != nil {
		return nil, fmt.Errorf("topic %q: %w", n.Name, penstock.ErrTopicExists)
	}
	if check {
		if err := s.nameFree(ctx, n.Name); err != nil {
			return nil, err
		}
		return t, nil
	}
	name := nameValue{version{valueVersion}, t.ID.Hex(), t.Name}
	conds := []Cond{{Key: nameKey(t.Name)}, {Key: topicKey(t.ID)}}
	changes := []Change{{nameKey(t.Name), encode(name)}, {topicKey(t.ID), value}, {Key: goneKey(t.ID)}}
	ok, revision, err := s.engine.Commit(ctx, conds, changes)
	if err != nil {
		return nil, fmt.Errorf("create topic %q: %w", n.Name, unavailable(err))
	}
	if !ok {
		if err := s.nameFree(ctx, n.Name); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("topic %q: %w: its id %v is taken", n.Name, penstock.ErrTopicExists, t.ID)
	}
	if err := s.await(ctx, revision); err != nil {
		return nil, fmt.Errorf("create topic %q: %w", n.Name, err)
	}
	if made := s.Image().TopicByID(t.ID); made != nil {
		return made, nil
	}
	t.Revision = revision // deleted again meanwhile
	return t, nil
}

// newTopic checks what was asked for and makes the topic of it.
func (s *Store) newTopic(n NewTopic) (*Topic, error) {
	settings, err := s.Image().CheckConfigs(n.Configs)
	n.Configs = cloneMap(n.Configs)
	n.choose()
	if err := CheckNameOf(n.Name, n.Format); err != nil {
		return nil, fmt.Errorf("create topic: %w", err)
	}
	if n.Partitions < 1 || n.Partitions > MaxPartitions {
		return nil, fmt.Errorf("topic %q: %w: %d, want 1 to %d", n.Name, penstock.ErrInvalidPartitions, n.Partitions, MaxPartitions)
	}
	if err := checkReplicas(n.Replicas); err != nil {
		return nil, fmt.Errorf("topic %q: %w: %w", n.Name, penstock.ErrInvalidPartitions, err)
	}
	if n.Epoch < 0 {
		return nil, fmt.Errorf("topic %q: %w: first epoch %d", n.Name, penstock.ErrInvalidPartitions, n.Epoch)
	}
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", n.Name, err)
	}
	t := &Topic{
		ID: n.ID, Name: n.Name, Format: n.Format, Layout: n.Layout, Configs: n.Configs,
		Settings: settings.of(n.Format, n.Configs), replicas: slices.Clone(n.Replicas), epoch: n.Epoch,
	}
	if t.ID.IsZero() {
		t.ID = randomID()
	}
	t.Partitions = make([]Partition, n.Partitions)
	for i := range t.Partitions {
		t.Partitions[i] = t.implied()
	}
	return t, nil
}

// randomID is a UUID of version 4. As in Kafka it never begins with a hyphen when printed, which tools take for an option.
func randomID() penstock.TopicID {
	var id penstock.TopicID
	for {
		_, _ = rand.Read(id[:]) // it never fails
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// nameFree says who has a name, or one that looks like it.
func (s *Store) nameFree(ctx context.Context, name string) error {
	key := nameKey(name)
	kvs, _, err := s.engine.Range(ctx, key)
	if err != nil {
		return fmt.Errorf("look up topic %q: %w", name, unavailable(err))
	}
	for _, kv := range kvs {
		if kv.Key != key {
			continue
		}
		_, holder, err := decodeName(kv.Value)
		if err == nil && holder != name {
			return fmt.Errorf("topic %q: %w: it collides with %q, from which it differs only in '.' and '_'", name, penstock.ErrInvalidTopic, holder)
		}
		return fmt.Errorf("topic %q: %w", name, penstock.ErrTopicExists)
	}
	return nil
}

// DeleteTopic deletes a topic. Errors: ErrUnknownTopicID, ErrUnavailable.
func (s *Store) DeleteTopic(ctx context.Context, id penstock.TopicID) error {
	for range maxTries {
		t := s.Image().TopicByID(id)
		if t == nil {
			return fmt.Errorf("topic %v: %w", id, penstock.ErrUnknownTopicID)
		}
		ok, revision, err := s.engine.Commit(ctx, []Cond{{topicKey(id), t.Revision}}, []Change{
			{Key: topicKey(id)}, {Key: nameKey(t.Name)},
			{goneKey(id), encode(goneValue{version{valueVersion}, t.holders()})},
		})
		if err != nil {
			return fmt.Errorf("delete topic %q: %w", t.Name, unavailable(err))
		}
		if !ok {
			s.settled(ctx, revision)
			continue
		}
		s.dropParts(ctx, t)
		if err := s.await(ctx, revision); err != nil {
			return fmt.Errorf("delete topic %q: %w", t.Name, err)
		}
		return nil
	}
	return fmt.Errorf("delete topic %v: %w", id, penstock.ErrConflict)
}

// holders lists the brokers that may have files of the topic.
func (t *Topic) holders() []penstock.BrokerID {
	out := slices.Clone(t.replicas)
	for n := range t.own {
		for _, b := range t.Partitions[n].Replicas {
			if !slices.Contains(out, b) && len(out) < maxReplicas {
				out = append(out, b)
			}
		}
	}
	return out
}

// dropParts deletes the partitions' own states after their topic. What stays is swept by the next Open.
func (s *Store) dropParts(ctx context.Context, t *Topic) {
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(t.own)), maxTransaction) {
		changes := make([]Change, len(chunk))
		for i, n := range chunk {
			changes[i].Key = partKey(t.ID, n)
		}
		if _, _, err := s.engine.Commit(ctx, nil, changes); err != nil {
			s.log.Warn("states of a deleted topic's partitions left over", "topic", t.Name, "error", err)
			return
		}
	}
}

// Removed tells that a broker has no files of a deleted topic any more; see Image.Gone. Errors: ErrUnavailable.
func (s *Store) Removed(ctx context.Context, id penstock.TopicID, b penstock.BrokerID) error {
	for range maxTries {
		g, ok := s.Image().gone[id]
		if !ok || !slices.Contains(g.brokers, b) {
			return nil
		}
		change := Change{Key: goneKey(id)}
		if rest := slices.DeleteFunc(slices.Clone(g.brokers), func(x penstock.BrokerID) bool { return x == b }); len(rest) > 0 {
			change.Value = encode(goneValue{version{valueVersion}, rest})
		}
		ok, revision, err := s.engine.Commit(ctx, []Cond{{goneKey(id), g.revision}}, []Change{change})
		if err != nil {
			return fmt.Errorf("forget topic %v: %w", id, unavailable(err))
		}
		s.settled(ctx, revision)
		if ok {
			return nil
		}
	}
	return fmt.Errorf("forget topic %v: %w", id, penstock.ErrConflict)
}

// SetConfigs replaces a topic's explicit configuration by what f makes of a copy of it; f may be called again after a
// conflict. What was chosen when the topic was created is not among it, and may only be said again as it is. An error of f is
// returned as it is. Errors: ErrUnknownTopicID, ErrInvalidConfig, ErrConflict, ErrUnavailable.
func (s *Store) SetConfigs(ctx context.Context, id penstock.TopicID, f func(map[string]string) (map[string]string, error)) error {
	for range maxTries {
		t := s.Image().TopicByID(id)
		if t == nil {
			return fmt.Errorf("topic %v: %w", id, penstock.ErrUnknownTopicID)
		}
		configs, err := f(cloneMap(t.Configs))
		if err != nil {
			return err
		}
		if err := t.TakeFixed(configs); err != nil {
			return fmt.Errorf("topic %q: %w", t.Name, err)
		}
		if _, err := s.Image().CheckConfigs(configs); err != nil {
			return fmt.Errorf("topic %q: %w", t.Name, err)
		}
		next := *t
		next.Configs = configs
		value := encode(next.value())
		if len(value) > maxValue {
			return fmt.Errorf("topic %q: %w: %d bytes, at most %d fit", t.Name, penstock.ErrInvalidConfig, len(value), maxValue)
		}
		ok, revision, err := s.engine.Commit(ctx, []Cond{{topicKey(id), t.Revision}}, []Change{{topicKey(id), value}})
		if err != nil {
			return fmt.Errorf("configure topic %q: %w", t.Name, unavailable(err))
		}
		if ok {
			return s.await(ctx, revision)
		}
		s.settled(ctx, revision)
	}
	return fmt.Errorf("configure topic %v: %w", id, penstock.ErrConflict)
}

// Elect raises the leader epoch of every partition that the broker leads, after an unclean start. Partitions without a
// state of their own are raised all at once, by their topic's key. Errors: ErrUnavailable, ErrConflict.
func (s *Store) Elect(ctx context.Context, b penstock.BrokerID) error {
	done := map[string]bool{}
	for range maxTries {
		reigns, err := s.reigns(b, done)
		if err != nil {
			return fmt.Errorf("elect broker %d: %w", b, err)
		}
		if len(reigns) == 0 {
			return nil
		}
		// A reign is one condition and one change.
		for chunk := range slices.Chunk(reigns, maxTransaction/2) {
			if err := s.begin(ctx, chunk, done); err != nil {
				return fmt.Errorf("elect broker %d: %w", b, err)
			}
		}
	}
	return fmt.Errorf("elect broker %d: %w", b, penstock.ErrConflict)
}

// reign is a key that raises an epoch.
type reign struct {
	cond   Cond
	change Change
}

// reigns lists what is to be raised for a broker, but for the keys in done.
func (s *Store) reigns(b penstock.BrokerID, done map[string]bool) ([]reign, error) {
	var out []reign
	var fault error
	s.Image().Topics(func(t *Topic) bool {
		if key := topicKey(t.ID); t.replicas[0] == b && len(t.own) < len(t.Partitions) && !done[key] {
			next := *t
			if next.epoch == math.MaxInt32 {
				fault = fmt.Errorf("topic %q: epoch %d: %w", t.Name, t.epoch, errBounds)
				return false
			}
			next.epoch++
			out = append(out, reign{Cond{key, t.Revision}, Change{key, encode(next.value())}})
		}
		for n, revision := range t.own {
			key := partKey(t.ID, n)
			if t.Partitions[n].Leader != b || done[key] {
				continue
			}
			p, err := t.Partitions[n].raised()
			if err != nil {
				fault = fmt.Errorf("topic %q partition %d: %w", t.Name, n, err)
				return false
			}
			out = append(out, reign{Cond{key, revision}, Change{key, encode(p.value())}})
		}
		return true
	})
	return out, fault
}

// begin raises all of chunk, or none after a conflict, and waits for the image.
func (s *Store) begin(ctx context.Context, chunk []reign, done map[string]bool) error {
	conds, changes := make([]Cond, len(chunk)), make([]Change, len(chunk))
	for i, r := range chunk {
		conds[i], changes[i] = r.cond, r.change
	}
	ok, revision, err := s.engine.Commit(ctx, conds, changes)
	if err != nil {
		return unavailable(err)
	}
	if !ok {
		s.settled(ctx, revision)
		return nil
	}
	for _, r := range chunk {
		done[r.cond.Key] = true
	}
	return s.await(ctx, revision)
}

// Register announces a broker, with a new epoch, which it returns. It returns when the image shows the broker.
// Errors: ErrConflict, ErrUnavailable.
func (s *Store) Register(ctx context.Context, b Broker) (epoch int64, err error) {
	if b.ID < 0 {
		return 0, fmt.Errorf("register broker %d: %w", b.ID, errBounds)
	}
	key := brokerKey(b.ID)
	for range maxTries {
		kv, err := s.get(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
		}
		epoch := int64(1)
		if kv.Value != nil {
			last, err := decodeBroker(key, kv.Value)
			if err != nil {
				return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
			}
			epoch = last.Epoch + 1
		}
		value := encode(brokerValue{version{valueVersion}, epoch, b.Rack, b.Endpoints})
		ok, revision, err := s.engine.Commit(ctx, []Cond{{key, kv.Revision}}, []Change{{key, value}})
		if err != nil {
			return 0, fmt.Errorf("register broker %d: %w", b.ID, unavailable(err))
		}
		if ok {
			return epoch, s.await(ctx, revision)
		}
	}
	return 0, fmt.Errorf("register broker %d: %w", b.ID, penstock.ErrConflict)
}

// ProducerIDs takes the next block of n producer ids, durably: no id is ever given twice. n is at least 1.
// Errors: ErrConflict, ErrUnavailable.
func (s *Store) ProducerIDs(ctx context.Context, n int) (first penstock.ProducerID, err error) {
	if n < 1 {
		return penstock.NoProducer, fmt.Errorf("take %d producer ids: %w", n, errBounds)
	}
	first, err = s.moveProducers(ctx, func(next penstock.ProducerID) (penstock.ProducerID, error) {
		if int64(next) > math.MaxInt64-int64(n) {
			return 0, errors.New("all have been given")
		}
		return next + penstock.ProducerID(n), nil
	})
	if err != nil {
		return penstock.NoProducer, fmt.Errorf("take producer ids: %w", err)
	}
	return first, nil
}

// SkipProducerIDs sees to it that no id up to last is given from now on: another cluster gave them, and its producers
// left records here. Errors: ErrConflict, ErrUnavailable.
func (s *Store) SkipProducerIDs(ctx context.Context, last penstock.ProducerID) error {
	_, err := s.moveProducers(ctx, func(next penstock.ProducerID) (penstock.ProducerID, error) {
		if last == math.MaxInt64 {
			return 0, errors.New("none is left")
		}
		return max(next, last+1), nil
	})
	if err != nil {
		return fmt.Errorf("skip producer ids up to %d: %w", last, err)
	}
	return nil
}

// moveProducers moves the next producer id to what f makes of it, and returns what it was.
func (s *Store) moveProducers(ctx context.Context, f func(next penstock.ProducerID) (penstock.ProducerID, error)) (penstock.ProducerID, error) {
	for range maxTries {
		kv, err := s.get(ctx, keyProducers)
		if err != nil {
			return 0, err
		}
		next := penstock.ProducerID(0)
		if kv.Value != nil {
			if next, err = decodeProducers(kv.Value); err != nil {
				return 0, err
			}
		}
		moved, err := f(next)
		if err != nil {
			return 0, err
		}
		value := encode(producersValue{version{valueVersion}, int64(moved)})
		ok, _, err := s.engine.Commit(ctx, []Cond{{keyProducers, kv.Revision}}, []Change{{keyProducers, value}})
		if err != nil {
			return 0, unavailable(err)
		}
		if ok {
			return next, nil
		}
	}
	return 0, penstock.ErrConflict
}

// get reads one key; a missing one is zero but for its name.
func (s *Store) get(ctx context.Context, key string) (KV, error) {
	kvs, _, err := s.engine.Range(ctx, key)
	if err != nil {
		return KV{}, unavailable(err)
	}
	for _, kv := range kvs {
		if kv.Key == key {
			return kv, nil
		}
	}
	return KV{Key: key}, nil
}
