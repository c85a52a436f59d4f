package main

import "testing"

// TestSumsTellRecordsApart shows what each field of a sum sees.
func TestSumsTellRecordsApart(t *testing.T) {
	make := func(values ...string) sum {
		var s sum
		for _, v := range values {
			s.add(line(nil, []byte("k"), []byte(v)), 1+len(v))
		}
		return s
	}
	a := make("x", "y", "z")
	if b := make("x", "z", "y"); b.Set != a.Set || b.Order == a.Order {
		t.Error("order is not seen, or seen by the set")
	}
	for _, other := range []sum{make("x", "y"), make("x", "y", "w"), make("x", "y", "z", "z"), make("x", "x", "z")} {
		if other.Set == a.Set || other.Order == a.Order {
			t.Errorf("%+v looks like %+v", other, a)
		}
	}
	if same("t", []sum{a}, []sum{a}) != nil || same("t", []sum{a}, []sum{make("x")}) == nil || same("t", []sum{a}, nil) == nil {
		t.Error("same is wrong")
	}
	if got := total([]sum{a, a}); got.Records != 6 || got.Bytes != 12 || got.Set != 2*a.Set {
		t.Errorf("total %+v", got)
	}
}

func TestLine(t *testing.T) {
	for want, in := range map[string][2][]byte{"null\tv": {nil, []byte("v")}, "k\tv": {[]byte("k"), []byte("v")}, "\t": {{}, nil}} {
		if got := string(line(nil, in[0], in[1])); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
