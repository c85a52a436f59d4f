package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

const (
	// isolatedEnv tells the program that it is the inner one.
	isolatedEnv = "FAULTS_ISOLATED"
	// workDirEnv names the directory that the inner program works in. The outer one removes it.
	workDirEnv = "FAULTS_DIR"
	// graceLimit is how long the inner program may clean up after a signal.
	graceLimit = 30 * time.Second
)

func isolated() bool { return os.Getenv(isolatedEnv) != "" }

// isolate runs this program again in a mount namespace of its own and returns its exit code. Whatever the inner program
// mounts is gone when its last process has ended, loop devices included, even if it is killed; and the inner program and its
// brokers die with the outer one. Without the right to make a namespace the inner program runs without.
func isolate(ctx context.Context) int {
	// The inner program is bound to the life of the thread that starts it, so this goroutine keeps its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir, err := os.MkdirTemp("", "penstock-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 2
	}
	keep := false
	defer func() {
		if !keep {
			_ = os.RemoveAll(dir)
		}
	}()
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		attr.Unshareflags = syscall.CLONE_NEWNS
	}
	cmd, err := inner(dir, attr)
	if err != nil && attr.Unshareflags != 0 {
		attr.Unshareflags = 0
		cmd, err = inner(dir, attr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 2
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-done:
		case <-time.After(graceLimit):
			_ = cmd.Process.Kill()
			err = <-done
		}
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		keep = slices.Contains(os.Args, "-keep") || slices.Contains(os.Args, "--keep")
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "faults:", err)
	return 1
}

func inner(dir string, attr *syscall.SysProcAttr) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedEnv+"=1", workDirEnv+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	return cmd, cmd.Start()
}
