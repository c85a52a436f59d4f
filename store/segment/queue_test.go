package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"slices"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/message"
	"penstock/store"
	"penstock/store/storetest"
)

// makeMessage builds a message with a tag and the checksum of the whole record.
func makeMessage(s storetest.Spec) penstock.Batch {
	props, err := message.AppendProperty(nil, message.PropertyTags, fmt.Sprintf("tag-%d", s.Tag%5))
	if err != nil {
		panic(err)
	}
	body := append(binary.BigEndian.AppendUint64(nil, s.Tag), bytes.Repeat([]byte{byte(s.Tag*7 + 1)}, s.Bytes)...)
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	b, err := message.Append(nil, &message.Message{QueueID: s.Of.Partition, BornTime: s.First, BornHost: host, StoreTime: s.First, StoreHost: host,
		Body: body, Topic: []byte("topic"), Properties: props, WithRecordCRC: true})
	if err != nil {
		panic(err)
	}
	h, err := message.Format{}.Header(b)
	if err != nil {
		panic(err)
	}
	return penstock.Batch{Header: h, Bytes: b}
}

// tagIn and positionIn are read by another hand than the store's.
func tagIn(b []byte) int64 {
	m, err := message.Parse(b)
	if err != nil {
		panic(err)
	}
	tag, _ := message.Property(m.Properties, message.PropertyTags)
	return message.TagCode(string(tag))
}

func positionIn(b []byte) penstock.Position {
	return penstock.Position(binary.BigEndian.Uint64(b[28:]))
}

