package admin

import (
	"strconv"
	"strings"
	"time"

	"penstock/cli"
)

// timeHelp says how a time may be given.
const timeHelp = "RFC 3339 (2026-01-31T12:00:00Z), milliseconds since 1970, or before now (-1h, -7d)"

// minMillis is the least number that is taken for milliseconds since 1970 (it is in 1973): less looks like an offset.
const minMillis = 100_000_000_000

// parseTime reads a time that a person typed; flag names where.
func parseTime(flag, s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		if n < minMillis {
			return time.Time{}, cli.Usage("%s %s: too small for milliseconds since 1970. For an offset use --offset %s", flag, s, s)
		}
		return time.UnixMilli(n), nil
	}
	if s == "now" {
		return now, nil
	}
	if back, ok := strings.CutPrefix(s, "-"); ok {
		if d, ok := parseDuration(back); ok {
			return now.Add(-d), nil
		}
	}
	return time.Time{}, cli.Usage("%s %s: want %s", flag, s, timeHelp)
}

// parseDuration reads a positive duration that may begin with weeks and days: 1w, 2d12h, 90m.
func parseDuration(s string) (time.Duration, bool) {
	var sum time.Duration
	for _, u := range []struct {
		mark string
		unit time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		head, tail, ok := strings.Cut(s, u.mark)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, false
		}
		sum, s = sum+time.Duration(n)*u.unit, tail
	}
	if s == "" {
		return sum, sum > 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		return 0, false
	}
	return sum + d, sum+d > 0
}
