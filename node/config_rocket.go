package node

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/meta"
)

// RocketConfig is what a node is told of serving RocketMQ's clients.
type RocketConfig struct {
	Listen    string // host:port of the broker; empty: RocketMQ's clients are not served
	Names     string // host:port of the name server; empty: there is none
	VIP       string // host:port of the broker's second listener, vipAuto, or empty: there is none
	Advertise string // host or host:port; empty: where it listens
	Cluster   string
	Name      string // of the broker
	Create    bool   // sending to an unknown topic creates it
	Queues    int    // of a topic whose creator leaves it open
	Layout    penstock.Layout
	Message   int64 // largest body
	Pull      int64 // bytes of one answer
	PullCount int   // messages of one answer
	PullWait  time.Duration
	Expiry    time.Duration // a client that is not heard of is forgotten
	Levels    []time.Duration
	Index     bool // messages on the shared log are found by their keys
	Slots     int  // of an index file
	Entries   int  // of an index file
}

// CommitConfig is what a node is told of the log that partitions of the commit layout share.
type CommitConfig struct {
	Warm                 bool  // the next file is filled with zeros ahead of need
	Hours                []int // of the day, at which old files go; nil: at any
	Clean, Force, Refuse int   // marks of how full the disk is, in percent; 0: none
}

// commitSettings are about the log that partitions of the commit layout share.
func commitSettings() []setting {
	return []setting{
		{Key{"commit.warm", "true", "fill the next file of a shared log with zeros ahead of need, while the log is busy", false},
			boolean(func(c *Config) *bool { return &c.Commit.Warm })},
		{Key{"commit.delete.hours", "", "hours of the day, local time, at which files of a shared log go whose records are all too old, such as 4,16; nothing is at any time", false},
			hours},
		{Key{"commit.disk.clean", "75", "how full the disk is, in percent, from which on they go at any hour; 0 is never", false},
			number(0, 100, func(c *Config) *int { return &c.Commit.Clean })},
		{Key{"commit.disk.force", "0", "how full the disk is, in percent, from which on the oldest files of a shared log go although they are to be kept (RocketMQ: 85); 0 is never", false},
			number(0, 100, func(c *Config) *int { return &c.Commit.Force })},
		{Key{"commit.disk.refuse", "0", "how full the disk is, in percent, from which on a shared log takes no writes (RocketMQ: 90); 0 is when it is full", false},
			number(0, 100, func(c *Config) *int { return &c.Commit.Refuse })},
	}
}

// hours are hours of the day with commas or semicolons between them.
func hours(c *Config, v string) error {
	c.Commit.Hours = nil
	for _, word := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		h, err := strconv.Atoi(word)
		if err != nil || h < 0 || h > 23 {
			return errors.New("want hours of the day from 0 to 23, with commas between them, or nothing")
		}
		c.Commit.Hours = append(c.Commit.Hours, h)
	}
	return nil
}

// vipAuto asks for the second listener two ports below the first, where RocketMQ's clients look for it.
const vipAuto = "auto"

// defaultLevels are RocketMQ's messageDelayLevel.
const defaultLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

// maxLevels bounds the levels of delay: each is a queue.
const maxLevels = 64

// maxMessage is the largest body of a message: a frame of RocketMQ's protocol has at most 16 MiB.
const maxMessage = 15 << 20

// rocketSettings are about RocketMQ's clients.
func rocketSettings() []setting {
	return []setting{
		{Key{"rocket.listen", "127.0.0.1:10911", "address of the broker for RocketMQ clients; port 0 takes a free one, nothing turns RocketMQ off", true},
			addressOrNone(func(c *Config) *string { return &c.Rocket.Listen })},
		{Key{"rocket.namesrv.listen", "127.0.0.1:9876", "address of the name server for RocketMQ clients; port 0 takes a free one, nothing turns it off", true},
			addressOrNone(func(c *Config) *string { return &c.Rocket.Names })},
		{Key{"rocket.vip.listen", vipAuto, "address of the broker's second listener, which clients with vipChannelEnabled use; auto is two ports below rocket.listen, nothing turns it off", true},
			vipAddress},
		{Key{"rocket.advertise", "", "host or host:port that RocketMQ clients are told to connect to; default: the host of advertise, else the listener's, and the listener's port", true},
			func(c *Config, v string) error { return advertisedAs(&c.Rocket.Advertise, v) }},
		{Key{"rocket.cluster", "DefaultCluster", "cluster that RocketMQ clients are told", false}, rocketName(func(c *Config) *string { return &c.Rocket.Cluster })},
		{Key{"rocket.broker.name", "broker-a", "name of the broker that RocketMQ clients are told", false}, rocketName(func(c *Config) *string { return &c.Rocket.Name })},
		{Key{"rocket.layout", "commit", "layout of topics in RocketMQ's format whose creator does not say penstock.layout: segment or commit", false},
			layout(func(c *Config) *penstock.Layout { return &c.Rocket.Layout })},
		{Key{"rocket.auto.create", "true", "create a topic when a RocketMQ client sends to one that does not exist", false},
			boolean(func(c *Config) *bool { return &c.Rocket.Create })},
		{Key{"rocket.default.queues", "8", "queues of a topic that a RocketMQ client creates and does not say, and most of one created by sending", false},
			number(1, meta.MaxPartitions, func(c *Config) *int { return &c.Rocket.Queues })},
		{Key{"rocket.message.max", "4MiB", "largest body of a message, or of a batch of messages, from RocketMQ clients", false},
			sizeUpTo(maxMessage, "15MiB", func(c *Config) *int64 { return &c.Rocket.Message })},
		{Key{"rocket.pull.max.bytes", "12MiB", "most stored bytes of one answer to a pull, one message aside; RocketMQ clients take no frame above 16 MiB", false},
			sizeUpTo(maxMessage, "15MiB", func(c *Config) *int64 { return &c.Rocket.Pull })},
		{Key{"rocket.pull.max.count", "1024", "most messages of one answer to a pull", false}, number(1, 1_000_000, func(c *Config) *int { return &c.Rocket.PullCount })},
		{Key{"rocket.pull.max.wait", "5m", "longest time that a pull waits for messages", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.Rocket.PullWait })},
		{Key{"rocket.client.expiry", "2m", "a RocketMQ client that sends no heartbeat for so long is forgotten", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.Rocket.Expiry })},
		{Key{"rocket.delay.levels", defaultLevels, "delays of RocketMQ's levels, from 1 on, which retries use too", false}, delayLevels},
		{Key{"rocket.index", "true", "keep an index of the keys of messages on the shared log, by which they are found", false},
			boolean(func(c *Config) *bool { return &c.Rocket.Index })},
		{Key{"rocket.index.slots", "5000000", "slots of an index file, of four bytes each", false},
			number(1, 100_000_000, func(c *Config) *int { return &c.Rocket.Slots })},
		{Key{"rocket.index.entries", "20000000", "keys in an index file, of twenty bytes each", false},
			number(2, 100_000_000, func(c *Config) *int { return &c.Rocket.Entries })},
	}
}

