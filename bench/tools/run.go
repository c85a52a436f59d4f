package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"penstock/bench/broker"
	"penstock/bench/compare"
	"penstock/bench/screen"
)

const (
	// againFor is how long a step that only asks is asked again while the answers differ unexpectedly: both brokers tell of changes
	// a moment after they made them.
	againFor = 15 * time.Second
	// againEvery is the pause before it is asked again.
	againEvery = 200 * time.Millisecond
)

// outcome is what became of a step.
type outcome struct {
	step    step
	kafka   []string
	ours    []string
	changes []compare.Change
	bad     []compare.Change // those that no entry expects
}

// runCompare runs the script against both brokers.
func runCompare(ctx context.Context, b *bench) (_ string, err error) {
	table, err := compare.ReadDifferences(differencesText)
	if err != nil {
		return "", err
	}
	steps, err := readScript(scriptText)
	if err != nil {
		return "", err
	}
	if b.Short {
		steps = shortForm(steps)
	}
	kafka, ours, err := b.bothBrokers(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		ours.close()
		kafka.close()
		_ = kafka.br.Kill()
		b.Stop(ours.br, &err)
	}()
	j, err := startJVM([]string{b.jars}, b.Dir)
	if err != nil {
		return "", err
	}
	defer j.Close()
	c := &comparison{jvm: j, kafka: kafka, ours: ours, table: table}
	outcomes, err := c.all(ctx, steps)
	if err != nil {
		return "", err
	}
	return b.judge(outcomes, table)
}

func shortForm(steps []step) []step {
	var out []step
	for _, s := range steps {
		if s.short {
			out = append(out, s)
		}
	}
	return out
}

// bothBrokers starts Apache Kafka and penstock with the same broker id.
func (b *bench) bothBrokers(ctx context.Context) (kafka, ours *side, err error) {
	began := time.Now()
	files, data := filepath.Join(b.Dir, "files"), filepath.Join(b.Dir, "kafka")
	for _, d := range []string{files, data} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, nil, err
		}
	}
	apache, err := broker.StartApache(ctx, broker.ApacheOptions{
		Jars: b.jars, Data: data, Output: filepath.Join(b.Dir, "kafka.log"),
		Config: []string{"log.segment.delete.delay.ms=60000"}, // Kafka's own default again
	})
	if err != nil {
		return nil, nil, err
	}
	if kafka, err = newSide("Apache Kafka", apache, filepath.Join(data, "logs"), files, began); err != nil {
		_ = apache.Kill()
		return nil, nil, err
	}
	br, err := b.Start(ctx, "penstock", "--broker-id", "1")
	if err == nil {
		if ours, err = newSide("penstock", br, filepath.Join(b.Dir, "penstock"), files, began); err != nil {
			_ = br.Kill()
		}
	}
	if err != nil {
		kafka.close()
		_ = apache.Kill()
	}
	return kafka, ours, err
}

// comparison runs steps.
type comparison struct {
	jvm         *compare.JVM
	kafka, ours *side
	table       []*compare.Difference
}

func (c *comparison) all(ctx context.Context, steps []step) ([]outcome, error) {
	bar := screen.NewBar(int64(len(steps)), "Kafka's tools", false)
	defer bar.Close()
	var out []outcome
	for _, st := range steps {
		bar.Describe(st.words[0])
		if do := directives[st.words[0]]; do != nil {
			for _, s := range []*side{c.kafka, c.ours} {
				if err := do(ctx, s, st); err != nil {
					return out, fmt.Errorf("%s, %s: %w", s.name, st.line, err)
				}
			}
		} else {
			o, err := c.one(ctx, st)
			if err != nil {
				return out, err
			}
			out = append(out, o)
		}
		bar.Add(1)
	}
	return out, nil
}

// one runs a tool against both brokers, and again while they differ unexpectedly if it only asks.
func (c *comparison) one(ctx context.Context, st step) (outcome, error) {
	o := outcome{step: st}
	for began := time.Now(); ; {
		var err error
		if o.kafka, err = c.lines(ctx, c.kafka, st); err != nil {
			return o, err
		}
		if o.ours, err = c.lines(ctx, c.ours, st); err != nil {
			return o, err
		}
		o.changes, o.bad = compare.Lines(o.kafka, o.ours), nil
		for _, ch := range o.changes {
			if compare.Explain(c.table, st.line, ch, false) == nil {
				o.bad = append(o.bad, ch)
			}
		}
		if len(o.bad) == 0 || !st.again || time.Since(began) > againFor {
			break
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-time.After(againEvery):
		}
	}
	for _, ch := range o.changes {
		compare.Explain(c.table, st.line, ch, true)
	}
	return o, nil
}

// lines runs a tool against one broker.
func (c *comparison) lines(ctx context.Context, s *side, st step) ([]string, error) {
	args, err := s.arguments(ctx, st.words)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s.name, st.line, err)
	}
	r, err := c.jvm.Run(ctx, classes[st.words[0]], args, st.input)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s.name, st.line, err)
	}
	return normal(r, s.words, st.unordered), nil
}

// judge prints what is unexpected, writes the document, and says how it went.
func (b *bench) judge(outcomes []outcome, table []*compare.Difference) (string, error) {
	unexpected, same, lines := 0, 0, 0
	for _, o := range outcomes {
		lines += len(o.kafka)
		if len(o.changes) == 0 {
			same++
		}
		unexpected += len(o.bad)
		compare.Tell(os.Stdout, o.step.line, o.ours, o.changes, o.bad, b.verbose)
	}
	gone := 0
	if !b.Short {
		gone = compare.Unseen(os.Stdout, table)
	}
	if b.doc != "" && unexpected == 0 && !b.Short {
		if err := writeDoc(b.doc, outcomes, table); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("%d commands against Apache Kafka %s and penstock, %d lines: %d alike, %d with expected differences (%d kinds)",
		len(outcomes), broker.ApacheVersion, lines, same, len(outcomes)-same, len(table))
	if unexpected > 0 {
		return "", fmt.Errorf("%d lines differ unexpectedly (-: Kafka alone prints it, +: penstock alone). %s", unexpected, text)
	}
	if gone > 0 {
		text += fmt.Sprintf("; %d expected differences did not appear", gone)
	}
	return text, nil
}
