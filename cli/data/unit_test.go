package data

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"penstock/cli"
)

func sample() *kgo.Record {
	return &kgo.Record{
		Topic: "orders", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1767366245678),
		Key: []byte("k1"), Value: []byte("v1"),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}},
	}
}

func TestFormatVerbs(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{`%s`, "v1"}, {`%v`, "v1"}, {`%k`, "k1"}, {`%h`, "a=1,b=-"}, {`%t`, "orders"}, {`%p`, "3"}, {`%o`, "42"},
		{`%T`, "1767366245678"}, {`%S`, "2"}, {`%K`, "2"}, {`%R`, "\x00\x00\x00\x02"}, {`100%%`, "100%"},
		{`\n\t\r\0\\\x41`, "\n\t\r\x00\\A"}, {`%p:%o %k=%s\n`, "3:42 k1=v1\n"}, {"é %s", "é v1"}, {``, ""},
	} {
		f, err := parseFormat(c.format, "-")
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		if got := string(f.append(nil, sample())); got != c.want {
			t.Errorf("%q prints %q, want %q", c.format, got, c.want)
		}
	}
	f, err := parseFormat(`%k|%s|%K|%S|%R`, "NULL")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.append(nil, &kgo.Record{})); got != "NULL|NULL|-1|-1|\xff\xff\xff\xff" {
		t.Errorf("nulls print %q", got)
	}
	f.screen = true
	if got := string(f.append(nil, &kgo.Record{Key: []byte("a\x1b[2J\n\tb"), Value: []byte{0xff, 0x1b}})); !strings.HasPrefix(got, "a·[2J\n\tb|") || strings.ContainsAny(got, "\x1b") {
		t.Errorf("on a screen %q", got)
	}
	for _, bad := range []string{`%`, `%x`, `\`, `\q`, `\x4`, `\xzz`} {
		if _, err := parseFormat(bad, ""); cli.ExitCode(err) != cli.ExitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	b := bounds{10, 20}
	for _, c := range []struct {
		in   string
		want int64
	}{
		{"start", 10}, {"earliest", 10}, {"beginning", 10}, {"end", 20}, {"latest", 20},
		{"15", 15}, {"0", 10}, {"99", 20}, {"-3", 17}, {"-0", 20}, {"-99", 10}, {"+0", 10}, {"+3", 13}, {"+99", 20},
		{fmt.Sprintf("+%d", int64(math.MaxInt64)), 20}, {fmt.Sprintf("-%d", int64(math.MaxInt64)), 10},
	} {
		p, err := parsePlace("from", c.in, now)
		if err != nil || p.kind == atTime || p.offset(b) != c.want {
			t.Errorf("%s is %+v, offset %d, %v; want %d", c.in, p, p.offset(b), err, c.want)
		}
	}
	for _, c := range []struct {
		in   string
		want time.Time
	}{
		{"-15m", now.Add(-15 * time.Minute)}, {"@-1h30m", now.Add(-90 * time.Minute)}, {"@1767366245678", time.UnixMilli(1767366245678)},
		{"2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{"2026-01-02T03:04:05.5+02:00", time.Date(2026, 1, 2, 1, 4, 5, 5e8, time.UTC)},
		{"2026-01-02", time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local)}, {"@2026-01-02 03:04:05", time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)},
		{"2026-01-02T03:04", time.Date(2026, 1, 2, 3, 4, 0, 0, time.Local)},
	} {
		if p, err := parsePlace("from", c.in, now); err != nil || p.kind != atTime || !p.at.Equal(c.want) {
			t.Errorf("%s is %+v, %v; want %v", c.in, p, err, c.want)
		}
	}
	for _, bad := range []string{"", "now", "15m", "@", "@-5", "2026-13-01", "1.5", "--3", "-9223372036854775808", "9223372036854775808"} {
		if p, err := parsePlace("from", bad, now); cli.ExitCode(err) != cli.ExitUsage {
			t.Errorf("%q is %+v, %v", bad, p, err)
		}
	}
}

// TestJSONBothWays demands that every record is read as it was printed.
func TestJSONBothWays(t *testing.T) {
	maybe := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }))
	rapid.Check(t, func(t *rapid.T) {
		in := &kgo.Record{Topic: "t", Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "time")), Key: maybe.Draw(t, "key"), Value: maybe.Draw(t, "value")}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			in.Headers = append(in.Headers, kgo.RecordHeader{Key: rapid.String().Draw(t, "name"), Value: maybe.Draw(t, "header")})
		}
		b, err := appendLine(nil, in)
		if err != nil || bytes.Count(b, []byte("\n")) != 1 || b[len(b)-1] != '\n' {
			t.Fatalf("prints %q, %v", b, err)
		}
		out, err := parseLine(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		out.Topic, out.Offset = in.Topic, in.Offset
		if !reflect.DeepEqual(in, out) {
			t.Fatalf("%s\nin  %+v\nout %+v", b, in, out)
		}
	})
}

func TestJSONLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		in   string
		want kgo.Record
	}{
		{`{}`, kgo.Record{Partition: noPartition}},
		{`{"key":null,"value":null,"headers":null,"timestamp":null,"partition":null}`, kgo.Record{Partition: noPartition}},
		{`{"key":"k","value":""}`, kgo.Record{Partition: noPartition, Key: []byte("k"), Value: []byte{}}},
		{`{"value":{"a": [1, 2]}}`, kgo.Record{Partition: noPartition, Value: []byte(`{"a": [1, 2]}`)}},
		{`{"value":7}`, kgo.Record{Partition: noPartition, Value: []byte("7")}},
		{`{"value_base64":"/wA="}`, kgo.Record{Partition: noPartition, Value: []byte{0xff, 0}}},
		{`{"partition":0,"timestamp":1767323045000}`, kgo.Record{Timestamp: time.UnixMilli(1767323045000)}},
		{`{"timestamp":"2026-01-02T03:04:05Z"}`, kgo.Record{Partition: noPartition, Timestamp: at}},
		{`{"headers":{"b":"2","a":null}}`, kgo.Record{Partition: noPartition, Headers: []kgo.RecordHeader{{Key: "a"}, {Key: "b", Value: []byte("2")}}}},
		{`{"headers":[{"key":"b","value":"2"},{"key":"b","value_base64":"/w=="}]}`,
			kgo.Record{Partition: noPartition, Headers: []kgo.RecordHeader{{Key: "b", Value: []byte("2")}, {Key: "b", Value: []byte{0xff}}}}},
	} {
		got, err := parseLine([]byte(c.in))
		if err != nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s is %+v, %v", c.in, got, err)
		}
	}
	for in, says := range map[string]string{
		`x`: "JSON object", `[]`: "JSON object", `{} {}`: "one JSON object", `{"valeu":"x"}`: "value_base64", `{"partition":-1}`: "negative",
		`{"value":"a","value_base64":"YQ=="}`: "both", `{"timestamp":"yesterday"}`: "milliseconds", `{"headers":"x"}`: "list",
		`{"key_base64":"%"}`: "base64", `{"value":"a}`: "JSON object",
	} {
		if r, err := parseLine([]byte(in)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s is %+v, %v; want %q", in, r, err, says)
		}
	}
}

