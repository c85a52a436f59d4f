package commit

import "penstock"

// Oldest is the position of the first byte that the log still has, and the time of the batch there; penstock.NoTimestamp if there is none, or it cannot
// be read.
func (s *Store) Oldest() (penstock.Position, penstock.Timestamp) {
	l := s.log
	l.mu.RLock()
	at := penstock.Position(l.end.Load())
	if len(l.files) > 0 {
		at = l.files[0].start
	}
	l.mu.RUnlock()
	if at >= penstock.Position(l.end.Load()) {
		return at, penstock.NoTimestamp
	}
	f, err := l.open(at)
	if err != nil {
		return at, penstock.NoTimestamp
	}
	defer f.h.Release()
	skip := int64(0)
	if !s.messages {
		skip = frameSize
	}
	b := make([]byte, s.f.HeaderSize())
	if _, err := f.h.ReadAt(b, skip); err != nil {
		return at, penstock.NoTimestamp
	}
	h, err := s.f.Header(b)
	if err != nil {
		return at, penstock.NoTimestamp
	}
	return at, h.FirstTimestamp
}

// Written is the position behind the last batch.
func (s *Store) Written() penstock.Position { return penstock.Position(s.log.end.Load()) }
