package main

import (
	"slices"
	"strings"
	"testing"

	"penstock/bench/compare"
)

// TestNormal has lines of two runs become the same where the runs may differ, and only there.
func TestNormal(t *testing.T) {
	s := &side{target: &target{data: "/data"}, words: strings.NewReplacer("127.0.0.1:10911", "BROKER")}
	for _, c := range []struct{ line, in, want string }{
		{"queryMsgById", "CommitLog Offset:      10490", "out CommitLog Offset: PLACE"},
		{"queryMsgById", "Queue Offset:  7", "out Queue Offset: 7"},
		{"queryMsgById", "Properties: {B=2, A=1}", "out Properties|out property A=1|out property B=2"},
		{"printMsg", "x storeSize=1, properties={K=v}, body=[1]", "out x storeSize=PLACE, properties, body=[1]|out property K=v"},
		{"printMsg", "attributes={}", "out attributes={}"},
		{"brokerStatus", "runtime : [ 0 days ]", "out runtime : VALUE"},
		{"brokerStatus", "ratio_/data/x : 0.4", "out ratio_DIR/x : VALUE"},
		{"brokerStatus", "msgPutTotalTodayNow : 40", "out msgPutTotalTodayNow : 40"},
		{"statsAll -t orders", "orders  g  0  0.10  0.20  40  42", "out orders g 0 RATE RATE COUNT COUNT"},
		{"statsAll -t orders", "orders  g  0  0.10  0.20  0  42", "out orders g 0 RATE RATE 0 42"},
		{"consumerProgress", "g  1  V5_5_0  PUSH  3  9", "out g 1 V5_5_0 PUSH RATE 9"},
		{"consumerProgress -g g", "orders broker-a 0 10 10 0 0", "out orders broker-a 0 10 10 0 0"},
		{"topicRoute", "\tat org.x.Y(Y.java:1)", ""},
		{"topicRoute", "127.0.0.1:10911 127.0.0.1:5 at 2026-01-02 03:04:05,678", "out BROKER PEER at DATE"},
	} {
		st := step{line: c.line, words: strings.Fields(c.line)}
		want := []string{"exit 3"}
		if c.want != "" {
			want = append(strings.Split(c.want, "|"), want...)
		}
		if got := s.normal(compare.Result{Code: 3, Out: c.in}, st); !slices.Equal(got, want) {
			t.Errorf("%s: %q becomes %q, want %q", c.line, c.in, got, want)
		}
	}
}

// TestScript reads the script and the differences, and has every difference fit a command of the script.
func TestScript(t *testing.T) {
	steps, err := readScript(scriptText)
	if err != nil {
		t.Fatal(err)
	}
	table, err := compare.ReadDifferences(differencesText)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range table {
		if !slices.ContainsFunc(steps, func(s step) bool { return d.On.MatchString(s.line) }) {
			t.Errorf("no command is %s", d.On)
		}
	}
}
