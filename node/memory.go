package node

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// heapShare of the memory is what the program's heap may take; the rest is the page cache's, which serves the reads.
	heapShare = 0.5
	// minLimit is the smallest soft limit that is set: below it the collector would work without end.
	minLimit = 64 << 20
)

// heapGrowth is by how much of itself, in percent, the heap grows before it is collected. Half of Go's default: the ways of batches
// allocate next to nothing, so collecting twice as often costs a thousandth of the processor's time, and thousands of partitions lie
// closer together (3.6 instead of 4.2 KiB of memory each, with 10,000).
const heapGrowth = 50

// limitMemory sets how far the heap may grow, and its soft limit, which it returns, 0 if it was left as it was. What the user set by
// GOGC and GOMEMLIMIT stands.
func limitMemory(configured int64) int64 {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if configured == 0 && os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := configured
	if limit == 0 {
		limit = max(int64(float64(memory(root{}))*heapShare), minLimit)
	}
	debug.SetMemoryLimit(limit)
	return limit
}

// readFS is a file system that can be read by name.
type readFS interface {
	ReadFile(name string) ([]byte, error)
}

// root is the file system of the machine.
type root struct{}

// ReadFile reads a small file below the root.
func (root) ReadFile(name string) ([]byte, error) { return os.ReadFile("/" + name) }

// memory is what the machine has, or the control group allows if that is less. It is MaxInt64 where nothing is known.
func memory(fs readFS) int64 {
	least := int64(math.MaxInt64)
	if b, err := fs.ReadFile("proc/meminfo"); err == nil {
		least = min(least, memTotal(b))
	}
	for _, file := range groupFiles(fs) {
		if b, err := fs.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
	}
	return least
}

// memTotal reads the first line of /proc/meminfo that counts.
func memTotal(meminfo []byte) int64 {
	for s := bufio.NewScanner(bytes.NewReader(meminfo)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			if n, err := strconv.ParseInt(f[1], 10, 53); err == nil {
				return n << 10
			}
		}
	}
	return math.MaxInt64
}

// groupFiles lists where the limits of this process' control group and its parents stand, of either version.
func groupFiles(fs readFS) []string {
	b, err := fs.ReadFile("proc/self/cgroup")
	if err != nil {
		return nil
	}
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.SplitN(line, ":", 3) // number:controllers:path
		if len(f) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max"
		if f[1] != "" {
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
			if !strings.Contains(","+f[1]+",", ",memory,") {
				continue
			}
		}
		for p := path.Clean("/" + f[2]); ; p = path.Dir(p) {
			out = append(out, path.Join(base, p, file))
			if p == "/" {
				break
			}
		}
	}
	return out
}
