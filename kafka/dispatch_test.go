package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// faults lists what is missing in an entry of the table.
func (a *api) faults() []string {
	var out []string
	v := reflect.ValueOf(*a)
	for i := range v.NumField() {
		// Versions and keys may be zero, and what few need; Produce and Fetch are decoded by hand and have no shape.
		name := v.Type().Field(i).Name
		free := name == "key" || name == "spare" || name == "shown" || name == "min" || name == "shape" && (a.key == keyProduce || a.key == keyFetch) ||
			name == "max" && kmsg.RequestForKey(a.key).MaxVersion() == 0 || name == "flexible" && kmsg.RequestForKey(a.key).IsFlexible()
		if !free && v.Field(i).IsZero() {
			out = append(out, name)
		}
	}
	if a.right.op == 0 || a.right.on == 0 {
		out = append(out, "right")
	}
	if a.shown > a.min || a.min > a.max {
		out = append(out, "versions")
	}
	return out
}

// TestTableIsWhole demands that every entry says everything, the right needed included.
func TestTableIsWhole(t *testing.T) {
	d := newDispatcher(Limits{}.withDefaults())
	for _, a := range d.list {
		if f := a.faults(); len(f) > 0 {
			t.Errorf("%s lacks %v", a.name, f)
		}
		if d.find(a.key) != a {
			t.Errorf("%s: key %d is not its own", a.name, a.key)
		}
	}
	whole := *d.list[3]
	for _, spoil := range []func(*api){
		func(a *api) { a.right = right{} }, func(a *api) { a.right.on = 0 }, func(a *api) { a.before = 0 }, func(a *api) { a.after = 0 },
		func(a *api) { a.handle = nil }, func(a *api) { a.shape = nil }, func(a *api) { a.name = "" }, func(a *api) { a.flexible = 0 },
		func(a *api) { a.max = -1 },
	} {
		a := whole
		if spoil(&a); len(a.faults()) == 0 {
			t.Errorf("a spoilt entry passes: %+v", a)
		}
	}
}

// TestTableAgreesWithProtocol compares names, highest versions and first flexible versions with kmsg, which is made from the
// protocol's definition.
func TestTableAgreesWithProtocol(t *testing.T) {
	for _, a := range newDispatcher(Limits{}.withDefaults()).list {
		q := kmsg.RequestForKey(a.key)
		if got := kmsg.NameForKey(a.key); !strings.EqualFold(got, a.name) {
			t.Errorf("key %d: %s, the protocol says %s", a.key, a.name, got)
		}
		if a.max > q.MaxVersion() {
			t.Errorf("%s: max %d, the codec knows %d", a.name, a.max, q.MaxVersion())
		}
		for v := a.min; v <= a.max; v++ {
			if q.SetVersion(v); q.IsFlexible() != (v >= a.flexible) {
				t.Errorf("%s %d: flexible %v", a.name, v, q.IsFlexible())
			}
		}
	}
}

// TestEveryFileHasItsEntry demands one file for each API, whose head names the API's key and versions as the table has
// them.
func TestEveryFileHasItsEntry(t *testing.T) {
	files, err := filepath.Glob("api_*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	head := regexp.MustCompile(`(?m)^// (\w+) \(key (\d+)\), versions (\d+)-(\d+)`)
	named := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m := head.FindStringSubmatch(string(b))
		if m == nil {
			t.Errorf("%s: no head comment with key and versions", f)
			continue
		}
		named[m[1]] = strings.Join(m[2:], " ")
	}
	list := newDispatcher(Limits{}.withDefaults()).list
	for _, a := range list {
		want := fmt.Sprintf("%d %d %d", a.key, a.min, a.max)
		if named[a.name] != want {
			t.Errorf("%s: its file says %q, the table %q", a.name, named[a.name], want)
		}
	}
	if len(named) != len(list) {
		t.Errorf("%d files, %d entries", len(named), len(list))
	}
}
