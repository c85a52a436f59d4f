package kafka

// DescribeLogDirs (key 35), versions 1-5.
//
//	2  flexible
//	3  an error for the whole answer
//	4  total and usable bytes of the volume (KIP-827)
//	5  whether the directory takes no new partitions (KIP-1066)
//
// There is one directory. A partition's size is that of its segments, without their indexes, as in Kafka.

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

const keyDescribeLogDirs int16 = 35

// LogDir is the data directory, as clients are told of it.
type LogDir struct {
	Path string // absolute
	// Space is what the volume holds and what is free on it, in bytes. It may ask the system.
	Space func() (total, usable int64, err error)
	// Err is why nothing can be written to the directory, nil while all is well.
	Err func() error
}

// apiDescribeLogDirs is the row of DescribeLogDirs.
func apiDescribeLogDirs() *api {
	return &api{
		key: keyDescribeLogDirs, name: "DescribeLogDirs", shown: 1, min: 1, max: 5, flexible: 2,
		before: refuse, after: wideFrame, right: right{opDescribe, onCluster},
		shape:  shape{array[kmsg.DescribeLogDirsRequestTopic](text(), plain[int32](fixed(4)))},
		handle: describeLogDirs,
	}
}

// describeLogDirs asks the system for the room on the volume, in a goroutine of its own.
func describeLogDirs(s *session, r request) {
	q := kmsg.NewPtrDescribeLogDirsRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	s.control(r, func(context.Context) {
		resp := kmsg.NewPtrDescribeLogDirsResponse()
		resp.Dirs = []kmsg.DescribeLogDirsResponseDir{s.logDir(r, q)}
		s.reply(r, resp)
	})
}

// logDir describes the directory. Of one that is offline only that is told, as in Kafka.
func (s *session) logDir(r request, q *kmsg.DescribeLogDirsRequest) kmsg.DescribeLogDirsResponseDir {
	dir := s.front.o.LogDir
	out := kmsg.NewDescribeLogDirsResponseDir()
	out.Dir = dir.Path
	if dir.Err() != nil {
		out.ErrorCode = s.count(r, codeStorageError)
		return out
	}
	if total, usable, err := dir.Space(); err == nil {
		out.TotalBytes, out.UsableBytes = total, usable
	} else {
		s.front.o.Logger.Warn("the room on the volume is not known", "dir", dir.Path, "error", err)
	}
	t := s.front.routes.Load()
	asked := map[string][]int32{}
	for i := range q.Topics {
		asked[q.Topics[i].Topic] = append(asked[q.Topics[i].Topic], q.Topics[i].Partitions...)
	}
	if q.Topics == nil {
		for name, route := range t.names {
			asked[name] = count(len(route.parts))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		dt := kmsg.NewDescribeLogDirsResponseDirTopic()
		dt.Topic = name
		if route := t.names[name]; route != nil {
			dt.Partitions = s.front.sizes(route, asked[name])
		}
		if len(dt.Partitions) > 0 {
			out.Topics = append(out.Topics, dt)
		}
	}
	return out
}

// count is the numbers from 0 to n-1.
func count(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// sizes tells how large partitions of a topic are, by number, each once; those that are not here, or could not be opened, are left out.
func (f *Front) sizes(route *route, numbers []int32) []kmsg.DescribeLogDirsResponseDirTopicPartition {
	slices.Sort(numbers)
	var out []kmsg.DescribeLogDirsResponseDirTopicPartition
	for _, n := range slices.Compact(numbers) {
		p := f.o.Partitions.Partition(penstock.PartitionID{Topic: route.id, Partition: n})
		if p == nil || p.Err() != nil {
			continue
		}
		dp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		dp.Partition, dp.Size = n, p.Stats().Bytes
		out = append(out, dp)
	}
	return out
}
