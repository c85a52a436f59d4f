package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/clients/drive"
	"penstock/bench/clients/spec"
	"penstock/bench/suite"
)

const (
	// installLimit bounds fetching and building all drivers.
	installLimit = 15 * time.Minute
	// answerLimit bounds the wait for a driver's answer to a command that ends by itself.
	answerLimit = 6 * time.Minute
	// closeLimit bounds the wait for a driver to end.
	closeLimit = 20 * time.Second
)

// row is a line of the table at the end.
type row struct {
	client, version, what, records, result string
}

// printRows prints the table of what was shown with which client.
func printRows(rows []row) {
	if len(rows) == 0 {
		return
	}
	head := row{"client", "version", "what", "records", "result"}
	var w [4]int
	for _, r := range append([]row{head}, rows...) {
		for i, s := range []string{r.client, r.version, r.what, r.records} {
			w[i] = max(w[i], len(s))
		}
	}
	fmt.Println()
	for _, r := range append([]row{head}, rows...) {
		fmt.Printf("%-*s  %-*s  %-*s  %*s  %s\n", w[0], r.client, w[1], r.version, w[2], r.what, w[3], r.records, r.result)
	}
}

// fleet installs the chosen clients once and returns those that can run. In the short form a client whose packages cannot be had is
// left out; it is a row of the table.
func (b *bench) fleet(ctx context.Context) ([]*drive.Client, error) {
	if b.asked2 {
		return b.clients, b.clientsErr
	}
	b.asked2 = true
	b.clients, b.clientsErr = b.install(ctx)
	return b.clients, b.clientsErr
}

func (b *bench) install(ctx context.Context) ([]*drive.Client, error) {
	in, err := drive.NewInstaller(b.Cache, b.sources)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	var out []*drive.Client
	var missing error
	for _, c := range drive.Clients() {
		if !b.wants(c) {
			continue
		}
		begin := time.Now()
		err := in.Install(ctx, c)
		switch {
		case err == nil:
			out = append(out, c)
			suite.Note("%s is ready after %.1f s", c.Name, time.Since(begin).Seconds())
		case errors.Is(err, drive.ErrMissing):
			b.rows = append(b.rows, row{c.Name, "", "", "", "NOT RUN"})
			suite.Note("NOT RUN %v", err)
			missing = errors.Join(missing, err)
		default:
			return nil, err
		}
	}
	if missing != nil && !b.Short {
		return nil, fmt.Errorf("%w: %w", suite.ErrCannotRun, missing)
	}
	return out, nil
}

// wants reports whether a client was chosen: by name, or all; old versions are left out of the short form.
func (b *bench) wants(c *drive.Client) bool {
	if b.only == "" {
		return !c.Old || !b.Short
	}
	return slices.Contains(strings.Split(b.only, ","), c.Name)
}

// checkOnly complains of names of clients that do not exist.
func (b *bench) checkOnly() error {
	if b.only == "" {
		return nil
	}
	var known []string
	for _, c := range drive.Clients() {
		known = append(known, c.Name)
	}
	for _, n := range strings.Split(b.only, ",") {
		if !slices.Contains(known, n) {
			return fmt.Errorf("unknown client %q: want some of %s", n, strings.Join(known, ","))
		}
	}
	return nil
}

// crewman is a running driver and what it said of itself.
type crewman struct {
	*drive.Driver
	info spec.Answer
}

// hire starts a driver and asks what it is.
func hire(ctx context.Context, c *drive.Client, events func(spec.Event)) (*crewman, error) {
	d, err := drive.Start(c, events)
	if err != nil {
		return nil, err
	}
	a, err := d.Do(ctx, spec.Command{Do: "info"})
	if err != nil {
		d.Kill()
		return nil, err
	}
	return &crewman{d, a}, nil
}

// dismiss ends a driver.
func (c *crewman) dismiss() {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	c.Close(ctx)
}

// do is Do with a limit of its own.
func (c *crewman) do(ctx context.Context, cmd spec.Command) (spec.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return c.Do(ctx, cmd)
}

// report adds a row to the table.
func (b *bench) report(c *crewman, what string, records int64, result string) {
	n := ""
	if records > 0 {
		n = count(int(records))
	}
	b.rows = append(b.rows, row{c.Client.Name, c.info.Version, what, n, result})
}

// read sums up a topic with franz-go, and counts the records by codec.
func read(ctx context.Context, addr, topic string, partitions int) ([]spec.Sum, map[string]int64, error) {
	sums, by := spec.NewSummer(partitions), map[string]int64{}
	err := goConsume(ctx, addr, topic, false, func(r *kgo.Record) error {
		got := spec.Record{Partition: int(r.Partition), Key: r.Key, Value: r.Value, Time: r.Timestamp.UnixMilli()}
		if len(r.Headers) > 0 {
			got.Header, got.HeaderValue = r.Headers[0].Key, r.Headers[0].Value
		}
		by[codecNames[r.Attrs.CompressionType()]]++
		return sums.Add(&got, r.Offset)
	})
	return sums.Sums(), by, err
}
