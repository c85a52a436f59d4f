package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// refusedWith starts a node that cannot start, and returns why.
func refusedWith(t *testing.T, flags map[string]string) string {
	t.Helper()
	all := map[string]string{"data": t.TempDir(), "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0", "insecure": "true"}
	for k, v := range flags {
		all[k] = v
	}
	l, err := Load(Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), l.Config, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = n.Stop(context.Background())
		t.Fatalf("it starts with %v", flags)
	}
	return err.Error()
}

// TestPortTaken demands that who has the port is named.
func TestPortTaken(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			if addr != "127.0.0.1:0" {
				continue // a machine without IPv6
			}
			t.Fatal(err)
		}
		defer ln.Close()
		for _, key := range []string{"kafka.listen", "http.listen", "rocket.listen", "rocket.namesrv.listen"} {
			why := refusedWith(t, map[string]string{key: ln.Addr().String()})
			for _, want := range []string{key + ": ", fmt.Sprintf("process %d (%s)", os.Getpid(), processName(os.Getpid())), "--" + FlagName(key)} {
				if !strings.Contains(why, want) {
					t.Errorf("%q does not say %q", why, want)
				}
			}
		}
	}
	// A closed port is nobody's as long as nobody takes it, which port 0 cannot be.
	if s := portHolder(0); s != "another socket has the port" {
		t.Errorf("of a port that nobody has: %q", s)
	}
}

func TestAddressElsewhere(t *testing.T) {
	err := listenError("kafka.listen", "192.0.2.1:9092", os.NewSyscallError("bind", unix.EADDRNOTAVAIL))
	if !strings.Contains(err.Error(), "no interface of this machine") || !strings.Contains(err.Error(), "--advertise") {
		t.Errorf("%v", err)
	}
	if err := listenError("http.listen", "127.0.0.1:80", os.NewSyscallError("bind", unix.EACCES)); !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") || !errors.Is(err, unix.EACCES) {
		t.Errorf("%v", err)
	}
	if err := listenError("kafka.listen", "nowhere.invalid:9", &net.DNSError{Err: "no such host", Name: "nowhere.invalid"}); !strings.Contains(err.Error(), "the name has no address") {
		t.Errorf("%v", err)
	}
}

// TestDirectoryRefused demands that what is wrong with a data directory is told with what to do.
func TestDirectoryRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{file, filepath.Join(file, "below")} {
		if why := refusedWith(t, map[string]string{"data": data}); !strings.Contains(why, file) || !strings.Contains(why, "is a file") || !strings.Contains(why, "--data") {
			t.Errorf("%q", why)
		}
	}
	for err, want := range map[error]string{
		unix.EACCES: fmt.Sprintf("runs as user %d, and %s is user %d's with mode", os.Geteuid(), filepath.Dir(file), os.Getuid()),
		unix.EROFS:  "read-only",
		unix.ENOSPC: "full",
		unix.EIO:    "Look at it",
	} {
		got := dataError(filepath.Join(filepath.Dir(file), "nothing", "here"), err)
		if !strings.Contains(got.Error(), want) || !strings.Contains(got.Error(), "--data") || !errors.Is(got, err) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if os.Geteuid() != 0 { // root may do everything
		locked := t.TempDir()
		if err := os.Chmod(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		if why := refusedWith(t, map[string]string{"data": filepath.Join(locked, "data")}); !strings.Contains(why, "chown") {
			t.Errorf("%q", why)
		}
	}
}

// TestLockHolder demands that the process is named by more than its number.
func TestLockHolder(t *testing.T) {
	dir := t.TempDir()
	l, err := Load(Sources{Flags: map[string]string{"data": dir, "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), l.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Stop(context.Background()) }()
	why := refusedWith(t, map[string]string{"data": dir})
	if !strings.Contains(why, fmt.Sprintf("process %d", os.Getpid())) || !strings.Contains(why, "That process is "+processName(os.Getpid())) {
		t.Errorf("%q", why)
	}
}
