package admin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
	"penstock/cli/clitest"
)

// family is the commands of this room as the program mounts them.
func family(e *cli.Env) []*cobra.Command {
	config := parent(&cobra.Command{Use: "config"}, ConfigCommands(e)...)
	return append(Commands(e), config)
}

// rig is a broker with the commands, and a client beside them.
type rig struct {
	*clitest.Cluster
	t     *testing.T
	admin *kadm.Client
	kgo   *kgo.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Cluster: clitest.Start(t, family, map[string]string{"auto.create.topics": "false"}), t: t}
	c, err := kgo.NewClient(kgo.SeedBrokers(r.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	r.kgo, r.admin = c, kadm.NewClient(c)
	t.Cleanup(c.Close)
	return r
}

func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), clitest.Patience)
	r.t.Cleanup(cancel)
	return ctx
}

// produce writes n records of a hundred bytes to a partition, a second apart from a time on.
func (r *rig) produce(topic string, partition int32, n int, from time.Time) {
	r.t.Helper()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: make([]byte, 100), Timestamp: from.Add(time.Duration(i) * time.Second)})
	}
	// One batch for each record, so that the look-up of a time can tell them apart.
	for _, rec := range records {
		if err := r.kgo.ProduceSync(r.ctx(), rec).FirstErr(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// commit commits offsets of the partitions 0, 1, ... of a topic; negative ones are left out.
func (r *rig) commit(group, topic string, offsets ...int64) {
	r.t.Helper()
	o := kadm.Offsets{}
	for p, at := range offsets {
		if at >= 0 {
			o.Add(kadm.Offset{Topic: topic, Partition: int32(p), At: at, LeaderEpoch: 0, Metadata: fmt.Sprintf("m%d", p)})
		}
	}
	if err := r.admin.CommitAllOffsets(r.ctx(), group, o); err != nil {
		r.t.Fatal(err)
	}
}

// committed is what a group has committed, as text: "topic:partition=offset/metadata ...".
func (r *rig) committed(group string) string {
	r.t.Helper()
	all, err := r.admin.FetchOffsets(r.ctx(), group)
	if err != nil {
		r.t.Fatal(err)
	}
	var words []string
	for _, o := range all.Sorted() {
		words = append(words, fmt.Sprintf("%s:%d=%d/%s", o.Topic, o.Partition, o.At, o.Metadata))
	}
	return strings.Join(words, " ")
}

// fails runs a command line that must fail with a code and words.
func (r *rig) fails(code int, words string, args ...string) {
	r.t.Helper()
	got := r.Run(r.ctx(), "", args...)
	if got.Code != code || got.Failure == nil || !strings.Contains(got.Failure.Error(), words) {
		r.t.Errorf("%s: exit code %d, %v; want %d and %q", strings.Join(args, " "), got.Code, got.Failure, code, words)
	}
}

// says runs a command line that must succeed and print words, each of them.
func (r *rig) says(words []string, args ...string) string {
	r.t.Helper()
	out := r.Do(r.t, args...)
	squeezed := strings.Join(strings.Fields(out), " ")
	for _, w := range words {
		if !strings.Contains(squeezed, w) {
			r.t.Errorf("%s does not say %q:\n%s", strings.Join(args, " "), w, out)
		}
	}
	return out
}

// completes is what the shell is offered, a line each.
func (r *rig) completes(args []string) string {
	r.t.Helper()
	got := clitest.Run(r.ctx(), family, "", args...)
	if got.Failure != nil {
		r.t.Fatalf("%v: %v", args, got.Failure)
	}
	out, _, _ := strings.Cut(got.Out, ":")
	return out
}

// member joins a group that reads a topic, and returns once it has partitions. It leaves when it is told, or the test ends.
func (r *rig) member(group, topic string) (leave func()) {
	r.t.Helper()
	assigned := make(chan struct{}, 16)
	c, err := kgo.NewClient(kgo.SeedBrokers(r.Addr), kgo.ClientID("reader"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			select {
			case assigned <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	select {
	case <-assigned:
	case <-r.ctx().Done():
		r.t.Fatal("the member gets no partitions")
	}
	return c.Close
}

// scratch is a name in a directory of the test's own.
func scratch(t *testing.T, name string) string {
	return filepath.Join(t.TempDir(), name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
