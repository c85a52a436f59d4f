package broker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what a process has used up and holds, as its /proc directory says.
type Usage struct {
	User    time.Duration // processor time in user mode, all threads, the ended ones too; in steps of 10 ms
	System  time.Duration // processor time in the kernel, likewise
	RSS     int64         // resident bytes, files mapped included
	Anon    int64         // resident bytes that no file backs
	Threads int           // threads now
	FDs     int           // open file descriptors
}

// CPU is the processor time that the broker has used since it started, in nanoseconds. All its threads count.
func (b *Broker) CPU() (time.Duration, error) { return CPU(b.PID()) }

// Usage reads what the broker uses.
func (b *Broker) Usage() (Usage, error) { return ReadUsage(b.PID()) }

// CPU reads the processor time clock of a process: the sum that utime and stime of /proc/PID/stat divide and round to 10 ms.
func CPU(pid int) (time.Duration, error) {
	// The clock id of another process: its complement shifted by three, and 2 for the scheduler's own account.
	id := int32(^pid<<3 | 2)
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// ReadUsage reads what a process uses.
func ReadUsage(pid int) (Usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	var u Usage
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, fmt.Errorf("usage: %w", err)
	}
	if err := u.parseStat(stat); err != nil {
		return u, fmt.Errorf("%s/stat: %w", dir, err)
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, fmt.Errorf("usage: %w", err)
	}
	if err := u.parseStatus(status); err != nil {
		return u, fmt.Errorf("%s/status: %w", dir, err)
	}
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return u, fmt.Errorf("usage: %w", err)
	}
	u.FDs = len(fds)
	return u, nil
}

// parseStat takes times and threads from a line of /proc/PID/stat. The second field is the command's name in parentheses and may
// hold spaces and parentheses itself, so the fields are counted from the last closing one.
func (u *Usage) parseStat(line []byte) error {
	const user, system, threads = 11, 12, 17 // counted from the state, the field after the name
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return errors.New("no command name")
	}
	field := bytes.Fields(line[end+1:])
	if len(field) <= threads {
		return fmt.Errorf("%d fields after the name", len(field))
	}
	for _, f := range []struct {
		at   int
		take func(int64)
	}{
		{user, func(n int64) { u.User = time.Duration(n) * tick }},
		{system, func(n int64) { u.System = time.Duration(n) * tick }},
		{threads, func(n int64) { u.Threads = int(n) }},
	} {
		n, err := strconv.ParseInt(string(field[f.at]), 10, 64)
		if err != nil {
			return fmt.Errorf("field %d: %w", f.at, err)
		}
		f.take(n)
	}
	return nil
}

// parseStatus takes the resident sizes from the text of /proc/PID/status.
func (u *Usage) parseStatus(text []byte) error {
	found := 0
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		var to *int64
		switch string(name) {
		case "VmRSS":
			to = &u.RSS
		case "RssAnon":
			to = &u.Anon
		default:
			continue
		}
		field := bytes.Fields(rest)
		if len(field) != 2 || string(field[1]) != "kB" {
			return fmt.Errorf("unexpected line %q", line)
		}
		n, err := strconv.ParseInt(string(field[0]), 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*to = n << 10
		found++
	}
	if found != 2 {
		return errors.New("no VmRSS or RssAnon")
	}
	return nil
}
