package metatest_test

import (
	"errors"
	"testing"

	"penstock"
	"penstock/meta"
	"penstock/meta/metatest"
)

func TestEngine(t *testing.T) {
	metatest.TestEngine(t, func(*testing.T) meta.Engine { return &metatest.Engine{} })
}

func TestChanges(t *testing.T) {
	metatest.TestChanges(t, func(*testing.T) meta.Engine { return &metatest.Engine{} })
}

// TestFaults shows that the faults happen, and end.
func TestFaults(t *testing.T) {
	e := &metatest.Engine{}
	defer e.Close()
	e.Put("a", []byte("1"))
	e.Fail(errors.New("gone"))
	if _, _, err := e.Range(t.Context(), ""); !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("range: %v", err)
	}
	w := e.Watch(t.Context(), "", 0)
	e.Fail(nil)
	if u := <-w; u.Reset || len(u.Changes) != 1 {
		t.Fatalf("update %+v, want the one change", u)
	}
	e.Hold(true)
	e.Put("b", []byte("2"))
	e.Put("c", []byte("3"))
	e.Compact()
	select {
	case u := <-w:
		t.Fatalf("update %+v while updates are held", u)
	default:
	}
	e.Hold(false)
	if u := <-w; !u.Reset || u.Revision != 3 {
		t.Fatalf("update %+v, want a reset at 3", u)
	}
}
