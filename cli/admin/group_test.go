package admin

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
	"penstock/cli/clitest"
)

func TestGroups(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "3")
	r.produce("orders", 0, 10, time.Now().Add(-time.Hour))
	r.produce("orders", 1, 3, time.Now().Add(-time.Minute))
	r.commit("shop", "orders", 4, 3)
	r.commit("other", "orders", 0)

	var list []groupRow
	r.JSON(t, &list, "group", "list")
	if len(list) != 2 || list[1].Name != "shop" || list[1].State != "Empty" {
		t.Errorf("list: %+v", list)
	}
	r.JSON(t, &list, "group", "list", "s*", "--state", "empty,stable")
	if len(list) != 1 || list[0].Name != "shop" {
		t.Errorf("list of the empty: %+v", list)
	}
	r.JSON(t, &list, "group", "list", "--state", "Stable")
	if list == nil || len(list) != 0 {
		t.Errorf("list of the stable: %+v", list)
	}
	r.says([]string{"GROUP STATE PROTOCOL TYPE COORDINATOR other Empty"}, "group", "list")
	r.fails(cli.ExitUsage, "Did you mean Stable?", "group", "list", "--state", "stabel")

	var views []groupView
	r.JSON(t, &views, "group", "describe", "shop")
	if len(views) != 1 || views[0].State != "Empty" || views[0].Type != "classic" || views[0].LagRecords != 6 || len(views[0].Members) != 0 || len(views[0].Partitions) != 2 {
		t.Fatalf("describe: %+v", views)
	}
	p := views[0].Partitions[0]
	if p.Topic != "orders" || *p.Committed != 4 || *p.End != 10 || *p.LagRecords != 6 || p.Member != nil || p.Metadata != "m0" {
		t.Errorf("partition: %+v", p)
	}
	// The record at offset 4 is an hour less four seconds old.
	if p.LagSeconds == nil || *p.LagSeconds < 3590 || *p.LagSeconds > 3596+120 {
		t.Errorf("lag in seconds: %v, want about 3596", or(p.LagSeconds, "null"))
	}
	if q := views[0].Partitions[1]; *q.LagRecords != 0 || q.LagSeconds == nil || *q.LagSeconds != 0 {
		t.Errorf("partition without lag: %+v", q)
	}
	r.says([]string{"shop: Empty, 0 members, lag 6 records", "TOPIC PARTITION COMMITTED END LAG BYTES AGE MEMBER orders 0 4 10 6"}, "group", "describe", "shop")
	r.JSON(t, &views, "group", "describe", "shop", "--fast")
	if p := views[0].Partitions[0]; p.LagSeconds != nil || p.LagBytes != nil || *p.LagRecords != 6 {
		t.Errorf("--fast: %+v", p)
	}
	r.JSON(t, &views, "group", "describe")
	if len(views) != 2 || views[0].Group != "other" || views[0].LagRecords != 10 || views[0].LagSeconds == nil || *views[0].LagSeconds < 3600 {
		t.Errorf("all: %+v", views)
	}
	r.fails(cli.ExitNotFound, "group shp does not exist. Did you mean shop?", "group", "describe", "shp")

	// With a topic go its offsets, and in time the group that had no others; the command lives with what it meets.
	r.Do(t, "topic", "delete", "orders", "--yes")
	if got := r.Run(r.ctx(), "", "group", "describe", "shop"); got.Code != cli.ExitDone && got.Code != cli.ExitNotFound {
		t.Errorf("without the topic: %d %v", got.Code, got.Failure)
	}
}

