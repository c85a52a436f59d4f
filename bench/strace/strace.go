// Package strace watches the system calls of a running process that move bytes, through the strace program, and adds up which
// bytes went which way.
package strace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// calls are the system calls that can take bytes out of a file or put them into a socket.
const calls = "sendfile,splice,copy_file_range,tee,vmsplice,read,readv,pread64,preadv,preadv2,mmap," +
	"write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,io_uring_enter"

// attachLimit bounds the wait for strace to attach, detachLimit that for its end.
const (
	attachLimit = 20 * time.Second
	detachLimit = 20 * time.Second
)

// A Tracer is a strace that is attached to a process.
type Tracer struct {
	cmd  *exec.Cmd
	dir  string // one file for each thread
	done chan error
}

// Attach attaches strace to all threads of a process, and to those they start. It writes to files in dir, which must be empty. It
// needs the right to trace the process.
func Attach(pid int, dir string) (*Tracer, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return nil, fmt.Errorf("system calls are counted by strace, and there is none: %w", err)
	}
	// A file for each thread, so that no call is split by another thread's; the paths and addresses behind descriptors; no data.
	cmd := exec.Command(path, "-ff", "-yy", "-s", "0", "-e", "signal=none", "-e", "trace="+calls,
		"-o", filepath.Join(dir, "thread"), "-p", strconv.Itoa(pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("strace: %w", err)
	}
	t := &Tracer{cmd: cmd, dir: dir, done: make(chan error, 1)}
	attached := make(chan string, 1)
	go func() {
		first := ""
		for s := bufio.NewScanner(said); s.Scan(); {
			if first == "" {
				first = s.Text()
				attached <- first
			}
		}
		if first == "" {
			attached <- "no word from strace"
		}
		t.done <- cmd.Wait()
	}()
	select {
	case word := <-attached:
		if strings.Contains(word, " attached") {
			return t, nil
		}
		err = fmt.Errorf("strace: %s", word)
	case <-time.After(attachLimit):
		err = errors.New("strace does not attach")
	}
	_ = cmd.Process.Kill()
	<-t.done
	return nil, err
}

// Detach ends the tracing; the process runs on. It adds up what was seen. Addr is the address at which the process serves.
func (t *Tracer) Detach(addr string) (Account, error) {
	var a Account
	if err := t.cmd.Process.Signal(os.Interrupt); err != nil {
		return a, fmt.Errorf("strace: %w", err)
	}
	select {
	case <-t.done: // it reports the interrupt as its status
	case <-time.After(detachLimit):
		_ = t.cmd.Process.Kill()
		return a, errors.New("strace does not detach")
	}
	files, err := filepath.Glob(filepath.Join(t.dir, "thread.*"))
	if err != nil {
		return a, err
	}
	for _, name := range files {
		if err := a.addFile(name, addr); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a *Account) addFile(name, addr string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	return a.add(f, addr)
}

// add adds the calls of one thread.
func (a *Account) add(r io.Reader, addr string) error {
	port := addr[strings.LastIndexByte(addr, ':')+1:]
	s := bufio.NewScanner(r)
	for s.Scan() {
		c, ok, err := parse(s.Text())
		if err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		if ok {
			a.count(c, port)
		}
	}
	return s.Err()
}
