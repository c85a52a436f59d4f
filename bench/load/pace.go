package load

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// pacer calls a function at a steady rate in an open loop: each call has a due time that no earlier call can put off. A call that
// is late is made at once, so that a stall of what is called shows in the time from its due time on, not as a lower rate.
type pacer struct {
	now   func() time.Duration // time since some start; it never goes back
	sleep func(time.Duration)
	rate  float64 // calls a second
}

// newPacer is a pacer on the real clock. Its times count from now.
func newPacer(rate float64) *pacer {
	start := time.Now()
	return &pacer{now: func() time.Duration { return time.Since(start) }, sleep: nap, rate: rate}
}

// nap sleeps by the kernel's clock: an idle Go program's timers wait in whole milliseconds, which would be most of what a quick
// broker's latency is measured as. A signal may end it early; run looks at the time again.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil)
}

// run calls send n times with the times at which the calls are due. It ends early with ctx.
func (p *pacer) run(ctx context.Context, n int, send func(due time.Duration)) error {
	start := p.now()
	for i := range n {
		due := start + time.Duration(float64(i)/p.rate*float64(time.Second))
		for wait := due - p.now(); wait > 0; wait = due - p.now() {
			p.sleep(wait)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		send(due)
	}
	return nil
}
