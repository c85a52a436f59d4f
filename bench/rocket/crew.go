package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"penstock/bench/broker"
	"penstock/bench/rocket/talk"
)

//go:embed driver/*.java
var sources embed.FS

// silence keeps RocketMQ's logging library from printing its own life.
const silence = `<configuration>
  <statusListener class="org.apache.rocketmq.logging.ch.qos.logback.core.status.NopStatusListener"/>
  <root level="OFF"/>
</configuration>
`

// closeLimit bounds the wait for a driver to end.
const closeLimit = 20 * time.Second

// client is one client.
type client struct {
	name  string
	old   bool     // RocketMQ 4's jars
	flags []string // of its JVM
	goes  bool     // the Go client
	short bool     // part of the short form
}

// fleet are all clients. Names are those of options and reports; the third is the Java client made to write headers in RocketMQ's binary form.
func fleet() []client {
	return []client{
		{name: "java5", short: true},
		{name: "java4", old: true},
		{name: "java5-binary", flags: []string{"-Drocketmq.serialize.type=ROCKETMQ"}},
		{name: "go", goes: true, short: true},
	}
}

func fleetNames() string {
	var out []string
	for _, c := range fleet() {
		out = append(out, c.name)
	}
	return strings.Join(out, ",")
}

// wants reports whether a client was chosen.
func (b *bench) wants(c client) bool {
	if b.only == "" {
		return c.short || !b.Short
	}
	return slices.Contains(strings.Split(b.only, ","), c.name)
}

// hire compiles what a client's driver needs and starts it; files that it writes go below dir.
func (b *bench) hire(ctx context.Context, c client, dir string) (*talk.Driver, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	env := []string{"NAMESRV_ADDR=", "HOME=" + dir}
	if c.goes {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return talk.Start(ctx, c.name, []string{self, goDriver}, env)
	}
	jars := b.jars.Whole
	if c.old {
		jars = b.jars.Old
	}
	classes := filepath.Join(dir, "classes")
	if err := compile(ctx, jars, classes, "RocketDriver.java", "Consumers.java"); err != nil {
		return nil, err
	}
	return talk.Start(ctx, c.name, append(b.java(jars, classes, dir, c.flags...), "RocketDriver"), env)
}

// java is the command of a JVM with RocketMQ's jars.
func (b *bench) java(jars, classes, home string, flags ...string) []string {
	args := append([]string{
		"java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC", "-Duser.language=en", "-Duser.home=" + home,
		"-Drocketmq.client.logRoot=" + filepath.Join(home, "logs"), "-Drocketmq.client.logLevel=ERROR",
		"-Drocketmq.client.localOffsetStoreDir=" + filepath.Join(home, "offsets"),
	}, broker.RocketJava()...)
	args = append(args, flags...)
	return append(args, "-cp", classes+":"+filepath.Join(jars, "*"))
}

// compile compiles drivers against jars.
func compile(ctx context.Context, jars, classes string, names ...string) error {
	if err := os.MkdirAll(classes, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(classes, "rmq.logback.xml"), []byte(silence), 0o644); err != nil {
		return err
	}
	args := []string{"-nowarn", "-cp", filepath.Join(jars, "*"), "-d", classes}
	for _, n := range names {
		text, err := sources.ReadFile("driver/" + n)
		if err != nil {
			return err
		}
		file := filepath.Join(classes, n)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
		args = append(args, file)
	}
	if out, err := exec.CommandContext(ctx, "javac", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("compile the driver: %w\n%s", err, out)
	}
	return nil
}

// dismiss ends a driver.
func dismiss(d *talk.Driver) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	d.Close(ctx)
}

// target is a broker that scenarios are played against.
type target struct {
	name   string // "real" or "penstock"
	names  string // its name server
	addr   string // its broker
	pid    func() int
	end    func() error
	tail   func() string
	data   string // its directory
	broker *broker.Broker
}

// real starts RocketMQ itself.
func (b *bench) real(ctx context.Context, config ...string) (*target, error) {
	data, err := os.MkdirTemp(b.Dir, "real-")
	if err != nil {
		return nil, err
	}
	r, err := broker.StartRocket(ctx, broker.RocketOptions{Jars: b.jars.Whole, Data: data, Config: config})
	if err != nil {
		return nil, err
	}
	return &target{name: "real", names: r.NameServer, addr: r.Addr, pid: r.Broker.PID, end: r.Kill, tail: r.Broker.Tail, data: data}, nil
}

// ours starts penstock.
func (b *bench) ours(ctx context.Context, args ...string) (*target, error) {
	if b.layout != "" {
		args = append(args, "--set", "rocket.layout="+b.layout)
	}
	br, err := broker.Start(ctx, broker.Options{
		Binary: b.Binary, Data: filepath.Join(b.Dir, "penstock"), Output: filepath.Join(b.Dir, "penstock.log"), Args: args, WithRocket: true,
	})
	if err != nil {
		return nil, err
	}
	return &target{name: "penstock", names: br.NameServer, addr: br.Rocket, pid: br.PID, end: br.Stop, tail: br.Tail, broker: br, data: filepath.Join(b.Dir, "penstock")}, nil
}
