package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDifferNamesWhatDiffers(t *testing.T) {
	want := Want(1000, 3, 1_700_000_000_000)
	if d := Differ(want, want); d != "" {
		t.Fatalf("equal sums differ: %s", d)
	}
	for name, change := range map[string]func(*Record){
		"key": func(r *Record) { r.Key = []byte("x") }, "null key": func(r *Record) { r.Key = nil }, "value": func(r *Record) { r.Value[3] ^= 1 },
		"null value": func(r *Record) { r.Value = nil }, "time": func(r *Record) { r.Time++ }, "header": func(r *Record) { r.Header = "m" },
		"header's value": func(r *Record) { r.HeaderValue = []byte("no") },
	} {
		s := NewSummer(3)
		for i := range int64(1000) {
			r := Of(i, 3, 1_700_000_000_000)
			if i == 300 {
				change(&r)
			}
			if err := s.Add(&r, s.Records(r.Partition)); err != nil {
				t.Fatal(err)
			}
		}
		if d := Differ(s.Sums(), want); !strings.HasPrefix(d, "partition 0") {
			t.Errorf("another %s: %q", name, d)
		}
	}
	if d := Differ(want[:2], want); !strings.Contains(d, "partition 2 is missing") {
		t.Errorf("a partition less: %q", d)
	}
	if d := Differ(Want(999, 3, 1_700_000_000_000), want); !strings.Contains(d, "got 333 records") {
		t.Errorf("a record less: %q", d)
	}
}

func TestSummerRefusesGaps(t *testing.T) {
	s := NewSummer(1)
	r := Of(0, 1, 0)
	if err := s.Add(&r, 1); err == nil {
		t.Fatal("offset 1 came first and was taken")
	}
}

func TestServeAnswersAndStops(t *testing.T) {
	in, feed := io.Pipe()
	read, out := io.Pipe()
	go Serve(in, out, map[string]func(*Session) (Answer, error){
		"wait": func(s *Session) (Answer, error) {
			s.Tell(Event{E: "read", Part: 2, O: []int64{7}, K: []string{s.Topic}})
			<-s.Stop()
			return Answer{Count: 3}, nil
		},
		"fail": func(*Session) (Answer, error) { return Answer{}, &Coded{Code: 36, Err: errors.New("it exists")} },
		"lack": func(*Session) (Answer, error) { return Answer{}, ErrUnsupported },
	})
	dec := json.NewDecoder(read)
	say := func(s string) {
		if _, err := io.Copy(feed, bytes.NewBufferString(s+"\n")); err != nil {
			t.Error(err)
		}
	}
	next := func() (l struct {
		Event
		Answer
	}) {
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	say(`{"do":"wait","topic":"x"}`)
	if l := next(); l.E != "read" || l.Part != 2 || l.K[0] != "x" || l.T == 0 {
		t.Fatalf("%+v", l)
	}
	say(`{"do":"stop"}`)
	if l := next(); !l.Done || l.Count != 3 {
		t.Fatalf("%+v", l)
	}
	say(`{"do":"fail"}`)
	if l := next(); l.Done || l.Code != 36 || l.Error != "it exists" {
		t.Fatalf("%+v", l)
	}
	say(`{"do":"lack"}`)
	if l := next(); !l.Unsupported || l.Code != Unknown {
		t.Fatalf("%+v", l)
	}
	say(`{"do":"other"}`)
	if l := next(); !l.Unsupported {
		t.Fatalf("%+v", l)
	}
}
