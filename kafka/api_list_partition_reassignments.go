package kafka

// ListPartitionReassignments (key 46), versions 0-0.
//
// A partition is moved when replicas are being added to it or taken away. A cluster's image has no such replicas: a change of
// them is one change of metadata. So no partition that is asked for is ever listed, and none that does not exist is an error, as in
// Kafka, which lists only what is being moved.

import "github.com/twmb/franz-go/pkg/kmsg"

const keyListPartitionReassignments int16 = 46

// apiListPartitionReassignments is the row of ListPartitionReassignments.
func apiListPartitionReassignments() *api {
	return &api{
		key: keyListPartitionReassignments, name: "ListPartitionReassignments", shown: 0, min: 0, max: 0, flexible: 0,
		before: refuse, after: wideFrame, right: right{opDescribe, onCluster},
		shape:  shape{fixed(4), array[kmsg.ListPartitionReassignmentsRequestTopic](text(), plain[int32](fixed(4)))},
		handle: listPartitionReassignments,
	}
}

func listPartitionReassignments(s *session, r request) {
	q := kmsg.NewPtrListPartitionReassignmentsRequest()
	if !r.decode(q) {
		return
	}
	s.reply(r, kmsg.NewPtrListPartitionReassignmentsResponse())
}
