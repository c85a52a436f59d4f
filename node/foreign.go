package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"penstock"
	"penstock/meta"
)

// foreign is a topic in a Kafka log directory.
type foreign struct {
	name  string
	id    penstock.TopicID
	noID  bool // none of its partitions says; the id is made up
	parts []*foreignPart
}

// foreignPart is a partition in a Kafka log directory.
type foreignPart struct {
	n     int32
	dir   string // its name in the source, as the file system gave it
	files []foreignFile
}

// foreignFile is a file of a partition.
type foreignFile struct {
	name string
	size int64
	link bool // a closed segment: nobody writes to it any more
}

func (t *foreign) bytes() (n int64) {
	for _, p := range t.parts {
		for _, f := range p.files {
			n += f.size
		}
	}
	return n
}

func (p *foreignPart) logBytes() (n int64) {
	for _, f := range p.files {
		if strings.HasSuffix(f.name, ".log") {
			n += f.size
		}
	}
	return n
}

const (
	metadataFile = "partition.metadata"
	epochsFile   = "leader-epoch-checkpoint"
	maxMetadata  = 4 << 10
	copyPiece    = 1 << 20
	// maxForeignEpoch leaves room for our own leaders.
	maxForeignEpoch = 1 << 30
)

// survey lists the topics of the source, by name.
func (a *adoption) survey() ([]*foreign, error) {
	es, err := os.ReadDir(a.o.Source)
	if err != nil {
		return nil, fmt.Errorf("log directory of Kafka: %w. Name the directory that holds <topic>-<number> directories, Kafka's log.dirs", err)
	}
	if err := a.notRunning(); err != nil {
		return nil, err
	}
	topics := map[string]*foreign{}
	internal := 0
	for _, e := range es {
		name, n, ok := parsePartitionDir(e.Name())
		if !e.IsDir() || !ok {
			if e.IsDir() {
				a.note("%s is no partition; left out", e.Name())
			}
			continue
		}
		if strings.HasPrefix(name, "__") && !a.o.Internal {
			internal++
			continue
		}
		if topics[name] == nil {
			topics[name] = &foreign{name: name}
		}
		p := &foreignPart{n: n, dir: e.Name()}
		if err := a.surveyPart(topics[name], p); err != nil {
			return nil, err
		}
		topics[name].parts = append(topics[name].parts, p)
	}
	if internal > 0 {
		a.note("%d partitions of internal topics left out; --internal takes them over too", internal)
	}
	return a.finishSurvey(topics)
}

// finishSurvey gives topics without an id one, and sorts.
func (a *adoption) finishSurvey(topics map[string]*foreign) ([]*foreign, error) {
	out := make([]*foreign, 0, len(topics))
	for _, t := range topics {
		if t.id.IsZero() {
			t.noID = true
			_, _ = rand.Read(t.id[:]) // it never fails
			a.note("topic %q has no id, as before Kafka 2.8; it gets %v", t.name, t.id)
		}
		sortParts(t.parts)
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no partitions to take over. Name the directory that holds <topic>-<number> directories, Kafka's log.dirs", a.o.Source)
	}
	slices.SortFunc(out, func(x, y *foreign) int { return strings.Compare(x.name, y.name) })
	return out, nil
}

// parsePartitionDir reads <topic>-<number>.
func parsePartitionDir(dir string) (topic string, n int32, ok bool) {
	i := strings.LastIndexByte(dir, '-')
	if i < 0 || meta.CheckName(dir[:i]) != nil {
		return "", 0, false
	}
	v, err := strconv.ParseInt(dir[i+1:], 10, 32)
	if err != nil || v < 0 || v >= meta.MaxPartitions || strconv.FormatInt(v, 10) != dir[i+1:] {
		return "", 0, false
	}
	return dir[:i], int32(v), true
}

// surveyPart lists the files of a partition and takes the topic's id from it.
func (a *adoption) surveyPart(t *foreign, p *foreignPart) error {
	es, err := os.ReadDir(filepath.Join(a.o.Source, p.dir))
	if err != nil {
		return fmt.Errorf("log directory of Kafka: %w", err)
	}
	newest := ""
	for _, e := range es {
		kind := path.Ext(e.Name())
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("log directory of Kafka: %w", err)
		}
		switch {
		case !info.Mode().IsRegular():
			continue
		case kind == ".txnindex" && info.Size() > 0:
			a.note("%s has aborted transactions; transactions are not served yet, consumers see their records", p.dir)
			continue
		case kind == ".swap" || kind == ".cleaned":
			a.note("%s holds %s, left by an interrupted compaction; left out", p.dir, e.Name())
			continue
		case !wanted(e.Name()):
			continue
		}
		p.files = append(p.files, foreignFile{name: e.Name(), size: info.Size()})
		if kind == ".log" && e.Name() > newest {
			newest = e.Name()
		}
	}
	for i := range p.files {
		p.files[i].link = a.o.Link && path.Ext(p.files[i].name) == ".log" && p.files[i].name != newest
	}
	return a.identify(t, p)
}

