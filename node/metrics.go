package node

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"penstock"
	"penstock/disk"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
	"penstock/wire"
)

// otherTopics is the label under which topics beyond the cap are added up. It is no legal name of a topic.
const otherTopics = "(other)"

// gaugeValue is short for what most metrics are.
const gaugeValue = prometheus.GaugeValue

// scraped is everything that metrics are made of. It is a prometheus.Collector that reads at each scrape, so that
// nobody pays for metrics that nobody asks for.
//
// Names: what the program counts by itself begins with penstock_. What Kafka's dashboards look for has the names of the
// JMX exporter (kafka_server_...) and of kafka_exporter (kafka_topic_...) beside. Series that grow with topics and partitions are capped: beyond the
// cap topics are added up under one label, and partitions have none.
type scraped struct {
	registry  *metric.Registry
	account   *metric.CopyAccount
	disk      *disk.Disk
	listeners []*door // being served
	replicas  *replica.Replicas
	image     func() *meta.Image
	self      penstock.BrokerID
	budget    *wire.Budget
	groups    groupsOf
	look      *groupLook
	idle      *idleMeter
	topics    int  // with series of their own
	parts     int  // partitions with series of their own
	newNames  bool // Kafka's names of its newer exporter besides
}

var _ prometheus.Collector = (*scraped)(nil)

// newGatherer gathers the node's metrics and those of the Go runtime and the process.
func newGatherer(s *scraped) (prometheus.Gatherer, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Describe describes nothing: which metrics there are is known only when they are read.
func (s *scraped) Describe(chan<- *prometheus.Desc) {}

// Collect reads everything.
func (s *scraped) Collect(out chan<- prometheus.Metric) {
	c := &collector{out: out, topics: s.namedTopics(), sums: map[string]*sum{}}
	for _, api := range []string{"Produce", "Fetch"} { // there before the first of them
		c.requests(api, 0)
		c.failures(api, 0)
	}
	s.registry.Walk(c.sample)
	s.copies(c)
	s.files(c)
	s.connections(c)
	s.cluster(c)
	s.groupLags(c)
	s.host(c)
	if s.newNames {
		c.alias()
	}
	c.flush()
}

// namedTopics are the topics with series of their own: the first by name, so that they are the same at each scrape.
func (s *scraped) namedTopics() map[string]bool {
	var names []string
	s.image().Topics(func(t *meta.Topic) bool {
		names = append(names, t.Name)
		return true
	})
	slices.Sort(names)
	out := map[string]bool{}
	for _, n := range names[:min(len(names), s.topics)] {
		out[n] = true
	}
	return out
}

// collector turns figures into metrics. Those that fall together, as topics beyond the cap do, are added up first.
type collector struct {
	out    chan<- prometheus.Metric
	topics map[string]bool
	sums   map[string]*sum
	order  []*sum
	key    []byte // the last key, kept for its memory
}

type sum struct {
	name, help    string
	kind          prometheus.ValueType
	names, values []string
	value         float64
}

// add counts a value. labels are names and values in turn.
func (c *collector) add(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	n := len(labels) / 2
	both := make([]string, 0, 2*n) // one piece of memory: with thousands of partitions a scrape is most of what a node at rest takes
	s := sum{name: name, help: help, kind: kind, value: value, names: both[0:0:n], values: both[n : n : 2*n]}
	key := append(c.key[:0], name...)
	for i := 0; i+1 < len(labels); i += 2 {
		v := labels[i+1]
		if labels[i] == "topic" && v != "" && !c.topics[v] {
			v = otherTopics
		}
		v = strings.ToValidUTF8(v, "\uFFFD") // clients choose names of groups
		s.names, s.values = append(s.names, labels[i]), append(s.values, v)
		key = append(append(key, 0), v...)
	}
	c.key = key
	if old := c.sums[string(key)]; old != nil {
		old.value += value
		return
	}
	c.sums[string(key)] = &s
	c.order = append(c.order, &s)
}

func (c *collector) counter(name, help string, value int64, labels ...string) {
	c.add(prometheus.CounterValue, name, help, float64(value), labels...)
}

func (c *collector) gauge(name, help string, value int64, labels ...string) {
	c.add(prometheus.GaugeValue, name, help, float64(value), labels...)
}

// newerNames are what Kafka's newer exporter for Prometheus calls what the JMX exporter calls otherwise.
var newerNames = map[string]string{
	"kafka_server_brokertopicmetrics_messagesin_total":                   "kafka_server_brokertopicmetrics_messagesinpersec_total",
	"kafka_server_brokertopicmetrics_bytesin_total":                      "kafka_server_brokertopicmetrics_bytesinpersec_total",
	"kafka_server_brokertopicmetrics_bytesout_total":                     "kafka_server_brokertopicmetrics_bytesoutpersec_total",
	"kafka_server_brokertopicmetrics_totalproducerequests_total":         "kafka_server_brokertopicmetrics_totalproducerequestspersec_total",
	"kafka_server_brokertopicmetrics_totalfetchrequests_total":           "kafka_server_brokertopicmetrics_totalfetchrequestspersec_total",
	"kafka_server_brokertopicmetrics_failedproducerequests_total":        "kafka_server_brokertopicmetrics_failedproducerequestspersec_total",
	"kafka_server_brokertopicmetrics_failedfetchrequests_total":          "kafka_server_brokertopicmetrics_failedfetchrequestspersec_total",
	"kafka_controller_controllerstats_uncleanleaderelections_total":      "kafka_controller_controllerstats_uncleanleaderelectionspersec_total",
	"kafka_network_socketserver_networkprocessoravgidle_percent":         "kafka_network_socketserver_networkprocessoravgidlepercent",
	"kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent": "kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent",
}

// alias shows metrics under their newer names besides.
func (c *collector) alias() {
	for _, s := range c.order {
		if name := newerNames[s.name]; name != "" {
			again := *s
			again.name = name
			c.order = append(c.order, &again)
		}
	}
}

func (c *collector) flush() {
	for _, s := range c.order {
		c.send(prometheus.NewConstMetric(prometheus.NewDesc(s.name, s.help, s.names, nil), s.kind, s.value, s.values...))
	}
}

// send hands a metric on; one that cannot be made is reported in its place.
func (c *collector) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
	c.out <- m
}