// addressOrNone is an address, or nothing.
func addressOrNone(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v == "" {
			*at(c) = ""
			return nil
		}
		if _, _, err := splitAddress(v); err != nil {
			return errors.New("want host:port, such as 127.0.0.1:10911, or nothing")
		}
		*at(c) = v
		return nil
	}
}

func vipAddress(c *Config, v string) error {
	if _, _, err := splitAddress(v); err != nil && v != "" && v != vipAuto {
		return errors.New("want auto, host:port, or nothing")
	}
	c.Rocket.VIP = v
	return nil
}

// rocketName is a name that RocketMQ's clients take in file names and JSON.
func rocketName(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if meta.CheckGroupName(strings.ReplaceAll(v, ".", "_")) != nil {
			return errors.New("want 1 to 255 letters, digits, '.', '_' and '-'")
		}
		*at(c) = v
		return nil
	}
}

// sizeUpTo is a number of bytes from 1 to hi, which is called most.
func sizeUpTo(hi int64, most string, at func(*Config) *int64) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := parseSize(v)
		if err != nil || n < 1 || n > hi {
			return fmt.Errorf("want a number of bytes from 1 to %s", most)
		}
		*at(c) = n
		return nil
	}
}

func delayLevels(c *Config, v string) error {
	var levels []time.Duration
	for _, word := range strings.Fields(v) {
		d, err := parseDuration(word)
		if err != nil || d < time.Millisecond || d%time.Millisecond != 0 {
			return fmt.Errorf("want durations of whole milliseconds such as 1s 5s 10m 2h 1d: %q", word)
		}
		levels = append(levels, d)
	}
	if len(levels) == 0 || len(levels) > maxLevels {
		return fmt.Errorf("want 1 to %d durations", maxLevels)
	}
	c.Rocket.Levels = levels
	return nil
}

// rocketRelations checks what one value of RocketMQ's keys cannot tell.
func (c *Config) rocketRelations() []relation {
	r := &c.Rocket
	var out []relation
	if r.Listen == "" {
		return nil
	}
	for _, l := range []struct{ key, addr string }{{"rocket.listen", r.Listen}, {"rocket.namesrv.listen", r.Names}, {"rocket.vip.listen", r.VIP}} {
		if l.addr == "" || l.addr == vipAuto {
			continue
		}
		if host, _, _ := splitAddress(l.addr); !c.Insecure && !loopback(host) {
			out = append(out, relation{[]string{l.key, "insecure"}, openAddress})
		}
	}
	if host, _, _ := splitAddress(r.Listen); wildcard(host) && r.Advertise == "" && advertisedHost(c.Advertise) == "" {
		out = append(out, relation{[]string{"rocket.listen", "rocket.advertise", "advertise"}, "clients must be told one address to connect to. " +
			"Say which with --rocket-advertise HOST or --rocket-advertise HOST:PORT"})
	}
	return out
}

// advertisedHost is the host of what is advertised.
func advertisedHost(a string) string {
	if net.ParseIP(a) != nil {
		return a
	}
	if h, _, err := net.SplitHostPort(a); err == nil {
		return h
	}
	return a
}

// completed is the address that clients are told: what was configured, completed by where the node listens.
func completed(configured, listens string) string {
	host, port, _ := net.SplitHostPort(listens)
	if configured != "" {
		host = advertisedHost(configured)
		if h, p, err := net.SplitHostPort(configured); err == nil && net.ParseIP(configured) == nil {
			host, port = h, p
		}
	}
	return net.JoinHostPort(host, port)
}

// vipOf is the address of the second listener, given where the first listens: empty if there is none. Two ports below a port that the kernel chose
// may be anybody's.
func (r *RocketConfig) vipOf(listens string) string {
	if r.VIP != vipAuto {
		return r.VIP
	}
	host, _, _ := splitAddress(r.Listen)
	_, asked, _ := splitAddress(r.Listen)
	_, port, _ := splitAddress(listens)
	if asked == 0 || port < 3 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port-2))
}