// wanted reports whether a file is taken over: segments, their indexes, and the two small files that Kafka and we share.
func wanted(name string) bool {
	base, kind, _ := strings.Cut(name, ".")
	switch kind {
	case "log", "index", "timeindex":
		return len(base) == 20 && strings.Trim(base, "0123456789") == ""
	}
	return name == metadataFile || name == epochsFile
}

// identify reads the topic's id from a partition: "version: 0" and "topic_id: <base64>", a line each.
func (a *adoption) identify(t *foreign, p *foreignPart) error {
	file := filepath.Join(a.o.Source, p.dir, metadataFile)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxMetadata))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	id, err := parseMetadata(string(b))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if !t.id.IsZero() && t.id != id {
		return fmt.Errorf("%s: topic id %v, but another partition of %q says %v. Move the partition that does not belong away", file, id, t.name, t.id)
	}
	t.id = id
	return nil
}

func parseMetadata(s string) (penstock.TopicID, error) {
	for _, line := range strings.Split(s, "\n") {
		k, v, _ := strings.Cut(line, ":")
		switch k, v = strings.TrimSpace(k), strings.TrimSpace(v); k {
		case "version":
			if v != "0" {
				return penstock.TopicID{}, fmt.Errorf("version %q: want 0", v)
			}
		case "topic_id":
			id, err := penstock.ParseTopicID(v)
			if err == nil && id.IsZero() {
				err = errors.New("the topic id is zero")
			}
			return id, err
		}
	}
	return penstock.TopicID{}, errors.New("it has no topic id")
}

// lastEpoch is the newest epoch that a partition's leader-epoch-checkpoint names: after a version and a count, a line
// with epoch and start offset for each.
func (a *adoption) lastEpoch(p *foreignPart) (penstock.Epoch, error) {
	file := filepath.Join(a.o.Source, p.dir, epochsFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return penstock.NoEpoch, nil
	}
	if err != nil {
		return 0, err
	}
	last := penstock.NoEpoch
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, line := range lines[min(2, len(lines)):] {
		epoch, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(epoch, 10, 32)
		if err != nil || n < 0 || n > maxForeignEpoch {
			return 0, fmt.Errorf("%s: %q is no epoch", file, line)
		}
		last = max(last, penstock.Epoch(n))
	}
	return last, nil
}

// notRunning refuses the log directory of a broker that runs. Kafka locks its file .lock.
func (a *adoption) notRunning() error {
	f, err := os.Open(filepath.Join(a.o.Source, ".lock"))
	if err != nil {
		return nil // no broker was ever here, or it is not for us to see
	}
	defer func() { _ = f.Close() }() // it was only asked
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err == nil && lock.Type != unix.F_UNLCK {
		return fmt.Errorf("%s is in use by process %d. Stop the Kafka broker first", a.o.Source, lock.Pid)
	}
	return nil
}

// fetch brings the files of a partition into a directory of ours, durably.
func (a *adoption) fetch(ctx context.Context, p *foreignPart, dir string) error {
	if err := a.disk.MkdirAll(dir); err != nil {
		return err
	}
	linked := false
	for _, f := range p.files {
		from := filepath.Join(a.o.Source, p.dir, f.name)
		if f.link && os.Link(from, filepath.Join(a.root, dir, f.name)) == nil {
			a.sum.Linked += f.size
			a.step("linked "+p.dir, 0, f.size)
			linked = true
			continue
		}
		if err := a.copyFile(ctx, from, path.Join(dir, f.name)); err != nil {
			return err
		}
	}
	if !linked {
		return nil
	}
	// The links were made behind the disk's back; a file made through it syncs the directory.
	if err := a.disk.WriteFile(path.Join(dir, adoptingFile), nil); err != nil {
		return err
	}
	return a.disk.Remove(path.Join(dir, adoptingFile))
}

// copyFile copies a file of the source, durably.
func (a *adoption) copyFile(ctx context.Context, from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it was only read
	h, err := a.disk.Create(to)
	if err != nil {
		return err
	}
	defer h.Release()
	buf := make([]byte, copyPiece)
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(src, buf)
		if n > 0 {
			if _, err := h.WriteVec([][]byte{buf[:n]}, off); err != nil {
				return err
			}
			off += int64(n)
			a.sum.Copied += int64(n)
			a.step(a.progress.Now, 0, int64(n))
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return h.Sync()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
}
