package strace

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// IsLog reports whether a file holds batches: a log per partition has files named *.log, one that many share has files named by the place at
// which they begin, twenty digits, in a directory log, or commitlog where RocketMQ wrote it.
func IsLog(file string) bool {
	if strings.HasSuffix(file, ".log") {
		return true
	}
	dir := path.Base(path.Dir(file))
	return placed(file) && (dir == "log" || dir == "commitlog")
}

// IsQueue reports whether a file says where batches lie, an entry for each: *.queue beside *.log, or files named by places below queues, or below
// consumequeue where RocketMQ wrote them.
func IsQueue(file string) bool {
	return strings.HasSuffix(file, ".queue") || placed(file) && (strings.Contains(file, "/queues/") || strings.Contains(file, "/consumequeue/"))
}

// placed reports whether a file's name is twenty digits.
func placed(file string) bool {
	name := path.Base(file)
	return len(name) == 20 && strings.Trim(name, "0123456789") == ""
}

// Account is what the calls of a process came to. Bytes are those that the kernel said it moved.
type Account struct {
	Sendfile      Sum      // sendfile from files with batches into a socket
	SendfileOther Sum      // sendfile from anything else
	Splice        Sum      // splice and copy_file_range out of files with batches
	SegmentReads  Sum      // read, pread and their kin on files with batches
	SegmentMaps   Sum      // mappings made of files with batches and of queues; Bytes is their length
	QueueReads    Sum      // reads of queues, the files that say where batches lie
	Written       Sum      // write, writev, send and their kin into the served sockets: heads, and payload that was copied
	Rings         Sum      // entries into io_uring, which hides what it does
	Strays        []string // the first few lines of reads and mappings of files with batches
}

// maxStrays bounds Account.Strays.
const maxStrays = 4

// stray keeps the line of a call that reads a file with batches.
func (a *Account) stray(line string) {
	if len(a.Strays) < maxStrays {
		a.Strays = append(a.Strays, line)
	}
}

// Sum counts calls that moved something, and what they moved.
type Sum struct {
	Calls int64 `json:"calls"`
	Bytes int64 `json:"bytes"`
}

func (s *Sum) add(n int64) {
	s.Calls++
	s.Bytes += n
}

// call is one system call that succeeded.
type call struct {
	name   string
	files  []string // what is behind its descriptors, in the order of the arguments
	args   []string
	result int64 // 0 for an address
	line   string
}

// parse reads one line of strace's output. It reports false for a call that failed or did not end while it was watched, and for
// lines that are no call.
//
//	sendfile(9<TCP:[127.0.0.1:9092->127.0.0.1:5000]>, 11</data/0.log>, [0] => [65536], 65536) = 65536
func parse(line string) (call, bool, error) {
	var c call
	open := strings.IndexByte(line, '(')
	if open <= 0 || strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "---") {
		return c, false, nil
	}
	end := strings.LastIndex(line, " = ")
	if end < 0 {
		if strings.Contains(line, "<unfinished ...>") || strings.Contains(line, "<detached ...>") {
			return c, false, nil
		}
		return c, false, fmt.Errorf("no result in %q", line)
	}
	result, _, _ := strings.Cut(strings.TrimSpace(line[end+3:]), " ")
	if result == "?" || strings.HasPrefix(result, "-") {
		return c, false, nil
	}
	c.name, c.line = line[:open], line
	n, err := strconv.ParseInt(result, 0, 64)
	if err != nil {
		return c, false, fmt.Errorf("result of %q: %w", line, err)
	}
	if !strings.HasPrefix(result, "0x") {
		c.result = n
	}
	body := strings.TrimSuffix(strings.TrimRight(line[open+1:end], " "), ")")
	c.args = arguments(body)
	for _, a := range c.args {
		if file, ok := behind(a); ok {
			c.files = append(c.files, file)
		}
	}
	return c, true, nil
}

// arguments cuts a list at the commas that stand outside of brackets, quotes and the description of a descriptor.
func arguments(s string) []string {
	var out []string
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case quoted:
		case b == '>' && i > 0 && (s[i-1] == '-' || s[i-1] == '='): // the arrow in an address or after a value
		case strings.IndexByte("([{<", b) >= 0:
			depth++
		case strings.IndexByte(")]}>", b) >= 0:
			depth--
		case b == ',' && depth == 0:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	if rest := strings.TrimSpace(s[start:]); rest != "" {
		out = append(out, rest)
	}
	return out
}

// behind is what a descriptor stands for: "11</data/0.log>" stands for "/data/0.log".
func behind(arg string) (string, bool) {
	number, rest, ok := strings.Cut(arg, "<")
	if !ok || !strings.HasSuffix(rest, ">") {
		return "", false
	}
	if _, err := strconv.Atoi(number); err != nil {
		return "", false
	}
	return strings.TrimSuffix(rest, ">"), true
}

// count adds one call to the sum it belongs to. Port is that of the served sockets.
func (a *Account) count(c call, port string) {
	if c.name == "io_uring_enter" {
		a.Rings.add(c.result)
		return
	}
	if len(c.files) == 0 {
		return
	}
	first, last := c.files[0], c.files[len(c.files)-1]
	switch c.name {
	case "sendfile":
		if IsLog(last) {
			a.Sendfile.add(c.result)
			return
		}
		a.SendfileOther.add(c.result)
	case "splice", "copy_file_range":
		if IsLog(first) {
			a.Splice.add(c.result)
		}
	case "read", "readv", "pread64", "preadv", "preadv2":
		switch {
		case IsLog(first):
			a.SegmentReads.add(c.result)
			a.stray(c.line)
		case IsQueue(first):
			a.QueueReads.add(c.result)
		}
	case "mmap":
		if IsLog(last) || IsQueue(last) {
			length, _ := strconv.ParseInt(c.args[1], 0, 64)
			a.SegmentMaps.add(length)
			a.stray(c.line)
		}
	case "write", "writev", "sendto", "sendmsg", "sendmmsg":
		if served(first, port) {
			a.Written.add(c.result)
		}
	}
}

// served reports whether a descriptor is a connection whose own end has the port: "TCP:[127.0.0.1:9092->127.0.0.1:5000]".
func served(file, port string) bool {
	own, _, ok := strings.Cut(file, "->")
	return ok && strings.HasPrefix(own, "TCP") && strings.HasSuffix(own, ":"+port)
}
