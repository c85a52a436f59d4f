package compare

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// answerLimit bounds the wait for one tool. The driver gives up before that and says where the tool hangs.
	answerLimit = 90 * time.Second
	// maxOutput bounds what one tool prints.
	maxOutput = 16 << 20
)

// Result is what one run of a tool left.
type Result struct {
	Code     int
	Out, Err string
}

// JVM is one Java process that runs tool after tool. It is not for concurrent use.
type JVM struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// StartJVM starts a driver from its Java source, which is written into dir, with the given flags of the JVM; the class path is among
// them. dir is absolute, and the process works in it: some tools leave files where they are run. The driver speaks as bench/tools/driver/Driver.java says.
func StartJVM(dir string, source []byte, flags []string) (*JVM, error) {
	file := filepath.Join(dir, "Driver.java")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("java", append(flags, file)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("java: %w", err)
	}
	return &JVM{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// Run runs one tool with input as its standard input.
func (j *JVM) Run(ctx context.Context, class string, args []string, input string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = j.cmd.Process.Kill() })
	defer stop()
	req := text(nil, class)
	req = binary.BigEndian.AppendUint32(req, uint32(len(args)))
	for _, a := range args {
		req = text(req, a)
	}
	if _, err := j.in.Write(text(req, input)); err != nil {
		return Result{}, fmt.Errorf("%s: the driver does not listen: %w", class, errors.Join(err, ctx.Err()))
	}
	var r Result
	err := j.answer(&r)
	if err != nil {
		return r, fmt.Errorf("%s: the driver gave no answer: %w", class, errors.Join(err, ctx.Err()))
	}
	return r, nil
}

// answer reads one answer of the driver.
func (j *JVM) answer(r *Result) error {
	var code int32
	if err := binary.Read(j.out, binary.BigEndian, &code); err != nil {
		return err
	}
	r.Code = int(code)
	for _, to := range []*string{&r.Out, &r.Err} {
		var n int32
		if err := binary.Read(j.out, binary.BigEndian, &n); err != nil {
			return err
		}
		if n < 0 || n > maxOutput {
			return fmt.Errorf("output of %d bytes, at most %d are taken", n, maxOutput)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(j.out, b); err != nil {
			return err
		}
		*to = string(b)
	}
	return nil
}

func text(to []byte, s string) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(s)))
	return append(to, s...)
}

// Close ends the process.
func (j *JVM) Close() error {
	_ = j.in.Close()
	late := time.AfterFunc(10*time.Second, func() { _ = j.cmd.Process.Kill() })
	defer late.Stop()
	return j.cmd.Wait()
}
