package floors

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"penstock/bench/stat"
)

// cpu is the processor time of this process.
func cpu() (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// dataFile returns a file of fileBytes without a name, whose blocks are written and cached.
func dataFile(s Spec) (*os.File, error) {
	f, err := os.CreateTemp(s.Dir, "floors-*.data")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	b := make([]byte, 1<<20)
	for left := s.fileBytes(); left > 0; left -= min(left, int64(len(b))) {
		if _, err := f.Write(b[:min(left, int64(len(b)))]); err != nil {
			return nil, err
		}
	}
	return f, f.Sync()
}

// fresh makes f what a new segment is: preallocated, never written.
func fresh(f *os.File, size int64) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		return fmt.Errorf("fallocate: %w", err)
	}
	return nil
}

// timed adds what work costs to r.
func timed(r *Result, work func() error) error {
	c0, err := cpu()
	if err != nil {
		return err
	}
	t0 := time.Now()
	if err := work(); err != nil {
		return err
	}
	r.Elapsed = time.Since(t0)
	c1, err := cpu()
	r.CPU = c1 - c0
	return err
}

// serve does the server's side of a floor.
func serve(s Spec) (Result, error) {
	if s.Kind == Fsync {
		return serveFsync(s)
	}
	var f *os.File
	if s.Kind != RoundTrip {
		var err error
		if f, err = dataFile(s); err != nil {
			return Result{}, fmt.Errorf("data file: %w", err)
		}
		defer f.Close()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Result{}, err
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd, err := again(ctx, loadCommand, s, ln.Addr().String())
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	c, err := ln.Accept()
	if err != nil {
		return Result{}, err
	}
	var r Result
	err = timed(&r, func() error {
		switch s.Kind {
		case Fetch:
			r.Count, r.Bytes = s.requests(), int64(s.requests())*int64(s.Unit)
			return serveFetch(s, c.(*net.TCPConn), f)
		case Produce:
			r.Count, r.Bytes = s.requests(), int64(s.requests())*int64(s.Unit)
			return serveProduce(s, c, f)
		default:
			r.Count = s.Count
			return serveRoundTrip(s, c, &r)
		}
	})
	c.Close()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Wait(); err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	return r, nil
}

// serveRoundTrip sends a request and waits for it to come back, again and again.
func serveRoundTrip(s Spec, c net.Conn, r *Result) error {
	b := make([]byte, requestBytes)
	lat := make(stat.Samples, s.Count)
	for i := range lat {
		t := time.Now()
		if _, err := c.Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		lat[i] = time.Since(t)
	}
	q := lat.Quantiles(0.50, 0.99)
	r.P50, r.P99 = q[0], q[1]
	return nil
}
