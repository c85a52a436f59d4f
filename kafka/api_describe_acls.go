package kafka

// DescribeAcls (key 29), versions 1-3.
//
//	1  patterns of resource names (KIP-290)
//	2  flexible
//	3  user as a kind of resource (KIP-373)
//
// There are no users but the anonymous one, and so no rights to list. Kafka without an authorizer says so by an error of its
// own, on which tools rely.

import "github.com/twmb/franz-go/pkg/kmsg"

const keyDescribeACLs int16 = 29

// noAuthorizer is Kafka's message.
const noAuthorizer = "No Authorizer is configured on the broker"

// apiDescribeACLs is the row of DescribeAcls.
func apiDescribeACLs() *api {
	return &api{
		key: keyDescribeACLs, name: "DescribeAcls", shown: 1, min: 1, max: 3, flexible: 2,
		before: refuse, after: smallFrame, right: right{opDescribe, onCluster},
		shape:  shape{fixed(1), text(), fixed(1), text(), text(), fixed(1), fixed(1)},
		handle: describeACLs,
	}
}

func describeACLs(s *session, r request) {
	q := kmsg.NewPtrDescribeACLsRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrDescribeACLsResponse()
	resp.ErrorCode, resp.ErrorMessage = s.count(r, codeSecurityDisabled), kmsg.StringPtr(noAuthorizer)
	s.reply(r, resp)
}
