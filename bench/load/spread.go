package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Spread sends batches of one size to partitions in turn, one batch in a request, over a few connections with a few requests in
// flight each. It writes the requests itself: a client library works harder the more partitions there are, and it is the broker that
// is measured.
type Spread struct {
	Target
	Acks       int16 // 1, or -1 for all
	BatchBytes int   // of each batch, its header included; 16 KiB to 1 MiB
	Conns      int
	InFlight   int // of each connection
}

// produceVersion is the last version of Produce without tags.
const produceVersion = 8

// Run sends until d has passed and, with once, each partition has had a batch; then it waits for the answers. It fails if the broker
// refuses one.
func (s Spread) Run(ctx context.Context, d time.Duration, once bool) (Moved, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	least := int64(0)
	if once {
		least = int64(s.Partitions)
	}
	begun := time.Now()
	more := func() (int32, bool) {
		if n := next.Add(1) - 1; ctx.Err() == nil && (n < least || time.Since(begun) < d) {
			return int32(n % int64(s.Partitions)), true
		}
		return 0, false
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	errs := make([]error, s.Conns)
	for i := range s.Conns {
		wg.Go(func() {
			if errs[i] = s.connection(ctx, more, &done); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	n := done.Load()
	return Moved{Records: n, Batches: n, Bytes: n * int64(s.BatchBytes), Elapsed: time.Since(begun)}, errors.Join(errs...)
}

// connection is the life of one connection: a writer and a reader, with a token for each request that may be in flight.
func (s Spread) connection(ctx context.Context, more func() (int32, bool), done *atomic.Int64) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	sent := make(chan struct{}, s.InFlight)
	failed := make(chan error, 1)
	go func() {
		err := s.answers(c, sent, done)
		if err != nil {
			_ = c.SetDeadline(time.Unix(1, 0))
		}
		failed <- err
	}()
	req, at := s.request()
	var werr error
	for {
		i, ok := more()
		if !ok {
			break
		}
		binary.BigEndian.PutUint32(req[at:], uint32(i))
		sent <- struct{}{}
		_ = c.SetWriteDeadline(time.Now().Add(stallLimit))
		if _, werr = c.Write(req); werr != nil {
			break
		}
	}
	close(sent)
	if err := <-failed; err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return werr
}

// answers reads an answer for each token.
func (s Spread) answers(c net.Conn, sent <-chan struct{}, done *atomic.Int64) (err error) {
	defer func() {
		for range sent { // the writer must not wait for room
			continue
		}
	}()
	in := bufio.NewReader(c)
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = produceVersion
	for range sent {
		_ = c.SetReadDeadline(time.Now().Add(stallLimit))
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size < 4 || size > 1<<20 {
			return fmt.Errorf("answer of %d bytes", size)
		}
		body := make([]byte, size-4)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		if err := resp.ReadFrom(body); err != nil {
			return err
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return errors.New("answer names other partitions")
		}
		if p := &resp.Topics[0].Partitions[0]; p.ErrorCode != 0 {
			return fmt.Errorf("partition %d: error %d", p.Partition, p.ErrorCode)
		}
		done.Add(1)
	}
	return nil
}

// request makes a produce request, and says where in it the partition stands.
func (s Spread) request() (req []byte, partition int) {
	batch := s.batch()
	be := binary.BigEndian
	b := make([]byte, 4, len(batch)+256)
	b = be.AppendUint16(b, 0) // Produce
	b = be.AppendUint16(b, produceVersion)
	b = be.AppendUint32(b, 1)
	b = append(be.AppendUint16(b, 5), "bench"...)
	b = be.AppendUint16(b, 0xffff) // no transaction
	b = be.AppendUint16(b, uint16(s.Acks))
	b = be.AppendUint32(b, uint32(stallLimit.Milliseconds()))
	b = be.AppendUint32(b, 1)
	b = append(be.AppendUint16(b, uint16(len(s.Topic))), s.Topic...)
	b = be.AppendUint32(b, 1)
	partition = len(b)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, uint32(len(batch)))
	b = append(b, batch...)
	be.PutUint32(b, uint32(len(b)-4))
	return b, partition
}

// batch makes a record batch of one record that is BatchBytes long.
func (s Spread) batch() []byte {
	const around = 3 + 3 + 1 + 3 + 1 // length, attributes with time and offset, key, length of the value, headers
	value := make([]byte, s.BatchBytes-batchHead-around)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range value {
		value[i] = byte(r.Uint32())
	}
	body := []byte{0, 0, 0} // attributes, time, offset
	body = binary.AppendVarint(body, -1)
	body = binary.AppendVarint(body, int64(len(value)))
	body = append(append(body, value...), 0)
	records := append(binary.AppendVarint(nil, int64(len(body))), body...)
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		Length: int32(batchHead - 12 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: records,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// Quiet are connections that asked one thing and say nothing any more.
type Quiet struct{ conns []net.Conn }

// Close closes them.
func (q *Quiet) Close() {
	for _, c := range q.conns {
		_ = c.Close()
	}
}

// Connect opens n connections to a broker, asks ApiVersions on each, reads the answer, and leaves them open.
func Connect(ctx context.Context, addr string, n int) (*Quiet, error) {
	// Size, API key 18, version 0, correlation id, a client id that is null.
	frame := []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff}
	q := &Quiet{}
	buf := make([]byte, 1<<16)
	for i := range n {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			q.Close()
			return nil, fmt.Errorf("connection %d of %d: %w", i, n, err)
		}
		q.conns = append(q.conns, c)
		_ = c.SetDeadline(time.Now().Add(stallLimit))
		_, err = c.Write(frame)
		if err == nil {
			_, err = io.ReadFull(c, buf[:4])
		}
		if size := int(binary.BigEndian.Uint32(buf)); err == nil && size <= len(buf) {
			_, err = io.ReadFull(c, buf[:size])
		}
		if err != nil {
			q.Close()
			return nil, fmt.Errorf("connection %d of %d: %w", i, n, err)
		}
	}
	return q, nil
}
