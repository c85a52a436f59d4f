package rocket

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
)

// uniqueIDs makes ids for messages whose producer gave them none, in the form of RocketMQ's clients, who read the time from them:
//
//	u32 address | u16 process | u32 loader | u32 ms since the month began | u16 counter, in 32 hex digits
//
// The address and the loader are random here: they only tell makers of ids apart.
type uniqueIDs struct {
	maker [10]byte
	count atomic.Uint32
}

// begin draws what tells this maker from others.
func (u *uniqueIDs) begin(now time.Time) {
	r := rand.New(rand.NewPCG(uint64(now.UnixNano()), rand.Uint64()))
	binary.BigEndian.PutUint32(u.maker[0:], r.Uint32())
	binary.BigEndian.PutUint16(u.maker[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint32(u.maker[6:], r.Uint32())
}

// append appends a new id.
func (u *uniqueIDs) append(dst []byte, now time.Time) []byte {
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
	var b [16]byte
	copy(b[:], u.maker[:])
	binary.BigEndian.PutUint32(b[10:], uint32(now.Sub(month).Milliseconds()))
	binary.BigEndian.PutUint16(b[14:], uint16(u.count.Add(1)))
	return appendHex(dst, b[:])
}

// appendHex appends bytes in upper-case hex digits.
func appendHex(dst, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, v := range b {
		dst = append(dst, digits[v>>4], digits[v&15])
	}
	return dst
}