func TestGroupSeek(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "3")
	began := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	r.produce("orders", 0, 10, began)
	r.produce("orders", 1, 5, began.Add(100*time.Second))
	r.commit("shop", "orders", 4, 5)

	at := began.Add(102 * time.Second)
	for _, c := range []struct {
		args []string
		to   []int64 // by partition of the answer
	}{
		{[]string{"--to", "earliest"}, []int64{0, 0}},
		{[]string{"--to", "latest"}, []int64{10, 5}},
		{[]string{"--to", at.UTC().Format(time.RFC3339)}, []int64{10, 2}},
		{[]string{"--to", began.Add(3 * time.Second).Format(time.RFC3339)}, []int64{3, 0}},
		{[]string{"--to", "-1h"}, []int64{10, 5}},
		{[]string{"--to", "-1d"}, []int64{0, 0}},
		{[]string{"--to", "now"}, []int64{10, 5}},
		{[]string{"--offset", "3"}, []int64{3, 3}},
		{[]string{"--offset", "8"}, []int64{8, 5}}, // no more than there is
		{[]string{"--by", "-2"}, []int64{2, 3}},
		{[]string{"--by", "-100"}, []int64{0, 0}},
		{[]string{"--by", "3"}, []int64{7, 5}},
		{[]string{"--to", "latest", "--topic", "orders:0"}, []int64{10}},
		{[]string{"--to", "latest", "--topic", "orders"}, []int64{10, 5, 0}},
		{[]string{"--to", "latest", "--topic", "orders:0,2", "--topic", "orders:1-2"}, []int64{10, 5, 0}},
	} {
		var v seekView
		r.JSON(t, &v, append([]string{"group", "seek", "shop"}, c.args...)...)
		if v.Applied || len(v.Partitions) != len(c.to) || v.UndoFile != "" {
			t.Errorf("%v: %+v", c.args, v)
			continue
		}
		for i, to := range c.to {
			if p := v.Partitions[i]; p.To == nil || *p.To != to {
				t.Errorf("%v: partition %d goes to %v, want %d", c.args, p.Partition, or(p.To, "null"), to)
			}
		}
	}
	if got := r.committed("shop"); got != "orders:0=4/m0 orders:1=5/m1" {
		t.Errorf("a preview changed what is committed: %s", got)
	}
	var v seekView
	r.JSON(t, &v, "group", "seek", "shop", "--by", "-2")
	if v.Again != 4 || v.Skipped != 0 || *v.Partitions[0].Change != -2 || v.State != "Empty" {
		t.Errorf("counts: %+v", v)
	}
	r.says([]string{"orders 0 4 10 +6 0 10", "0 records would be read again, 6 left out. --apply does it"}, "group", "seek", "shop", "--to", "latest", "--topic", "orders:0")

	r.fails(cli.ExitUsage, "want one of --to", "group", "seek", "shop")
	r.fails(cli.ExitUsage, "want one of --to", "group", "seek", "shop", "--to", "latest", "--by", "1")
	r.fails(cli.ExitUsage, "want earliest, latest, or a time", "group", "seek", "shop", "--to", "latst")
	r.fails(cli.ExitUsage, "For an offset use --offset 100", "group", "seek", "shop", "--to", "100")
	r.fails(cli.ExitUsage, "--by goes back", "group", "seek", "shop", "--offset", "-3")
	r.fails(cli.ExitNotFound, "Did you mean shop?", "group", "seek", "shup", "--to", "latest")
	r.fails(cli.ExitNotFound, "Did you mean orders?", "group", "seek", "shop", "--to", "latest", "--topic", "order")
	r.fails(cli.ExitNotFound, "no partition 3", "group", "seek", "shop", "--to", "latest", "--topic", "orders:3")
	r.fails(cli.ExitFailed, "nothing is committed to count from", "group", "seek", "shop", "--by", "1", "--topic", "orders")
}

// TestUndo moves offsets, deletes them and the group, and takes each back: what is committed is the same to the last letter.
func TestUndo(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "3")
	r.Do(t, "topic", "create", "payments", "--partitions", "1")
	r.produce("orders", 0, 10, time.Now())
	r.produce("orders", 1, 5, time.Now())
	r.commit("shop", "orders", 4, 5)
	r.commit("shop", "payments", 0)
	before := r.committed("shop")

	for _, c := range []struct {
		args  []string
		after string
	}{
		{[]string{"group", "seek", "shop", "--to", "earliest", "--topic", "orders"}, "orders:0=0/ orders:1=0/ orders:2=0/ payments:0=0/m0"},
		{[]string{"group", "forget", "shop", "--topic", "orders:0", "--topic", "payments"}, "orders:1=5/m1"},
		{[]string{"group", "delete", "shop"}, ""},
	} {
		undo := scratch(t, "undo.json")
		r.Do(t, c.args...)
		if got := r.committed("shop"); got != before || exists(undo) {
			t.Fatalf("%v: the preview left %s", c.args, got)
		}
		out := r.says([]string{"To take it back: penstock group seek shop --from " + undo + " --apply"}, append(c.args, "--apply", "--undo", undo)...)
		if got := r.committed("shop"); got != c.after {
			t.Errorf("%v: committed is %s, want %s\n%s", c.args, got, c.after, out)
		}
		// The same file is not written over, and then nothing is changed.
		if c.args[1] != "delete" {
			now := r.committed("shop")
			r.fails(cli.ExitFailed, "nothing was changed", "group", "seek", "shop", "--to", "latest", "--apply", "--undo", undo)
			if got := r.committed("shop"); got != now {
				t.Errorf("without an undo file: %s", got)
			}
		}
		r.Do(t, "group", "seek", "shop", "--from", undo)
		if got := r.committed("shop"); got != c.after {
			t.Errorf("%v: the preview of the way back left %s", c.args, got)
		}
		var v seekView
		r.JSON(t, &v, "group", "seek", "shop", "--from", undo, "--apply", "--undo", scratch(t, "again.json"))
		if got := r.committed("shop"); got != before || !v.Applied {
			t.Errorf("%v taken back: %s, want %s", c.args, got, before)
		}
	}
	r.fails(cli.ExitNotFound, "group other does not exist", "group", "delete", "other")
	r.fails(cli.ExitNotFound, "has committed nothing there", "group", "forget", "shop", "--topic", "nothing")
	r.fails(cli.ExitUsage, "want --topic", "group", "forget", "shop")
}