// kafkaNames are what Kafka's dashboards call what the registry counts.
var kafkaNames = map[string]string{
	"kafka_produced_bytes_total":   "kafka_server_brokertopicmetrics_bytesin_total",
	"kafka_produced_records_total": "kafka_server_brokertopicmetrics_messagesin_total",
}

// sample shows one metric of the registry under the program's own name, and under Kafka's where there is one.
func (c *collector) sample(m metric.Sample) {
	scale := cmp.Or(m.Scale, 1)
	var labels []string
	topic, api := "", ""
	for _, l := range m.Labels {
		labels = append(labels, l.Name, l.Value)
		switch l.Name {
		case "topic":
			topic = l.Value
		case "api":
			api = l.Value
		}
	}
	name := "penstock_" + m.Name
	switch m.Kind {
	case metric.KindHistogram:
		c.histogram(name, m, scale)
		return
	case metric.KindCounter:
		c.add(prometheus.CounterValue, name, m.Help, float64(m.Value)*scale, labels...)
	default:
		c.add(prometheus.GaugeValue, name, m.Help, float64(m.Value)*scale, labels...)
	}
	if kafka := kafkaNames[m.Name]; kafka != "" {
		c.counter(kafka, m.Help, m.Value, "topic", topic)
	}
	if m.Name == "kafka_requests_total" && (api == "Produce" || api == "Fetch") {
		c.requests(api, m.Value)
	}
	if m.Name == "kafka_errors_total" && (api == "Produce" || api == "Fetch") {
		c.failures(api, m.Value)
	}
}

// requests and failures show those of an API by the names of the JMX exporter.
func (c *collector) requests(api string, n int64) {
	c.counter("kafka_server_brokertopicmetrics_total"+lower(api)+"requests_total", api+" requests.", n)
}

func (c *collector) failures(api string, n int64) {
	c.counter("kafka_server_brokertopicmetrics_failed"+lower(api)+"requests_total", "Errors in answers to "+api+" requests.", n)
}

func lower(api string) string { return string(api[0]|0x20) + api[1:] }

