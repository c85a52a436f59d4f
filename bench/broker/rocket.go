package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RocketVersion is the release of Apache RocketMQ that StartRocket runs. RocketOldClient is the release of the client of
// version 4 that is tried beside it.
const (
	RocketVersion   = "5.5.0"
	RocketOldClient = "4.9.8"
)

// rocketStart bounds the wait for RocketMQ's name server and broker to start, and to stop: seconds, but for a machine that is busy.
const rocketStart = 3 * time.Minute

const (
	// rowTries is how often a port is looked for whose neighbours are free too.
	rowTries = 100
	// rocketTries is how often RocketMQ is started at most, each time on other ports.
	rocketTries = 4
)

// rocketModules are what Maven is asked for, by the directory it goes to.
func rocketModules(dir string) []string {
	if dir == "client" {
		return []string{"rocketmq-client:" + RocketOldClient}
	}
	var out []string
	for _, m := range []string{"broker", "namesrv", "tools", "example", "client"} {
		out = append(out, "rocketmq-"+m+":"+RocketVersion)
	}
	return out
}

// RocketJars are directories of jars.
type RocketJars struct {
	Whole string // name server, broker, tools, examples and client of RocketVersion
	Old   string // the client of RocketOldClient
}

// FetchRocket returns the jars of Apache RocketMQ below cache. It asks Maven for what is not there, which needs mvn and a network.
func FetchRocket(ctx context.Context, cache string) (RocketJars, error) {
	var j RocketJars
	var err error
	if j.Whole, err = fetchRocket(ctx, filepath.Join(cache, "rocketmq-"+RocketVersion), rocketModules("")); err != nil {
		return j, err
	}
	j.Old, err = fetchRocket(ctx, filepath.Join(cache, "rocketmq-client-"+RocketOldClient), rocketModules("client"))
	return j, err
}

func fetchRocket(ctx context.Context, dir string, modules []string) (string, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cache %s: %w", dir, err)
	}
	lib, whole := filepath.Join(root, "lib"), filepath.Join(root, "complete")
	if _, err := os.Stat(whole); err == nil {
		return lib, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("fetch Apache RocketMQ: it comes through Maven: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("cache %s: %w", root, err)
	}
	var deps strings.Builder
	for _, m := range modules {
		name, version, _ := strings.Cut(m, ":")
		fmt.Fprintf(&deps, "    <dependency><groupId>org.apache.rocketmq</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n", name, version)
	}
	file := filepath.Join(root, "pom.xml")
	text := "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n" +
		"  <groupId>penstock</groupId><artifactId>rocket</artifactId><version>1</version>\n  <dependencies>\n" + deps.String() + "  </dependencies>\n</project>\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("pom: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+lib)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch Apache RocketMQ: %w\n%s", err, out)
	}
	if err := os.WriteFile(whole, nil, 0o644); err != nil {
		return "", fmt.Errorf("cache %s: %w", root, err)
	}
	return lib, nil
}

// RocketJava are flags that RocketMQ's code needs on a Java of today.
func RocketJava() []string {
	return []string{"--add-exports=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"}
}

// RocketOptions says how to start Apache RocketMQ. Jars and Data are needed.
type RocketOptions struct {
	Jars   string   // directory of the jars, RocketJars.Whole
	Data   string   // directory for configuration, logs and data
	Heap   string   // heap of the broker in the JVM's notation; empty: 384m
	Config []string // more lines of broker.conf, which win over those above them

	// Addr and NameServer are loopback addresses to listen on; empty: free ports. The two ports beside Addr, two below and one above, must be free too.
	Addr, NameServer string
}

// Rocket is a running name server and broker. Its methods may be called concurrently.
type Rocket struct {
	NameServer string // address of the name server
	Addr       string // address of the broker
	Broker     *Broker
	names      *Broker
}

// StartRocket starts one name server and one broker with small files and waits until the broker is registered, for three minutes at
// most. If Data holds a store already it is taken over. Both die with this process.
func StartRocket(ctx context.Context, o RocketOptions) (*Rocket, error) {
	for try := 1; ; try++ {
		r, err := startRocket(ctx, o)
		// Between the look for free ports and the start of the JVMs others may take one.
		if err == nil || !errors.Is(err, errPort) || o.Addr != "" && o.NameServer != "" || try == rocketTries {
			return r, err
		}
	}
}

// errPort is that another process took a port that was free a moment ago.
var errPort = errors.New("a port that RocketMQ was given is in use")