// TestUndoFile reads files that are no undo files, and one by another group's name.
func TestUndoFile(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "2")
	r.produce("orders", 0, 3, time.Now())
	write := func(text string) string {
		name := scratch(t, "undo.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for text, words := range map[string]string{
		"hello":                             "is no undo file",
		`{"version": 2}`:                    "this program reads 1",
		`{"version": 1, "group": "a"}`:      "no offsets",
		`{"version": 1, "offsets": [{}]}`:   "want both",
		`{"version": 1, "offsets": ["x"]}`:  "is no undo file",
		`{"version": 1, "offsets": {"a":1}`: "is no undo file",
		`{"version": 1, "offsets": [{"topic": "a", "partition": 0, "offset": -5}]}`:                      "want 0 or more, or null",
		`{"version": 1, "offsets": [{"topic": "a", "partition": 0}, {"topic": "a", "partition": 0}]}`:    "stands twice",
		`{"version": 1, "offsets": [{"topic": "a", "partition": 3000000000}]}`:                           "is no undo file",
		`{"version": 1, "offsets": [{"topic": "a", "partition": 0, "offset": 99999999999999999999999}]}`: "is no undo file",
	} {
		r.fails(cli.ExitUsage, words, "group", "seek", "shop", "--from", write(text))
	}
	r.fails(cli.ExitFailed, "cannot be read", "group", "seek", "shop", "--from", scratch(t, "missing.json"))

	// Topics that are gone are left out; offsets that are gone are told; another group may take over.
	file := write(`{"version": 1, "group": "shop", "offsets": [
		{"topic": "gone", "partition": 0, "offset": 1, "leader_epoch": -1},
		{"topic": "orders", "partition": 0, "offset": 2, "leader_epoch": -1, "metadata": "x"},
		{"topic": "orders", "partition": 1, "offset": 9, "leader_epoch": -1}]}`)
	got := r.Run(r.ctx(), "", "group", "seek", "copy", "--from", file, "--apply", "--undo", scratch(t, "undo.json"), "-o", "json")
	var v seekView
	if err := json.Unmarshal([]byte(got.Out), &v); err != nil || got.Code != 0 {
		t.Fatalf("%v %v\n%s", got.Failure, err, got.Out)
	}
	if len(v.Partitions) != 2 || !strings.Contains(v.Partitions[1].Note, "auto.offset.reset") || v.Partitions[0].Note != "" {
		t.Errorf("from a file: %+v", v)
	}
	for _, words := range []string{"topic gone, partition 0, is gone", "those of group shop", "does not exist yet"} {
		if !strings.Contains(got.Err, words) {
			t.Errorf("it does not say %q: %s", words, got.Err)
		}
	}
	if got := r.committed("copy"); got != "orders:0=2/x orders:1=9/" {
		t.Errorf("committed: %s", got)
	}
}

// TestUndoName keeps names of groups from choosing a path.
func TestUndoName(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC)
	for group, want := range map[string]string{
		"shop":                   "undo-shop-20260131T120000.005.json",
		"../../etc/passwd":       "undo-_.._etc_passwd-20260131T120000.005.json",
		"ä b":                    "undo-__b-20260131T120000.005.json",
		strings.Repeat("x", 500): "undo-" + strings.Repeat("x", 100) + "-20260131T120000.005.json",
	} {
		if got := undoName(group, now); got != want {
			t.Errorf("%q: %s, want %s", group, got, want)
		}
	}
}

