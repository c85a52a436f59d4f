package drive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"penstock/bench/broker"
)

// ErrMissing is wrapped when this machine does not have, and cannot fetch, what a driver needs.
var ErrMissing = errors.New("cannot be installed here")

// Client is one client, and how its driver is started.
type Client struct {
	Name    string   // as it is chosen and printed
	Command []string // set by Install
	Env     []string // set by Install
	Old     bool     // the client made to speak an old version of the protocol
	Lacks   []string // administrative operations that the old version does not have
	install func(ctx context.Context, i *installer, c *Client) error
	args    []string
}

// after21 are operations that Kafka got after version 2.1.
var after21 = []string{"incremental_configs", "delete_group_offsets", "remove_member", "describe_producers", "describe_topic_partitions"}

// Clients are all clients there are, in the order in which they are printed.
func Clients() []*Client {
	return []*Client{
		{Name: "franz-go", install: goDriver("franz")},
		{Name: "sarama", install: goDriver("sarama")},
		{Name: "librdkafka", install: pythonDriver("confluent.py", "pure.txt")},
		{Name: "kafka-python", install: pythonDriver("kafkapython.py", "pure.txt")},
		{Name: "kafkajs", install: nodeDriver},
		{Name: "java", install: javaDriver},
		{Name: "franz-go@2.1", install: goDriver("franz"), args: []string{"v2.1"}, Old: true, Lacks: after21},
		{Name: "sarama@0.11", install: goDriver("sarama"), args: []string{"0.11.0.2"}, Old: true},
		{Name: "sarama@2.1", install: goDriver("sarama"), args: []string{"2.1.0"}, Old: true, Lacks: after21},
		{Name: "kafka-python@2.1", install: pythonDriver("kafkapython.py", "pure.txt"), args: []string{"2.1"}, Old: true, Lacks: after21},
		{Name: "kafka-python@2020", install: pythonDriver("kafkapython.py", "old.txt"), Old: true},
	}
}

// Ancient is Sarama made to speak the protocol of Kafka 0.10, whose message format brokers of today refuse.
func Ancient(name string) *Client {
	return &Client{Name: name, install: goDriver("sarama"), args: []string{"0.10.2.0"}, Old: true}
}

// installer knows where things are.
type installer struct {
	cache   string // directory for what is fetched
	sources string // directory of the drivers' sources
	done    map[string]error
}

// Installer fetches and builds what drivers need below cache, from the sources of the drivers.
type Installer struct{ i installer }

// NewInstaller returns an installer; both directories may be relative.
func NewInstaller(cache, sources string) (*Installer, error) {
	c, err := filepath.Abs(filepath.Join(cache, "clients"))
	if err != nil {
		return nil, err
	}
	s, err := filepath.Abs(sources)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(s); err != nil {
		return nil, fmt.Errorf("the drivers' sources: %w (run this in the directory bench)", err)
	}
	return &Installer{installer{cache: c, sources: s, done: map[string]error{}}}, nil
}

// Install makes a client ready to start. The error wraps ErrMissing if what it needs is not to be had.
func (n *Installer) Install(ctx context.Context, c *Client) error {
	if err := os.MkdirAll(n.i.cache, 0o755); err != nil {
		return err
	}
	if err := c.install(ctx, &n.i, c); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	c.Command = append(c.Command, c.args...)
	return nil
}

// once does something at most once in this run, and once in the cache's life if dir is complete; make fills dir.
func (i *installer) once(dir string, fill func() error) error {
	err, known := i.done[dir]
	if known {
		return err
	}
	mark := filepath.Join(dir, "complete")
	if _, err = os.Stat(mark); err != nil {
		if err = os.RemoveAll(dir); err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err == nil {
			err = fill()
		}
		if err == nil {
			err = os.WriteFile(mark, nil, 0o644)
		}
	}
	i.done[dir] = err
	return err
}

// hashed is the name of a directory in the cache that is made from files.
func (i *installer) hashed(name string, extra string, files ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, extra)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", filepath.Base(f), len(b))
		h.Write(b)
	}
	return filepath.Join(i.cache, fmt.Sprintf("%s-%x", name, h.Sum(nil)[:6])), nil
}

