package data

import (
	"math"
	"strconv"
	"strings"
	"time"

	"penstock/cli"
)

// place is where in a partition to begin or to stop.
type place struct {
	kind placeKind
	n    int64     // of atOffset, beforeEnd, afterStart
	at   time.Time // of atTime
}

type placeKind uint8

const (
	atStart placeKind = iota
	atEnd
	atOffset
	beforeEnd  // n records before the end
	afterStart // n offsets after the start
	atTime     // the first record of that time or later
)

// placeForms says what a place looks like, for help texts.
const placeForms = `start, end, an offset (42), the last N (-10), N after the start (+10), a time (2026-01-02T15:04:05Z, 2026-01-02,
@1767366245000 in milliseconds since 1970) or a while ago (-15m)`

// layouts of times. Those without a zone are local.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02"}

// parsePlace reads a place. now is what "a while ago" counts from.
func parsePlace(flag, s string, now time.Time) (place, error) {
	bad := cli.Usage("--%s %s: want %s", flag, s, placeForms)
	switch s {
	case "start", "beginning", "earliest":
		return place{kind: atStart}, nil
	case "end", "latest":
		return place{kind: atEnd}, nil
	}
	s, only := strings.CutPrefix(s, "@") // a time, then
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		switch {
		case only && n >= 0:
			return place{kind: atTime, at: time.UnixMilli(n)}, nil
		case only || n == math.MinInt64:
			return place{}, bad
		case s[0] == '-':
			return place{kind: beforeEnd, n: -n}, nil
		case s[0] == '+':
			return place{kind: afterStart, n: n}, nil
		}
		return place{kind: atOffset, n: n}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d < 0 {
		return place{kind: atTime, at: now.Add(d)}, nil
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return place{kind: atTime, at: t}, nil
		}
	}
	return place{}, bad
}

// bounds are the offsets of a partition that there are records between.
type bounds struct{ start, end int64 }

// offset resolves a place that is no time. Nothing lies outside the bounds.
func (p place) offset(b bounds) int64 {
	at := b.start
	switch p.kind {
	case atEnd:
		at = b.end
	case atOffset:
		at = p.n
	case beforeEnd:
		at = b.end - p.n
	case afterStart:
		if at = b.start + p.n; at < b.start {
			at = b.end // past the largest number
		}
	}
	return min(max(at, b.start), b.end)
}