// TestInputLimits reads lines around the limit, in pieces.
func TestInputLimits(t *testing.T) {
	const limit = 100 << 10
	src := strings.Repeat("a", limit) + "\n" + strings.Repeat("b", limit+1) + "\n\nlast"
	in := &input{stdin: strings.NewReader(src), delimiter: '\n', limit: limit, partition: noPartition}
	if err := in.find(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		r, where, err := in.next()
		if r == nil && err != nil && where == "line 4" {
			break
		}
		if err != nil {
			got = append(got, fmt.Sprintf("%s: %v", where, err))
			continue
		}
		got = append(got, fmt.Sprintf("%s: %d", where, len(r.Value)))
	}
	want := []string{"line 1: 102400", "line 2: too large: 102401 bytes, a batch may have 102400. Raise the topic's max.message.bytes or --max-bytes", "line 3: 0", "line 4: 4"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reads %q", got)
	}
	if cap(in.buf) > 4*limit {
		t.Errorf("keeps %d bytes for a line of at most %d", cap(in.buf), limit)
	}
}

func TestPercentiles(t *testing.T) {
	var m meter
	for i := range 1000 {
		m.observe(time.Duration(i+1) * time.Millisecond)
	}
	p := m.percentiles()
	if p.P50 < 450 || p.P50 > 570 || p.P99 < 980 || p.P99 > 1000 || p.P999 > 1000 || p.Max != 1000 || p.P999 < p.P99 {
		t.Errorf("%+v", p)
	}
}

// TestLiveLine draws what a terminal sees.
func TestLiveLine(t *testing.T) {
	b := &bench{mode: "produce"}
	b.sent.count(&kgo.Record{Value: make([]byte, 2048)})
	var out bytes.Buffer
	t0 := time.Now()
	last := b.draw(&out, liveCount{}, t0)
	b.sent.count(&kgo.Record{Value: make([]byte, 2048)})
	out.Reset()
	b.draw(&out, last, t0.Add(2*time.Second))
	if got := out.String(); !strings.Contains(got, "2 records sent, 0/s, 1.0 KiB/s") {
		t.Errorf("draws %q", got)
	}
}
