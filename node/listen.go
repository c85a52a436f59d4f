package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"penstock/group"
	"penstock/wire"
)

// door is one listener of clients.
type door struct {
	key, label string
	ln         net.Listener
	protocol   func() wire.Protocol // known when the fronts are built
	anyOrder   bool
	server     *wire.Server // nil until clients are served
}

// listen takes the addresses. Connections wait in the kernel's queue until they are served.
func (n *Node) listen() (httpLn net.Listener, err error) {
	if httpLn, n.info.HTTP, err = n.take("http.listen", n.c.HTTPListen); err != nil {
		return nil, err
	}
	r := &n.c.Rocket
	if n.info.Kafka, err = n.takeFor("kafka.listen", kafkaListener, n.c.KafkaListen, func() wire.Protocol { return n.front }); err != nil {
		return nil, err
	}
	n.info.Advertised = completed(n.c.Advertise, n.info.Kafka)
	if r.Listen == "" {
		return httpLn, nil
	}
	broker := func() wire.Protocol { return n.rocket.Broker() }
	if n.info.Rocket, err = n.takeFor("rocket.listen", rocketListener, r.Listen, broker); err != nil {
		return nil, err
	}
	if n.info.NameServer, err = n.takeFor("rocket.namesrv.listen", namesListener, r.Names, func() wire.Protocol { return n.rocket.NameServer() }); err != nil {
		return nil, err
	}
	n.info.VIP, err = n.takeFor("rocket.vip.listen", vipListener, r.vipOf(n.info.Rocket), broker)
	if err != nil && r.VIP != vipAuto {
		return nil, err
	}
	if err != nil {
		n.log.Warn("clients with vipChannelEnabled are not served", "error", err)
	}
	n.info.RocketAdvertised = completed(r.Advertise, n.info.Rocket)
	if r.Advertise == "" && n.c.Advertise != "" {
		n.info.RocketAdvertised = completed(advertisedHost(n.c.Advertise), n.info.Rocket)
	}
	return httpLn, nil
}

// take takes one address.
func (n *Node) take(key, addr string) (net.Listener, string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, "", listenError(key, addr, err)
	}
	n.later(key, func(context.Context) error {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return ln, ln.Addr().String(), nil
}

// takeFor takes an address for clients of a protocol; no address is no listener.
func (n *Node) takeFor(key, label, addr string, protocol func() wire.Protocol) (string, error) {
	if addr == "" {
		return "", nil
	}
	ln, at, err := n.take(key, addr)
	if err != nil {
		return "", err
	}
	n.listeners = append(n.listeners, &door{key: key, label: label, ln: ln, protocol: protocol, anyOrder: label != kafkaListener})
	return at, nil
}

// pullsInFlight is how many requests of one connection of RocketMQ's may be unanswered at least: its clients keep a pull waiting for each queue that
// they read, all on one connection to a broker. One that waits holds no frame.
const pullsInFlight = 1 << 15

// serveClients begins to accept clients, and to show metrics.
func (n *Node) serveClients() error {
	budget := wire.NewBudget(n.c.RequestMemory)
	for _, l := range n.listeners {
		inFlight := n.c.InFlight
		if l.anyOrder {
			inFlight = max(inFlight, pullsInFlight)
		}
		l.server = wire.NewServer(l.ln, l.protocol(), wire.Options{
			Listener: l.label, MaxConns: n.c.Conns, MaxConnsPerIP: n.c.ConnsPerIP, InFlight: inFlight, AnyOrder: l.anyOrder,
			FirstByte: n.c.FirstByte, FrameTime: n.c.FrameTime, WriteTime: n.c.WriteTime, Idle: n.c.Idle,
			CopyBelow: n.c.CopyBelow, Budget: budget, Account: n.account, Logger: n.log,
		})
	}
	gatherer, err := newGatherer(&scraped{
		registry: n.registry, account: n.account, disk: n.disk, listeners: n.listeners, replicas: n.replicas,
		image: n.meta.Image, self: n.c.Broker, budget: budget, groups: n.groups,
		look: &groupLook{limits: group.LagLimits{Partitions: n.c.MetricGroup, Looks: n.c.MetricLooks}, now: time.Now},
		idle: newIdleMeter(time.Now, processTime), topics: n.c.MetricTopic, parts: n.c.MetricParts, newNames: n.c.MetricNames == "both",
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	n.meta.Subscribe(n.followLimits)
	n.admin.show(gatherer)
	look := finder(n.find)
	n.admin.finder.Store(&look)
	for _, l := range n.listeners {
		go func() {
			if err := l.server.Serve(); err != nil {
				n.fail(fmt.Errorf("%s: %w", l.key, err))
			}
		}()
	}
	n.later("clients", n.endClients)
	return nil
}

// endClients stops accepting, wakes who waits, and lets answers under way leave until stop.time or ctx ends.
func (n *Node) endClients(ctx context.Context) error {
	n.front.Leave()
	if n.rocket != nil {
		n.rocket.Leave()
	}
	ctx, cancel := context.WithTimeout(ctx, n.c.StopTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range n.listeners {
		wg.Go(func() {
			if err := l.server.Shutdown(ctx); err != nil {
				n.log.Info("connections were cut at the stop", "listener", l.label, "error", err)
			}
		})
	}
	wg.Wait()
	return nil
}
