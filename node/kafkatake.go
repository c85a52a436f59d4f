package node

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxConnections is the most that connections.max takes.
const maxConnections = 10_000_000

// to sets a key to the value as conv turns it.
func to(key string, conv func(string) (string, error)) func(*importer, string) (taken, error) {
	return func(_ *importer, v string) (taken, error) {
		out, err := conv(v)
		return taken{key: key, value: out}, err
	}
}

// unless does nothing if the file has one of the keys that go before this one.
func unless(take func(*importer, string) (taken, error), before ...string) func(*importer, string) (taken, error) {
	return func(im *importer, v string) (taken, error) {
		for _, k := range before {
			if im.has(k) {
				return taken{why: "not used: " + k + " goes before it"}, nil
			}
		}
		return take(im, v)
	}
}

// unlessIs does nothing if the value is the one that stands for the default.
func unlessIs(value string, take func(*importer, string) (taken, error)) func(*importer, string) (taken, error) {
	return func(im *importer, v string) (taken, error) {
		if v == value {
			return taken{}, nil
		}
		return take(im, v)
	}
}

// nothing sets nothing.
func nothing(why string) func(*importer, string) (taken, error) {
	return func(*importer, string) (taken, error) { return taken{why: why}, nil }
}

// stops refuses every value but the empty one.
func stops(why string) func(*importer, string) (taken, error) {
	return func(_ *importer, v string) (taken, error) {
		if v == "" {
			return taken{}, nil
		}
		return taken{}, errors.New(why)
	}
}

// stopsAt refuses one value.
func stopsAt(value, why string) func(*importer, string) (taken, error) {
	return func(_ *importer, v string) (taken, error) {
		if !strings.EqualFold(v, value) {
			return taken{}, nil
		}
		return taken{}, errors.New(why)
	}
}

// oneCopy refuses more than one copy of data, which would be promised and not kept.
func oneCopy(_ *importer, v string) (taken, error) {
	if v != "1" && v != "-1" {
		return taken{}, errOneCopy
	}
	return taken{}, nil
}

func same(v string) (string, error) { return v, nil }

// times multiplies a whole number.
func times(by int64) func(string) (string, error) {
	return func(v string) (string, error) {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > math.MaxInt64/by || n < math.MinInt64/by {
			return "", errors.New("want a whole number")
		}
		return strconv.FormatInt(n*by, 10), nil
	}
}

// forEver is times, with every negative number for -1.
func forEver(by int64) func(string) (string, error) {
	return func(v string) (string, error) {
		if strings.HasPrefix(v, "-") {
			return "-1", nil
		}
		return times(by)(v)
	}
}

// millis turns a number of milliseconds into a duration; the longest stands for all that are longer.
func millis(v string) (string, error) { return span(v, time.Millisecond) }

// minutes does it with minutes.
func minutes(v string) (string, error) { return span(v, time.Minute) }

func span(v string, unit time.Duration) (string, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return "", errors.New("want a whole number")
	}
	return (time.Duration(min(n, math.MaxInt64/int64(unit))) * unit).String(), nil
}

// atMost takes more for the most.
func atMost(most int64) func(string) (string, error) {
	return func(v string) (string, error) {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return "", errors.New("want a whole number")
		}
		return strconv.FormatInt(min(n, most), 10), nil
	}
}

// noLimit is what Kafka takes for no limit of a 32-bit number.
const noLimit = "2147483647"

func takePerIP(_ *importer, v string) (taken, error) {
	switch v {
	case noLimit:
		return taken{"connections.max.per.ip", "0", ""}, nil
	case "0":
		return taken{}, errors.New("it lets nobody connect but who max.connections.per.ip.overrides names, which is not served. Give a limit, or take it out")
	}
	n, err := atMost(maxConnections)(v)
	return taken{"connections.max.per.ip", n, ""}, err
}

func takeGroupSize(_ *importer, v string) (taken, error) {
	if v == noLimit {
		v = "0"
	}
	return taken{"group.members.max", v, ""}, nil
}

func takeBrokerID(im *importer, v string) (taken, error) {
	switch id := im.get("node.id"); {
	case v == "-1":
		return taken{}, nil
	case id != "" && id != v:
		return taken{}, fmt.Errorf("node.id is %s: they must be the same. Take one of them out", id)
	case id != "":
		return taken{why: "not used: node.id goes before it"}, nil
	}
	return taken{"broker.id", v, ""}, nil
}

func takeRoles(_ *importer, v string) (taken, error) {
	if !slices.Contains(fields(v), "broker") {
		return taken{}, errors.New("this node is a broker: it cannot be a controller alone. Set broker,controller")
	}
	return taken{}, nil
}

func takeProtocols(_ *importer, v string) (taken, error) {
	if !slices.Contains(fields(v), "classic") {
		return taken{}, errors.New("only the classic protocol is served. Set classic")
	}
	return taken{}, nil
}

