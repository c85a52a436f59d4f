package node

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/store/commit"
)

func text(at func(*Config) *string, want string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v == "" {
			return errors.New("want " + want)
		}
		*at(c) = v
		return nil
	}
}

func anyText(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *at(c) = v; return nil }
}

func oneOf(at func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(words, v) {
			return errors.New("want " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1])
		}
		*at(c) = v
		return nil
	}
}

func boolean(at func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			*at(c) = true
		case "false", "no", "off", "0":
			*at(c) = false
		default:
			return errors.New("want true or false")
		}
		return nil
	}
}

func number(lo, hi int, at func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("want a whole number from %d to %d", lo, hi)
		}
		*at(c) = n
		return nil
	}
}

func brokerID(c *Config, v string) error {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return fmt.Errorf("want a whole number from 0 to %d", math.MaxInt32)
	}
	c.Broker = penstock.BrokerID(n)
	return nil
}

func duration(lo time.Duration, at func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := parseDuration(v)
		if err != nil || d < lo {
			return fmt.Errorf("want a duration of at least %v, such as 500ms, 30s, 5m or 7d", lo)
		}
		*at(c) = d
		return nil
	}
}

// parseDuration reads Go's durations, and whole days.
func parseDuration(v string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(v)
}

func size(lo int64, at func(*Config) *int64) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := parseSize(v)
		if err != nil || n < lo {
			return fmt.Errorf("want a number of bytes of at least %d, such as 65536, 64KiB, 256MiB or 1GiB", lo)
		}
		*at(c) = n
		return nil
	}
}

func requestBytes(c *Config, v string) error {
	n, err := parseSize(v)
	if err != nil || n < 64<<10 || n > math.MaxInt32 {
		return errors.New("want a number of bytes from 64KiB to 2GiB")
	}
	c.RequestBytes = int(n)
	return nil
}

func journalBytes(c *Config, v string) error {
	n, err := parseSize(v)
	if err != nil || n != 0 && n < 1<<20 || n > 1<<30 {
		return errors.New("want 0, or a number of bytes from 1MiB to 1GiB")
	}
	c.JournalBytes = n
	return nil
}

// parseSize reads a number of bytes with a unit, all of which count by 1024.
func parseSize(v string) (int64, error) {
	digits := strings.TrimRight(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(v[len(digits):]))
	shift := map[string]int{
		"": 0, "b": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30, "t": 40, "tb": 40, "tib": 40,
	}
	s, ok := shift[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > math.MaxInt64>>s {
		return 0, fmt.Errorf("size %q", v)
	}
	return n << s, nil
}

func layout(at func(*Config) *penstock.Layout) func(*Config, string) error {
	return func(c *Config, v string) error {
		l, err := meta.ParseLayout(v)
		if err == nil {
			*at(c) = l
		}
		return err
	}
}

// minCommitFile is room for a few batches of the size that topics accept by default.
const minCommitFile = 4 << 20

func commitFile(c *Config, v string) error {
	n, err := parseSize(v)
	if err != nil || n < minCommitFile || n > commit.MaxFileBytes {
		return errors.New("want a number of bytes from 4MiB to 2047MiB")
	}
	c.CommitFile = n
	return nil
}

func logLevel(c *Config, v string) error {
	switch v {
	case "debug", "info", "warn", "error":
		return c.LogLevel.UnmarshalText([]byte(v))
	}
	return errors.New("want debug, info, warn or error")
}

func address(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if _, _, err := splitAddress(v); err != nil {
			return errors.New("want host:port, such as 127.0.0.1:9092")
		}
		*at(c) = v
		return nil
	}
}

func advertised(c *Config, v string) error { return advertisedAs(&c.Advertise, v) }

func advertisedAs(to *string, v string) error {
	if v == "" {
		*to = ""
		return nil
	}
	host, port := v, 0
	if strings.Contains(v, ":") && net.ParseIP(v) == nil {
		var err error
		if host, port, err = splitAddress(v); err != nil {
			return errors.New("want host or host:port, such as broker.example:9092")
		}
	}
	if host == "" || strings.ContainsAny(host, " /") || port == 0 && strings.HasSuffix(v, ":0") {
		return errors.New("want host or host:port, such as broker.example:9092")
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return errors.New("want an address that clients can connect to; " + host + " stands for every address")
	}
	*to = v
	return nil
}

// splitAddress splits host:port and checks the port.
func splitAddress(v string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(v)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return host, int(n), err
}

// loopback reports whether only this machine can reach a listener on the host. A name other than localhost is taken for
// one that others can reach.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// wildcard reports whether a listener on the host takes connections to every address.
func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
