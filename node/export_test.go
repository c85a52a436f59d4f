package node

import "penstock/disk"

// SetSpace has the node believe what a test says of the room on its disk.
func (c *Config) SetSpace(f func() (disk.Space, error)) { c.inner.space = f }

// SetQueueEntries makes the files of queues as small as a test can fill.
func (c *Config) SetQueueEntries(n int64) { c.inner.queueEntries = n }
