package data_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli/clitest"
)

// TestFind: records are found by key, id, offset id and time, in topics of either format, with the index and by reading, the same ones.
func TestFind(t *testing.T) {
	c := start(t)
	format := "message"
	if _, err := admin(t, c).CreateTopic(t.Context(), 2, 1, map[string]*string{"penstock.format": &format}, "messages"); err != nil {
		t.Fatal(err)
	}
	create(t, c, "records", 2)
	on := "true"
	for _, layout := range []string{"segment", "commit"} {
		if _, err := admin(t, c).CreateTopic(t.Context(), 2, 1, map[string]*string{"penstock.layout": &layout, "penstock.index.keys": &on}, "indexed-"+layout); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), clitest.Patience)
	defer cancel()
	topics := []string{"messages", "records", "indexed-segment", "indexed-commit"}
	for _, topic := range topics {
		for i := range 20 {
			r := &kgo.Record{
				Topic: topic, Partition: int32(i % 2), Key: fmt.Appendf(nil, "k%d other%d", i%5, i), Value: fmt.Appendf(nil, "v%d", i),
				Headers: []kgo.RecordHeader{{Key: "UNIQ_KEY", Value: fmt.Appendf(nil, "ID%d", i)}},
			}
			if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	do := func(args ...string) (string, string, int) {
		t.Helper()
		r := c.Run(ctx, "", append([]string{"find", "--http", c.HTTP, "-f", `%p:%o %s\n`}, args...)...)
		lines := strings.Fields(strings.ReplaceAll(r.Out, "\n", "|"))
		return strings.Join(lines, " "), fmt.Sprint(r.Err, r.Failure), r.Code
	}
	for _, topic := range topics {
		for _, scan := range []string{"--scan", "--scan=false"} {
			out, remark, code := do(topic, scan, "--key", "k3")
			if code != 0 || strings.Count(out, "|") != 4 || !strings.Contains(out, "1:1 v3|") || !strings.Contains(out, "0:4 v8|") || !strings.Contains(out, "1:6 v13|") {
				t.Errorf("%s %s: %q, %s", topic, scan, out, remark)
			}
			if read := strings.Contains(remark, "is read"); read != (topic == "records" && scan != "--scan") {
				t.Errorf("%s %s: remarks %q", topic, scan, remark)
			}
			if topic == "records" && scan != "--scan" && !strings.Contains(remark, "penstock topic alter records --set penstock.index.keys=true") {
				t.Errorf("%s: remarks %q do not say how it gets an index", topic, remark)
			}
			for args, want := range map[string]string{
				"--key other7": "1:3 v7|", "--id ID9": "1:4 v9|", "--key k3 -n 1 --from -1h": "", "--time -1h": "", "--time start": "",
			} {
				out, remark, code := do(append([]string{topic, scan}, strings.Fields(args)...)...)
				n := strings.Count(out, "|")
				if code != 0 || want != "" && out != want || strings.Contains(args, "-n 1") && n != 1 || strings.Contains(args, "--time") && n != 2 {
					t.Errorf("%s %s %s: exit code %d, %q, %s", topic, scan, args, code, out, remark)
				}
			}
			for _, args := range []string{"--key nobody", "--id ID99", "--time end"} {
				out, remark, code := do(append([]string{topic, scan}, strings.Fields(args)...)...)
				if code != 3 || out != "" {
					t.Errorf("%s %s %s: exit code %d, %q", topic, scan, args, code, out)
				}
				if hint := topic != "records" && scan != "--scan" && args != "--time end"; strings.Contains(remark, "--scan reads all") != hint {
					t.Errorf("%s %s %s: %q", topic, scan, args, remark)
				}
			}
		}
	}
	if out, remark, code := do("messages", "--offset-id", "7F000001000028AB"+strings.Repeat("0", 16)); code != 0 || out != "0:0 v0|" {
		t.Errorf("the first message of the log: %d, %q, %s", code, out, remark)
	}
	for _, args := range []string{"", "--key a --id b", "--offset-id 12", "--time yesterday"} {
		if _, _, code := do(append([]string{"messages"}, strings.Fields(args)...)...); code != 2 {
			t.Errorf("%q: exit code %d, want that of wrong use", args, code)
		}
	}
	for _, args := range []string{"--offset-id 7F000001000028AB0000000000000003", "--offset-id 7F000001000028AB2000000000000003"} {
		if _, _, code := do(append([]string{"messages"}, strings.Fields(args)...)...); code == 0 {
			t.Errorf("%s was found", args)
		}
	}
}

// TestFindQuestions: what the broker cannot answer it says so.
func TestFindQuestions(t *testing.T) {
	c := start(t)
	create(t, c, "records", 1)
	for query, want := range map[string]int{
		"topic=records&key=a": http.StatusNotImplemented, "topic=nope&key=a": http.StatusNotFound, "topic=records": http.StatusBadRequest,
		"key=a": http.StatusBadRequest, "topic=records&key=a&from=x": http.StatusBadRequest, "topic=records&key=a&limit=0": http.StatusBadRequest,
		"position=77": http.StatusNotFound, "position=x": http.StatusBadRequest, "": http.StatusBadRequest,
	} {
		r, err := http.Get("http://" + c.HTTP + "/api/find?" + query)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s, want %d", query, r.Status, want)
		}
	}
}
