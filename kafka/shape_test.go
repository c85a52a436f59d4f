package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shaped are the APIs that kmsg decodes.
func shaped() []*api {
	var out []*api
	for _, a := range newDispatcher(Limits{}.withDefaults()).list {
		if a.shape != nil {
			out = append(out, a)
		}
	}
	return out
}

// TestShapesAcceptWhatKmsgWrites: for every API and version a request with no field left zero passes, is decoded to what
// was encoded, and neither a shorter nor a longer body passes.
func TestShapesAcceptWhatKmsgWrites(t *testing.T) {
	for _, a := range shaped() {
		for v := a.min; v <= a.max; v++ {
			rng := newRand(uint64(v))
			for range 50 {
				q := kmsg.RequestForKey(a.key)
				fill(rng, reflect.ValueOf(q).Elem())
				q.SetVersion(v)
				body := q.AppendTo(nil)
				if err := a.shape.check(body, v, v >= a.flexible); err != nil {
					t.Fatalf("%s %d: %v\n%x", a.name, v, err, body)
				}
				back := kmsg.RequestForKey(a.key)
				back.SetVersion(v)
				if err := back.ReadFrom(body); err != nil || !bytes.Equal(back.AppendTo(nil), body) {
					t.Fatalf("%s %d: not the same after decoding: %v", a.name, v, err)
				}
				for n := range body {
					if a.shape.check(body[:n], v, v >= a.flexible) == nil {
						t.Fatalf("%s %d: %d of %d bytes pass", a.name, v, n, len(body))
					}
				}
				if a.shape.check(append(body, 0), v, v >= a.flexible) == nil {
					t.Fatalf("%s %d: a byte too many passes", a.name, v)
				}
			}
		}
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// bound is what one frame may make the broker allocate before authentication.
func bound(frame int) int64 { return 4*int64(frame) + 1<<20 }

// decodeGuarded is what a handler does with a body.
func decodeGuarded(a *api, v int16, body []byte) error {
	if err := a.shape.check(body, v, v >= a.flexible); err != nil {
		return err
	}
	q := kmsg.RequestForKey(a.key)
	q.SetVersion(v)
	return q.ReadFrom(body)
}

// hostile are bodies made to be dear: counts as large as may be believed, and as many elements or tagged fields as fit.
func hostile(size int) [][]byte {
	var out [][]byte
	count := binary.BigEndian.AppendUint32(nil, uint32(size-16))
	compact := binary.AppendUvarint(nil, uint64(size-16))
	tags := binary.AppendUvarint(nil, 1<<32-1)
	for lead := range 8 {
		for _, unit := range [][]byte{count, compact, tags, {0}, {1}, {2, 'a'}, {0, 1, 'a'}, {2, 'a', 0}, {0xff, 0xff}, {1, 1, 0}} {
			for _, first := range [][]byte{count, compact, tags} {
				b := append(bytes.Repeat([]byte{0}, lead), first...)
				for len(b) < size {
					b = append(b, unit...)
				}
				out = append(out, b[:size])
			}
		}
	}
	return out
}

// stretch calls f for every array in v, nested ones included, with a function that gives it n empty elements while the
// arrays around it have one; and likewise for every place of unknown tagged fields.
func stretch(v reflect.Value, f func(set func(n int))) {
	for i := range v.NumField() {
		field := v.Field(i)
		if tags, ok := field.Addr().Interface().(*kmsg.Tags); ok {
			f(func(n int) {
				*tags = kmsg.Tags{}
				for k := range n {
					tags.Set(uint32(1000+k), nil)
				}
			})
		}
		if field.Kind() != reflect.Slice {
			continue
		}
		f(func(n int) { field.Set(reflect.MakeSlice(field.Type(), n, n)) })
		field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		if elem := field.Index(0); elem.Kind() == reflect.Struct {
			stretch(elem, f)
		}
		field.SetZero()
	}
}

// dear are well-formed bodies of about the given size that take as much memory as can be to decode.
func dear(a *api, v int16, size int) [][]byte {
	q := kmsg.RequestForKey(a.key)
	q.SetVersion(v)
	var out [][]byte
	stretch(reflect.ValueOf(q).Elem(), func(set func(n int)) {
		set(1)
		one := len(q.AppendTo(nil))
		set(3)
		each := (len(q.AppendTo(nil)) - one) / 2
		if each > 0 {
			set((size - one) / each)
			out = append(out, q.AppendTo(nil))
		}
		set(0)
	})
	return out
}

// TestDecodingIsBounded: no body makes decoding allocate more than four times its length and 1 MiB, in any API and version.
func TestDecodingIsBounded(t *testing.T) {
	for _, size := range []int{smallFrame} {
		bodies := hostile(size)
		for _, a := range shaped() {
			for v := a.min; v <= a.max; v++ {
				for i, body := range append(dear(a, v, size), bodies...) {
					// Walking takes no memory, so only what passes need be measured, and at the end all walks together.
					if a.shape.check(body, v, v >= a.flexible) != nil {
						continue
					}
					if got := allocated(func() { _ = decodeGuarded(a, v, body) }); got > bound(size) {
						t.Fatalf("%s %d, body %d: %d bytes allocated for %d", a.name, v, i, got, size)
					}
				}
			}
		}
		got := allocated(func() {
			for _, body := range bodies {
				_ = apiCreateTopics().shape.check(body, 7, true)
			}
		})
		if got > bound(size) {
			t.Errorf("%d walks allocate %d bytes", len(bodies), got)
		}
	}
}

// TestDearRequestsAreRefused: many empty elements are many times dearer decoded than on the wire, and are refused; as
// many as a real client sends are not.
func TestDearRequestsAreRefused(t *testing.T) {
	a := apiMetadata()
	for _, c := range []struct {
		topics  int
		name    string
		refused bool
	}{{20_000, "t", true}, {20_000, "a-topic-as-it-may-be-called", false}, {1000, "t", false}} {
		q := kmsg.NewPtrMetadataRequest()
		for range c.topics {
			q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(c.name)})
		}
		q.SetVersion(9)
		err := a.shape.check(q.AppendTo(nil), 9, true)
		if errors.Is(err, errShape) != c.refused {
			t.Errorf("%d topics %q: %v", c.topics, c.name, err)
		}
	}
}

// FuzzShapes: whatever passes the check of any API decodes within the bound, and decoding does not panic.
func FuzzShapes(f *testing.F) {
	for _, a := range shaped() {
		q := kmsg.RequestForKey(a.key)
		fill(newRand(1), reflect.ValueOf(q).Elem())
		q.SetVersion(a.max)
		f.Add(a.key, a.max, q.AppendTo(nil))
	}
	table := newDispatcher(Limits{}.withDefaults())
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		a := table.find(key)
		if a == nil || a.shape == nil || version < a.min || version > a.max || len(body) > smallFrame {
			return
		}
		if got := allocated(func() { _ = decodeGuarded(a, version, body) }); got > bound(len(body)) {
			t.Fatalf("%s %d: %d bytes allocated for %d", a.name, version, got, len(body))
		}
	})
}
