package kafka

import (
	"errors"
	"fmt"
	"reflect"
)

// kmsg trusts what it decodes: an array's count makes an allocation of count elements, each many times larger in memory than
// its one byte on the wire, and a count of tagged fields makes a loop of up to 2^32 rounds. So a frame is walked by the
// shape of its API first: every length must be there in full, nothing may be left over, and the memory that decoding it
// will take must stay within a bound that grows with the frame. Walking allocates nothing and takes time in
// proportion to the frame.

// shape describes the body of one API's requests over all versions, as a list of fields in their order.
type shape []field

// field is one field of a shape.
type field struct {
	kind  fieldKind
	size  int   // of a fixed field: bytes on the wire; of an array or structure: bytes in memory of one element
	elem  shape // of an array or structure
	since int16 // first version that has the field
	until int16 // last version that has it
}

// fieldKind is how a field lies in the frame.
type fieldKind uint8

const (
	kindFixed fieldKind = iota // size bytes
	kindText                   // a string, nullable or not
	kindBlob                   // a byte string
	kindArray                  // of structures, each followed by its tagged fields
	kindPlain                  // an array whose elements are primitives: they have no tagged fields
	kindMaybe                  // a byte, -1 for null, and else a structure followed by its tagged fields
)

// everAfter is the last version of a field that was never taken away.
const everAfter int16 = 1<<15 - 1

// fixed is a field of that many bytes, text a string; both are in all versions unless from and to say otherwise.
func fixed(size int) field { return field{kind: kindFixed, size: size, until: everAfter} }
func text() field          { return field{kind: kindText, until: everAfter} }
func blob() field          { return field{kind: kindBlob, until: everAfter} }

// array is an array of structures that kmsg decodes into elements of type T.
func array[T any](elem ...field) field {
	return field{kind: kindArray, size: sizeOf[T](), elem: elem, until: everAfter}
}

// plain is an array of primitives that kmsg decodes into elements of type T.
func plain[T any](elem field) field {
	return field{kind: kindPlain, size: sizeOf[T](), elem: shape{elem}, until: everAfter}
}

// maybe is a structure or null, which kmsg decodes into a pointer to a T.
func maybe[T any](fields ...field) field {
	return field{kind: kindMaybe, size: sizeOf[T](), elem: fields, until: everAfter}
}

// sizeOf is how many bytes a value takes in memory, without what it points to.
func sizeOf[T any]() int { return int(reflect.TypeFor[T]().Size()) }

// from and to bound the versions that have the field.
func (f field) from(version int16) field { f.since = version; return f }
func (f field) to(version int16) field   { f.until = version; return f }

// What decoding costs in memory, as upper bounds.
const (
	textCost     = 40      // a string's header where it is held by pointer, and the rounding of its bytes
	tagCost      = 160     // one unknown tagged field in kmsg's map
	decodeFactor = 4       // bytes that decoding may take for each byte of the frame
	decodeFree   = 1 << 19 // and these besides
)

// null is the byte that says that a structure is not there.
const null = -1

var errShape = errors.New("malformed request")

// check walks the body of a request and refuses what is malformed or would take too much memory to decode.
func (s shape) check(body []byte, version int16, flex bool) error {
	over, err := s.measure(body, version, flex)
	if err == nil && over > 0 {
		err = fmt.Errorf("%w: %d bytes too many", errShape, over)
	}
	return err
}

// measure is check, but counts the bytes that are left over, for APIs whose clients are known to send some.
func (s shape) measure(body []byte, version int16, flex bool) (over int, err error) {
	w := walker{reader: reader{b: body, flex: flex}, version: version, allowed: decodeFactor*len(body) + decodeFree}
	w.structure(s)
	switch {
	case w.bad:
		return 0, errShape
	case w.allowed < 0:
		return 0, fmt.Errorf("%w: %d bytes would take far more memory", errShape, len(body))
	}
	return len(w.b), nil
}

// walker walks one body. It stops at once when it is bad or nothing more is allowed.
type walker struct {
	reader
	version int16
	allowed int
}

// structure walks the fields of s and the tagged fields behind them.
func (w *walker) structure(s shape) {
	for i := range s {
		if w.version >= s[i].since && w.version <= s[i].until {
			w.field(&s[i])
		}
	}
	for n := w.tags(); n > 0 && !w.bad && w.allowed >= 0; n-- {
		w.tag()
		w.allowed -= tagCost
	}
}

// field walks one field. The memory of an array is charged before its elements are looked at.
func (w *walker) field(f *field) {
	switch f.kind {
	case kindFixed:
		w.take(f.size)
	case kindText:
		w.allowed -= len(w.text()) + textCost
	case kindBlob:
		w.allowed -= len(w.bytes()) // a copy may be made
	case kindMaybe:
		if w.int8() != null && !w.bad {
			w.allowed -= f.size + f.size/4
			w.structure(f.elem)
		}
	default:
		n := w.count()
		// A quarter more: the allocator rounds up to its size classes.
		w.allowed -= max(n, 0) * (f.size + f.size/4)
		for ; n > 0 && !w.bad && w.allowed >= 0; n-- {
			if f.kind == kindPlain {
				w.field(&f.elem[0])
			} else {
				w.structure(f.elem)
			}
		}
	}
}
