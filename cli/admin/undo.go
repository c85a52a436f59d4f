package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

// An undo file holds what a group had committed before a command changed it:
//
//	{"version": 1, "group": "shop", "cluster": "8JEsmp...", "time": "2026-01-31T12:00:00Z", "command": "group seek",
//	 "offsets": [{"topic": "orders", "partition": 0, "offset": 17, "leader_epoch": 3, "metadata": ""},
//	             {"topic": "orders", "partition": 1, "offset": null, "leader_epoch": -1, "metadata": ""}]}
//
// offset null: nothing was committed. group seek --from makes it so again.

const (
	undoVersion = 1
	// maxUndo bounds an undo file that is read, in bytes: some 500,000 partitions.
	maxUndo = 64 << 20
)

// undoFile is what an undo file holds.
type undoFile struct {
	Version int          `json:"version"`
	Group   string       `json:"group"`
	Cluster string       `json:"cluster,omitempty"`
	Time    time.Time    `json:"time"`
	Command string       `json:"command"`
	Offsets []undoOffset `json:"offsets"`
}

// undoOffset is what was committed for a partition.
type undoOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset"` // null: nothing
	Epoch     int32  `json:"leader_epoch"`
	Metadata  string `json:"metadata"`
}

// undoOf puts together what is committed for places.
func undoOf(places []place, committed map[place]kadm.Offset) []undoOffset {
	out := make([]undoOffset, 0, len(places))
	for _, p := range places {
		u := undoOffset{Topic: p.topic, Partition: p.partition, Epoch: -1}
		if c, ok := committed[p]; ok {
			u.Offset, u.Epoch, u.Metadata = &c.At, c.LeaderEpoch, c.Metadata
		}
		out = append(out, u)
	}
	return out
}

// undoName is where the undo file goes unless a person says. A group may be called as no file can be.
func undoName(group string, now time.Time) string {
	safe := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, group)
	return fmt.Sprintf("undo-%.100s-%s.json", strings.TrimLeft(safe, "."), now.UTC().Format("20060102T150405.000"))
}

// write makes the file durable. One that exists is never written over.
func (u *undoFile) write(path string) (err error) {
	defer func() {
		err = cli.Fail("the undo file was not written and nothing was changed", err, "--undo names another file")
	}()
	b, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// readUndo reads an undo file and looks at every value in it.
func readUndo(path string) (*undoFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cli.Fail("the undo file cannot be read", err, "")
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxUndo+1))
	if err == nil && len(b) > maxUndo {
		err = fmt.Errorf("more than %s", cli.Bytes(maxUndo))
	}
	if err != nil {
		return nil, cli.Fail("the undo file "+path+" cannot be read", err, "")
	}
	u := &undoFile{}
	if err := json.Unmarshal(b, u); err != nil {
		return nil, cli.Usage("%s is no undo file: %v", path, err)
	}
	if err := u.check(); err != nil {
		return nil, cli.Usage("%s is no undo file: %v", path, err)
	}
	return u, nil
}

func (u *undoFile) check() error {
	if u.Version != undoVersion {
		return fmt.Errorf("version %d; this program reads %d", u.Version, undoVersion)
	}
	if len(u.Offsets) == 0 {
		return errors.New("it has no offsets")
	}
	slices.SortFunc(u.Offsets, func(a, b undoOffset) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for i, o := range u.Offsets {
		switch {
		case o.Topic == "" || o.Partition < 0:
			return fmt.Errorf("topic %q, partition %d: want both", o.Topic, o.Partition)
		case o.Offset != nil && *o.Offset < 0:
			return fmt.Errorf("topic %s, partition %d, offset %d: want 0 or more, or null", o.Topic, o.Partition, *o.Offset)
		case i > 0 && u.Offsets[i-1].Topic == o.Topic && u.Offsets[i-1].Partition == o.Partition:
			return fmt.Errorf("topic %s, partition %d stands twice", o.Topic, o.Partition)
		}
	}
	return nil
}
