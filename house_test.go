package penstock_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// house is deps.txt: the drawing of the rooms.
type house struct {
	level map[string]int      // room to level; children take their parent's
	rooms map[string][]string // room to the rooms it imports
	only  map[string][]string // outside import prefix to the rooms that may use it
}

type listed struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	Doc        string
}

const module = "penstock"

// room turns an import path of this module into a room's name, "" for a path from outside.
func room(path string) string {
	if path == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return rest
	}
	return ""
}

func readHouse(t *testing.T) house {
	t.Helper()
	f, err := os.Open("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := house{level: map[string]int{}, rooms: map[string][]string{}, only: map[string][]string{}}
	levels := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		head, tail, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("deps.txt: no colon in %q", line)
		}
		names := strings.Fields(tail)
		switch {
		case strings.HasPrefix(head, "level "):
			for _, r := range names {
				h.level[r] = levels
			}
			levels++
		case strings.HasPrefix(head, "only "):
			h.only[strings.TrimPrefix(head, "only ")] = names
		default:
			h.rooms[head] = names
		}
	}
	return h
}

func (h house) levelOf(r string) (int, bool) {
	for {
		if l, ok := h.level[r]; ok {
			return l, true
		}
		i := strings.LastIndexByte(r, '/')
		if i < 0 {
			return 0, false
		}
		r = r[:i]
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,Doc", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestHouse compares deps.txt with the imports in the code, both ways, and checks that arrows point down.
func TestHouse(t *testing.T) {
	h := readHouse(t)
	seen := map[string]bool{}
	for _, p := range list(t) {
		r := room(p.ImportPath)
		seen[r] = true
		want, known := h.rooms[r]
		if !known {
			t.Errorf("room %s is not in deps.txt", r)
			continue
		}
		var got []string
		for _, imp := range p.Imports {
			if to := room(imp); to != "" {
				got = append(got, to)
				h.checkArrow(t, r, to)
				continue
			}
			for prefix, who := range h.only {
				match := imp == prefix || strings.HasPrefix(imp, strings.TrimSuffix(prefix, "/")+"/") && strings.Contains(prefix, ".")
				if match && !slices.Contains(who, r) {
					t.Errorf("%s imports %s, which only %v may", r, imp, who)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s imports %v, deps.txt says %v", r, got, want)
		}
		if p.Doc == "" {
			t.Errorf("room %s has no package comment", r)
		}
	}
	for r := range h.rooms {
		if !seen[r] {
			t.Errorf("deps.txt names room %s, which does not exist", r)
		}
	}
}

// checkArrow demands that an import goes to a lower level, or from a child to its own parent or sibling's parent.
func (h house) checkArrow(t *testing.T, from, to string) {
	t.Helper()
	lf, okf := h.levelOf(from)
	lt, okt := h.levelOf(to)
	if !okf || !okt {
		t.Errorf("no level for %s or %s", from, to)
		return
	}
	family := strings.SplitN(from, "/", 2)[0] == strings.SplitN(to, "/", 2)[0]
	if lt > lf || lt == lf && !family {
		t.Errorf("%s imports %s: arrows point to lower levels only", from, to)
	}
}

// TestSizes holds the habits that a program can check: files under 800 lines, functions under 100.
func TestSizes(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return cmp.Or(err, filepath.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, fault := range sizeFaults(string(b), strings.HasSuffix(path, "_test.go")) {
			t.Errorf("%s: %s", path, fault)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const (
	maxFileLines = 800
	maxFuncLines = 100
)

func sizeFaults(src string, test bool) []string {
	lines := strings.Split(src, "\n")
	var faults []string
	if !test && len(lines) > maxFileLines {
		faults = append(faults, fmt.Sprintf("%d lines, at most %d", len(lines), maxFileLines))
	}
	start := -1
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "func "):
			start = i
		case l == "}" && start >= 0:
			if !test && i-start > maxFuncLines {
				faults = append(faults, fmt.Sprintf("line %d: function of %d lines, at most %d", start+1, i-start, maxFuncLines))
			}
			start = -1
		}
	}
	return faults
}

// TestSizesSeeFaults shows that the checks above can fail.
func TestSizesSeeFaults(t *testing.T) {
	long := "func f() {\n" + strings.Repeat("\tx()\n", maxFuncLines+1) + "}\n" + strings.Repeat("\n", maxFileLines)
	if got := sizeFaults(long, false); len(got) != 2 {
		t.Errorf("want two faults, got %q", got)
	}
}
