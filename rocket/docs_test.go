package rocket

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"penstock"
)

// TestDocs: the page of the protocol lists what the tables serve, for either side, under RocketMQ's names, and nothing else.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol/rocketmq.md")
	if err != nil {
		t.Fatal(err)
	}
	h := build(t, "", full)
	for _, side := range []struct {
		title string
		apis  *dispatcher
	}{{"## Served by the broker", h.front.broker.apis}, {"## Served by the name server", h.front.names.apis}} {
		_, rest, ok := strings.Cut(string(page), side.title)
		if !ok {
			t.Fatalf("no %s", side.title)
		}
		rest, _, _ = strings.Cut(rest, "\n## ")
		var told, served []string
		for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \|`).FindAllStringSubmatch(rest, -1) {
			told = append(told, m[1]+" "+m[2])
		}
		for _, a := range side.apis.list {
			served = append(served, fmt.Sprint(a.code, " ", a.name))
		}
		slices.Sort(told)
		slices.Sort(served)
		if !slices.Equal(told, served) {
			t.Errorf("%s: told\n%v\nserved\n%v", side.title, told, served)
		}
	}
}

// TestTables: every request has a limit, a right and a handler, and no code is there twice.
func TestTables(t *testing.T) {
	h := build(t, "", full)
	for _, d := range []*dispatcher{h.front.broker.apis, h.front.names.apis} {
		if len(d.table) != len(d.list) {
			t.Errorf("%d codes for %d requests", len(d.table), len(d.list))
		}
		for _, a := range d.list {
			if a.frame <= 0 || a.frame > d.limit || a.right.op == 0 || a.right.on == 0 || a.handle == nil || a.name == "" {
				t.Errorf("%d: %+v", a.code, a)
			}
		}
	}
}

// full has everything that requests hang on. Nothing of it is asked.
func full(o *Options) {
	o.Locate = func(penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
		return penstock.PartitionID{}, 0, penstock.ErrUnsupported
	}
	o.FindKey = func(penstock.TopicID, string, penstock.Timestamp, penstock.Timestamp, int, func(penstock.PartitionID, penstock.Offset) bool) error {
		return penstock.ErrUnsupported
	}
	o.Admin = Admin{
		Crews: struct{ Crews }{}, Groups: struct{ GroupAdmin }{}, Config: struct{ GroupConfigs }{},
		Runtime: func() Runtime { return Runtime{} }, BrokerConfig: func() map[string]string { return nil },
	}
}
