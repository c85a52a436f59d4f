package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestCorpus shows that a tree comes out of its records as it was, large files in parts and in order.
func TestCorpus(t *testing.T) {
	root := t.TempDir()
	large := bytes.Repeat([]byte("0123456789abcdef"), 3*partSize/16+7)
	files := map[string][]byte{"a/empty": nil, "a/small": []byte("x"), "b/exact": large[:partSize], "b/large": large}
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loadCorpus(root, 3)
	if err != nil {
		t.Fatal(err)
	}
	if c.files != len(files) || c.records != 3+4 {
		t.Errorf("%d files in %d records", c.files, c.records)
	}
	got := map[string][]byte{}
	for _, r := range c.parts {
		got[string(r.Key)] = append(got[string(r.Key)], r.Value...)
		if len(r.Value) > partSize || (len(r.Headers) > 0) != (string(r.Key) == "b/large") {
			t.Errorf("%s: %d bytes, headers %v", r.Key, len(r.Value), r.Headers)
		}
	}
	for name, data := range files {
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s is not what it was", name)
		}
	}
	if _, err := loadCorpus(t.TempDir(), 1); err == nil {
		t.Error("an empty tree was taken")
	}
}

// TestFeedSeesEveryChange changes each field of a record and demands another sum.
func TestFeedSeesEveryChange(t *testing.T) {
	base := func() *kgo.Record {
		return &kgo.Record{Key: []byte("key"), Value: []byte("value"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}}}
	}
	sum := func(r *kgo.Record) string {
		h := newHashes(1)
		feed(h[0], r)
		return string(sums(h)[0])
	}
	for name, change := range map[string]func(*kgo.Record){
		"key":          func(r *kgo.Record) { r.Key = []byte("kez") },
		"value":        func(r *kgo.Record) { r.Value = []byte("valuf") },
		"border":       func(r *kgo.Record) { r.Key, r.Value = []byte("keyv"), []byte("alue") },
		"header key":   func(r *kgo.Record) { r.Headers[0].Key = "i" },
		"header value": func(r *kgo.Record) { r.Headers[0].Value = []byte("2") },
		"no header":    func(r *kgo.Record) { r.Headers = nil },
	} {
		r := base()
		change(r)
		if sum(r) == sum(base()) {
			t.Errorf("%s: the sum does not see it", name)
		}
	}
}