func startRocket(ctx context.Context, o RocketOptions) (*Rocket, error) {
	r := &Rocket{}
	names, err := portOf(o.NameServer)
	if err != nil {
		return nil, err
	}
	port, err := portOf(o.Addr)
	if err != nil {
		return nil, err
	}
	r.NameServer, r.Addr = "127.0.0.1:"+strconv.Itoa(names), "127.0.0.1:"+strconv.Itoa(port)
	if err := writeRocket(o, names, port); err != nil {
		return nil, err
	}
	heap := o.Heap
	if heap == "" {
		heap = "384m"
	}
	ctx, cancel := context.WithTimeout(ctx, rocketStart)
	defer cancel()
	// The broker registers as it starts, and the next time ten seconds later: the name server must be there first.
	if r.names, err = spawnRocket(o, "namesrv", "128m", "org.apache.rocketmq.namesrv.NamesrvStartup"); err != nil {
		return nil, err
	}
	if err := r.names.says(ctx, "boot success"); err != nil {
		return nil, errors.Join(err, r.names.Kill())
	}
	if r.Broker, err = spawnRocket(o, "broker", heap, "org.apache.rocketmq.broker.BrokerStartup"); err != nil {
		return nil, errors.Join(err, r.names.Kill())
	}
	err = r.Broker.says(ctx, "boot success")
	if err == nil {
		err = r.registered(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.Kill())
	}
	return r, nil
}

// portOf is the port of an address, or one found by freeRow if there is none.
func portOf(addr string) (int, error) {
	if addr == "" {
		return freeRow()
	}
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("address of RocketMQ: %w", err)
	}
	return strconv.Atoi(text)
}

// freeRow is a port n such that n-2, n and n+1 were free a moment ago: a broker listens on n, for its VIP channel on n-2, and for
// its copies on n+1.
func freeRow() (int, error) {
	for range rowTries {
		addr, err := FreeAddr()
		if err != nil {
			return 0, err
		}
		_, text, err := net.SplitHostPort(addr)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, err
		}
		free := true
		for _, p := range []int{n - 2, n + 1} {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
			if free = free && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if free {
			return n, nil
		}
	}
	return 0, errors.New("no three free ports beside each other")
}

// rocketArgs are the arguments that have penstock listen for RocketMQ's clients; it sets the addresses.
func (b *Broker) rocketArgs() ([]string, error) {
	if !b.opts.WithRocket {
		return []string{"--rocket-listen", ""}, nil
	}
	b.Rocket, b.NameServer = b.opts.Rocket, b.opts.NameServer
	for _, addr := range []*string{&b.Rocket, &b.NameServer} {
		if *addr != "" {
			continue
		}
		n, err := freeRow()
		if err != nil {
			return nil, err
		}
		*addr = "127.0.0.1:" + strconv.Itoa(n)
	}
	_, text, err := net.SplitHostPort(b.Rocket)
	if err != nil {
		return nil, fmt.Errorf("address of the RocketMQ listener: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("port of the RocketMQ listener: %w", err)
	}
	return []string{"--rocket-listen", b.Rocket, "--rocket-namesrv-listen", b.NameServer, "--rocket-vip-listen", "127.0.0.1:" + strconv.Itoa(port-2)}, nil
}

// writeRocket writes the configuration of both processes. Files are small, all else is RocketMQ's default.
func writeRocket(o RocketOptions, names, port int) error {
	user, store := filepath.Join(o.Data, "user"), filepath.Join(o.Data, "store")
	for _, d := range []string{filepath.Join(o.Data, "home", "conf"), user, store} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("directory of RocketMQ: %w", err)
		}
	}
	n := strconv.Itoa(names)
	files := map[string][]string{
		"namesrv.conf": {
			"listenPort=" + n, "bindAddress=127.0.0.1", "kvConfigPath=" + filepath.Join(user, "kv.json"),
			"configStorePath=" + filepath.Join(user, "namesrv.properties"),
		},
		"broker.conf": append([]string{
			"brokerClusterName=DefaultCluster", "brokerName=broker-a", "brokerId=0", "brokerIP1=127.0.0.1", "brokerIP2=127.0.0.1",
			"bindAddress=127.0.0.1", "listenPort=" + strconv.Itoa(port), "haListenPort=" + strconv.Itoa(port+1), "namesrvAddr=127.0.0.1:" + n,
			"storePathRootDir=" + store, "storePathCommitLog=" + filepath.Join(store, "commitlog"), "brokerRole=ASYNC_MASTER",
			"flushDiskType=ASYNC_FLUSH", "autoCreateTopicEnable=true", "mappedFileSizeCommitLog=67108864", "mappedFileSizeConsumeQueue=600000",
			"maxHashSlotNum=50000", "maxIndexNum=200000", "mappedFileSizeTimerLog=1048576",
		}, o.Config...),
	}
	for name, lines := range files {
		if err := os.WriteFile(filepath.Join(o.Data, name), []byte(strings.Join(append(lines, ""), "\n")), 0o644); err != nil {
			return fmt.Errorf("configuration of RocketMQ: %w", err)
		}
	}
	return nil
}

