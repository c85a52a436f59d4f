package node

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/replica"
	"penstock/store"
)

// endpointsFile tells programs on this machine where the broker listens, which matters when port 0 was asked for. It is
// there while the broker runs.
const endpointsFile = "endpoints.json"

// goneDelay is waited after a topic was deleted, so that many deletions are one pass over the directories.
const goneDelay = time.Second

// upkeep begins what the node does by itself.
func (n *Node) upkeep() {
	n.background("upkeep", n.replicas.Upkeep)
	n.background("deleted topics", n.followGone())
	n.background("memory", n.giveBack)
	if m := n.c.Commit; m.Clean > 0 || m.Force > 0 {
		n.background("room", n.makeRoom)
	}
	if !n.info.Clean && n.c.ScrubRate > 0 {
		n.background("scrub", n.scrub)
	}
	if n.c.Insecure {
		n.background("warning", n.warn)
	}
}

// roomEvery is the longest time between two looks at how full the disk is. RocketMQ: 10 s (cleanResourceInterval).
const roomEvery = 10 * time.Second

// makeRoom has the shared logs keep less where the disk is too full. Appends see to that themselves; this is for a disk that others fill while nobody
// appends, and for files that could not go when an append asked for it.
func (n *Node) makeRoom(ctx context.Context) {
	t := time.NewTicker(min(roomEvery, n.c.RetentionEvery))
	defer t.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			err := n.stores.opened(func(_ replica.StoreKey, st store.Store) error {
				s, ok := st.(roomMaker)
				if !ok {
					return nil
				}
				freed, err := s.MakeRoom(now)
				if freed > 0 {
					n.log.Info("disk is too full, old files of a shared log deleted", "bytes", freed)
				}
				return err
			})
			if err != nil && !told {
				n.log.Warn("no room made on a disk that is too full; it is tried again", "error", err)
			}
			told = err != nil
		}
	}
}

// scrub checks all durable batches once, slowly: an unclean stop may have had a reason that damaged more than a tail.
func (n *Node) scrub(ctx context.Context) {
	began := time.Now()
	var bytes int64
	err := n.stores.opened(func(_ replica.StoreKey, st store.Store) error {
		s, ok := st.(scrubber)
		if !ok {
			return nil // its recovery has read what it believes
		}
		more, err := s.Scrub(ctx, n.c.ScrubRate)
		bytes += more
		return err
	})
	switch {
	case ctx.Err() != nil:
		n.log.Debug("scrub ended by the stop", "bytes", bytes)
	case err != nil:
		n.log.Error("scrub failed", "bytes", bytes, "error", err)
	default:
		n.log.Info("scrub done", "bytes", bytes, "took", time.Since(began))
	}
}

// warn says again and again that anybody may connect.
func (n *Node) warn(ctx context.Context) {
	for {
		n.log.Warn("insecure: anybody who reaches the listeners can read, write and delete everything; listen on loopback unless the network is trusted",
			"kafka", n.info.Kafka, "http", n.info.HTTP)
		select {
		case <-ctx.Done():
			return
		case <-time.After(insecureEvery):
		}
	}
}

// followGone removes what is left of deleted topics: files that could not be removed when the topic went, or were left
// by a crash in between. It only touches what the metadata says was deleted.
func (n *Node) followGone() func(ctx context.Context) {
	bell := make(chan struct{}, 1)
	n.meta.Subscribe(func(_, img *meta.Image) {
		if len(img.Gone(n.c.Broker)) == 0 {
			return
		}
		select {
		case bell <- struct{}{}:
		default:
		}
	})
	return func(ctx context.Context) {
		n.reportStrays()
		for {
			select {
			case <-ctx.Done():
				return
			case <-bell:
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(goneDelay):
			}
			n.removeGone(ctx)
		}
	}
}

// removeGone removes the files of deleted topics and tells the metadata that they are gone.
func (n *Node) removeGone(ctx context.Context) {
	parts, err := n.stores.list()
	if err != nil {
		n.log.Warn("files of deleted topics not looked for", "error", err)
		return
	}
	left := map[penstock.TopicID][]penstock.PartitionID{}
	for p := range parts {
		left[p.Topic] = append(left[p.Topic], p)
	}
	img := n.meta.Image()
	for _, id := range img.Gone(n.c.Broker) {
		if img.TopicByID(id) != nil {
			continue // it was made again, with its old id
		}
		removed := true
		for _, p := range left[id] {
			if err := parts[p].Remove(p); err != nil {
				n.log.Warn("files of a deleted topic not removed", "partition", p, "error", err)
				removed = false
			}
		}
		if !removed {
			continue
		}
		if err := n.meta.Removed(ctx, id, n.c.Broker); err != nil {
			n.log.Warn("deleted topic not forgotten", "topic", id, "error", err)
			return
		}
	}
}

// reportStrays names partitions that have files and no topic. They are left alone: the metadata may be another cluster's.
func (n *Node) reportStrays() {
	parts, err := n.stores.list()
	if err != nil {
		n.log.Warn("partitions not listed", "error", err)
		return
	}
	img := n.meta.Image()
	gone := map[penstock.TopicID]bool{}
	for _, id := range img.Gone(n.c.Broker) {
		gone[id] = true
	}
	for p := range parts {
		if t := img.TopicByID(p.Topic); (t == nil || int(p.Partition) >= len(t.Partitions)) && !gone[p.Topic] {
			n.log.Warn("partition has files but the metadata knows no such topic; it is left alone", "partition", p)
		}
	}
}

// writeEndpoints tells other programs where to connect. A broker that cannot tell, on a full disk, serves all the same.
func (n *Node) writeEndpoints() {
	n.info.PID = os.Getpid()
	b, err := json.MarshalIndent(n.info, "", "  ")
	if err == nil {
		err = n.disk.WriteFile(endpointsFile, append(b, '\n'))
	}
	if err != nil {
		n.log.Warn("endpoints not written", "file", endpointsFile, "error", err)
		return
	}
	n.later(endpointsFile, func(context.Context) error {
		if err := n.disk.Remove(endpointsFile); err != nil {
			n.log.Warn("endpoints not removed", "file", endpointsFile, "error", err)
		}
		return nil
	})
}
