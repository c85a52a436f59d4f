package replica

import (
	"fmt"

	"penstock"
)

// SetStart moves the first offset that is kept forward, to at most the high watermark; one behind the present start changes
// nothing. What lies below is gone for readers at once, and whole segments of it from the disk at the next pass of retention.
// It is durable on return. Errors: ErrOffsetOutOfRange, what store.Partition's SetStart returns, ErrClosed.
func (p *Partition) SetStart(start penstock.Offset) error {
	if err := p.Err(); err != nil {
		return err
	}
	l := p.ledger
	l.write.Lock() // the store's writing methods take turns
	defer l.write.Unlock()
	if err := p.Err(); err != nil {
		return err
	}
	if high := penstock.Offset(p.high.Load()); start > high {
		return fmt.Errorf("%w: partition %v: start %d behind the high watermark %d", penstock.ErrOffsetOutOfRange, p.id, start, high)
	}
	return p.store.SetStart(start)
}
