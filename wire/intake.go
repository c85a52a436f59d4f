package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// limiter says how large a frame may be: Session's FrameLimit.
type limiter interface{ FrameLimit(peek []byte) int }

// intake turns received bytes into frames. It does no I/O and never waits. It belongs to the reader, who in turn calls
//
//	prepare     what must be taken from the budget before the next read; then grow
//	offer       where the next bytes go; then arrived, or park when there are none
//	next        frames, until there are no more; then settle
//
// Invariants:
//  1. buf.b[pos:fill] are the bytes received and not yet cut; buf is nil after settle when there are none.
//  2. A buffer larger than headBytes holds its part of the budget before the kernel writes to it, so a connection holds
//     at most headBytes beside the budget. The reader charges a smaller one before it serves a request from it.
//  3. After park, less than headBytes carried lie in a buffer of at most headBytes. Nothing carried: no buffer.
//  4. Bytes once cut into a frame are not written again: a buffer is filled only behind fill.
type intake struct {
	pool   *pool
	budget *Budget

	buf   *buffer
	pos   int
	fill  int
	need  int     // size of the frame at pos with its length; 0 until its limit is checked
	solo  bool    // buf is this frame's own, read to its end exactly, and holds the frame's part of the budget
	fresh *buffer // taken by offer, until arrived or park

	want  int  // size of the next fresh buffer, a power of two
	asked int  // bytes that the last offer had room for; 0 when it says nothing about the peer
	slack int  // consecutive reads that left most of the buffer empty
	big   bool // the last frame was larger than bigFrame
}

// slackReads is how many nearly empty reads in a row make the next ones smaller.
const slackReads = 16

func newIntake(p *pool, b *Budget) intake { return intake{pool: p, budget: b, want: minRead} }

// carried is the number of bytes of a frame begun and not yet complete.
func (in *intake) carried() int { return in.fill - in.pos }

// prepare makes ready for the next read. When it returns n > 0, the caller takes n bytes of the budget and calls grow.
func (in *intake) prepare() (n int64) {
	k := in.carried()
	if in.solo {
		// The frame's part of the budget goes from buffer to buffer as it grows.
		if in.fill == len(in.buf.b) {
			charge := in.buf.charge
			in.buf.charge = 0
			in.move(in.need, charge)
		}
		return 0
	}
	if k < headBytes || in.pos+in.need <= len(in.buf.b) {
		return 0
	}
	// A frame that fits into this peer's usual read is carried over to the next one, and read on together with what
	// follows it, if the budget allows.
	if in.need <= in.want {
		if part := in.budget.part(int64(in.want)); in.budget.try(part) {
			in.move(in.want, part)
			return 0
		}
	}
	part := in.budget.part(int64(in.need))
	if !in.budget.try(part) {
		return part
	}
	in.grow(part)
	return 0
}

// yieldCharge gives up the part of the budget that the carried bytes hold, before its owner waits for a larger one:
// nobody may wait for the budget while holding some, or all might.
func (in *intake) yieldCharge() {
	if in.buf != nil {
		in.budget.give(in.buf.charge)
		in.buf.charge = 0
	}
}

// grow gives the carried frame a buffer of its own. The caller has taken part, the frame's part of the budget.
func (in *intake) grow(part int64) {
	in.solo = true
	in.move(in.need, part)
}

// move carries the frame begun over to a larger buffer: of size bytes, but not more than a multiple of what has really
// arrived. charge is what the new buffer holds of the budget.
func (in *intake) move(size int, charge int64) {
	k := in.carried()
	b := in.pool.get(min(size, growFactor*k))
	b.charge = charge
	copy(b.b, in.buf.b[in.pos:in.fill])
	in.buf.release()
	in.buf, in.pos, in.fill = b, 0, k
}

// offer returns where the next bytes go. It is called when a read is likely to succeed, and takes a buffer only then.
func (in *intake) offer() []byte {
	in.asked = 0
	k := in.carried()
	if in.solo {
		return in.buf.b[in.fill:min(in.need, len(in.buf.b))]
	}
	if k >= headBytes {
		return in.buf.b[in.fill:] // prepare has seen to it that the frame fits
	}
	goal := max(in.need, lenBytes+peekBytes)
	if goal > in.want {
		return in.offerHead(k, goal)
	}
	if in.buf != nil {
		room := len(in.buf.b) - in.fill
		if room >= in.want/2 || in.pos == 0 && in.pos+goal <= len(in.buf.b) && len(in.buf.b) >= in.want {
			in.asked = room
			return in.buf.b[in.fill:]
		}
	}
	size := in.want
	charge := int64(0)
	if size > headBytes {
		charge = in.budget.part(int64(size))
		if !in.budget.try(charge) {
			size, charge = headBytes, 0
		}
	}
	in.fresh = in.pool.get(size)
	in.fresh.charge = charge
	in.asked = size - k
	return in.fresh.b[k:size]
}

