package load

import "math/rand/v2"

// poolBytes is the size of the random bytes that values are cut from. Each value is a cut at another place, so that a batch does
// not repeat itself.
const poolBytes = 8 << 20

// values cuts random values of one size.
type values struct {
	pool []byte
	size int
	at   int
}

// newValues makes values that no codec can shorten, the same ones for the same seed. The size is at most poolBytes/2.
func newValues(size int, seed uint64) *values {
	v := &values{pool: make([]byte, poolBytes), size: size}
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(v.pool)
	return v
}

// next is the next value. It stays as it is for ever; several may overlap.
func (v *values) next() []byte {
	if v.at+v.size > len(v.pool) {
		v.at = (v.at + 1) % v.size
	}
	b := v.pool[v.at : v.at+v.size : v.at+v.size]
	v.at += v.size
	return b
}
