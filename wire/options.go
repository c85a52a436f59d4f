package wire

import (
	"log/slog"
	"time"

	"penstock/metric"
)

// Options are a listener's limits. The zero value gives the defaults named; a negative time means no limit.
//
// Times are kept by one pass over all connections a few times within the shortest of them, so a connection is cut off up
// to a quarter later than said. Progress means at least 4 KiB, or the end of the frame or answer.
type Options struct {
	Listener      string              // label in the copy account and logs
	MaxConns      int                 // on this listener; default 100,000
	MaxConnsPerIP int                 // default unlimited
	FirstByte     time.Duration       // from accept to the first byte; default 10 s
	FrameTime     time.Duration       // without progress inside a frame; default 30 s
	WriteTime     time.Duration       // without progress of an answer; default 30 s
	Idle          time.Duration       // between frames, nothing being unanswered; default 10 min
	InFlight      int                 // requests of one connection not yet answered, further ones are not read; default 256
	CopyBelow     int64               // answers with less stored payload are copied on purpose, and those in crumbs; negative: none; default 16 KiB
	AnyOrder      bool                // answers leave as they are given, for protocols that number their requests
	Budget        *Budget             // bytes of requests in memory, shared by all listeners; nil means unlimited
	Kernel        Kernel              // system calls; nil means the real ones. Tests count here.
	Account       *metric.CopyAccount // not used by wire, which counts in the tally given with each extent
	Logger        *slog.Logger        // nil is silent
}

// The limits, in one place.
const (
	defaultMaxConns  = 100_000
	defaultFirstByte = 10 * time.Second
	defaultFrameTime = 30 * time.Second
	defaultWriteTime = 30 * time.Second
	defaultIdle      = 10 * time.Minute
	defaultInFlight  = 256

	// defaultCopyBelow is where one pread and one write begin to cost more than MSG_MORE and sendfile. Medians of
	// seven runs of BenchmarkAnswer, us of processor time an answer, copied and by sendfile: four at a time 8 KiB 5.8
	// and 8.3, 16 KiB 8.9 and 9.7, 32 KiB 11.8 and 11.4, 64 KiB 17.2 and 14.3; alone 8 KiB 17.6 and 19.8, 16 KiB 19.6
	// and 18.1, 64 KiB 27.3 and 23.1.
	defaultCopyBelow = 16 << 10

	minRead    = 4 << 10   // first read of a connection, and of one that sends little
	headBytes  = 64 << 10  // of a frame must be there before Budget is taken for it and memory beyond this
	maxRead    = 1 << 20   // read of a peer that pipelines
	bigFrame   = 256 << 10 // frames from here on are read exactly, not together with what follows them
	growFactor = 16        // a frame's buffer grows to this many times of what has arrived

	peekBytes  = 8         // of a frame are shown to FrameLimit
	lenBytes   = 4         // of the length before a frame
	burstBytes = 1 << 20   // sent or served before the processor is offered to others
	sendBytes  = 1 << 20   // of one sendfile
	pieceBytes = 256 << 10 // of one read of an extent that is copied
	gatherMax  = 64 << 10  // of small answers in one write
	directMin  = 16 << 10  // an answer in memory of this size is written from where it lies
	takeMax    = 64        // answers taken from the order at once
	unsentMax  = 1 << 20   // bytes of answers in memory, given and not sent, before reading stops
	pushMax    = 256       // frames pushed to one connection and not sent
	pushBytes  = 1 << 20   // of these frames in memory; one frame may be larger when it is alone

	progressMin = 4 << 10 // bytes within a timeout that count as progress
)

// withDefaults fills what is zero.
func (o Options) withDefaults() Options {
	setTime := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	setTime(&o.FirstByte, defaultFirstByte)
	setTime(&o.FrameTime, defaultFrameTime)
	setTime(&o.WriteTime, defaultWriteTime)
	setTime(&o.Idle, defaultIdle)
	if o.MaxConns <= 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.InFlight <= 0 {
		o.InFlight = defaultInFlight
	}
	if o.CopyBelow == 0 {
		o.CopyBelow = defaultCopyBelow
	}
	if o.Kernel == nil {
		o.Kernel = system{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
