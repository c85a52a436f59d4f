package node_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/disk"
	"penstock/node"
)

// shared is a node with a topic on a shared log of small files, on a disk that is as full as the test says.
type shared struct {
	t      *testing.T
	n      *node.Node
	format string // "record" or "message"
	dir    string // of the store
	sent   int
	others atomic.Int64 // what others take of the disk, in files of the log; it has room for ten
}

const (
	sharedFile    = 4 << 20
	sharedBody    = 128 << 10
	sharedEntries = 16
)

func newShared(t *testing.T, format string, flags map[string]string) *shared {
	s := &shared{t: t, format: format}
	data := t.TempDir()
	s.dir = filepath.Join(data, "commit", format)
	all := map[string]string{
		"data": data, "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0",
		"commit.file.bytes": strconv.Itoa(sharedFile), "commit.warm": "false", "checkpoint.interval": "1s", "retention.interval": "1s",
		"rocket.index.slots": "100", "rocket.index.entries": "1000",
	}
	for k, v := range flags {
		all[k] = v
	}
	l, err := node.Load(node.Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	l.Config.SetQueueEntries(sharedEntries)
	l.Config.SetSpace(s.space)
	if s.n, err = node.Start(t.Context(), l.Config, slog.New(slog.NewTextHandler(testLog{t}, nil))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s.n) })
	layout, now := "commit", "0"
	configs := map[string]*string{"penstock.layout": &layout, "file.delete.delay.ms": &now}
	if format == "message" {
		configs["penstock.format"] = &format
	}
	if _, err := kadm.NewClient(client(t, s.n)).CreateTopic(within(t), 1, 1, configs, "orders"); err != nil {
		t.Fatal(err)
	}
	return s
}

// space is the room on the disk.
func (s *shared) space() (disk.Space, error) {
	const all = 10 * sharedFile
	used := min(all, (int64(len(s.files("log")))+s.others.Load())*sharedFile)
	return disk.Space{Total: all, Used: used, Free: all - used}, nil
}

// files are the places at which the files below a directory of the store begin.
func (s *shared) files(below string) (out []int64) {
	err := filepath.WalkDir(filepath.Join(s.dir, below), func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if at, err := strconv.ParseInt(e.Name(), 10, 64); err == nil && len(e.Name()) == 20 {
			out = append(out, at)
		}
		return nil
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) { // files go meanwhile
		s.t.Error(err)
	}
	return out
}

