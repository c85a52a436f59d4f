package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// appStop bounds the wait for an application to end after SIGTERM.
const appStop = 60 * time.Second

// app is a Java application that runs beside the broker. Its output goes to a file.
type app struct {
	name   string
	cmd    *exec.Cmd
	output string
	done   chan struct{}
	err    error // how it ended; read after done
}

// startApp starts a main class with the jars of Apache Kafka and of what runs around it.
func (b *bench) startApp(name, class string, args ...string) (*app, error) {
	flags, err := javaArgs([]string{b.around, b.jars}, b.Dir)
	if err != nil {
		return nil, err
	}
	a := &app{name: name, output: filepath.Join(b.Dir, name+".log"), done: make(chan struct{})}
	f, err := os.OpenFile(a.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a.cmd = exec.Command("java", append(append(flags, class), args...)...)
	a.cmd.Dir = b.Dir
	a.cmd.Stdout, a.cmd.Stderr = f, f
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		a.err = a.cmd.Wait()
		close(a.done)
	}()
	return a, nil
}

// alive is an error if the application has ended.
func (a *app) alive() error {
	select {
	case <-a.done:
		return fmt.Errorf("%s has ended: %w\n%s", a.name, errors.Join(a.err), a.tail())
	default:
		return nil
	}
}

// stop ends the application politely: SIGTERM runs its shutdown hooks. A JVM that was asked to end exits with 143.
func (a *app) stop() error {
	if err := a.alive(); err != nil {
		return err
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", a.name, err)
	}
	select {
	case <-a.done:
		return nil
	case <-time.After(appStop):
		_ = a.cmd.Process.Kill()
		<-a.done
		return fmt.Errorf("%s did not stop within %s\n%s", a.name, appStop, a.tail())
	}
}

// end kills the application if it still runs.
func (a *app) end() {
	_ = a.cmd.Process.Kill()
	<-a.done
}

// said counts the lines of the output that hold a text.
func (a *app) said(what string) int {
	out, err := os.ReadFile(a.output)
	if err != nil {
		return 0
	}
	n := 0
	for _, l := range strings.Split(string(out), "\n") {
		if strings.Contains(l, what) {
			n++
		}
	}
	return n
}

// tail is the end of the output.
func (a *app) tail() string {
	const keep = 4096
	out, err := os.ReadFile(a.output)
	if err != nil {
		return ""
	}
	return string(out[max(0, len(out)-keep):])
}

// properties writes a file in Java's notation and returns its path.
func (b *bench) properties(name string, lines ...string) (string, error) {
	file := filepath.Join(b.Dir, name)
	return file, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// waitFor asks until it is so, while the applications live.
func waitFor(ctx context.Context, what string, apps []*app, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, carryLimit)
	defer cancel()
	for {
		ok, err := ask()
		if ok && err == nil {
			return nil
		}
		for _, a := range apps {
			if err := a.alive(); err != nil {
				return fmt.Errorf("while waiting until %s: %w", what, err)
			}
		}
		select {
		case <-ctx.Done():
			for _, a := range apps {
				err = errors.Join(err, fmt.Errorf("%s said at last:\n%s", a.name, a.tail()))
			}
			return fmt.Errorf("waited in vain until %s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(awaitEvery):
		}
	}
}

// carryLimit bounds the wait for an application to carry what it was given.
const carryLimit = 3 * time.Minute