// TestConsumerGroup shows a group of KIP-848 in the same words as a classic one.
func TestConsumerGroup(t *testing.T) {
	instance := "i1"
	g := consumerGroup(&kadm.DescribedConsumerGroup{
		Group: "shop", State: "Reconciling", AssignorName: "uniform", Coordinator: kadm.BrokerDetail{NodeID: 3},
		Members: []kadm.ConsumerGroupMember{
			{MemberID: "m1", InstanceID: &instance, ClientID: "c1", ClientHost: "/10.0.0.1", Assignment: kadm.TopicsSet{"orders": {1: {}, 0: {}}, "a": {2: {}}}},
			{MemberID: "m2", ClientID: "c2", ClientHost: "/10.0.0.2"},
		},
	})
	if g.kind != "consumer" || g.protocol != "uniform" || g.coordinator.NodeID != 3 || !g.active() || len(g.members) != 2 {
		t.Errorf("group: %+v", g)
	}
	if want := "2 members: i1 at 10.0.0.1, c2 at 10.0.0.2"; g.who() != want {
		t.Errorf("who: %s, want %s", g.who(), want)
	}
	places := []place{{"a", 2}, {"orders", 0}, {"orders", 1}}
	if got := g.places(); !slices.Equal(got, places) || g.owners()[places[2]] != "m1" {
		t.Errorf("places: %v, owners: %v", got, g.owners())
	}
	if m := g.members[1]; m.Assigned == nil || m.InstanceID != "" {
		t.Errorf("member: %+v", m)
	}
	if g := (group{state: "Empty"}); g.active() || g.busy("x") != nil {
		t.Error("an empty group is said to be active")
	}
	if g := (group{name: "shop", state: "PreparingRebalance"}); !g.active() || !strings.Contains(g.busy("no").Error(), "it is PreparingRebalance") {
		t.Errorf("a group between generations: %v", g.busy("no"))
	}
}

// TestActiveGroup shows a group that is in use, and refuses to change it.
func TestActiveGroup(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "2")
	r.commit("shop", "orders", 0)
	leave := r.member("shop", "orders")

	var views []groupView
	r.JSON(t, &views, "group", "describe", "shop")
	v := views[0]
	if v.State != "Stable" || v.ProtocolType != "consumer" || len(v.Members) != 1 || v.Members[0].Client != "reader" || v.Members[0].Host == "" {
		t.Fatalf("describe: %+v", v)
	}
	if a := v.Members[0].Assigned; len(a) != 1 || a[0].Topic != "orders" || len(a[0].Partitions) != 2 {
		t.Errorf("assigned: %+v", a)
	}
	if len(v.Partitions) != 2 || v.Partitions[1].Committed != nil || v.Partitions[1].LagRecords != nil || v.Partitions[1].Member == nil || *v.Partitions[1].Member != v.Members[0].ID {
		t.Errorf("partitions: %+v", v.Partitions)
	}
	r.says([]string{"MEMBER INSTANCE CLIENT HOST PARTITIONS", "reader 127.0.0.1 orders:0,1"}, "group", "describe", "shop")

	got := r.Run(r.ctx(), "", "group", "seek", "shop", "--to", "latest")
	if got.Code != 0 || !strings.Contains(got.Err, "--apply would be refused now") {
		t.Errorf("preview: %d %s", got.Code, got.Err)
	}
	undo := scratch(t, "undo.json")
	for _, args := range [][]string{{"seek", "shop", "--to", "latest"}, {"delete", "shop"}, {"forget", "shop", "--topic", "orders"}} {
		r.fails(cli.ExitFailed, "in use: 1 member: reader at 127.0.0.1", append(append([]string{"group"}, args...), "--apply", "--undo", undo)...)
	}
	if exists(undo) || r.committed("shop") != "orders:0=0/m0" {
		t.Error("something was changed all the same")
	}
	leave()
	r.Do(t, "group", "delete", "shop", "--apply", "--undo", undo)
}

// TestCompletion asks as a shell does.
func TestCompletion(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "other")
	r.commit("shop", "orders", 0)
	for _, c := range []struct{ line, want string }{
		{"topic describe or", "orders\n"},
		{"group seek sh", "shop\n"},
		{"group seek shop ", ""},
		{"group seek shop --topic o", "orders\nother\n"},
		{"config get topic/or", "topic/orders\n"},
		{"config get b", "topic/\nbroker/\nbrokers\n"},
		{"config set topic/orders retention.m", "retention.ms=\n"},
		{"config get topic/orders segment.m", "segment.ms\n"},
		{"config unset brokers log.retention.m", "log.retention.ms\n"},
		{"config get topic/nothing a", ""},
		{"topic alter orders --set retention.m", "retention.ms=\n"},
		{"group seek shop --to e", "earliest\nlatest\nnow\n"},
		{"group list --state ", strings.Join(states, "\n") + "\n"},
	} {
		words := strings.Split(c.line, " ")
		// The address goes before what is completed: that is what the shell's user has typed.
		args := append([]string{"__complete"}, words[0], words[1], "--brokers", r.Addr)
		// A cluster that does not answer within two seconds offers nothing, and a busy machine may be as slow.
		out := r.completes(append(args, words[2:]...))
		for began := time.Now(); out != c.want && time.Since(began) < clitest.Patience/2; {
			out = r.completes(append(args, words[2:]...))
		}
		if out != c.want {
			t.Errorf("%s: %q, want %q", c.line, out, c.want)
		}
	}
}
