package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestParse has flags before, between and behind the names of parts.
func TestParse(t *testing.T) {
	var o Options
	fs := o.Flags("program", "little")
	if err := o.Parse(fs, []string{"-short", "one", "-cache", "there", "two", "-keep"}); err != nil {
		t.Fatal(err)
	}
	if !o.Short || !o.Keep || o.Cache != "there" || !slices.Equal(o.Names, []string{"one", "two"}) {
		t.Errorf("%+v", o)
	}
	o.Binary = t.TempDir() + "/nothing"
	if err := o.Find(); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Error(err)
	}
}

// TestPlay plays a part that goes well, one that fails and one that cannot run, and looks for what they leave behind.
func TestPlay(t *testing.T) {
	var dirs []string
	part := func(name string, err error) Part[*Place] {
		return Part[*Place]{name, func(_ context.Context, p *Place) (string, error) {
			dirs = append(dirs, p.Dir)
			return name, err
		}}
	}
	well, bad, cannot := part("well", nil), part("bad", errors.New("broken")), part("cannot", fmt.Errorf("%w: no java", ErrCannotRun))
	parts := []Part[*Place]{well, bad, cannot}
	if _, err := Choose(parts, []string{"well", "worse"}, nil); err == nil || !strings.Contains(err.Error(), "well, bad, cannot or all") {
		t.Error(err)
	}
	for _, c := range []struct {
		names []string
		short bool
		want  bool
	}{
		{nil, false, true}, {[]string{"well"}, false, true}, {[]string{"bad", "well"}, false, false},
		{[]string{"cannot"}, false, false}, {[]string{"cannot", "well"}, true, true}, {[]string{"all"}, true, false},
	} {
		chosen, err := Choose(parts, c.names, parts[:1])
		if err != nil {
			t.Fatal(err)
		}
		p := &Place{Options: Options{Short: c.short}}
		if got := Play(t.Context(), "test", p, p, chosen); got != c.want {
			t.Errorf("%v, short %v: %v", c.names, c.short, got)
		}
	}
	for _, d := range dirs {
		if _, err := os.Stat(d); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", d, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p := (&Place{}); Play(ctx, "test", p, p, parts[:1]) {
		t.Error("interrupted, and well")
	}
}
