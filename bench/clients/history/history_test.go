package history

import (
	"strconv"
	"strings"
	"testing"

	"penstock/bench/clients/spec"
)

func key(_ int, o int64) string { return strconv.FormatInt(o, 10) }

func got(t int64, part int, from, to int64) spec.Event {
	e := spec.Event{E: "read", T: t, Part: part}
	for o := from; o < to; o++ {
		e.O, e.K = append(e.O, o), append(e.K, key(part, o))
	}
	return e
}

func at(e string, t, off int64) spec.Event {
	return spec.Event{E: e, T: t, P: map[string]int64{"0": off}}
}

// honest is a history with nothing wrong in it: a reads and commits 10, reads on to 15 and dies; b begins at 10.
func honest() map[string][]spec.Event {
	return map[string][]spec.Event{
		"a": {at("assigned", 1, 0), got(2, 0, 0, 10), at("commit", 3, 10), at("committed", 4, 10), got(5, 0, 10, 15)},
		"b": {at("assigned", 9, 0), got(10, 0, 10, 20), at("commit", 11, 20), at("refused", 12, 20), at("revoked", 13, 0)},
	}
}

func TestHonestHistoryHasNoFault(t *testing.T) {
	r := Judge(honest(), []int64{20}, key, nil)
	if r.Count != 0 || r.Records != 20 || r.Reads != 25 || r.Repeats != 5 || r.Spells != 2 || r.Commits != 1 || r.Refused != 1 {
		t.Fatalf("%+v", r)
	}
}

// TestMemberMayGoOnWhereItStopped: a partition given back to the member that had it may be read on without a commit, but only if
// nobody else had it since.
func TestMemberMayGoOnWhereItStopped(t *testing.T) {
	h := map[string][]spec.Event{
		"a": {at("assigned", 1, 0), got(2, 0, 0, 10), at("revoked", 3, 0), at("assigned", 8, 0), got(9, 0, 10, 20)},
	}
	if r := Judge(h, []int64{20}, key, nil); r.Count != 0 {
		t.Fatalf("%+v", r)
	}
	h["b"] = []spec.Event{at("assigned", 5, 0), got(6, 0, 0, 5), at("revoked", 7, 0)}
	if r := Judge(h, []int64{20}, key, nil); r.Count != 1 || !strings.Contains(r.Faults[0], "begins at 10, which nobody committed") {
		t.Fatalf("%+v", r)
	}
}

// TestStutter: the last record may come once more, first of all after a change of the assignment, and only from a client that stutters.
func TestStutter(t *testing.T) {
	turn := spec.Event{E: "assigned", T: 3, P: map[string]int64{}}
	history := func(again spec.Event, between ...spec.Event) map[string][]spec.Event {
		h := append([]spec.Event{at("assigned", 1, 0), got(2, 0, 0, 10)}, between...)
		return map[string][]spec.Event{"a": append(h, again, got(6, 0, again.O[len(again.O)-1]+1, 20))}
	}
	stutters := map[string]bool{"a": true}
	r := Judge(history(got(4, 0, 9, 15), turn), []int64{20}, key, stutters)
	if r.Count != 0 || r.Stutter != 1 || r.Repeats != 1 {
		t.Fatalf("%+v", r)
	}
	twice := got(4, 0, 9, 15)
	twice.O, twice.K = append([]int64{9}, twice.O...), append([]string{"9"}, twice.K...)
	for name, r := range map[string]*Report{
		"the client does not stutter": Judge(history(got(4, 0, 9, 15), turn), []int64{20}, key, nil),
		"two records":                 Judge(history(got(4, 0, 8, 15), turn), []int64{20}, key, stutters),
		"without a change":            Judge(history(got(4, 0, 9, 15)), []int64{20}, key, stutters),
		"twice after one change":      Judge(history(twice, turn), []int64{20}, key, stutters),
		"a gap":                       Judge(history(got(4, 0, 11, 15), turn), []int64{20}, key, stutters),
	} {
		if r.Count == 0 {
			t.Errorf("%s: no fault in %+v", name, r)
		}
	}
}

// TestDoctoredHistoriesAreCaught changes the honest history in one place each: the check must be able to fail.
func TestDoctoredHistoriesAreCaught(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(h map[string][]spec.Event) []int64
	}{
		{"a record is never read", "1 records were never read, the first at offset 20", func(map[string][]spec.Event) []int64 { return []int64{21} }},
		{"read again beyond the commit", "begins at 9 although 10 was committed before", func(h map[string][]spec.Event) []int64 {
			h["b"][1] = got(10, 0, 9, 20)
			return []int64{20}
		}},
		{"begins behind what was committed", "begins at 11, which nobody committed", func(h map[string][]spec.Event) []int64 {
			h["b"][1] = got(10, 0, 11, 20)
			return []int64{20}
		}},
		{"a gap", "offset 8 follows 6", func(h map[string][]spec.Event) []int64 {
			e := got(2, 0, 0, 10)
			e.O, e.K = append(e.O[:7], e.O[8:]...), append(e.K[:7], e.K[8:]...)
			h["a"][1] = e
			return []int64{20}
		}},
		{"out of order", "follows", func(h map[string][]spec.Event) []int64 {
			e := h["a"][1]
			e.O[3], e.O[4] = e.O[4], e.O[3]
			e.K[3], e.K[4] = e.K[4], e.K[3]
			return []int64{20}
		}},
		{"twice in one spell", "offset 5 follows 9", func(h map[string][]spec.Event) []int64 {
			h["a"][4] = got(5, 0, 5, 15)
			return []int64{20}
		}},
		{"another record", `has key "99", want "4"`, func(h map[string][]spec.Event) []int64 {
			h["a"][1].K[4] = "99"
			return []int64{20}
		}},
		{"read after it was taken away", "without having it", func(h map[string][]spec.Event) []int64 {
			h["b"] = append(h["b"], got(14, 0, 20, 21))
			return []int64{21}
		}},
		{"a commit went back", "begins at 10 although 15 was committed before", func(h map[string][]spec.Event) []int64 {
			h["a"] = append(h["a"], at("commit", 6, 15), at("committed", 7, 15))
			return []int64{20}
		}},
		{"assigned twice", "assigned twice", func(h map[string][]spec.Event) []int64 {
			h["a"] = append([]spec.Event{at("assigned", 0, 0)}, h["a"]...)
			return []int64{20}
		}},
		{"more than there is", "but it ends at 19", func(map[string][]spec.Event) []int64 { return []int64{19} }},
	} {
		h := honest()
		ends := c.change(h)
		r := Judge(h, ends, key, nil)
		if r.Count == 0 || !strings.Contains(strings.Join(r.Faults, "\n"), c.want) {
			t.Errorf("%s: faults %q, want one with %q", c.name, r.Faults, c.want)
		}
	}
}
