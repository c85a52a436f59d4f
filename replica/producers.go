package replica

import "penstock/producer"

// Producers lists the idempotent producers that the partition remembers, the one silent longest first. It copies them under the
// lock that appends take, so it is not for every second. Errors: ErrClosed, and why the partition could not be opened.
func (p *Partition) Producers() ([]producer.Info, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.producers.List(), nil
}