// histogram shows a histogram in powers of four of its unit, which is enough to see and few enough to keep.
func (c *collector) histogram(name string, m metric.Sample, scale float64) {
	buckets := map[float64]uint64{}
	for upper := int64(1 << 10); upper < 1<<36; upper <<= 2 {
		n := int64(0)
		for _, b := range m.Histogram.Buckets {
			if b.Upper > upper {
				break
			}
			n = b.Count
		}
		buckets[float64(upper)*scale] = uint64(n)
	}
	var names, values []string
	for _, l := range m.Labels {
		names, values = append(names, l.Name), append(values, l.Value)
	}
	c.send(prometheus.NewConstHistogram(prometheus.NewDesc(name, m.Help, names, nil),
		uint64(m.Histogram.Count), float64(m.Histogram.Sum)*scale, buckets, values...))
}

// copies shows the copy account.
func (s *scraped) copies(c *collector) {
	for _, l := range s.account.Lines() {
		c.counter("penstock_copy_bytes_total", "Payload bytes out, by the way they took and the reason for it.", l.Bytes,
			"listener", l.Listener, "topic", l.Topic, "path", l.Path, "reason", l.Reason)
		c.counter("kafka_server_brokertopicmetrics_bytesout_total", "Payload bytes out.", l.Bytes, "topic", l.Topic)
	}
}

// files shows the disk.
func (s *scraped) files(c *collector) {
	st := s.disk.Stats()
	c.counter("penstock_disk_commit_rounds_total", "Rounds of group commit.", st.Rounds)
	c.counter("penstock_disk_syncs_total", "Files synced.", st.Syncs)
	c.counter("penstock_disk_syncfs_total", "Times the whole file system was synced.", st.SyncAlls)
	c.counter("penstock_disk_journal_rounds_total", "Rounds of group commit that went through the journal.", st.JournalRounds)
	c.counter("penstock_disk_journal_written_bytes_total", "Bytes written to the journal.", st.JournalBytes)
	c.counter("penstock_disk_directory_syncs_total", "Directories synced.", st.DirSyncs)
	c.counter("penstock_disk_writes_total", "Writing calls.", st.Writes)
	c.counter("penstock_disk_written_bytes_total", "Bytes written.", st.WriteBytes)
	c.counter("penstock_disk_reads_total", "Reading calls; sendfile is not among them.", st.Reads)
	c.counter("penstock_disk_read_bytes_total", "Bytes read; those sent by sendfile are not among them.", st.ReadBytes)
	c.counter("penstock_disk_stalls_total", "Calls that took far too long.", st.Stalls)
	c.counter("penstock_disk_full_total", "Calls that found the disk full.", st.Full)
	c.gauge("penstock_disk_open_files", "Open descriptors of data files.", st.Files)
	offline := int64(0)
	if s.disk.Err() != nil {
		offline = 1
	}
	c.gauge("penstock_disk_offline", "1 when the data directory is offline.", offline)
	if sp, err := s.disk.Space(); err == nil {
		c.gauge("penstock_disk_free_bytes", "Bytes free on the data directory's disk.", sp.Free)
		c.gauge("penstock_disk_size_bytes", "Size of the data directory's disk.", sp.Total)
	}
}

// connections shows the listeners.
func (s *scraped) connections(c *collector) {
	for _, l := range s.listeners {
		st := l.server.Stats()
		c.gauge("penstock_connections", "Open connections.", int64(st.Conns), "listener", l.label)
		c.counter("penstock_connections_accepted_total", "Connections accepted.", st.Accepted, "listener", l.label)
		c.counter("penstock_connections_refused_total", "Connections refused by a limit.", st.Refused, "listener", l.label)
		c.counter("penstock_connections_cut_total", "Connections cut off because the peer was too slow.", st.CutOff, "listener", l.label)
		c.counter("penstock_connections_idled_total", "Connections closed for idleness.", st.Idled, "listener", l.label)
		c.counter("penstock_session_panics_total", "Panics that ended a connection.", st.Panics, "listener", l.label)
		c.counter("penstock_frames_total", "Requests received.", st.Requests, "listener", l.label)
		c.counter("penstock_received_bytes_total", "Bytes received.", st.Received, "listener", l.label)
		c.counter("penstock_sent_bytes_total", "Bytes sent.", st.Sent, "listener", l.label)
		c.gauge("penstock_request_buffer_bytes", "Bytes of request buffers in use.", st.Buffers, "listener", l.label)
		if l.label == kafkaListener {
			c.gauge("kafka_server_socket_server_metrics_connection_count", "Open connections.", int64(st.Conns), "listener", l.label)
		}
	}
	c.gauge("penstock_request_memory_bytes", "Bytes taken of request.memory.", s.budget.Used())
}