// run runs a command and keeps what it says for the error.
func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		const keep = 2000
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out[max(0, len(out)-keep):])
	}
	return nil
}

// need finds a program.
func need(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return path, nil
}

func goDriver(name string) func(context.Context, *installer, *Client) error {
	return func(ctx context.Context, i *installer, c *Client) error {
		bin := filepath.Join(i.cache, "go", name)
		err, known := i.done[bin]
		if !known {
			err = run(ctx, filepath.Join(i.sources, name), nil, "go", "build", "-o", bin, ".")
			i.done[bin] = err
		}
		c.Command = []string{bin}
		return err
	}
}

// pythonDriver installs the packages of a list, and the wheels that all drivers need, into a virtual environment.
func pythonDriver(script, list string) func(context.Context, *installer, *Client) error {
	return func(ctx context.Context, i *installer, c *Client) error {
		python, err := need("python3")
		if err != nil {
			return err
		}
		pure, wheels := filepath.Join(i.sources, "python", list), filepath.Join(i.sources, "python", "wheels.txt")
		dir, err := i.hashed("python", python, pure, wheels)
		if err != nil {
			return err
		}
		inside := filepath.Join(dir, "venv", "bin", "python")
		err = i.once(dir, func() error {
			if err := run(ctx, dir, nil, python, "-m", "venv", filepath.Join(dir, "venv")); err != nil {
				return fmt.Errorf("%w: %w", ErrMissing, err)
			}
			pip := []string{"-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"}
			for _, more := range [][]string{{"--require-hashes", "-r", pure}, {"-r", wheels}} {
				if err := run(ctx, dir, nil, inside, append(slices.Clone(pip), more...)...); err != nil {
					return fmt.Errorf("%w: %w", ErrMissing, err)
				}
			}
			if err := run(ctx, dir, nil, inside, "-c", "import kafka"); err != nil {
				return fmt.Errorf("%w: it does not run with this Python: %w", ErrMissing, err)
			}
			return nil
		})
		c.Command = []string{inside, "-B", filepath.Join(i.sources, "python", script)}
		return err
	}
}

func nodeDriver(ctx context.Context, i *installer, c *Client) error {
	node, err := need("node")
	if err != nil {
		return err
	}
	npm, err := need("npm")
	if err != nil {
		return err
	}
	src := filepath.Join(i.sources, "kafkajs")
	files := []string{filepath.Join(src, "package.json"), filepath.Join(src, "package-lock.json")}
	dir, err := i.hashed("kafkajs", node, files...)
	if err != nil {
		return err
	}
	err = i.once(dir, func() error {
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o644)
			}
			if err != nil {
				return err
			}
		}
		if err := run(ctx, dir, nil, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			return fmt.Errorf("%w: %w", ErrMissing, err)
		}
		return nil
	})
	c.Command = []string{node, filepath.Join(src, "driver.js")}
	c.Env = []string{"NODE_PATH=" + filepath.Join(dir, "node_modules")}
	return err
}

func javaDriver(ctx context.Context, i *installer, c *Client) error {
	java, err := need("java")
	if err != nil {
		return err
	}
	javac, err := need("javac")
	if err != nil {
		return err
	}
	jars, err := broker.FetchApache(ctx, filepath.Dir(i.cache))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	files, err := filepath.Glob(filepath.Join(i.sources, "java", "*.java"))
	if err != nil {
		return err
	}
	dir, err := i.hashed("java", broker.ApacheVersion, files...)
	if err != nil {
		return err
	}
	err = i.once(dir, func() error {
		args := append([]string{"-encoding", "UTF-8", "-d", dir, "-cp", filepath.Join(jars, "*")}, files...)
		return run(ctx, dir, nil, javac, args...)
	})
	c.Command = []string{
		java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto",
		"-cp", dir + string(filepath.ListSeparator) + filepath.Join(jars, "*"), "Driver",
	}
	return err
}
