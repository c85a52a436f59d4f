package drive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/bench/clients/spec"
)

// shell is a client whose driver is a script.
func shell(script string) *Client {
	return &Client{Name: "shell", Command: []string{"sh", "-c", script}}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestDriverTellsEventsThenAnswers(t *testing.T) {
	var got []string
	d, err := Start(shell(`read c; echo '{"e":"read","part":3,"o":[5],"k":["x"]}'; echo '{"e":"acked","n":7}'; echo '{"done":true,"count":9}'; read c; echo '{"error":"no","code":3}'; read c`),
		func(e spec.Event) { got = append(got, e.E) })
	if err != nil {
		t.Fatal(err)
	}
	ctx := limited(t)
	a, err := d.Do(ctx, spec.Command{Do: "stream"})
	if err != nil || a.Count != 9 || strings.Join(got, " ") != "read acked" {
		t.Fatalf("%+v, %v, events %v", a, err, got)
	}
	if a, err = d.Ask(ctx, spec.Command{Do: "admin"}); err != nil || a.Code != 3 || a.Error != "no" {
		t.Fatalf("%+v, %v", a, err)
	}
	d.Close(ctx)
	if _, err := d.Ask(ctx, spec.Command{Do: "info"}); err == nil {
		t.Fatal("a driver that ended takes commands")
	}
}

func TestDriverThatEndsSaysWhy(t *testing.T) {
	d, err := Start(shell(`read c; echo '{"e":"read"'; echo no such thing >&2; exit 1`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Do(limited(t), spec.Command{Do: "info"}); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Fatalf("error %v, want what the driver said", err)
	}
}

func TestDriverThatDoesNotAnswerIsGivenUp(t *testing.T) {
	d, err := Start(shell(`read c; read c; read c`), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Do(ctx, spec.Command{Do: "info"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want that the time is over", err)
	}
}

func TestOnceFillsADirectoryOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	n := 0
	fill := func() error { n++; return os.WriteFile(filepath.Join(dir, "f"), nil, 0o644) }
	for range 2 {
		i := installer{done: map[string]error{}}
		for range 2 {
			if err := i.once(dir, fill); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 1 {
		t.Fatalf("filled %d times, want once", n)
	}
	failed := errors.New("no network")
	other, i := filepath.Join(t.TempDir(), "y"), installer{done: map[string]error{}}
	for range 2 {
		if err := i.once(other, func() error { n++; return failed }); !errors.Is(err, failed) {
			t.Fatalf("error %v, want %v", err, failed)
		}
	}
	if n != 2 {
		t.Fatalf("tried %d times, want once in a run", n-1)
	}
}

func TestHashedChangesWithWhatItIsMadeFrom(t *testing.T) {
	i := installer{cache: t.TempDir()}
	f := filepath.Join(i.cache, "list")
	name := func(extra, text string) string {
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := i.hashed("python", extra, f)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, c := name("3.11", "x"), name("3.11", "y"), name("3.12", "x")
	if a == b || a == c || a != name("3.11", "x") {
		t.Fatalf("%s, %s, %s", a, b, c)
	}
	if _, err := i.hashed("python", "", filepath.Join(i.cache, "missing")); err == nil {
		t.Fatal("a file that is missing is no error")
	}
}

func TestMissingProgramIsMissing(t *testing.T) {
	if _, err := need("no-such-program-anywhere"); !errors.Is(err, ErrMissing) {
		t.Fatalf("error %v, want ErrMissing", err)
	}
}
