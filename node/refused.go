package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// listenError says why an address cannot be listened on, and what to do next.
func listenError(key, addr string, err error) error {
	flag := "--" + FlagName(key)
	_, port, _ := splitAddress(addr)
	var name *net.DNSError
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%s: %w: %s. Stop it, or choose another address with %s", key, err, portHolder(port), flag)
	case errors.Is(err, fs.ErrPermission) && port < 1024:
		return fmt.Errorf("%s: %w: ports below 1024 are for root and for programs with CAP_NET_BIND_SERVICE. Choose a higher port with %s", key, err, flag)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %w: no interface of this machine has this address. Listen on one that it has with %s, and tell clients another with --advertise",
			key, err, flag)
	case errors.As(err, &name):
		return fmt.Errorf("%s: %w: the name has no address. Choose one that this machine has with %s", key, err, flag)
	}
	return fmt.Errorf("%s: %w. Choose another address with %s", key, err, flag)
}

// dataError says why the data directory cannot be opened, and what to do next.
func dataError(root string, err error) error {
	const another = "choose another directory with --data"
	next := "Look at it, or " + another
	switch {
	case strings.Contains(err.Error(), "is locked"): // by a process that is named
		next = "Stop that process, or " + another
		if name := lockHolder(root); name != "" {
			next = fmt.Sprintf("That process is %s. %s", name, next)
		}
	case errors.Is(err, fs.ErrPermission):
		next = fmt.Sprintf("The broker runs as %s%s. Give it the directory (chown), or %s", user(), owner(root), another)
	case errors.Is(err, unix.EROFS):
		next = "The file system is read-only. Mount it for writing, or " + another
	case errors.Is(err, unix.ENOTDIR):
		next = "A part of the path is a file. Remove it, or " + another
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		next = "The disk is full. Make room, or " + another
	}
	return fmt.Errorf("%w. %s", err, next)
}

func user() string { return fmt.Sprintf("user %d", os.Geteuid()) }

// owner says whose the directory is, or the nearest one above it that is there.
func owner(path string) string {
	for {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err == nil {
			return fmt.Sprintf(", and %s is user %d's with mode %04o", path, st.Uid, st.Mode&0o7777)
		}
		up := filepath.Dir(path)
		if up == path {
			return ""
		}
		path = up
	}
}

// lockHolder names the process that the lock of a data directory names.
func lockHolder(root string) string {
	b, err := os.ReadFile(filepath.Join(root, ".lock"))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return ""
	}
	return processName(pid)
}

// processName is what a process is called, empty if there is none.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// portHolder says which process listens on a TCP port, as far as this one may see it.
func portHolder(port int) string {
	inodes := listening(port)
	if len(inodes) == 0 {
		return "another socket has the port"
	}
	var holders []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, dir := range dirs {
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))); holds(dir, inodes) {
			holders = append(holders, fmt.Sprintf("process %d (%s)", pid, processName(pid)))
		}
	}
	switch len(holders) {
	case 0:
	case 1:
		return holders[0] + " listens there"
	default:
		return strings.Join(holders, " and ") + " listen there"
	}
	return fmt.Sprintf("another user's process listens there (ss -ltnp 'sport = %d' as root shows it)", port)
}

// holds reports whether a process has one of the sockets open; dir is its directory of descriptors.
func holds(dir string, sockets map[string]bool) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false // another user's
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		link, err := os.Readlink(filepath.Join(dir, e.Name()))
		return err == nil && sockets[link]
	})
}

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// listening are the sockets that listen on a port, as links in /proc/PID/fd name them.
func listening(port int) map[string]bool {
	out := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			// sl local remote state queues timers retransmits uid timeout inode ...
			f := strings.Fields(s.Text())
			if len(f) < 10 || f[3] != tcpListen {
				continue
			}
			_, digits, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(digits, 16, 16); err == nil && int(n) == port {
				out["socket:["+f[9]+"]"] = true
			}
		}
	}
	return out
}
