package broker

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A cache that is complete is used as it is; one that is not says what is missing.
func TestFetchApache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PATH", "")
	if _, err := FetchApache(t.Context(), cache); err == nil || !strings.Contains(err.Error(), "Maven") {
		t.Errorf("without Maven: %v", err)
	}
	root := filepath.Join(cache, "kafka-"+ApacheVersion)
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lib, err := FetchApache(t.Context(), cache)
	if err != nil || lib != filepath.Join(root, "lib") {
		t.Errorf("%q, %v", lib, err)
	}
}

func TestApacheNeedsJars(t *testing.T) {
	if _, err := StartApache(t.Context(), ApacheOptions{Jars: t.TempDir(), Data: t.TempDir()}); err == nil {
		t.Error("no error without jars")
	}
}

func TestApacheConfig(t *testing.T) {
	text := apacheConfig("/d", "127.0.0.1:1", "127.0.0.1:2")
	for _, want := range []string{"\nlisteners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2\n", "voters=1@127.0.0.1:2\n", "log.dirs=/d/logs\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// A broker has answered when it has answered ApiVersions well, and with the same correlation id.
func TestAsk(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
		ok     bool
	}{
		{"well", "\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00", true},
		{"another's", "\x00\x00\x00\x0a\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00", false},
		{"an error", "\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x23\x00\x00\x00\x00", false},
		{"huge", "\x7f\x00\x00\x0a\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00", false},
		{"cut short", "\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x00\x00", false},
		{"nothing", "", false},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			defer conn.Close()
			b := make([]byte, 14)
			_, _ = io.ReadFull(conn, b)
			got <- string(b)
			_, _ = conn.Write([]byte(c.answer))
		}()
		if err := ask(t.Context(), l.Addr().String()); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x07\xff\xff"; <-got != want {
			t.Errorf("%s: the request is not ApiVersions version 0", c.name)
		}
		l.Close()
	}
}