func messageFactory(o Options) storetest.Factory {
	o.Now = testNow
	return storetest.Factory{
		Format: message.Format{},
		Open: func(d *disk.Disk) (store.Store, error) {
			s, err := New(d, message.Format{}, o)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Batch:    makeMessage,
		Tag:      tagIn,
		Position: positionIn,
		Check:    checkQueues,
	}
}

func TestMessages(t *testing.T) { storetest.Run(t, messageFactory(Options{ZeroAhead: 8 << 10})) }

// messagesDir is where partitions of messages lie.
const messagesDir = "segment/message/logs"

// checkQueues builds the queue of every segment again by a simpler hand and compares the files; positions in messages must be those in the
// queue, of one number in each partition, and follow one another over the segments that are kept.
func checkQueues(d *disk.Disk) error {
	topics, err := d.ReadDir(messagesDir)
	if err != nil {
		return err
	}
	for _, t := range topics {
		parts, err := d.ReadDir(path.Join(messagesDir, t.Name))
		if err != nil {
			return err
		}
		for _, p := range parts {
			if err := checkQueueDir(d, path.Join(messagesDir, t.Name, p.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkQueueDir(d *disk.Disk, dir string) error {
	es, err := d.ReadDir(dir)
	if err != nil {
		return err
	}
	at := penstock.Position(-1)
	for _, e := range es { // sorted by name
		base, suffix, ok := parseName(e.Name)
		if !ok || suffix == stateSuffix {
			continue
		}
		log, err := d.ReadFile(fileName(dir, base, logSuffix), 1<<30)
		if err != nil {
			return fmt.Errorf("%s has no log", e.Name)
		}
		switch suffix {
		case logSuffix:
			var want []byte
			for off := base; len(log) > 0; off++ {
				size := binary.BigEndian.Uint32(log)
				m, err := message.Parse(log[:size])
				if err != nil || m.QueueOffset != off || at >= 0 && m.Position != at || m.Position>>62 != 1 {
					return fmt.Errorf("%s: offset %d at %#x, want %d at %#x, %v", e.Name, m.QueueOffset, m.Position, off, at, err)
				}
				want = binary.BigEndian.AppendUint64(want, uint64(m.Position))
				want = binary.BigEndian.AppendUint32(want, size)
				want = binary.BigEndian.AppendUint64(want, uint64(tagIn(log[:size])))
				log, at = log[size:], m.Position+penstock.Position(size)
			}
			if got, err := d.ReadFile(fileName(dir, base, queueSuffix), 1<<30); err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("queue of %d: %x, want %x, %v", base, got, want, err)
			}
		case queueSuffix:
		default:
			return fmt.Errorf("%s does not belong to a log of messages", e.Name)
		}
	}
	return nil
}

// TestMessagesFewInMemory is the suite with hardly an entry of a queue in memory.
func TestMessagesFewInMemory(t *testing.T) {
	storetest.Run(t, messageFactory(Options{cells: 3}))
}

// many is a partition of many messages with a dumb list of them.
type many struct {
	*rig
	rnd  *rand.Rand
	msgs []penstock.Batch
	from penstock.Offset
}

// grow appends n messages whose times go up and down.
func (m *many) grow(n int) {
	m.t.Helper()
	for n > 0 {
		var bs []penstock.Batch
		for range 1 + m.rnd.IntN(min(n, 5)) {
			at := 1_700_000_000_000 + penstock.Timestamp(len(m.msgs)+len(bs))*10 - penstock.Timestamp(m.rnd.IntN(200))
			bs = append(bs, makeMessage(storetest.Spec{Bytes: m.rnd.IntN(100), First: at, Of: rigID, Tag: m.rnd.Uint64N(50)}))
		}
		_, err := m.p.Append(bs, 0, 1_700_000_000_000)
		must(m.t, err)
		n -= len(bs)
		m.msgs = append(m.msgs, bs...)
	}
}

// check compares pulls, reads, look-ups by time and by position with the list.
func (m *many) check() {
	m.t.Helper()
	end := penstock.Offset(len(m.msgs))
	if s, e := m.p.Bounds(); s != m.from || e != end {
		m.t.Fatalf("bounds %d to %d, want %d to %d", s, e, m.from, end)
	}
	for range 40 {
		r := store.PullRequest{From: m.from + penstock.Offset(m.rnd.Int64N(int64(end-m.from))), Limit: end, Max: m.rnd.Int64N(200_000), Count: 1 + m.rnd.IntN(600), Scan: 1 + m.rnd.IntN(900)}
		r.Limit = min(end, r.From+penstock.Offset(m.rnd.Int64N(1000)))
		if m.rnd.IntN(2) == 0 {
			r.Tags = []int64{message.TagCode("tag-1"), message.TagCode("tag-3")}
		}
		m.pull(r)
		m.read(store.ReadRequest{From: r.From, Limit: r.Limit, Max: r.Max, Whole: r.Count%2 == 0})
		at := 1_700_000_000_000 + penstock.Timestamp(m.rnd.Int64N(int64(end)*10+100))
		m.find(at)
		off := m.from + penstock.Offset(m.rnd.Int64N(int64(end-m.from)))
		if id, got, err := m.s.Locate(positionIn(m.msgs[off].Bytes)); err != nil || id != rigID || got != off {
			m.t.Fatalf("locate %d: %v %d %v", off, id, got, err)
		}
	}
	m.find(store.FindMax)
}

func (m *many) pull(r store.PullRequest) {
	m.t.Helper()
	var want []byte
	wanted := store.Pulled{Next: r.From}
	for scanned := 0; scanned < r.Scan && wanted.Count < r.Count && wanted.Next < r.Limit; scanned++ {
		b := m.msgs[wanted.Next].Bytes
		if r.Tags == nil || slices.Contains(r.Tags, tagIn(b)) {
			if wanted.Count > 0 && wanted.Bytes+int64(len(b)) > r.Max {
				break
			}
			want = append(want, b...)
			wanted.Count++
			wanted.Bytes += int64(len(b))
		}
		wanted.Next++
	}
	es, got, err := queued{m.p}.Pull(r, nil)
	must(m.t, err)
	if got != wanted || !bytes.Equal(readOut(m.t, es), want) {
		m.t.Fatalf("pull %+v: %+v, want %+v", r, got, wanted)
	}
}

func (m *many) read(r store.ReadRequest) {
	m.t.Helper()
	var want []byte
	for off := r.From; off < r.Limit; off++ {
		b := m.msgs[off].Bytes
		if int64(len(want)+len(b)) > r.Max && !(len(want) == 0 && r.Whole) {
			break
		}
		want = append(want, b...)
	}
	es, err := m.p.Read(r, nil)
	must(m.t, err)
	if got := readOut(m.t, es); !bytes.Equal(got, want) {
		m.t.Fatalf("read %+v: %d bytes, want %d", r, len(got), len(want))
	}
}

func readOut(t *testing.T, es []penstock.Extent) (out []byte) {
	t.Helper()
	for _, e := range es {
		b := make([]byte, e.Len)
		if _, err := e.File.ReadAt(b, e.Off); err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	penstock.ReleaseAll(es)
	return out
}

func (m *many) find(at penstock.Timestamp) {
	m.t.Helper()
	want, best := noneFound, at
	if at == store.FindMax {
		for i := range m.msgs[m.from:] {
			best = max(best, m.msgs[int(m.from)+i].Header.MaxTimestamp)
		}
	}
	for off := m.from; off < penstock.Offset(len(m.msgs)) && want.Offset < 0; off++ {
		if h := &m.msgs[off].Header; h.MaxTimestamp >= best {
			want = store.Found{Offset: off, Timestamp: h.MaxTimestamp, Epoch: penstock.NoEpoch}
		}
	}
	if got, err := m.p.Find(at); err != nil || got != want {
		m.t.Fatalf("find %d: %+v, want %+v, %v", at, got, want, err)
	}
}

// TestManyMessages compares with a dumb list over segments of a thousand messages, through clean stops, kills, a truncation and retention.
func TestManyMessages(t *testing.T) {
	for seed := range uint64(4) {
		r := &rig{t: t, fs: disktest.New(), f: message.Format{}, c: store.Config{SegmentBytes: 200_000, RetentionAge: -1, FileDeleteDelay: -1}}
		r.cells = int([]int64{0, 10, 100, 3000}[seed])
		r.open()
		m := &many{rig: r, rnd: rand.New(rand.NewPCG(seed, 1))}
		for round := range 6 {
			m.grow(700)
			m.check()
			switch round % 3 {
			case 0:
				r.stop()
				r.open()
			case 1:
				must(t, r.s.Checkpoint())
				m.grow(100)
				must(t, r.p.sync(penstock.Offset(len(m.msgs))))
				r.fs = r.fs.Kill()
				_ = r.s.Close()
				_ = r.d.Close()
				r.open()
			case 2:
				end := len(m.msgs) - 1 - m.rnd.IntN(900)
				must(t, r.p.Truncate(penstock.Offset(end)))
				m.msgs = m.msgs[:end]
				m.check()
				m.from = penstock.Offset(end / 3)
				must(t, r.p.SetStart(m.from))
				_, err := r.p.Retain(testNow(), penstock.Offset(end))
				must(t, err)
			}
			m.check()
		}
		r.stop()
		d := disk.New(r.fs, disk.Options{})
		must(t, checkQueues(d))
	}
}
