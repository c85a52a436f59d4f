package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"penstock/cli"
)

// machine is the one that this process runs on, as /proc tells it.
type machine struct{ proc string }

// mostProc bounds what is read of a small file of /proc.
const mostProc = 1 << 20

// read reads a small file.
func (m machine) read(name string) (string, error) {
	f, err := os.Open(filepath.Join(m.proc, name))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	b := make([]byte, 0, 4096)
	for len(b) < mostProc {
		b = slices.Grow(b, 4096)
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n == 0 || err != nil {
			return string(b), nil // at the end; a file of /proc has no other
		}
	}
	return "", fmt.Errorf("%s is larger than %s", name, cli.Bytes(mostProc))
}

// number reads a file that holds numbers, and takes the one at an index.
func (m machine) number(name string, index int) (int64, error) {
	s, err := m.read(name)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(s)
	if index >= len(fields) {
		return 0, fmt.Errorf("%s holds %q", name, s)
	}
	return strconv.ParseInt(fields[index], 10, 64)
}

// machine looks at what surrounds a broker on this machine.
func (d *doctor) machine(ctx context.Context) []Finding {
	fs := d.checkPorts(ctx)
	fs = append(fs, d.host.files(d.brokerPID(ctx)), d.host.memory(), d.host.kernel())
	return append(fs, d.host.network()...)
}

// checkPorts looks who listens on the ports of the broker.
func (d *doctor) checkPorts(ctx context.Context) []Finding {
	ctx, cancel := d.step(ctx)
	defer cancel()
	ports := d.wantedPorts()
	held, err := d.host.listeners(ctx, ports)
	if err != nil {
		return []Finding{unmeasured(checkPorts, err)}
	}
	var fs []Finding
	for _, p := range ports {
		fs = append(fs, judgePort(p, held[p]))
	}
	return fs
}

func (d *doctor) wantedPorts() []int32 {
	if len(d.ports) > 0 {
		return d.ports
	}
	var out []int32
	for _, addr := range slices.Concat(d.e.Brokers, []string{d.http}, d.seen) {
		_, p := split(addr, defaultPort)
		if n, err := strconv.ParseUint(p, 10, 16); err == nil && n > 0 && !slices.Contains(out, int32(n)) {
			out = append(out, int32(n))
		}
	}
	return out
}

// brokerPID is the process that listens where the broker should, 0 if that is unknown.
func (d *doctor) brokerPID(ctx context.Context) int {
	ctx, cancel := d.step(ctx)
	defer cancel()
	ports := d.wantedPorts()
	held, err := d.host.listeners(ctx, ports[:min(1, len(ports))])
	if err != nil {
		return 0
	}
	for _, h := range held {
		return h.pid
	}
	return 0
}

// holder is who listens on a port.
type holder struct {
	pid  int // 0: it cannot be seen
	name string
}

// judgePort says who has a port. Whether that is the broker the other checks have seen.
func judgePort(port int32, h *holder) Finding {
	switch {
	case h == nil:
		return note(checkPorts, "port %d is free", port)
	case h.pid == 0:
		return good(checkPorts, "port %d is taken, by a process that only its owner and root can see", port)
	}
	return good(checkPorts, "port %d is taken by process %d (%s)", port, h.pid, h.name)
}

// listeners finds who listens on ports, over IPv4 and IPv6.
func (m machine) listeners(ctx context.Context, ports []int32) (map[int32]*holder, error) {
	inodes := map[string]int32{}
	var errs []error
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		if err := m.listening(ctx, name, ports, inodes); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 2 {
		return nil, errors.Join(errs...)
	}
	held := map[int32]*holder{}
	for _, p := range inodes {
		held[p] = &holder{}
	}
	if len(inodes) > 0 {
		m.owners(ctx, inodes, held)
	}
	return held, nil
}

