package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"penstock/bench/broker"
)

// peer starts what parts groups and admin are played against, the broker with these arguments, and returns how to end it. With
// -apache it is a real Apache Kafka with these lines of configuration: it shows that what is demanded is what Kafka does.
func (b *bench) peer(ctx context.Context, args, config []string) (*broker.Broker, func(*error), error) {
	if !b.apache {
		br, err := b.Start(ctx, "data", args...)
		return br, func(err *error) { b.Stop(br, err) }, err
	}
	if err := b.needJava(ctx); err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(b.Dir, "apache")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, err
	}
	k, err := broker.StartApache(ctx, broker.ApacheOptions{
		Jars: b.jars, Data: dir, Output: filepath.Join(b.Dir, "apache.log"), Config: config,
	})
	return k, func(err *error) { *err = errors.Join(*err, stopApache(k)) }, err
}
