package admin

import (
	"testing"
	"time"

	"penstock/cli"
)

// TestTopicSizes asks where the cluster tells the sizes of logs.
func TestTopicSizes(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "2")
	r.produce("orders", 1, 5, time.Now())
	var views []topicView
	r.JSON(t, &views, "topic", "describe", "orders")
	p := views[0].Partitions
	if p[0].Bytes == nil || *p[0].Bytes != 0 || p[1].Bytes == nil || *p[1].Bytes < 500 || views[0].Bytes == nil || *views[0].Bytes != *p[1].Bytes {
		t.Fatalf("sizes: %v, of the partitions %v and %v", or(views[0].Bytes, "null"), or(p[0].Bytes, "null"), or(p[1].Bytes, "null"))
	}
	r.says([]string{"5 records, " + cli.Bytes(*views[0].Bytes)}, "topic", "describe", "orders")
}

func TestTopicTrim(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "2")
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	r.produce("orders", 0, 10, began)
	r.produce("orders", 1, 4, began)
	before := began.Add(6 * time.Second).Format(time.RFC3339)

	var v trimView
	r.JSON(t, &v, "topic", "trim", "orders", "--before", before)
	if v.Applied || v.Records != 10 || len(v.Partitions) != 2 || v.Partitions[0].To != 6 || v.Partitions[1].To != 4 {
		t.Errorf("preview by time: %+v", v)
	}
	r.says([]string{"0 0 10 3 3", "3 records would be deleted for good. --apply does it"}, "topic", "trim", "orders:0", "--offset", "3")
	var views []topicView
	r.JSON(t, &views, "topic", "describe", "orders")
	if *views[0].Records != 14 {
		t.Errorf("the preview deleted something: %+v", views[0])
	}

	r.JSON(t, &v, "topic", "trim", "orders:0", "--offset", "3", "--apply")
	if !v.Applied || v.Records != 3 || v.Partitions[0].To != 3 {
		t.Errorf("trim: %+v", v)
	}
	r.JSON(t, &v, "topic", "trim", "orders", "--before", before, "--apply")
	if v.Records != 7 || v.Partitions[0].Start != 3 || v.Partitions[0].To != 6 {
		t.Errorf("trim by time: %+v", v)
	}
	r.JSON(t, &v, "topic", "trim", "orders", "--before", "latest", "--apply")
	r.JSON(t, &views, "topic", "describe", "orders")
	if *views[0].Records != 0 || *views[0].Partitions[0].Start != 10 {
		t.Errorf("after: %+v", views[0])
	}
	r.fails(cli.ExitUsage, "one of --before and --offset", "topic", "trim", "orders")
	r.fails(cli.ExitUsage, "one of --before and --offset", "topic", "trim", "orders", "--offset", "3", "--before", "latest")
	r.fails(cli.ExitUsage, "RFC 3339", "topic", "trim", "orders", "--before", "yesterday")
	r.fails(cli.ExitNotFound, "no partition 7: it has 2 partitions", "topic", "trim", "orders:7", "--offset", "3")
	r.fails(cli.ExitUsage, "from-to", "topic", "trim", "orders:x", "--offset", "3")
}

// TestGroupLagBytes asks where the cluster tells the sizes of logs.
func TestGroupLagBytes(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "1")
	r.produce("orders", 0, 10, time.Now())
	r.commit("shop", "orders", 5)
	var views []groupView
	r.JSON(t, &views, "group", "describe", "shop")
	var topics []topicView
	r.JSON(t, &topics, "topic", "describe", "orders")
	if l := views[0].Partitions[0].LagBytes; l == nil || topics[0].Bytes == nil || *l != *topics[0].Bytes/2 || *views[0].LagBytes != *l {
		t.Fatalf("lag in bytes: %v of %v, want half", or(l, "null"), or(topics[0].Bytes, "null"))
	}
	r.says([]string{"about " + cli.Bytes(*views[0].LagBytes)}, "group", "describe", "shop")
}
