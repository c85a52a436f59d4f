package data

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// findFlags are the flags of find.
type findFlags struct {
	consumeFlags
	key, id, offsetID, at, http string
	scan                        bool
}

func newFind(e *cli.Env) *cobra.Command {
	f := &findFlags{}
	c := &cobra.Command{
		Use:   "find TOPIC",
		Short: "Print the records that have a key, an id, or a time",
		Long: `Prints the records of a topic, of either format, that have a key (--key; one of the keys of a message counts), a unique id (--id, the
header UNIQ_KEY of messages), an offset id (--offset-id, as RocketMQ's clients print it), or that are the first of each partition at a time or
later (--time).

Where the broker has an index of keys it is asked over HTTP (--http): messages in the commit layout always have one, other topics with the configuration
penstock.index.keys=true, of what was written since that was set. Where there is none, on other clusters, and with --scan, the topic is read
from --from to --until, which takes as long as that takes. A place is one of ` + placeForms + `.

A format (-f) contains ` + verbs + `. With -o json each record is a line of JSON. The exit code is 3 where nothing is found.`,
		Example: `  penstock find orders --key order-7
  penstock topic alter orders --set penstock.index.keys=true
  penstock find orders --key order-7 --from -2h --scan
  penstock find orders --id 7F0000010A2B18B4AAC2526D8F7B0000
  penstock find orders --time 2026-01-02T15:04:05Z -f '%p:%o\t%s\n'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.CompleteTopics(),
		RunE:              func(c *cobra.Command, args []string) error { return find(c.Context(), e, f, args[0]) },
	}
	fl := c.Flags()
	fl.StringVar(&f.key, "key", "", "`key` of the records")
	fl.StringVar(&f.id, "id", "", "unique `id` of the message")
	fl.StringVar(&f.offsetID, "offset-id", "", "offset `id` of the message, 32 or 56 hex digits")
	fl.StringVar(&f.at, "time", "", "the first record of each partition at that `place` or later")
	fl.StringVar(&f.from, "from", "start", "`place` to begin at")
	fl.StringVar(&f.until, "until", "", "`place` to stop before; default: the end")
	fl.Int64VarP(&f.count, "count", "n", 0, "stop after that `number` of records; 0: never")
	fl.StringVarP(&f.format, "format", "f", `%s\n`, "how a record is printed")
	fl.StringVar(&f.null, "null", "", "`text` printed for null")
	fl.StringVar(&f.http, "http", "127.0.0.1:8080", "the broker's http.listen `address`, which has the index")
	fl.BoolVar(&f.scan, "scan", false, "read the topic, and ask no index")
	return c
}

// check reads the values of the flags.
func (f *findFlags) check(now time.Time) error {
	asked := 0
	for _, s := range []string{f.key, f.id, f.offsetID, f.at} {
		if s != "" {
			asked++
		}
	}
	if asked != 1 {
		return cli.Usage("one of --key, --id, --offset-id and --time says what is looked for")
	}
	if f.at != "" {
		f.from = f.at
	}
	f.exit = f.until == ""
	return f.consumeFlags.check(nil, now)
}

// keep reports whether a record is what is looked for.
func (f *findFlags) keep(r *kgo.Record) bool {
	if f.key != "" && string(r.Key) == f.key {
		return true
	}
	for one := range bytes.SplitSeq(r.Key, []byte(" ")) {
		if f.key != "" && string(one) == f.key {
			return true
		}
	}
	for _, h := range r.Headers {
		if f.id != "" && h.Key == "UNIQ_KEY" && string(h.Value) == f.id {
			return true
		}
	}
	return false
}

func find(ctx context.Context, e *cli.Env, f *findFlags, topic string) error {
	if err := f.check(time.Now()); err != nil {
		return err
	}
	form, err := f.form(e)
	if err != nil {
		return err
	}
	s := &search{e: e, f: f, topic: topic, out: newPrinter(e.Stdout(), form)}
	switch {
	case f.at != "":
		err = s.firsts(ctx)
	case f.offsetID != "":
		err = s.position(ctx)
	case f.scan:
		err = s.read(ctx)
	default:
		err = s.index(ctx)
	}
	if err == nil && s.printed == 0 {
		none := &cli.Error{What: "nothing of topic " + topic + " was found", Code: cli.ExitNotFound}
		if s.asked {
			none.Next = "the index has what was written since it was switched on; --scan reads all of the topic"
		}
		return none
	}
	return err
}

// search is one look for records.
type search struct {
	e       *cli.Env
	f       *findFlags
	topic   string
	out     *printer
	printed int64
	asked   bool // the broker's index has answered
}

// read reads the topic and prints what is looked for.
func (s *search) read(ctx context.Context) error {
	r := &reader{e: s.e, f: &s.f.consumeFlags, topics: []string{s.topic}, out: s.out, parts: map[part]*progress{}, keep: s.f.keep}
	err := r.run(ctx)
	s.printed = r.printed
	return err
}

// spot is one place of the broker's answer.
type spot struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// errNoIndex says that nobody could be asked.
var errNoIndex = errors.New("no index")

// maxSpots bounds what the broker may answer.
const maxSpots = 1 << 20

// ask asks the broker's index.
func (s *search) ask(ctx context.Context, q url.Values) ([]spot, error) {
	ctx, cancel := s.e.Within(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.f.http+"/api/find?"+q.Encode(), nil)
	if err != nil {
		return nil, cli.Usage("--http %s: %v", s.f.http, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoIndex, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSpots))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoIndex, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s says %s: %s", errNoIndex, s.f.http, resp.Status, bytes.TrimSpace(b))
	}
	var found struct {
		Places []spot `json:"places"`
	}
	if err := json.Unmarshal(b, &found); err != nil {
		return nil, fmt.Errorf("%w: %s answers no places: %w", errNoIndex, s.f.http, err)
	}
	return found.Places, nil
}

// index looks for the key or id by the broker's index; without one the topic is read.
func (s *search) index(ctx context.Context) error {
	key := s.f.key + s.f.id
	q := url.Values{"topic": {s.topic}, "key": {key}}
	if !s.times(q) {
		return s.read(ctx)
	}
	spots, err := s.ask(ctx, q)
	if errors.Is(err, errNoIndex) {
		s.e.Remark("the topic is read: %v", err)
		return s.read(ctx)
	}
	if err != nil {
		return err
	}
	s.asked = true
	return s.show(ctx, spots, s.f.keep)
}

// times puts the places to begin and to stop into the question. It is false if they are none that an index knows.
func (s *search) times(q url.Values) bool {
	set := func(name string, p *place, edge placeKind) bool {
		if p.kind == atTime {
			q.Set(name, strconv.FormatInt(p.at.UnixMilli(), 10))
		}
		return p.kind == atTime || p.kind == edge
	}
	return set("from", &s.f.begin, atStart) && set("to", s.f.stop, atEnd)
}

// position looks for the message of an offset id: the address of the host that stored it, and its position there.
func (s *search) position(ctx context.Context) error {
	b, err := hex.DecodeString(s.f.offsetID)
	if err != nil || len(b) != 16 && len(b) != 28 {
		return cli.Usage("--offset-id %s: want 32 or 56 hex digits", s.f.offsetID)
	}
	at, _ := strconv.ParseUint(hex.EncodeToString(b[len(b)-8:]), 16, 64)
	spots, err := s.ask(ctx, url.Values{"topic": {s.topic}, "position": {strconv.FormatUint(at, 10)}})
	if err != nil {
		return cli.Fail("the message cannot be looked for", err, "--http is the address of the broker that stored it")
	}
	for _, p := range spots {
		if p.Topic != s.topic {
			return &cli.Error{What: fmt.Sprintf("the message is in topic %s, partition %d, at offset %d", p.Topic, p.Partition, p.Offset), Code: cli.ExitNotFound}
		}
	}
	return s.show(ctx, spots, nil)
}

// firsts prints the first record of each partition from the place on.
func (s *search) firsts(ctx context.Context) error {
	r := &reader{e: s.e, f: &s.f.consumeFlags, topics: []string{s.topic}, out: s.out, parts: map[part]*progress{}}
	var err error
	if r.adm, err = s.e.Admin(ctx); err != nil {
		return err
	}
	defer r.adm.Close()
	topics, err := r.find(ctx)
	if err != nil {
		return err
	}
	if _, err := r.plan(ctx, topics); err != nil {
		return err
	}
	var spots []spot
	for p, at := range r.parts {
		if stop, ok := r.stops[p]; !ok || at.at < stop {
			spots = append(spots, spot{p.topic, p.n, at.at})
		}
	}
	return s.show(ctx, spots, nil)
}

// show reads the records at the spots and prints those to keep; a nil keep keeps all.
func (s *search) show(ctx context.Context, spots []spot, keep func(*kgo.Record) bool) error {
	if len(spots) == 0 {
		return nil
	}
	cl, err := s.e.Client(kgo.FetchMaxBytes(fetchBytes), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, p := range spots {
		if s.f.count > 0 && s.printed >= s.f.count {
			break
		}
		r, err := s.one(ctx, cl, p)
		if err != nil {
			return err
		}
		if r == nil || keep != nil && !keep(r) {
			continue // gone meanwhile, or another key of the same hash
		}
		if err := s.out.print(r); err != nil {
			return cli.Fail("records cannot be printed", err, "")
		}
		s.printed++
	}
	return s.out.flush()
}

// one reads the first record at a spot or behind it; nil if it is gone.
func (s *search) one(ctx context.Context, cl *kgo.Client, p spot) (*kgo.Record, error) {
	ctx, cancel := s.e.Within(ctx)
	defer cancel()
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{p.Topic: {p.Partition: kgo.NewOffset().At(p.Offset)}})
	defer cl.RemoveConsumePartitions(map[string][]int32{p.Topic: {p.Partition}})
	for {
		fs := cl.PollRecords(ctx, 1)
		if rs := fs.Records(); len(rs) > 0 {
			return rs[0], nil
		}
		err := fs.Err()
		if errors.Is(err, kerr.OffsetOutOfRange) {
			return nil, nil
		}
		if err != nil {
			return nil, cli.Fail(fmt.Sprintf("offset %d of %s, partition %d, cannot be read", p.Offset, p.Topic, p.Partition), err, "")
		}
	}
}