// send appends records, or messages, until there are n, of a time.
func (s *shared) send(n int, at time.Time) {
	s.t.Helper()
	c := client(s.t, s.n, kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer c.Close()
	r := dial(s.t, s.n.Info().Rocket)
	for ; s.sent < n; s.sent++ {
		body := fmt.Sprint(s.sent, " ") + strings.Repeat("x", sharedBody)
		if s.format == "message" {
			if got := r.put("orders", body); got != strconv.Itoa(s.sent) {
				s.t.Fatalf("message %d has offset %s", s.sent, got)
			}
			continue
		}
		got, err := c.ProduceSync(within(s.t), &kgo.Record{Topic: "orders", Timestamp: at, Value: []byte(body)}).First()
		if err != nil || got.Offset != int64(s.sent) {
			s.t.Fatalf("record %d: %+v, %v", s.sent, got, err)
		}
	}
}

// start is the first offset, in which clients of both protocols must agree.
func (s *shared) start() int64 {
	s.t.Helper()
	adm := kadm.NewClient(client(s.t, s.n))
	for {
		before := starts(s.t, adm, "orders")
		theirs := dial(s.t, s.n.Info().Rocket).ask(0, 31, "", "topic", "orders", "queueId", "0").ExtFields["offset"]
		if after := starts(s.t, adm, "orders"); after != before {
			continue // it moved between the questions
		}
		if theirs != strconv.FormatInt(before, 10) {
			s.t.Fatalf("the first offset is %d for Kafka's clients and %s for RocketMQ's", before, theirs)
		}
		return before
	}
}

// entry is the size of a queue's entry, one for each batch.
func (s *shared) entry() int64 { return map[string]int64{"record": 32, "message": 20}[s.format] }

// check demands that everything from the first offset on comes out, and that who asks for less is told where to go on.
func (s *shared) check(from int64) {
	s.t.Helper()
	c := client(s.t, s.n, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx := within(s.t)
	for at := from; at < int64(s.sent); {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			s.t.Fatalf("at %d of %d to %d: %v", at, from, s.sent, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset != at || !strings.HasPrefix(string(r.Value), fmt.Sprint(at, " ")) {
				s.t.Fatalf("record %d is %.10q, want %d", r.Offset, r.Value, at)
			}
			at++
		})
	}
	if from == 0 {
		return
	}
	a := dial(s.t, s.n.Info().Rocket).ask(21, 11, "", pull("orders", 0, 0)...)
	if want := strconv.FormatInt(from, 10); a.ExtFields["nextBeginOffset"] != want || a.ExtFields["minOffset"] != want {
		s.t.Errorf("a pull from 0 is told %v, want to go on at %s", a.ExtFields, want)
	}
}

// TestSharedLogRetention: what is too old, too much, or too much for the disk leaves a shared log in whole files, and its queues after; clients of both
// protocols see it. A file of the log holds 31 of the records.
func TestSharedLogRetention(t *testing.T) {
	const n = 100 // four files
	hourAgo, notNow := time.Now().Add(-time.Hour), strconv.Itoa((time.Now().Hour()+12)%24)
	config := func(s *shared, name, value string) {
		s.t.Helper()
		rs, err := kadm.NewClient(client(s.t, s.n)).AlterTopicConfigs(within(s.t), set(name, value), "orders")
		done(s.t, rs, err)
	}
	// A message's time is the broker's: all of them are too old at once.
	old := func(s *shared) {
		config(s, "retention.ms", map[string]string{"record": "60000", "message": "1"}[s.format])
	}
	for _, c := range []struct {
		why   string
		flags map[string]string
		do    func(s *shared)
		start map[string]int64 // the first offset then, by format
	}{
		{"time", nil, old, map[string]int64{"record": 31, "message": n}},
		{"size", nil, func(s *shared) { config(s, "retention.bytes", strconv.Itoa(sharedFile*3/2)) }, map[string]int64{"record": 31, "message": 31}},
		{"clean mark", map[string]string{"commit.delete.hours": notNow}, func(s *shared) {
			old(s)
			s.others.Store(5)
		}, map[string]int64{"record": 31, "message": 93}},
		{"force mark", map[string]string{"commit.disk.force": "85"}, func(s *shared) { s.others.Store(6) }, map[string]int64{"record": 62, "message": 62}},
	} {
		for _, format := range []string{"record", "message"} {
			t.Run(format+"/"+c.why, func(t *testing.T) {
				s, want := newShared(t, format, c.flags), c.start[format]
				s.send(60, hourAgo)
				s.send(n, time.Now())
				if at := s.start(); at != 0 || len(s.files("log")) != 4 {
					t.Fatalf("the first offset is %d of %d files with nothing too old", at, len(s.files("log")))
				}
				until(t, "a checkpoint has written the queue", func() bool { return len(s.files("queues")) == (n+sharedEntries-1)/sharedEntries })
				c.do(s)
				until(t, "old files are gone", func() bool {
					if at := s.start(); at == n && c.why == "clean mark" && format == "message" {
						want = n // the pass of retention was first: it takes what is in the last file too
					}
					return s.start() == want && s.files("queues")[0] == want/sharedEntries*sharedEntries*s.entry() && s.files("log")[0] == min(want/31, 3)*sharedFile
				})
				s.check(want)
				config(s, "retention.ms", "-1")
				s.others.Store(0)
				s.send(n+5, time.Now())
				if at := s.start(); at != want {
					t.Errorf("the first offset was %d and is %d", want, at)
				}
				s.check(want)
			})
		}
	}
}
