package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestParse reads flags before and after the names, and refuses what it does not know.
func TestParse(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "penstock")
	if err := os.WriteFile(binary, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	o, err := parse([]string{"-penstock", binary, "kill", "-cycles", "7", "power", "-seed", "3", "-short"})
	if err != nil || o.cycles != 7 || o.seed != 3 || !o.short || len(o.names) != 2 || o.names[1] != "power" {
		t.Errorf("%+v, %v", o, err)
	}
	if got, err := choose(o.names); err != nil || len(got) != 2 || got[0].name != "kill" || got[1].name != "power" {
		t.Errorf("%v, %v", got, err)
	}
	if o, err = parse([]string{"-penstock", binary}); err != nil || len(o.names) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	if all, err := choose(o.names); err != nil || len(all) != len(parts()) {
		t.Errorf("all is %v, %v", all, err)
	}
	for _, bad := range [][]string{{"-penstock", binary, "flood"}, {"-penstock", binary + "-none"}, {"-penstock", binary, "-x"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSaysSo(t *testing.T) {
	for text, want := range map[string]bool{"fdatasync: input/output error": true, "write: No space left on device": true, "ready": false} {
		if saysSo(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// TestInjectionsCoverSyncAndWrite keeps the list from losing the two faults that everything hangs on.
func TestInjectionsCoverSyncAndWrite(t *testing.T) {
	found := map[after]int{}
	for _, in := range injections() {
		found[in.after]++
		if in.calls == syncCalls && in.after != staysOffline || in.calls == writeCalls && in.errno == "ENOSPC" && in.after != comesBack {
			t.Errorf("%+v", in)
		}
	}
	if found[staysOffline] == 0 || found[comesBack] == 0 {
		t.Errorf("%v", found)
	}
}
