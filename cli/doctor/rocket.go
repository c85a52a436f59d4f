package doctor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// defaultNames is the port of RocketMQ's name server.
const defaultNames = "9876"

// Codes of requests in RocketMQ's remoting protocol.
const (
	askCluster = 106 // GET_BROKER_CLUSTER_INFO, of a name server
	askRuntime = 28  // GET_BROKER_RUNTIME_INFO, of a broker
)

// endpoints is what a broker writes into its data directory.
type endpoints struct {
	Names string `json:"rocket_namesrv"`
}

// rocket looks at the broker as RocketMQ's clients do: they ask the name server and go where it sends them. Where nobody said that there is a name
// server, none is no fault.
func (d *doctor) rocket(ctx context.Context) []Finding {
	addr, sure := d.names, d.names != ""
	if !sure && d.data != "" {
		var e endpoints
		if b, err := os.ReadFile(filepath.Join(d.data, "endpoints.json")); err == nil && json.Unmarshal(b, &e) == nil && e.Names != "" {
			addr, sure = e.Names, true
		}
	}
	if !sure {
		host, _ := split(d.e.Brokers[0], defaultPort)
		addr = net.JoinHostPort(host, defaultNames)
	}
	host, port := split(addr, defaultNames)
	addr = net.JoinHostPort(host, port)
	body, took, err := d.remote(ctx, addr, askCluster)
	switch {
	case err != nil && !sure:
		return []Finding{note(checkRocket, "no name server for RocketMQ's clients at %s; --namesrv names another", addr)}
	case err != nil:
		return []Finding{{Check: checkRocket, Severity: Error, What: fmt.Sprintf("the name server at %s: %v", addr, err),
			Why: "RocketMQ's clients ask it first, and get no further.", Do: "Start the broker, or correct rocket.namesrv.listen or --namesrv."}}
	}
	d.seen = append(d.seen, addr)
	brokers, err := parseCluster(body)
	if err != nil {
		return []Finding{{Check: checkRocket, Severity: Error, What: fmt.Sprintf("%s is no name server of RocketMQ's: %v", addr, err),
			Why: "RocketMQ's clients ask it first, and get no further.", Do: "Use the address of the name server, usually port " + defaultNames + "."}}
	}
	fs := []Finding{good(checkRocket, "the name server answers at %s, connected in %.1f ms, and names %d brokers", addr, took.Seconds()*1e3, len(brokers))}
	for _, name := range slices.Sorted(maps.Keys(brokers)) {
		for _, at := range brokers[name] {
			fs = append(fs, d.rocketBroker(ctx, name, at)...)
		}
	}
	return fs
}

// rocketBroker looks at a broker where the name server sends clients, and at its VIP twin two ports below.
func (d *doctor) rocketBroker(ctx context.Context, name, addr string) []Finding {
	_, took, err := d.remote(ctx, addr, askRuntime)
	if err != nil {
		return []Finding{{Check: checkRocket, Severity: Error, What: fmt.Sprintf("broker %s: no answer at %s, where the name server sends clients: %v", name, addr, err),
			Why: "RocketMQ's clients that are sent there get no further.", Do: "Set rocket.advertise on the broker to a name or address that clients reach."}}
	}
	d.seen = append(d.seen, addr)
	fs := []Finding{good(checkRocket, "broker %s answers RocketMQ's clients at %s, connected in %.1f ms", name, addr, took.Seconds()*1e3)}
	host, port, err := net.SplitHostPort(addr)
	n, numeric := strconv.Atoi(port)
	if err != nil || numeric != nil || n < 3 {
		return fs
	}
	twin := net.JoinHostPort(host, strconv.Itoa(n-2))
	if _, _, err := d.remote(ctx, twin, askRuntime); err != nil {
		return append(fs, note(checkRocket, "broker %s has no twin at %s: clients with vipChannelEnabled are not served", name, twin))
	}
	return fs
}

// numericKey is a key of an object as RocketMQ's servers may write it, without quotes.
var numericKey = regexp.MustCompile(`([{,])(-?[0-9]+):`)

// parseCluster takes the addresses of brokers, by their names, out of what a name server tells.
func parseCluster(body []byte) (map[string][]string, error) {
	var c struct {
		Brokers map[string]struct {
			Addrs map[string]string `json:"brokerAddrs"`
		} `json:"brokerAddrTable"`
	}
	if err := json.Unmarshal(numericKey.ReplaceAll(body, []byte(`$1"$2":`)), &c); err != nil {
		return nil, err
	}
	if c.Brokers == nil || len(c.Brokers) > mostBrokers {
		return nil, fmt.Errorf("it tells of no brokers, or of more than %d", mostBrokers)
	}
	out := map[string][]string{}
	for name, b := range c.Brokers {
		out[name] = slices.Sorted(maps.Values(b.Addrs))
	}
	return out, nil
}

// remote asks a question in RocketMQ's remoting protocol and returns the body of the answer, which must say that all is well.
func (d *doctor) remote(ctx context.Context, addr string, code int) (body []byte, took time.Duration, err error) {
	ctx, cancel := d.step(ctx)
	defer cancel()
	started := time.Now()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = c.Close() }() // nothing is lost with it
	took = time.Since(started)
	if limit, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(limit); err != nil {
			return nil, took, err
		}
	}
	head := []byte(fmt.Sprintf(`{"code":%d,"extFields":{},"flag":0,"language":"GO","opaque":1,"serializeTypeCurrentRPC":"JSON","version":493}`, code))
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)))
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(head))), head...)
	if _, err := c.Write(frame); err != nil {
		return nil, took, err
	}
	var sizes [8]byte
	if _, err := io.ReadFull(c, sizes[:]); err != nil {
		return nil, took, fmt.Errorf("it does not answer as RocketMQ does: %w", err)
	}
	whole, n := binary.BigEndian.Uint32(sizes[:]), binary.BigEndian.Uint32(sizes[4:])&0xffffff
	if whole > mostAnswer || n > whole-min(whole, 4) {
		return nil, took, fmt.Errorf("it does not answer as RocketMQ does: % x", sizes)
	}
	answer := make([]byte, whole-4)
	if _, err := io.ReadFull(c, answer); err != nil {
		return nil, took, fmt.Errorf("its answer ends early: %w", err)
	}
	var h struct {
		Code   *int   `json:"code"`
		Remark string `json:"remark"`
	}
	switch err := json.Unmarshal(answer[:n], &h); {
	case err != nil || h.Code == nil:
		return nil, took, errors.New("it does not answer as RocketMQ does")
	case *h.Code != 0:
		return nil, took, fmt.Errorf("it answers with code %d: %.200s", *h.Code, h.Remark)
	}
	return answer[n:], took, nil
}
