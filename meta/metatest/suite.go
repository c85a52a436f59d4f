package metatest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"penstock"
	"penstock/meta"
)

// TestEngine runs the suite that every engine passes. open makes an engine that is empty.
func TestEngine(t *testing.T, open func(t *testing.T) meta.Engine) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e meta.Engine)
	}{
		{"Conditions", testConditions},
		{"Atomic", testAtomic},
		{"Range", testRange},
		{"Watch", testWatch},
		{"WatchResumes", testWatchResumes},
		{"Limit", testLimit},
		{"Canceled", testCanceled},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// commit demands that a transaction is answered, and with ok.
func commit(t *testing.T, e meta.Engine, ok bool, conds []meta.Cond, changes ...meta.Change) int64 {
	t.Helper()
	got, revision, err := e.Commit(t.Context(), conds, changes)
	if err != nil {
		t.Fatal(err)
	}
	if got != ok {
		t.Fatalf("commit %v if %v: %v, want %v", changes, conds, got, ok)
	}
	return revision
}

func set(key, value string) meta.Change { return meta.Change{Key: key, Value: []byte(value)} }

// content is everything below a prefix as text, with revisions.
func content(t *testing.T, e meta.Engine, prefix string) (string, int64) {
	t.Helper()
	kvs, revision, err := e.Range(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, kv := range kvs {
		out += fmt.Sprintf("%s=%s@%d ", kv.Key, kv.Value, kv.Revision)
	}
	return out, revision
}

func testConditions(t *testing.T, e meta.Engine) {
	r1 := commit(t, e, true, []meta.Cond{{Key: "a"}}, set("a", "1"))
	commit(t, e, false, []meta.Cond{{Key: "a"}}, set("a", "2"))
	commit(t, e, false, []meta.Cond{{Key: "a", Revision: r1 + 1}}, set("a", "2"))
	commit(t, e, false, []meta.Cond{{Key: "a", Revision: r1}, {Key: "b", Revision: 1}}, set("a", "2"))
	r2 := commit(t, e, true, []meta.Cond{{Key: "a", Revision: r1}, {Key: "b"}}, set("a", "2"))
	if r2 <= r1 {
		t.Fatalf("revisions %d, then %d: want them to grow", r1, r2)
	}
	r3 := commit(t, e, true, []meta.Cond{{Key: "a", Revision: r2}}, meta.Change{Key: "a"})
	if got, at := content(t, e, ""); got != "" || at != r3 {
		t.Fatalf("%q at %d, want nothing at %d", got, at, r3)
	}
	commit(t, e, true, []meta.Cond{{Key: "a"}}, set("a", "3"))
}

func testAtomic(t *testing.T, e meta.Engine) {
	r := commit(t, e, true, nil, set("a", "1"), set("b", "2"), meta.Change{Key: "c"})
	want := fmt.Sprintf("a=1@%d b=2@%d ", r, r)
	if got, _ := content(t, e, ""); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	commit(t, e, false, []meta.Cond{{Key: "a"}}, set("b", "9"), set("d", "9"))
	if got, _ := content(t, e, ""); got != want {
		t.Fatalf("after a refused commit %q, want %q", got, want)
	}
}

func testRange(t *testing.T, e meta.Engine) {
	r := commit(t, e, true, nil, set("p/b", "2"), set("p/a", "1"), set("p", "0"), set("q/a", "3"), set("o/z", "4"))
	if got, want := first(content(t, e, "p/")), fmt.Sprintf("p/a=1@%d p/b=2@%d ", r, r); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	if got := first(content(t, e, "none")); got != "" {
		t.Fatalf("%q below a prefix without keys", got)
	}
}

func first(s string, _ int64) string { return s }

// next takes one update, as text.
func next(t *testing.T, w <-chan meta.Update) string {
	t.Helper()
	u, ok := <-w
	if !ok {
		t.Fatal("the watch ended")
	}
	out := fmt.Sprintf("%d:", u.Revision)
	for _, c := range u.Changes {
		if c.Value == nil {
			out += " -" + c.Key
			continue
		}
		out += fmt.Sprintf(" %s=%s", c.Key, c.Value)
	}
	return out
}

func testWatch(t *testing.T, e meta.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, at := content(t, e, "")
	w := e.Watch(ctx, "p/", at)
	r1 := commit(t, e, true, nil, set("p/a", "1"), set("p/b", "2"), set("q/a", "x"))
	commit(t, e, true, nil, set("q/a", "y"))
	r2 := commit(t, e, true, nil, meta.Change{Key: "p/a"}, set("p/b", "3"))
	for _, want := range []string{fmt.Sprintf("%d: p/a=1 p/b=2", r1), fmt.Sprintf("%d: -p/a p/b=3", r2)} {
		if got := next(t, w); got != want {
			t.Fatalf("update %q, want %q", got, want)
		}
	}
	cancel()
	for range w {
		continue // it must end
	}
}

func testWatchResumes(t *testing.T, e meta.Engine) {
	r1 := commit(t, e, true, nil, set("a", "1"))
	r2 := commit(t, e, true, nil, set("a", "2"))
	r3 := commit(t, e, true, nil, set("b", "3"))
	w := e.Watch(t.Context(), "", r1)
	for _, want := range []string{fmt.Sprintf("%d: a=2", r2), fmt.Sprintf("%d: b=3", r3)} {
		if got := next(t, w); got != want {
			t.Fatalf("update %q, want %q", got, want)
		}
	}
}

func testLimit(t *testing.T, e meta.Engine) {
	var changes []meta.Change
	for i := range maxOps + 1 {
		changes = append(changes, set(fmt.Sprintf("k%03d", i), "v"))
	}
	if _, _, err := e.Commit(t.Context(), nil, changes); err == nil {
		t.Fatalf("a commit of %d changes was accepted", len(changes))
	}
	commit(t, e, true, nil, changes[:maxOps]...)
	var conds []meta.Cond
	for i := range maxOps / 2 {
		conds = append(conds, meta.Cond{Key: fmt.Sprintf("none%03d", i)})
	}
	commit(t, e, true, conds, changes[:maxOps/2]...)
}

func testCanceled(t *testing.T, e meta.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := e.Range(ctx, ""); !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("range: %v, want it to wrap %v", err, penstock.ErrUnavailable)
	}
	if _, _, err := e.Commit(ctx, nil, []meta.Change{set("a", "1")}); !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("commit: %v, want it to wrap %v", err, penstock.ErrUnavailable)
	}
}

func testClosed(t *testing.T, e meta.Engine) {
	w := e.Watch(t.Context(), "", 0)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Range(t.Context(), ""); !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("range: %v, want it to wrap %v", err, penstock.ErrUnavailable)
	}
	for range w {
		continue // it must end
	}
}
