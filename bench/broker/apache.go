package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ApacheVersion is the release of Apache Kafka that StartApache runs.
const ApacheVersion = "4.3.1"

// apacheHeap is the heap of the stock start script, in the JVM's notation.
const apacheHeap = "1G"

// pom names what a broker of Apache Kafka needs: the server, its tools and a logger.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>penstock</groupId><artifactId>peer</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + ApacheVersion + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>` + ApacheVersion + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
`

// FetchApache returns a directory with the jars of Apache Kafka below cache. It asks Maven for them if they are not there,
// which needs mvn and a network.
func FetchApache(ctx context.Context, cache string) (string, error) {
	root, err := filepath.Abs(filepath.Join(cache, "kafka-"+ApacheVersion))
	if err != nil {
		return "", fmt.Errorf("cache %s: %w", cache, err)
	}
	lib, whole := filepath.Join(root, "lib"), filepath.Join(root, "complete")
	if _, err := os.Stat(whole); err == nil {
		return lib, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("fetch Apache Kafka: it comes through Maven: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("cache %s: %w", root, err)
	}
	file := filepath.Join(root, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o644); err != nil {
		return "", fmt.Errorf("pom: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies", "-DoutputDirectory="+lib)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch Apache Kafka: %w\n%s", err, out)
	}
	if err := os.WriteFile(whole, nil, 0o644); err != nil {
		return "", fmt.Errorf("cache %s: %w", root, err)
	}
	return lib, nil
}

// ApacheOptions says how to start Apache Kafka. All fields but Config are needed.
type ApacheOptions struct {
	Jars   string   // directory of the jars, as FetchApache returns it
	Data   string   // directory for configuration and data; it must not hold a broker already
	Output string   // file that takes the broker's output
	Config []string // more lines of its configuration
}

// StartApache formats a fresh directory, starts one Apache Kafka node (broker and controller) on it and waits until it answers.
// The JVM's flags are those of the stock start script, the configuration is the default one but for what a single node needs.
// The broker has no HTTP address, and Restart does not apply to it.
func StartApache(ctx context.Context, o ApacheOptions) (*Broker, error) {
	b, args, err := prepareApache(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := b.spawn(args); err != nil {
		return nil, err
	}
	if err := b.Answers(ctx); err != nil {
		_ = b.Kill()
		return nil, err
	}
	return b, nil
}

// LaunchApache is StartApache without the wait.
func LaunchApache(ctx context.Context, o ApacheOptions) (*Broker, error) {
	b, args, err := prepareApache(ctx, o)
	if err != nil {
		return nil, err
	}
	return b, b.spawn(args)
}

// prepareApache writes the configuration, formats the directory, and returns the command that starts the node.
func prepareApache(ctx context.Context, o ApacheOptions) (*Broker, []string, error) {
	if found, _ := filepath.Glob(filepath.Join(o.Jars, "kafka-server-*.jar")); len(found) == 0 {
		return nil, nil, fmt.Errorf("no Apache Kafka in %s", o.Jars)
	}
	client, err := FreeAddr()
	if err != nil {
		return nil, nil, err
	}
	controller, err := FreeAddr()
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(o.Data, "server.properties")
	if err := os.WriteFile(file, []byte(apacheConfig(o.Data, client, controller)+strings.Join(append(o.Config, ""), "\n")), 0o644); err != nil {
		return nil, nil, fmt.Errorf("configuration of Apache Kafka: %w", err)
	}
	path := filepath.Join(o.Jars, "*")
	java := func(class string, args ...string) ([]byte, error) {
		out, err := exec.CommandContext(ctx, "java", append([]string{"-cp", path, class}, args...)...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", class, err, out)
		}
		return out, nil
	}
	id, err := java("kafka.tools.StorageTool", "random-uuid")
	if err != nil {
		return nil, nil, err
	}
	word := strings.Fields(string(id))
	if len(word) == 0 {
		return nil, nil, errors.New("kafka.tools.StorageTool printed no cluster id")
	}
	if _, err := java("kafka.tools.StorageTool", "format", "-t", word[len(word)-1], "-c", file); err != nil {
		return nil, nil, err
	}
	args := []string{
		"java", "-Xms" + apacheHeap, "-Xmx" + apacheHeap, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
		"-cp", path, "kafka.Kafka", file,
	}
	b := &Broker{Kafka: client, opts: Options{Data: o.Data, Output: o.Output}, done: make(chan struct{})}
	return b, args, nil
}

// apacheConfig is the configuration of a node alone. Deleted segments go after a second, not a minute, so that the work of
// deleting one measurement's data does not fall into the next.
func apacheConfig(data, client, controller string) string {
	_, port, _ := net.SplitHostPort(controller)
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@127.0.0.1:" + port,
		"listeners=PLAINTEXT://" + client + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://" + client,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs=" + filepath.Join(data, "logs"),
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"log.segment.delete.delay.ms=1000",
		"",
	}, "\n")
}
