// Package lab gives a program a network of its own: it runs the program again inside a new network namespace whose loopback
// interface uses cubic. Some machines set BBR as the default congestion control, which makes loopback about twice as dear and
// hides differences, and a program in a namespace can change the route without changing it for anybody else.
package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is the environment variable that tells the program that it runs in the namespace. Its name does not start like those of
// the broker's own variables, which would wonder about it.
const inside = "BENCH_LAB"

// wanted is the congestion control of the lab.
const wanted = "cubic"

// Inside reports whether this process was started by Enter.
func Inside() bool { return os.Getenv(inside) != "" }

// Enter runs this program again with the same arguments in a new network namespace, waits for it, and returns its exit status.
// An error means that there is no namespace to be had and nothing was run; the caller may go on outside.
func Enter() (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("a network namespace needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return 0, fmt.Errorf("a network namespace needs the ip command: %w", err)
	}
	// The child is bound to the life of the thread that starts it, so this goroutine keeps its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// An interrupt from the terminal reaches both; this process stays to report how the other ended.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("network namespace: %w", err)
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				_ = cmd.Process.Signal(s)
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	default:
		return 1, nil
	}
}

// Furnish sets up the namespace that Enter made: loopback up, its routes with cubic. Call it once, before any connection.
func Furnish() error {
	steps := [][]string{{"link", "set", "lo", "up"}}
	for _, net := range []string{"127.0.0.0/8", "127.0.0.1"} {
		steps = append(steps, strings.Fields("route replace local "+net+
			" dev lo table local proto kernel scope host src 127.0.0.1 congctl "+wanted))
	}
	for _, args := range steps {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	got, err := Congestion()
	if err != nil {
		return err
	}
	if got != wanted {
		return fmt.Errorf("loopback connections use %s, not %s", got, wanted)
	}
	return nil
}

// Congestion is the congestion control of a loopback connection made now.
func Congestion() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("congestion control: %w", err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return "", fmt.Errorf("congestion control: %w", err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return "", fmt.Errorf("congestion control: %w", err)
	}
	var name string
	var get error
	if err := raw.Control(func(fd uintptr) {
		name, get = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	}); err != nil {
		get = err
	}
	if get != nil {
		return "", fmt.Errorf("congestion control: %w", get)
	}
	return strings.TrimRight(name, "\x00"), nil
}