// cluster shows brokers, topics and partitions, by the names of kafka_exporter and of the JMX exporter.
func (s *scraped) cluster(c *collector) {
	img := s.image()
	c.gauge("kafka_brokers", "Brokers.", int64(len(img.Brokers)))
	for id, b := range img.Brokers {
		c.gauge("kafka_broker_info", "A broker.", 1, "id", strconv.Itoa(int(id)), "address", b.Endpoints[kafkaListener])
	}
	var led, under, offline, underMin, atMin, replicas int64
	img.Topics(func(t *meta.Topic) bool {
		c.gauge("kafka_topic_partitions", "Partitions of the topic.", int64(len(t.Partitions)), "topic", t.Name)
		for i := range t.Partitions {
			p := &t.Partitions[i]
			led += one(p.Leader == s.self)
			replicas += int64(len(p.Replicas))
			under += one(len(p.InSync) < len(p.Replicas))
			offline += one(p.Leader == penstock.NoBroker)
			underMin += one(len(p.InSync) < t.Settings.MinInSync)
			atMin += one(len(p.InSync) == t.Settings.MinInSync)
		}
		return true
	})
	c.gauge("kafka_server_replicamanager_leadercount", "Partitions led here.", led)
	c.gauge("kafka_server_replicamanager_partitioncount", "Partitions held here.", led)
	c.gauge("kafka_server_replicamanager_underreplicatedpartitions", "Partitions with replicas out of sync.", under)
	c.gauge("kafka_controller_kafkacontroller_activecontrollercount", "Nodes that may change metadata.", 1)
	c.gauge("kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader.", offline)
	c.gauge("kafka_cluster_partition_underminisr", "Partitions with fewer replicas in sync than demanded.", underMin)
	c.gauge("kafka_cluster_partition_atminisr", "Partitions with just as many replicas in sync as demanded.", atMin)
	c.gauge("kafka_cluster_partition_replicascount", "Replicas of all partitions.", replicas)
	c.counter("kafka_controller_controllerstats_uncleanleaderelections_total", "Leaders elected from outside the in-sync set, which never happens here.", 0)
	s.partitions(c, img)
}

// partitions shows the offsets of the partitions led here, the first of them by topic and number.
func (s *scraped) partitions(c *collector, img *meta.Image) {
	type led struct {
		t *meta.Topic
		p *replica.Partition
	}
	var all []led
	s.replicas.Each(func(p *replica.Partition) bool {
		if t := img.TopicByID(p.ID().Topic); t != nil && c.topics[t.Name] && int(p.ID().Partition) < len(t.Partitions) && p.Err() == nil {
			all = append(all, led{t, p})
		}
		return true
	})
	slices.SortFunc(all, func(a, b led) int {
		return cmp.Or(cmp.Compare(a.t.Name, b.t.Name), cmp.Compare(a.p.ID().Partition, b.p.ID().Partition))
	})
	for _, l := range all[:min(len(all), s.parts)] {
		n := l.p.ID().Partition
		m, o, st := &l.t.Partitions[n], l.p.Offsets(), l.p.Stats()
		labels := []string{"topic", l.t.Name, "partition", strconv.Itoa(int(n))}
		c.gauge("kafka_topic_partition_current_offset", "High watermark.", int64(o.HighWatermark), labels...)
		c.gauge("kafka_topic_partition_oldest_offset", "First offset kept.", int64(o.Start), labels...)
		c.gauge("kafka_topic_partition_leader", "Broker that leads.", int64(m.Leader), labels...)
		c.gauge("kafka_topic_partition_leader_is_preferred", "1 when the first replica leads.", one(m.Leader == m.Replicas[0]), labels...)
		c.gauge("kafka_topic_partition_replicas", "Replicas.", int64(len(m.Replicas)), labels...)
		c.gauge("kafka_topic_partition_in_sync_replica", "Replicas in sync.", int64(len(m.InSync)), labels...)
		c.gauge("kafka_topic_partition_under_replicated_partition", "1 when replicas are out of sync.", one(len(m.InSync) < len(m.Replicas)), labels...)
		c.gauge("kafka_log_log_size", "Bytes of log on disk.", st.Bytes, labels...)
		if st.Quarantined > 0 {
			c.gauge("penstock_quarantined_places", "Damaged places that reads refuse.", int64(st.Quarantined), labels...)
		}
	}
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