// listening adds the sockets that listen on ports. A line of the table is "sl local remote st queues timer retransmits uid
// timeout inode ...", where local is address:port in hexadecimal and st 0A is LISTEN.
func (m machine) listening(ctx context.Context, name string, ports []int32, inodes map[string]int32) error {
	f, err := os.Open(filepath.Join(m.proc, name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	s := bufio.NewScanner(f)
	for n := 0; s.Scan(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fields := strings.Fields(s.Text())
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		_, hex, ok := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if ok && err == nil && slices.Contains(ports, int32(port)) {
			inodes[fields[9]] = int32(port)
		}
	}
	return s.Err()
}

// owners looks through the processes that we may see for the ones with the sockets.
func (m machine) owners(ctx context.Context, inodes map[string]int32, held map[int32]*holder) {
	dirs, err := filepath.Glob(filepath.Join(m.proc, "[0-9]*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if ctx.Err() != nil {
			return // who was not found cannot be seen
		}
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // it has ended, or is not ours
		}
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			inode, ok := strings.CutPrefix(to, "socket:[")
			if err != nil || !ok {
				continue
			}
			port, ok := inodes[strings.TrimSuffix(inode, "]")]
			if !ok {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				continue
			}
			name, err := m.read(filepath.Join(strconv.Itoa(pid), "comm"))
			if err != nil {
				name = "?"
			}
			held[port] = &holder{pid: pid, name: strings.TrimSpace(name)}
		}
	}
}

// files looks at the broker's limit of open files, or at ours if its process is not known.
func (m machine) files(pid int) Finding {
	dir, who := "self", "a program started from here may have"
	if pid > 0 {
		dir, who = strconv.Itoa(pid), fmt.Sprintf("process %d may have", pid)
	}
	s, err := m.read(dir + "/limits")
	if err != nil {
		return unmeasured(checkFiles, err)
	}
	limit, err := openFiles(s)
	if err != nil {
		return unmeasured(checkFiles, err)
	}
	used := 0
	if pid > 0 {
		if fds, err := os.ReadDir(filepath.Join(m.proc, dir, "fd")); err == nil {
			used = len(fds)
		}
	}
	return judgeFiles(who, used, limit)
}

// openFiles reads the limit in force from a process's limits; -1 is none.
func openFiles(limits string) (int64, error) {
	for l := range strings.Lines(limits) {
		rest, ok := strings.CutPrefix(l, "Max open files")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) > 0 && fields[0] == "unlimited" {
			return -1, nil
		}
		if len(fields) > 0 {
			return strconv.ParseInt(fields[0], 10, 64)
		}
	}
	return 0, errors.New("the process's limits do not name open files")
}

func judgeFiles(who string, used int, limit int64) Finding {
	if limit < 0 {
		return good(checkFiles, "%s any number of files open, %d are", who, used)
	}
	what := fmt.Sprintf("%s %d files open, %d are", who, limit, used)
	f := Finding{Check: checkFiles, What: what, Why: "Each connection and each segment that is read takes a descriptor; without one connections are refused.",
		Do: "Raise the limit: LimitNOFILE=1048576 in the systemd unit, ulimit -n in a shell, ulimits in a container."}
	switch {
	case limit < 1024 || int64(used) > limit/10*9:
		f.Severity = Error
	case limit < 65536 || int64(used) > limit/10*7:
		f.Severity = Warning
	default:
		return good(checkFiles, "%s", what)
	}
	return f
}

// memory looks at the room for the page cache.
func (m machine) memory() Finding {
	s, err := m.read("meminfo")
	if err != nil {
		return unmeasured(checkMemory, err)
	}
	values := map[string]int64{}
	for l := range strings.Lines(s) {
		name, rest, _ := strings.Cut(l, ":")
		if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
			values[name] = n << 10
		}
	}
	if values["MemTotal"] == 0 {
		return unmeasured(checkMemory, errors.New("/proc/meminfo does not name MemTotal"))
	}
	return judgeMemory(values["MemAvailable"], values["MemTotal"])
}

