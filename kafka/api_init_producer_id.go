package kafka

// InitProducerId (key 22), versions 0-5.
//
//	1  (throttling)
//	2  flexible
//	3  the producer's id and epoch until now (KIP-360)
//	4  PRODUCER_FENCED as an error
//	5  (transactions, second version)
//
// It gives ids to idempotent producers. Who names a transactional id is refused with UNSUPPORTED_VERSION, which clients take
// for final: this broker does not serve transactions.

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

const keyInitProducerID int16 = 22

// apiInitProducerID is the row of InitProducerId.
func apiInitProducerID() *api {
	return &api{
		key: keyInitProducerID, name: "InitProducerId", shown: 0, min: 0, max: 5, flexible: 2,
		before: refuse, after: tinyFrame, right: right{opIdempotentWrite, onCluster},
		shape:  shape{text(), fixed(4), fixed(8).from(3), fixed(2).from(3)},
		handle: initProducerID,
	}
}

// noProducerEpoch stands where a producer has no epoch.
const noProducerEpoch int16 = -1

// initProducerID answers from the block in hand, which may have to be taken of the metadata store first: so it runs in a goroutine
// of its own.
func initProducerID(s *session, r request) {
	q := kmsg.NewPtrInitProducerIDRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	refuse := func(c code) {
		resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = int64(penstock.NoProducer), noProducerEpoch, s.count(r, c)
		s.reply(r, resp)
	}
	switch {
	case q.TransactionalID != nil && *q.TransactionalID == "":
		refuse(codeInvalidRequest)
		return
	case q.TransactionalID != nil:
		refuse(codeUnsupportedVersion)
		return
	case (q.ProducerID == int64(penstock.NoProducer)) != (q.ProducerEpoch == noProducerEpoch):
		refuse(codeInvalidRequest)
		return
	}
	s.control(r, func(ctx context.Context) {
		// A producer without transactions that asks again gets a new id: nothing ties it to the old one.
		id, err := s.front.ids.next(ctx, s.front.o.Topics)
		if err != nil {
			c := codeOf(err)
			if errors.Is(err, penstock.ErrUnavailable) || c == codeRequestTimedOut {
				c = codeCoordinatorLoading // clients retry it
			}
			refuse(c)
			return
		}
		resp.ProducerID, resp.ProducerEpoch = int64(id), 0
		s.reply(r, resp)
	})
}

// producerIDs hands out ids from blocks taken of the metadata store. What is left of a block when the process ends is lost.
type producerIDs struct {
	mu   sync.Mutex          // held while a block is taken: there is nothing else to hand out meanwhile
	free penstock.ProducerID // guarded by mu: the next id
	left int                 // guarded by mu: ids from free on
}

// producerBlock is how many ids are taken at a time.
const producerBlock = 1000

// next returns an id that no producer has been given, in any life of the cluster.
func (p *producerIDs) next(ctx context.Context, t Topics) (penstock.ProducerID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		first, err := t.ProducerIDs(ctx, producerBlock)
		if err != nil {
			return penstock.NoProducer, err
		}
		p.free, p.left = first, producerBlock
	}
	id := p.free
	p.free++
	p.left--
	return id, nil
}
