package rocket

import (
	"fmt"

	"penstock/metric"
	"penstock/rocket/remoting"
	"penstock/wire"
)

// api is one row of a table of requests.
type api struct {
	code    int32
	name    string // RocketMQ's
	frame   int    // largest frame, in bytes after the length; never zero
	right   right
	gathers bool // what it asks may be done together with what follows on the connection
	handle  func(s *session, r *request)
	stats   *apiStats
}

// right is what a client must be allowed to do for a request to be served, on what. It is checked once there are users; the tables have it from
// the start so that no API can be added without.
type right struct {
	op operation
	on resource
}

// operation is what a client does to a resource.
type operation uint8

// The operations. The zero value is none of them: an entry must choose.
const (
	opNone operation = iota + 1 // anybody
	opPub
	opSub
	opGet
	opList
	opCreate
	opUpdate
	opDelete
)

// resource is a kind of thing that rights are held on, with RocketMQ's names.
type resource uint8

// The kinds of things that rights are held on.
const (
	onNothing resource = iota + 1
	onTopic
	onGroup
	onTopicAndGroup
	onCluster
)

// Frame limits of requests, by what they may reasonably hold besides a header of remoting.MaxHeader.
const (
	smallFrame = remoting.MaxHeader + 4<<10 // a header and hardly a body
	wideFrame  = remoting.MaxHeader + 4<<20 // lists: a heartbeat, queues to lock
)

// dispatcher is a table by code.
type dispatcher struct {
	table map[int32]*api
	list  []*api
	limit int // largest frame of all
}

// newDispatcher makes a table. A request is served if and only if it is in this list.
func newDispatcher(list []*api, m *metric.Registry, listener string) *dispatcher {
	d := &dispatcher{table: make(map[int32]*api, len(list)), list: list, limit: smallFrame}
	for _, a := range list {
		a.stats = &apiStats{}
		a.stats.open(m, listener, a.name)
		d.table[a.code] = a
		d.limit = max(d.limit, a.frame)
	}
	return d
}

// find returns the API with that code, nil if it is not served.
func (d *dispatcher) find(code int32) *api { return d.table[code] }

// brokerAPIs are the requests that a broker serves.
func (f *Front) brokerAPIs() []*api {
	l := &f.o.Limits
	list := []*api{
		apiSend(l), apiSendV2(l), apiSendBatch(l), apiPull(), apiLitePull(),
		apiSearchOffset(), apiMaxOffset(), apiMinOffset(), apiEarliestTime(),
	}
	return append(append(list, f.memberAPIs()...), f.adminAPIs()...)
}

// memberAPIs are the requests of consumers about their groups.
func (f *Front) memberAPIs() (list []*api) {
	if f.o.Groups != nil {
		list = append(list, apiQueryOffset(), apiUpdateOffset())
	}
	if f.o.Roster != nil {
		list = append(list, apiHeartbeat(), apiUnregister(), apiCheckClient(), apiConsumerList(), apiLock(), apiUnlock(), apiRunningInfo(), apiConsumerStatus())
	}
	if f.o.Delay != nil && f.o.Locate != nil {
		list = append(list, apiSendBack())
	}
	if f.o.Roster != nil && f.o.Locate != nil {
		list = append(list, apiConsumeDirectly())
	}
	return list
}

// nameServerAPIs are the requests that a name server serves.
func (f *Front) nameServerAPIs() []*api {
	list := []*api{
		apiRoute(), apiClusterInfo(), apiTopicList(), apiClusterTopics(), apiSystemTopics(), apiUnitTopics(), apiUnitSubTopics(),
		apiUnitSubOtherTopics(), apiDeleteTopicRoute(),
		apiWipeWritePerm(), apiAddWritePerm(),
	}
	if f.o.Values != nil {
		list = append(list, apiPutValue(), apiGetValue(), apiDeleteValue(), apiListValues())
	}
	return list
}

// unserved says of requests that clients may well send what it is about them.
var unserved = map[int32]string{
	37:  "transactions are not served yet",
	324: "request and reply are not served yet", 325: "request and reply are not served yet",
	370:    "recalling messages is not served yet",
	200050: popUnserved, 200051: popUnserved, 200052: popUnserved, 200053: popUnserved, 200054: popUnserved, 200055: popUnserved,
	200056: popUnserved, 200151: popUnserved,
}

const popUnserved = "consumption by pop is not served yet, use push or pull consumers"

// notServed is the remark of an answer to a request that is not in the table.
func notServed(code int32, side string) string {
	if why, ok := unserved[code]; ok {
		return fmt.Sprintf("request type %d not supported: %s", code, why)
	}
	return fmt.Sprintf("request type %d not supported by this %s", code, sides[side])
}

var sides = map[string]string{brokerName: "broker", nameServerName: "name server"}

// request is one request on its way to its handler. It belongs to the session and is used again for the next: a handler that answers later keeps
// its ticket.
type request struct {
	remoting.Command // of the frame: gone once that is released
	api              *api
	wire             *wire.Request
}