// offerHead makes room for a frame that is larger than this peer's usual read, up to what is received before a frame is
// believed. The kernel gets no more room than that: what follows would only have to be carried over.
func (in *intake) offerHead(k, goal int) []byte {
	head := min(goal, headBytes)
	if in.buf != nil && in.pos+head <= len(in.buf.b) {
		return in.buf.b[in.fill : in.pos+head]
	}
	in.fresh = in.pool.get(head)
	return in.fresh.b[k:head]
}

// arrived takes n > 0 bytes into account that were received where offer said.
func (in *intake) arrived(n int) {
	if in.fresh != nil {
		// The frame begun is copied only now: while nothing came, it cost nothing.
		k := in.carried()
		if k > 0 {
			copy(in.fresh.b, in.buf.b[in.pos:in.fill])
		}
		in.buf.release()
		in.buf, in.pos, in.fill = in.fresh, 0, k
		in.fresh = nil
	}
	in.fill += n
	if in.asked > 0 {
		in.adapt(n)
	}
}

// adapt learns from a read of n bytes how large the next should be.
func (in *intake) adapt(n int) {
	limit := maxRead
	if in.big {
		// The first headBytes of each frame, then the rest into a buffer of its own: 64 KiB of copying a frame, where
		// reading on blindly would copy half a frame on average.
		limit = headBytes
	}
	switch {
	case n == in.asked:
		in.want, in.slack = min(in.want*4, limit), 0
	case n >= in.want/8:
		in.slack = 0
	default:
		in.slack++
		if in.slack >= slackReads {
			in.want, in.slack = max(in.want/2, minRead), 0
		}
	}
}

// park is called when there is nothing to receive: it gives back what the connection need not hold while it waits.
func (in *intake) park() {
	in.fresh.release()
	in.fresh = nil
	k := in.carried()
	if in.buf == nil || in.solo || k >= headBytes {
		return
	}
	// Moving is worth it for what frees much: a quarter copied at most, or a part of the budget.
	small := classSize(classOf(k))
	if len(in.buf.b) <= headBytes && len(in.buf.b) < 4*small {
		return
	}
	b := in.pool.get(k)
	copy(b.b, in.buf.b[in.pos:in.fill])
	in.buf.release()
	in.buf, in.pos, in.fill = b, 0, k
}

// next cuts a frame, which lies in buf; ok is false when the bytes do not hold another whole one. The limit of a frame
// is asked for once, as soon as its first bytes are there.
func (in *intake) next(l limiter) (frame []byte, ok bool, err error) {
	have := in.carried()
	if have < lenBytes {
		return nil, false, nil
	}
	if in.need == 0 {
		b := in.buf.b[in.pos:in.fill]
		n := binary.BigEndian.Uint32(b)
		if n > math.MaxInt32-lenBytes {
			return nil, false, fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, n)
		}
		if have < lenBytes+min(peekBytes, int(n)) {
			return nil, false, nil
		}
		peek := b[lenBytes:min(have, lenBytes+int(n))]
		if limit := l.FrameLimit(peek); int(n) > limit {
			return nil, false, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, n, limit)
		}
		in.need = lenBytes + int(n)
	}
	if have < in.need {
		return nil, false, nil
	}
	end := in.pos + in.need
	frame = in.buf.b[in.pos+lenBytes : end : end]
	in.big = in.need > bigFrame
	if in.big {
		in.want = min(in.want, headBytes)
	}
	in.pos, in.need, in.solo = end, 0, false
	return frame, true, nil
}

// settle ends a round: bytes wholly cut belong to their requests alone.
func (in *intake) settle() {
	if in.buf != nil && in.carried() == 0 {
		in.buf.release()
		in.buf, in.pos, in.fill = nil, 0, 0
	}
}

// drop gives back everything.
func (in *intake) drop() {
	in.fresh.release()
	in.buf.release()
	in.fresh, in.buf = nil, nil
	in.pos, in.fill, in.need, in.solo = 0, 0, 0, false
}
