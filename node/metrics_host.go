package node

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// idleWindow is the shortest time over which idleness is measured: two scrapes at once must not see noise.
const idleWindow = time.Second

// idleMeter measures the share of the processors' time that the process leaves unused.
type idleMeter struct {
	now func() time.Time
	cpu func() time.Duration // of the process since it began

	// mu guards everything below.
	mu   sync.Mutex
	at   time.Time     // of the last measurement
	used time.Duration // until then
	idle float64
}

// newIdleMeter measures from now on.
func newIdleMeter(now func() time.Time, cpu func() time.Duration) *idleMeter {
	return &idleMeter{now: now, cpu: cpu, at: now(), used: cpu(), idle: 1}
}

// share is between 0 and 1, over the time since it was last measured.
func (m *idleMeter) share() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if wall := now.Sub(m.at); wall >= idleWindow {
		used := m.cpu()
		m.idle = min(max(1-float64(used-m.used)/(float64(wall)*float64(runtime.GOMAXPROCS(0))), 0), 1)
		m.at, m.used = now, used
	}
	return m.idle
}

// processTime is the processor time that the process has used.
func processTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// host shows what the machine does for the process.
func (s *scraped) host(c *collector) {
	idle := s.idle.share()
	const help = "Share of the processors' time that the broker leaves unused, 0 to 1. It has no threads of its own for this."
	c.add(gaugeValue, "kafka_network_socketserver_networkprocessoravgidle_percent", help, idle)
	c.add(gaugeValue, "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", help, idle)
	if read, written, ok := diskTraffic(root{}); ok {
		c.gauge("kafka_server_kafkaserver_linux_disk_read_bytes", "Bytes that the kernel has read from disks for the broker.", read)
		c.gauge("kafka_server_kafkaserver_linux_disk_write_bytes", "Bytes that the kernel has written to disks for the broker.", written)
	}
}

// diskTraffic is what the kernel has counted for the process; not ok where it does not tell.
func diskTraffic(fs readFS) (read, written int64, ok bool) {
	b, err := fs.ReadFile("proc/self/io")
	if err != nil {
		return 0, 0, false
	}
	found := 0
	for line := range bytes.Lines(b) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			continue
		}
		switch string(name) {
		case "read_bytes":
			read, found = n, found+1
		case "write_bytes":
			written, found = n, found+1
		}
	}
	return read, written, found == 2
}
