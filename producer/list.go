package producer

import "penstock"

// Info is what is known of one producer.
type Info struct {
	ID               penstock.ProducerID
	Epoch            int16
	LastSequence     int32              // of its last record in this epoch, NoSequence if there is none
	LastTime         penstock.Timestamp // largest of its last batch, NoTimestamp likewise
	TransactionStart penstock.Offset    // first offset of its open transaction, NoOffset if it has none
}

// List lists the producers remembered, the one silent longest first.
func (s *State) List() []Info {
	out := make([]Info, 0, len(s.producers))
	for e := s.oldest; e != nil; e = e.newer {
		i := Info{
			ID: e.id, Epoch: e.epoch, LastSequence: penstock.NoSequence, LastTime: penstock.NoTimestamp, TransactionStart: penstock.NoOffset,
		}
		if e.n > 0 {
			last := &e.batches[e.n-1]
			i.LastSequence, i.LastTime = last.last, last.at
		}
		if e.open {
			i.TransactionStart = s.began(e.id)
		}
		out = append(out, i)
	}
	return out
}

// began is where the open transaction of a producer begins.
func (s *State) began(id penstock.ProducerID) penstock.Offset {
	for i := range s.txns {
		if t := &s.txns[i]; t.id == id && t.end == penstock.NoOffset {
			return t.first
		}
	}
	return penstock.NoOffset
}
