package delay

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultLevels are RocketMQ's 18.
const DefaultLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

// Bounds of levels.
const (
	MaxLevels = 64
	maxDelay  = 366 * 24 * time.Hour
)

// ParseLevels reads levels as RocketMQ's messageDelayLevel has them: numbers with s, m, h or d, and spaces between. The first is level 1.
func ParseLevels(s string) ([]time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	words := strings.Fields(s)
	if len(words) == 0 || len(words) > MaxLevels {
		return nil, fmt.Errorf("delay levels %.99q: %d of them, want 1 to %d", s, len(words), MaxLevels)
	}
	all := make([]time.Duration, 0, len(words))
	for _, w := range words {
		unit := units[w[len(w)-1]]
		n, err := strconv.ParseUint(w[:len(w)-1], 10, 31)
		d := time.Duration(n) * unit
		if err != nil || unit == 0 || d <= 0 || d/unit != time.Duration(n) || d > maxDelay {
			return nil, fmt.Errorf("delay level %.20q: want a number from 1 and s, m, h or d behind it, at most a year: %q", w, DefaultLevels)
		}
		all = append(all, d)
	}
	return all, nil
}
