package meta

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"penstock"
)

// A name server of RocketMQ keeps pairs of keys and values for its clients, by namespace (KVConfigManager). Here they are part of the cluster's truth.

// Bounds of what is kept so.
const (
	MaxNamespaces    = 64
	MaxValues        = 1000 // in one namespace
	maxValueName     = 255  // of a namespace or a key, in bytes
	maxNamespaceSize = 256 << 10
)

// namespace is what is kept under one name.
type namespace struct {
	values   map[string]string
	revision int64
}

// Values are the pairs of a namespace. They must not be changed.
func (i *Image) Values(namespace string) map[string]string { return i.values[namespace].values }

// SetValue sets a pair of a namespace; with a nil value it deletes it. Errors: ErrInvalidConfig, ErrConflict, ErrUnavailable.
func (s *Store) SetValue(ctx context.Context, name, key string, value *string) error {
	for _, n := range []string{name, key} {
		if n == "" || len(n) > maxValueName {
			return fmt.Errorf("%w: namespace and key have 1 to %d bytes", penstock.ErrInvalidConfig, maxValueName)
		}
	}
	at := prefixValues + url.PathEscape(name)
	for range maxTries {
		img := s.Image()
		was, there := img.values[name]
		next := cloneMap(was.values)
		if value == nil {
			delete(next, key)
		} else {
			next[key] = *value
		}
		if !there && len(img.values) >= MaxNamespaces || len(next) > MaxValues {
			return fmt.Errorf("%w: at most %d namespaces of %d keys are kept; delete some", penstock.ErrInvalidConfig, MaxNamespaces, MaxValues)
		}
		change := Change{Key: at}
		if len(next) > 0 {
			change.Value = encode(namespaceValue{version{valueVersion}, next})
		}
		if len(change.Value) > maxNamespaceSize {
			return fmt.Errorf("%w: namespace %q would have %d bytes, at most %d are kept", penstock.ErrInvalidConfig, name, len(change.Value), maxNamespaceSize)
		}
		ok, revision, err := s.engine.Commit(ctx, []Cond{{at, was.revision}}, []Change{change})
		if err != nil {
			return fmt.Errorf("set %q in namespace %q: %w", key, name, unavailable(err))
		}
		if ok {
			return s.await(ctx, revision)
		}
		s.settled(ctx, revision)
	}
	return fmt.Errorf("set %q in namespace %q: %w", key, name, penstock.ErrConflict)
}

// namespaceValue is what a namespace is stored as.
type namespaceValue struct {
	version
	Values map[string]string `json:"values"`
}

// namespace takes over what is kept in a namespace.
func (b *builder) namespace(c Change, revision int64) error {
	name, err := url.PathUnescape(strings.TrimPrefix(c.Key, prefixValues))
	if err != nil {
		return err
	}
	var v namespaceValue
	if c.Value != nil {
		if err := decode(c.Value, &v); err != nil {
			return err
		}
	}
	if !b.ownValues {
		b.next.values, b.ownValues = cloneMap(b.next.values), true
	}
	if c.Value == nil {
		delete(b.next.values, name)
		return nil
	}
	b.next.values[name] = namespace{v.Values, revision}
	return nil
}
