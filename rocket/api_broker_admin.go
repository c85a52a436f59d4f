package rocket

// The broker as administrators see it: GET_BROKER_RUNTIME_INFO (28), GET_BROKER_CONFIG (26), VIEW_BROKER_STATS_DATA (315).

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/rocket/remoting"
)

func apiRuntime() *api {
	return &api{code: 28, name: "GET_BROKER_RUNTIME_INFO", frame: smallFrame, right: right{opGet, onCluster}, handle: runtimeInfo}
}

func apiBrokerConfig() *api {
	return &api{code: 26, name: "GET_BROKER_CONFIG", frame: smallFrame, right: right{opGet, onCluster}, handle: brokerConfig}
}

func apiStatsData() *api {
	return &api{code: 315, name: "VIEW_BROKER_STATS_DATA", frame: smallFrame, right: right{opGet, onCluster}, handle: statsData}
}

// address is where clients reach this broker.
func (f *Front) address() string {
	host, port := f.o.Advertised()
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// versionText is remoting.Version as RocketMQ names it.
const versionText = "V5_5_0"

// runtimeInfo tells how the broker is. Names are RocketMQ's. What this broker does not have, queues before pools of threads and a queue index that
// trails behind the log, is told as empty: tools look for it.
func runtimeInfo(s *session, r *request) {
	t := r.ticket()
	t.wire.Release()
	s.look(t, func(f *Front) ([]byte, error) {
		run, now := f.o.Admin.Runtime(), f.o.Now()
		put, got := f.meters.totals(f.o.ClusterName)
		yesterday, today := f.meters.mornings()
		puts, gets := meterKey{statBrokerPut, f.o.ClusterName}, meterKey{statBrokerGet, f.o.ClusterName}
		used := 0.0
		if run.DiskTotal > 0 {
			used = float64(run.DiskTotal-run.DiskFree) / float64(run.DiskTotal)
		}
		m := map[string]string{
			"brokerVersionDesc": versionText, "brokerActive": "true",
			"bootTimestamp": number(int64(run.Started)), "runtime": uptime(now.Sub(time.UnixMilli(int64(run.Started)))),
			"msgPutTotalYesterdayMorning": number(yesterday.put), "msgPutTotalTodayMorning": number(today.put), "msgPutTotalTodayNow": number(put),
			"msgGetTotalYesterdayMorning": number(yesterday.got), "msgGetTotalTodayMorning": number(today.got), "msgGetTotalTodayNow": number(got),
			"putTps": f.meters.three(puts, now), "getTransferredTps": f.meters.three(gets, now), "getTotalTps": f.meters.three(gets, now),
			"getFoundTps": f.meters.three(gets, now), "getMissTps": "0.0 0.0 0.0",
			"putMessageTimesTotal": number(put), "earliestMessageTimeStamp": number(int64(run.EarliestTime)),
			"commitLogMinOffset": number(int64(run.MinPosition)), "commitLogMaxOffset": number(int64(run.MaxPosition)),
			"commitLogDiskRatio": ratio(used), "consumeQueueDiskRatio": ratio(used),
			"commitLogDirCapacity":   fmt.Sprintf("Total : %s, Free : %s.", sizeText(run.DiskTotal), sizeText(run.DiskFree)),
			"dispatchBehindBytes":    "0",
			"dispatchMaxBuffer":      "0",
			"pageCacheLockTimeMills": "0", "remainHowManyDataToFlush": "0 B", "remainTransientStoreBufferNumbs": "0",
			"startAcceptSendRequestTimeStamp": "0",
			"timerReadBehind":                 "0", "timerOffsetBehind": "0", "timerCongestNum": "0", "timerEnqueueTps": "0.0", "timerDequeueTps": "0.0",
			"EndTransactionQueueSize": "0", "EndTransactionThreadPoolQueueCapacity": "0",
		}
		if run.EarliestTime == penstock.NoTimestamp {
			m["commitLogMinOffset"] = "-1" // nothing is there
		}
		if run.LogDir != "" {
			m["commitLogDiskRatio_"+run.LogDir] = ratio(used)
		}
		f.putFigures(m, put)
		for _, pool := range [...]string{"send", "pull", "litePull", "query", "ack"} {
			m[pool+"ThreadPoolQueueSize"], m[pool+"ThreadPoolQueueCapacity"], m[pool+"ThreadPoolQueueHeadWaitTimeMills"] = "0", "0", "0"
		}
		return mustJSON(map[string]any{"table": m}), nil
	})
}

// putFigures adds what is known of messages sent since the start. Times are those of the requests, the sync included, in milliseconds.
func (f *Front) putFigures(m map[string]string, put int64) {
	var size int64
	if k, ok := f.meters.m.Load(meterKey{statBrokerPutSize, f.o.ClusterName}); ok {
		size = k.(*meter).sum.Load()
	}
	var failed int64
	var most, most99, most999 int64
	for _, a := range f.broker.apis.list {
		if a.right.op != opPub {
			continue
		}
		failed += a.stats.failed()
		most99, most999 = max(most99, a.stats.took.Quantile(0.99)), max(most999, a.stats.took.Quantile(0.999))
		most = max(most, a.stats.took.Quantile(1))
	}
	ms := func(ns int64) string { return ratio(float64(ns) / 1e6) }
	m["putMessageSizeTotal"], m["putMessageFailedTimes"] = number(size), number(failed)
	m["putMessageAverageSize"] = strconv.FormatFloat(float64(size)/float64(max(put, 1)), 'f', 1, 64)
	m["putLatency99"], m["putLatency999"] = ms(most99), ms(most999)
	m["putMessageEntireTimeMax"] = number(most / 1e6)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func ratio(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// uptime is a time as RocketMQ writes it.
func uptime(d time.Duration) string {
	d = max(d, 0)
	s := int64(d / time.Second)
	return fmt.Sprintf("[ %d days, %d hours, %d minutes, %d seconds ]", s/86400, s/3600%24, s/60%60, s%60)
}

// sizeText is a size as RocketMQ writes it.
func sizeText(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), -1
	for v >= 1<<10 && unit < len("KMGTPE")-1 {
		v, unit = v/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[unit])
}

// three is a figure a second, over ten seconds, a minute and ten minutes.
func (ms *meters) three(k meterKey, now time.Time) string {
	var ten, minute, hour rates
	if m, ok := ms.m.Load(k); ok {
		ten = m.(*meter).ten()
		minute, hour, _ = m.(*meter).spans(now)
	}
	text := func(r rates) string {
		s := strconv.FormatFloat(r.second, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	return text(ten) + " " + text(minute) + " " + text(hour)
}

// brokerConfig tells the configuration in the form of a file of properties.
func brokerConfig(s *session, r *request) {
	t := r.ticket()
	t.wire.Release()
	c := s.front.o.Admin.BrokerConfig()
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s=%s\n", key, c[key])
	}
	s.reply(t, func(w *remoting.Writer) { w.Bytes("version", mustJSON(s.front.dataVersion())) }, []byte(b.String()))
}

// statJSON is RocketMQ's BrokerStatsItem.
type statJSON struct {
	Average float64 `json:"avgpt"`
	Sum     int64   `json:"sum"`
	Second  float64 `json:"tps"`
}

func (r rates) json() statJSON { return statJSON{r.average, r.sum, r.second} }

// statsData tells one figure over a minute, an hour and a day.
func statsData(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	k := meterKey{q.Text("statsName"), q.Text("statsKey")}
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	m, ok := s.front.meters.m.Load(k)
	if !ok {
		s.refuse(t, codeSystemError, fmt.Sprintf("The stats <%.300s> <%.300s> not exist", k.name, k.key))
		return
	}
	minute, hour, day := m.(*meter).spans(s.front.o.Now())
	s.reply(t, nil, mustJSON(struct {
		Day    statJSON `json:"statsDay"`
		Hour   statJSON `json:"statsHour"`
		Minute statJSON `json:"statsMinute"`
	}{day.json(), hour.json(), minute.json()}))
}