func takeDirs(_ *importer, v string) (taken, error) {
	dirs := fields(v)
	if len(dirs) != 1 {
		return taken{}, fmt.Errorf("%d directories: there is one data directory. Keep one here, or name it with --data", len(dirs))
	}
	return taken{"data", dirs[0], ""}, nil
}

// fields parts a list as Kafka does.
func fields(v string) []string {
	var out []string
	for f := range strings.SplitSeq(v, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// listener is one of Kafka's listeners.
type listener struct{ name, host, port string }

func (l listener) address() string {
	if strings.Contains(l.host, ":") {
		return "[" + l.host + "]:" + l.port
	}
	return l.host + ":" + l.port
}

var listenerURL = regexp.MustCompile(`^([^:/]+)://\[?([0-9A-Za-z\-%._:]*)\]?:(\d+)$`)

// parseListeners reads a list of name://host:port.
func parseListeners(v string) ([]listener, error) {
	var out []listener
	for _, f := range fields(v) {
		m := listenerURL.FindStringSubmatch(f)
		if m == nil {
			return nil, fmt.Errorf("%s: want NAME://host:port, such as PLAINTEXT://0.0.0.0:9092", f)
		}
		out = append(out, listener{strings.ToUpper(m[1]), m[2], m[3]})
	}
	if len(out) == 0 {
		return nil, errors.New("want NAME://host:port, such as PLAINTEXT://0.0.0.0:9092")
	}
	return out, nil
}

// protocolOf is the security protocol of a listener.
func (im *importer) protocolOf(name string) (string, error) {
	for _, f := range fields(im.get("listener.security.protocol.map")) {
		if n, p, ok := strings.Cut(f, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.ToUpper(strings.TrimSpace(p)), nil
		}
	}
	switch name {
	case "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL":
		return name, nil
	}
	return "", fmt.Errorf("listener %s is not in listener.security.protocol.map. Add %s:PLAINTEXT there", name, name)
}

// clientListener is the listener that clients are meant to use.
func (im *importer) clientListener(all []listener) (*listener, error) {
	var left []listener
	for _, l := range all {
		if !slices.ContainsFunc(fields(im.get("controller.listener.names")), func(n string) bool { return strings.EqualFold(n, l.name) }) {
			left = append(left, l)
		}
	}
	if between := im.get("inter.broker.listener.name"); len(left) > 1 && between != "" {
		left = slices.DeleteFunc(left, func(l listener) bool { return strings.EqualFold(l.name, between) })
	}
	switch len(left) {
	case 0:
		return nil, errors.New("none of them is for clients. Add PLAINTEXT://host:port")
	case 1:
		return &left[0], nil
	}
	var names []string
	for _, l := range left {
		names = append(names, l.name)
	}
	return nil, fmt.Errorf("clients are to use %s, and this broker opens one listener. Keep one of them, or say which address with --kafka-listen",
		strings.Join(names, " and "))
}

func takeListeners(im *importer, v string) (taken, error) {
	all, err := parseListeners(v)
	if err != nil {
		return taken{}, err
	}
	l, err := im.clientListener(all)
	if err != nil {
		return taken{}, err
	}
	protocol, err := im.protocolOf(l.name)
	if err != nil {
		return taken{}, err
	}
	if protocol != "PLAINTEXT" {
		return taken{}, fmt.Errorf("listener %s is %s, and there is neither encryption nor authentication yet. Give clients a PLAINTEXT listener "+
			"where only trusted hosts reach it", l.name, protocol)
	}
	return taken{"kafka.listen", l.address(), ""}, nil
}

func takeAdvertised(im *importer, v string) (taken, error) {
	if v == "" {
		return taken{}, nil
	}
	told, err := parseListeners(v)
	if err != nil {
		return taken{}, err
	}
	use := told
	if im.has("listeners") {
		all, err := parseListeners(im.get("listeners"))
		if err != nil {
			return taken{why: "not used: listeners is faulty"}, nil
		}
		if l, err := im.clientListener(all); err == nil {
			use = slices.DeleteFunc(slices.Clone(told), func(t listener) bool { return t.name != l.name })
			if len(use) == 0 {
				return taken{}, fmt.Errorf("clients use the listener %s, which is not among them. Add %s://host:port", l.name, l.name)
			}
		}
	}
	l, err := im.clientListener(use)
	if err != nil {
		return taken{}, errors.New(strings.Replace(err.Error(), "--kafka-listen", "--advertise", 1))
	}
	return taken{"advertise", l.address(), ""}, nil
}

// checkType refuses what Kafka itself would not start with.
func checkType(kind, v string) error {
	var err error
	want := "a number"
	switch kind {
	case "int", "short", "long":
		bits := map[string]int{"short": 16, "int": 32, "long": 64}[kind]
		_, err = strconv.ParseInt(v, 10, bits)
		want = fmt.Sprintf("a whole number of %d bits", bits)
	case "double":
		_, err = strconv.ParseFloat(v, 64)
	case "boolean":
		want = "true or false"
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			err = errors.New(want)
		}
	}
	if err != nil {
		return errors.New("want " + want)
	}
	return nil
}
