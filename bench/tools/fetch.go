package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"penstock/bench/broker"
)

// aroundPom names what runs around a broker and is not needed to run one: Kafka Streams with its examples, and Connect's file
// connectors. What they need beyond that, but for RocksDB, is among the broker's jars.
const aroundPom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>penstock</groupId><artifactId>around</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-file</artifactId><version>` + broker.ApacheVersion + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams-examples</artifactId><version>` + broker.ApacheVersion + `</version></dependency>
  </dependencies>
</project>
`

// aroundArtifacts are the jars that are copied of them.
const aroundArtifacts = "connect-file,kafka-streams,kafka-streams-examples,rocksdbjni"

// fetchAround returns a directory with these jars below cache. It asks Maven for them if they are not there.
func fetchAround(ctx context.Context, cache string) (string, error) {
	root, err := filepath.Abs(filepath.Join(cache, "around-"+broker.ApacheVersion))
	if err != nil {
		return "", fmt.Errorf("cache %s: %w", cache, err)
	}
	lib, whole := filepath.Join(root, "lib"), filepath.Join(root, "complete")
	if _, err := os.Stat(whole); err == nil {
		return lib, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("cache %s: %w", root, err)
	}
	pom := filepath.Join(root, "pom.xml")
	if err := os.WriteFile(pom, []byte(aroundPom), 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
		"-DoutputDirectory="+lib, "-DincludeArtifactIds="+aroundArtifacts)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch Kafka Streams and Connect: %w\n%s", err, out)
	}
	return lib, os.WriteFile(whole, nil, 0o644)
}