func judgeMemory(available, total int64) Finding {
	what := fmt.Sprintf("%s of %s memory can be page cache", cli.Bytes(available), cli.Bytes(total))
	if available >= 512<<20 && available >= total/10 {
		return good(checkMemory, "%s", what)
	}
	return Finding{Check: checkMemory, Severity: Warning, What: what,
		Why: "Consumers read what was written a moment ago from the page cache; without room for it every read goes to the disk.",
		Do:  "Move other programs away, or give the machine more memory."}
}

// kernel looks at the version of the kernel.
func (m machine) kernel() Finding {
	s, err := m.read("sys/kernel/osrelease")
	if err != nil {
		return unmeasured(checkKernel, err)
	}
	return judgeKernel(strings.TrimSpace(s))
}

// The oldest kernel that is still maintained.
const kernelMajor, kernelMinor = 5, 10

func judgeKernel(release string) Finding {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return note(checkKernel, "kernel %q has no version that can be read", release)
	}
	if major > kernelMajor || major == kernelMajor && minor >= kernelMinor {
		return good(checkKernel, "kernel %s", release)
	}
	return Finding{Check: checkKernel, Severity: Warning, What: fmt.Sprintf("kernel %s is older than %d.%d", release, kernelMajor, kernelMinor),
		Why: "It is not maintained any more, and reports some failed writes of the disk to nobody.", Do: "Upgrade the kernel."}
}

// network looks at the queues of new connections and at the ones that linger after their end.
func (m machine) network() []Finding {
	var fs []Finding
	if backlog, err := m.number("sys/net/core/somaxconn", 0); err != nil {
		fs = append(fs, unmeasured(checkNetwork, err))
	} else {
		fs = append(fs, judgeBacklog(backlog))
	}
	low, err := m.number("sys/net/ipv4/ip_local_port_range", 0)
	high, err2 := m.number("sys/net/ipv4/ip_local_port_range", 1)
	stat, err3 := m.read("net/sockstat")
	if err := errors.Join(err, err2, err3); err != nil {
		return append(fs, unmeasured(checkNetwork, err))
	}
	waiting, err := timeWait(stat)
	if err != nil {
		return append(fs, unmeasured(checkNetwork, err))
	}
	return append(fs, judgeTimeWait(waiting, high-low+1))
}

// timeWait reads the connections in TIME_WAIT from a line such as "TCP: inuse 5 orphan 0 tw 12 alloc 9 mem 1".
func timeWait(sockstat string) (int64, error) {
	for l := range strings.Lines(sockstat) {
		fields := strings.Fields(l)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == "tw" {
				return strconv.ParseInt(fields[i+1], 10, 64)
			}
		}
	}
	return 0, errors.New("/proc/net/sockstat does not name tw")
}

func judgeBacklog(n int64) Finding {
	if n >= 1024 {
		return good(checkNetwork, "%d connections may wait to be taken", n)
	}
	return Finding{Check: checkNetwork, Severity: Warning, What: fmt.Sprintf("only %d connections may wait to be taken", n),
		Why: "When all clients come back at once after a restart, the rest of them is turned away and tries again later.",
		Do:  "Set net.core.somaxconn and net.ipv4.tcp_max_syn_backlog to 4096 and start the broker again."}
}

func judgeTimeWait(waiting, ports int64) Finding {
	what := fmt.Sprintf("%d connections linger in TIME_WAIT, for %d local ports", waiting, ports)
	if ports > 0 && waiting < ports/2 {
		return good(checkNetwork, "%s", what)
	}
	return Finding{Check: checkNetwork, Severity: Warning, What: what, Why: "Something opens and closes connections all the time; when the ports are used up, new ones fail.",
		Do: "Find the client that does not keep its connections (ss -tan state time-wait), and widen net.ipv4.ip_local_port_range."}
}
