package kafka

// DescribeCluster (key 60), versions 0-2.
//
//	1  what kind of endpoint is asked for, brokers or controllers (KIP-919)
//	2  brokers that are fenced may be asked for (KIP-1073)
//
// The brokers are those that are registered; none of them is ever fenced.

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const keyDescribeCluster int16 = 60

// The kinds of endpoints.
const (
	endpointBrokers     int8 = 1
	endpointControllers int8 = 2
)

// apiDescribeCluster is the row of DescribeCluster.
func apiDescribeCluster() *api {
	return &api{
		key: keyDescribeCluster, name: "DescribeCluster", shown: 0, min: 0, max: 2, flexible: 0,
		before: refuse, after: tinyFrame, right: right{opNone, onNothing},
		shape:  shape{fixed(1), fixed(1).from(1), fixed(1).from(2)},
		handle: describeCluster,
	}
}

// describeCluster answers from the image in memory.
func describeCluster(s *session, r request) {
	q := kmsg.NewPtrDescribeClusterRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType, resp.ClusterID = q.EndpointType, s.front.o.Topics.Image().ClusterID
	switch q.EndpointType {
	case endpointBrokers:
	case endpointControllers:
		resp.ErrorCode = s.count(r, codeMismatchedEndpointType)
		resp.ErrorMessage = kmsg.StringPtr("this is an endpoint of brokers: there are no controllers that clients talk to")
	default:
		resp.ErrorCode = s.count(r, codeUnsupportedEndpointType)
		resp.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("endpoint type %d is not known: 1 is brokers, 2 controllers", q.EndpointType))
	}
	if resp.ErrorCode != 0 {
		s.reply(r, resp)
		return
	}
	resp.ControllerID = int32(s.front.o.Broker)
	for i, b := range s.front.brokers() {
		rb := kmsg.NewDescribeClusterResponseBroker()
		rb.NodeID, rb.Host, rb.Port, rb.Rack = int32(b.id), b.host, b.port, orNull(b.rack)
		if i == 0 {
			resp.ControllerID = rb.NodeID // the same one that Metadata names
		}
		resp.Brokers = append(resp.Brokers, rb)
	}
	if q.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = allClusterOperations
	}
	s.reply(r, resp)
}
