package compare

import (
	"strings"
	"testing"
)

func TestTell(t *testing.T) {
	changes, bad := []Change{{"-", "theirs"}, {"+", "ours"}}, []Change{{"+", "ours"}}
	for _, c := range []struct {
		bad  []Change
		all  bool
		want string
	}{
		{nil, false, ""},
		{bad, false, "cmd\n    + ours UNEXPECTED\n"},
		{bad, true, "cmd\n    = a\n    = b\n    - theirs\n    + ours UNEXPECTED\n"},
	} {
		var b strings.Builder
		Tell(&b, "cmd", []string{"a", "b"}, changes, c.bad, c.all)
		if b.String() != c.want {
			t.Errorf("%q, want %q", b.String(), c.want)
		}
	}
}
