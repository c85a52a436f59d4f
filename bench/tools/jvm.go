package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed driver/Driver.java
var driverSource []byte

// logSettings has the tools' loggers print warnings to standard error without a time, as the settings in Kafka's own archive do
// but for the time. What the network client warns of (a connection refused, a topic not known yet) is a matter of moments, and left out.
const logSettings = `status=error
appender.e.type=Console
appender.e.name=E
appender.e.target=SYSTEM_ERR
appender.e.layout.type=PatternLayout
appender.e.layout.pattern=%p %m (%c)%n
logger.n.name=org.apache.kafka.clients.NetworkClient
logger.n.level=error
rootLogger.level=warn
rootLogger.appenderRef.e.ref=E
`

const (
	// answerLimit bounds the wait for one tool. The driver gives up before that and says where the tool hangs.
	answerLimit = 90 * time.Second
	// maxOutput bounds what one tool prints.
	maxOutput = 16 << 20
)

// result is what one run of a tool left.
type result struct {
	code     int
	out, err string
}

// jvm is one Java process that runs tool after tool. It is not for concurrent use.
type jvm struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startJVM starts the driver with the given jars; files that it needs go into dir.
func startJVM(jars []string, dir string) (*jvm, error) {
	source := filepath.Join(dir, "Driver.java")
	if err := os.WriteFile(source, driverSource, 0o644); err != nil {
		return nil, err
	}
	args, err := javaArgs(jars, dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("java", append(args, source)...)
	cmd.Stderr = os.Stderr
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
	return &jvm{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// javaArgs are the flags of every JVM here: little memory, a quick start, warnings to standard error.
func javaArgs(jars []string, dir string) ([]string, error) {
	settings := filepath.Join(dir, "log4j2.properties")
	if err := os.WriteFile(settings, []byte(logSettings), 0o644); err != nil {
		return nil, err
	}
	path := make([]string, len(jars))
	for i, j := range jars {
		path[i] = filepath.Join(j, "*")
	}
	return []string{
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC", "-Duser.language=en",
		"-Dlog4j2.configurationFile=" + settings, "-cp", strings.Join(path, ":"),
	}, nil
}

// run runs one tool with input as its standard input.
func (j *jvm) run(ctx context.Context, class string, args []string, input string) (result, error) {
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
		return result{}, fmt.Errorf("%s: the driver does not listen: %w", class, errors.Join(err, ctx.Err()))
	}
	var r result
	err := j.answer(&r)
	if err != nil {
		return r, fmt.Errorf("%s: the driver gave no answer: %w", class, errors.Join(err, ctx.Err()))
	}
	return r, nil
}

// answer reads one answer of the driver.
func (j *jvm) answer(r *result) error {
	var code int32
	if err := binary.Read(j.out, binary.BigEndian, &code); err != nil {
		return err
	}
	r.code = int(code)
	for _, to := range []*string{&r.out, &r.err} {
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

// close ends the process.
func (j *jvm) close() error {
	_ = j.in.Close()
	late := time.AfterFunc(10*time.Second, func() { _ = j.cmd.Process.Kill() })
	defer late.Stop()
	return j.cmd.Wait()
}