// spawnRocket starts one of the two processes.
func spawnRocket(o RocketOptions, name, heap, class string) (*Broker, error) {
	b := &Broker{done: make(chan struct{}), opts: Options{
		Data: o.Data, Output: filepath.Join(o.Data, name+".out"),
		Env: []string{"ROCKETMQ_HOME=" + filepath.Join(o.Data, "home"), "NAMESRV_ADDR="},
	}}
	if err := os.RemoveAll(b.opts.Output); err != nil { // what an earlier start said is not this one's
		return nil, err
	}
	args := append([]string{"java", "-server", "-Xms" + heap, "-Xmx" + heap, "-XX:+UseG1GC", "-Duser.home=" + filepath.Join(o.Data, "user")}, RocketJava()...)
	args = append(args, "-cp", filepath.Join(o.Jars, "*"), class, "-c", filepath.Join(o.Data, name+".conf"))
	return b, b.spawn(args)
}

// says waits until the process has printed something.
func (b *Broker) says(ctx context.Context, word string) error {
	for {
		switch out, err := os.ReadFile(b.opts.Output); {
		case err != nil:
		case bytes.Contains(out, []byte("BindException")): // the process may live on without that listener
			return fmt.Errorf("%w\n%s", errPort, b.Tail())
		case bytes.Contains(out, []byte(word)):
			return nil
		}
		select {
		case <-b.done:
			return fmt.Errorf("RocketMQ ended before it was ready: %w\n%s", orExit(b.err), b.Tail())
		case <-ctx.Done():
			return fmt.Errorf("RocketMQ is not ready: %w\n%s", ctx.Err(), b.Tail())
		case <-time.After(pollEvery):
		}
	}
}

// registered waits until the name server knows the broker, which is a moment after the broker says that it has started.
func (r *Rocket) registered(ctx context.Context) error {
	for {
		err := askRoute(ctx, r.NameServer)
		if err == nil {
			return nil
		}
		select {
		case <-r.Broker.done:
			return fmt.Errorf("RocketMQ ended before it was ready: %w\n%s", orExit(r.Broker.err), r.Broker.Tail())
		case <-ctx.Done():
			return fmt.Errorf("RocketMQ's broker is not registered: %w", errors.Join(ctx.Err(), err))
		case <-time.After(pollEvery):
		}
	}
}

// askRoute asks a name server for the route of the topic that new topics are made after; an error means that there is none.
func askRoute(ctx context.Context, addr string) error {
	const getRoute = 105
	a, err := AskRocket(ctx, addr, getRoute, map[string]string{"topic": "TBW102"})
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("route: code %d: %s", a.Code, a.Remark)
	}
	return err
}

// RocketAnswer is an answer.
type RocketAnswer struct {
	Code   int               `json:"code"`
	Remark string            `json:"remark"`
	Fields map[string]string `json:"extFields"`
	Body   []byte            `json:"-"`
}

// AskRocket sends one request of RocketMQ's protocol over a connection of its own, and reads the answer.
func AskRocket(ctx context.Context, addr string, code int, fields map[string]string) (RocketAnswer, error) {
	return CallRocket(ctx, addr, code, fields, nil)
}

// CallRocket is AskRocket with a body behind the request's header.
func CallRocket(ctx context.Context, addr string, code int, fields map[string]string, body []byte) (RocketAnswer, error) {
	var a RocketAnswer
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return a, err
	}
	defer c.Close()
	if limit, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(limit)
	}
	head, err := json.Marshal(map[string]any{
		"code": code, "extFields": fields, "flag": 0, "language": "OTHER", "opaque": 1, "serializeTypeCurrentRPC": "JSON", "version": 0,
	})
	if err != nil {
		return a, err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)+len(body)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(head))) // its highest byte is the kind of header: 0 is JSON
	if _, err := c.Write(append(append(frame, head...), body...)); err != nil {
		return a, err
	}
	var sizes [8]byte
	if _, err := io.ReadFull(c, sizes[:]); err != nil {
		return a, err
	}
	all, n := binary.BigEndian.Uint32(sizes[:]), binary.BigEndian.Uint32(sizes[4:])&0xffffff
	if all > maxAnswer || n+4 > all {
		return a, fmt.Errorf("request %d: an answer of %d bytes with a header of %d", code, all, n)
	}
	text := make([]byte, all-4)
	if _, err := io.ReadFull(c, text); err != nil {
		return a, err
	}
	if err := json.Unmarshal(text[:n], &a); err != nil {
		return a, fmt.Errorf("request %d: %w", code, err)
	}
	a.Body = text[n:]
	return a, nil
}

// Kill ends both processes with SIGKILL.
func (r *Rocket) Kill() error { return errors.Join(r.Broker.Kill(), r.names.Kill()) }

// Stop ends both with SIGTERM, the broker first, so that it closes its store.
func (r *Rocket) Stop() error {
	var errs []error
	for _, b := range []*Broker{r.Broker, r.names} {
		if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
			continue
		}
		select {
		case <-b.done: // a JVM that a signal ends has status 143
		case <-time.After(rocketStart):
			errs = append(errs, errors.New("RocketMQ did not stop"), b.Kill())
		}
	}
	return errors.Join(errs...)
}
