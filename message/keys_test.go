package message

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"penstock"
)

// TestEachKey: unique id, words of KEYS, tag, the first of each name; none of a rollback.
func TestEachKey(t *testing.T) {
	build := func(flags SysFlag, kv ...string) []byte {
		t.Helper()
		var props []byte
		for i := 0; i < len(kv); i += 2 {
			var err error
			if props, err = AppendProperty(props, kv[i], kv[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		host := netip.MustParseAddrPort("127.0.0.1:10911")
		b, err := Append(nil, &Message{Topic: []byte("t"), Body: []byte("b"), QueueOffset: 7, StoreTime: 1000, SysFlag: flags, Properties: props,
			BornHost: host, StoreHost: host})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		b    []byte
		want []string
	}{
		{build(0), nil},
		{build(0, "UNIQ_KEY", "u", "KEYS", " a  b ", "TAGS", "red"), []string{"u", "a", "b", "T#red"}},
		{build(0, "TAGS", "red", "KEYS", "a", "KEYS", "b"), []string{"a", "T#red"}},
		{build(FlagRollback, "UNIQ_KEY", "u", "KEYS", "a"), nil},
	} {
		for enough := range len(c.want) + 1 {
			var got []string
			err := Format{}.EachKey(c.b, func(off penstock.Offset, at penstock.Timestamp, key []byte) bool {
				got = append(got, string(key))
				if off != 7 || at != 1000 {
					got = append(got, fmt.Sprint(off, at))
				}
				return len(got) != enough
			})
			n := len(c.want)
			if enough > 0 {
				n = enough
			}
			if err != nil || !slices.Equal(got, c.want[:n]) {
				t.Errorf("%q, want %q: %v", got, c.want, err)
			}
		}
	}
	if err := (Format{}).EachKey([]byte("nonsense"), nil); !errors.Is(err, penstock.ErrCorrupt) {
		t.Error(err)
	}
}
