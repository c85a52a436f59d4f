package node

import (
	"math"
	"strconv"
	"strings"
	"time"

	"penstock/meta"
)

// followLimits takes over limits that are altered while the broker runs; what nobody has altered is as the configuration says.
func (n *Node) followLimits(_, img *meta.Image) {
	conns := altered(img, meta.BrokerConns, int64(n.c.Conns))
	perIP := altered(img, meta.BrokerConnsPerIP, int64(n.c.ConnsPerIP))
	if perIP == math.MaxInt32 { // Kafka's way to say that there is no limit
		perIP = 0
	}
	for _, l := range n.listeners {
		l.server.SetMaxConns(int(conns), int(perIP))
	}
	expiry := altered(img, meta.BrokerProducerExpiry, n.c.ProducerExpiry.Milliseconds())
	n.replicas.SetProducerExpiry(time.Duration(expiry) * time.Millisecond)
}

// altered is a number that was altered while brokers ran, or what it is otherwise.
func altered(img *meta.Image, name string, otherwise int64) int64 {
	if v, ok := img.BrokerConfig(name); ok {
		if i, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return i
		}
	}
	return otherwise
}
