package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock"
	"penstock/meta"
	"penstock/meta/etcd"
	"penstock/meta/metatest"
)

func open(t *testing.T, dir string) *etcd.Engine {
	t.Helper()
	e, err := etcd.Open(t.Context(), etcd.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestEngine(t *testing.T) {
	metatest.TestEngine(t, func(t *testing.T) meta.Engine { return open(t, t.TempDir()) })
}

func TestChanges(t *testing.T) {
	metatest.TestChanges(t, func(t *testing.T) meta.Engine { return open(t, t.TempDir()) })
}

// sockets lists the open sockets of this process, as /proc names them.
func sockets(t *testing.T) map[string]bool {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
			out[to] = true
		}
	}
	return out
}

// TestListensNowhere shows that no socket is opened: whoever is not this process cannot reach the metadata.
func TestListensNowhere(t *testing.T) {
	before := sockets(t)
	open(t, t.TempDir())
	for s := range sockets(t) {
		if !before[s] {
			t.Errorf("%s was opened", s)
		}
	}
}

// TestRestart shows that what was committed is there after a restart, at the same revisions, and that a watch resumes.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	_, r1, err := e.Commit(t.Context(), nil, []meta.Change{{Key: "a", Value: []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	_, r2, err := e.Commit(t.Context(), nil, []meta.Change{{Key: "a", Value: []byte("2")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir)
	kvs, at, err := e.Range(t.Context(), "")
	if err != nil || len(kvs) != 1 || string(kvs[0].Value) != "2" || kvs[0].Revision != r2 || at != r2 {
		t.Fatalf("%v at %d, %v; want a=2 at %d", kvs, at, err, r2)
	}
	if u := <-e.Watch(t.Context(), "", r1); u.Revision != r2 {
		t.Fatalf("update %+v, want that of revision %d", u, r2)
	}
}

// TestStore runs meta's store on the real engine: ten thousand partitions are one small transaction.
func TestStore(t *testing.T) {
	e := open(t, t.TempDir())
	s, err := meta.Open(t.Context(), meta.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	topic, err := s.CreateTopic(t.Context(), meta.NewTopic{Name: "wide", Partitions: 10_000, Replicas: []penstock.BrokerID{0}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Image().TopicByID(topic.ID); got == nil || len(got.Partitions) != 10_000 {
		t.Fatalf("topic %v in the image", got)
	}
	if err := s.Elect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := s.Image().Topic("wide").Partitions[9999].Epoch; got != 1 {
		t.Fatalf("epoch %d, want 1", got)
	}
	kvs, _, err := e.Range(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, kv := range kvs {
		size += len(kv.Key) + len(kv.Value)
	}
	if size > 1<<10 {
		t.Errorf("%d keys of %d bytes for one topic in its first state", len(kvs), size)
	}
}

// TestCompacted shows that a watch from before the history is told to begin again.
func TestCompacted(t *testing.T) {
	e := open(t, t.TempDir())
	_, first, err := e.Commit(t.Context(), nil, []meta.Change{{Key: "a", Value: []byte("0")}})
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	for i := range 10 {
		if _, last, err = e.Commit(t.Context(), nil, []meta.Change{{Key: "a", Value: fmt.Append(nil, i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if u := <-e.Watch(t.Context(), "", first); !u.Reset || u.Revision < last {
		t.Fatalf("update %+v, want a reset at %d or later", u, last)
	}
}

// TestGivesUp shows what happens where etcd would end the process: calls fail, watches end, and Close returns.
func TestGivesUp(t *testing.T) {
	e := open(t, t.TempDir())
	w := e.Watch(t.Context(), "", 0)
	e.GiveUp("disk failed")
	if err := e.Err(); !errors.Is(err, penstock.ErrUnavailable) || !strings.Contains(err.Error(), "disk failed") {
		t.Fatalf("error %v", err)
	}
	if _, _, err := e.Range(context.Background(), ""); !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("range: %v", err)
	}
	for range w {
		continue // it must end
	}
}

// TestFullDisk shows that a disk that is nearly full refuses what adds to it, takes what deletes, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	e := open(t, t.TempDir())
	put := func() error {
		_, _, err := e.Commit(t.Context(), nil, []meta.Change{{Key: "a", Value: []byte("1")}})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	e.SetFree(etcd.MinFree - 1)
	if err := put(); !errors.Is(err, penstock.ErrDiskFull) || !errors.Is(err, penstock.ErrUnavailable) {
		t.Errorf("a change on a full disk: %v", err)
	}
	if _, _, err := e.Range(t.Context(), ""); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	if _, _, err := e.Commit(t.Context(), nil, []meta.Change{{Key: "a"}, {Key: "gone", Value: []byte("a")}}); err != nil {
		t.Errorf("a deletion on a full disk: %v", err)
	}
	e.SetFree(etcd.MinFree)
	if err := put(); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestNoDirectory names the directory that cannot be had.
func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.Open(t.Context(), etcd.Options{Dir: filepath.Join(file, "meta")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("error %v, want one that names the directory", err)
	}
}

func BenchmarkCommit(b *testing.B) {
	e, err := etcd.Open(context.Background(), etcd.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for i := 0; b.Loop(); i++ {
		if _, _, err := e.Commit(context.Background(), nil, []meta.Change{{Key: "a", Value: fmt.Append(nil, i)}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		e, err := etcd.Open(context.Background(), etcd.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}
