package kafka

// ApiVersions (key 18), versions 0-4.
//
//	1  throttle time
//	3  flexible; name and version of the client's software; features (KIP-511, KIP-584)
//	4  features whose lowest version is 0 may be shown (KIP-1011)
//
// Its response header is version 0 in every version. A version not served is answered in version 0 with error 35 and the
// range of this API alone, so that the client can ask again. No features are shown: none of those that Kafka names is
// true of this broker.

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/wire"
)

const (
	keyAPIVersions           int16 = 18
	firstAPIVersionsSoftware int16 = 3
)

// apiVersions is the row of ApiVersions: the one API that answers before authentication.
func apiVersions() *api {
	return &api{
		key: keyAPIVersions, name: "ApiVersions", shown: 0, min: 0, max: 4, flexible: 3,
		before: tinyFrame, after: tinyFrame, right: right{opNone, onNothing},
		shape:  shape{text().from(firstAPIVersionsSoftware), text().from(firstAPIVersionsSoftware)},
		handle: versions,
	}
}

// versions answers with the table. A client whose software does not call itself properly is told so (KIP-511).
func versions(s *session, r request) {
	q := kmsg.NewPtrApiVersionsRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	if r.version >= firstAPIVersionsSoftware && !(plainName(q.ClientSoftwareName) && plainName(q.ClientSoftwareVersion)) {
		resp.ErrorCode = s.count(r, codeInvalidRequest)
		s.reply(r, resp)
		return
	}
	for _, a := range s.front.apis.list {
		resp.ApiKeys = append(resp.ApiKeys, versionRange(a))
	}
	s.reply(r, resp)
}

// versionRange is what the answer says of one API.
func versionRange(a *api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.shown, a.max
	return k
}

// answerUnknownVersion answers an ApiVersions request of a version not served.
func answerUnknownVersion(s *session, r request) {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = s.count(r, codeUnsupportedVersion)
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{versionRange(r.api)}
	a := wire.NewAnswer()
	a.B = resp.AppendTo(appendResponseHeader(a.B, r.correlation, false))
	s.front.send(r, a)
}

// plainName reports whether s is what KIP-511 lets a client call itself: letters, digits, and within them dots and hyphens.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		inner := i > 0 && i < len(s)-1 && (c == '.' || c == '-')
		if !inner && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != ""
}
