package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"

	"penstock/bench/compare"
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

// startJVM starts the driver with the given jars; files that it needs go into dir.
func startJVM(jars []string, dir string) (*compare.JVM, error) {
	args, err := javaArgs(jars, dir)
	if err != nil {
		return nil, err
	}
	return compare.StartJVM(dir, driverSource, args)
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
