package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// line is a record as a line of JSON, in both directions. Of key and key_base64 one is there, and of value and
// value_base64: the plain one if the bytes are UTF-8. null is Kafka's null.
type line struct {
	Topic     string       `json:"topic"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"` // milliseconds since 1970
	Key       *string      `json:"key"`
	Key64     []byte       `json:"key_base64,omitempty"`
	Value     *string      `json:"value"`
	Value64   []byte       `json:"value_base64,omitempty"`
	Headers   []headerLine `json:"headers,omitempty"`
}

type headerLine struct {
	Key     string  `json:"key"`
	Value   *string `json:"value"`
	Value64 []byte  `json:"value_base64,omitempty"`
}

// text splits bytes into the plain and the base64 field.
func text(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

// newLine is a record as it is printed.
func newLine(r *kgo.Record) line {
	l := line{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()}
	l.Key, l.Key64 = text(r.Key)
	l.Value, l.Value64 = text(r.Value)
	for _, h := range r.Headers {
		p := headerLine{Key: h.Key}
		p.Value, p.Value64 = text(h.Value)
		l.Headers = append(l.Headers, p)
	}
	return l
}

// appendLine appends a record as one line of JSON.
func appendLine(dst []byte, r *kgo.Record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(newLine(r)); err != nil {
		return dst, err
	}
	return append(dst, b.Bytes()...), nil
}

// given is a line that produce reads. Topic and offset are let pass, so that what consume printed can be sent again.
type given struct {
	Topic     json.RawMessage `json:"topic"`
	Offset    json.RawMessage `json:"offset"`
	Partition *int32          `json:"partition"`
	Timestamp json.RawMessage `json:"timestamp"` // milliseconds, or RFC 3339
	Key       json.RawMessage `json:"key"`
	Key64     []byte          `json:"key_base64"`
	Value     json.RawMessage `json:"value"`
	Value64   []byte          `json:"value_base64"`
	Headers   json.RawMessage `json:"headers"` // a list as in headerLine, or an object
}

// fields are the names that a line may have.
var fields = "topic, partition, offset, timestamp, key, key_base64, value, value_base64, headers"

// parseLine reads a record from a line of JSON. Partition is noPartition when the line has none, and the time zero. The
// record does not keep b.
func parseLine(b []byte) (*kgo.Record, error) {
	var g given
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			return nil, fmt.Errorf("%w; there are %s", err, fields)
		}
		return nil, fmt.Errorf("want a JSON object: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one JSON object on a line, there is more behind it")
	}
	r := &kgo.Record{Partition: noPartition}
	if g.Partition != nil {
		if *g.Partition < 0 {
			return nil, fmt.Errorf("partition %d is negative", *g.Partition)
		}
		r.Partition = *g.Partition
	}
	var err error
	if r.Key, err = bytesOf("key", g.Key, g.Key64); err != nil {
		return nil, err
	}
	if r.Value, err = bytesOf("value", g.Value, g.Value64); err != nil {
		return nil, err
	}
	if r.Timestamp, err = timeOf(g.Timestamp); err != nil {
		return nil, err
	}
	r.Headers, err = headersOf(g.Headers)
	return r, err
}

// bytesOf is the content of a field: base64 if that is there, a string's content, null, or any other JSON as it stands.
func bytesOf(name string, plain json.RawMessage, base64 []byte) ([]byte, error) {
	none := len(plain) == 0 || string(plain) == "null"
	if base64 != nil {
		if !none {
			return nil, fmt.Errorf("%s and %s_base64 are both there", name, name)
		}
		return base64, nil
	}
	if none {
		return nil, nil
	}
	if plain[0] != '"' {
		return plain, nil
	}
	var s string
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return []byte(s), nil
}

func timeOf(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return time.Time{}, nil
	}
	var ms int64
	if json.Unmarshal(raw, &ms) == nil {
		return time.UnixMilli(ms), nil
	}
	var t time.Time
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("timestamp %s: want milliseconds since 1970 or a time such as \"2026-01-02T15:04:05Z\"", raw)
	}
	return t, nil
}

func headersOf(raw json.RawMessage) ([]kgo.RecordHeader, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var out []kgo.RecordHeader
	if raw[0] == '{' {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
		for k, v := range m {
			b, err := bytesOf("headers."+k, v, nil)
			if err != nil {
				return nil, err
			}
			out = append(out, kgo.RecordHeader{Key: k, Value: b})
		}
		slices.SortFunc(out, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
		return out, nil
	}
	var list []struct {
		Key     string          `json:"key"`
		Value   json.RawMessage `json:"value"`
		Value64 []byte          `json:"value_base64"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("headers: want an object, or a list of objects with key and value: %w", err)
	}
	for _, h := range list {
		b, err := bytesOf("headers."+h.Key, h.Value, h.Value64)
		if err != nil {
			return nil, err
		}
		out = append(out, kgo.RecordHeader{Key: h.Key, Value: b})
	}
	return out, nil
}
