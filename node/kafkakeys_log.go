package node

// tieredKeys are about tiered storage.
func tieredKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes tiered storage, which does not exist: everything stays in the data directory", `
		remote.fetch.max.wait.ms int 500
		remote.list.offsets.request.timeout.ms long 30000
		remote.log.index.file.cache.total.size.bytes long 1073741824
		remote.log.index.file.cache.ttl.ms long 900000
		remote.log.manager.copier.thread.pool.size int 10
		remote.log.manager.copy.max.bytes.per.second long 9223372036854775807
		remote.log.manager.copy.quota.window.num int 11
		remote.log.manager.copy.quota.window.size.seconds int 1
		remote.log.manager.expiration.thread.pool.size int 10
		remote.log.manager.fetch.max.bytes.per.second long 9223372036854775807
		remote.log.manager.fetch.quota.window.num int 11
		remote.log.manager.fetch.quota.window.size.seconds int 1
		remote.log.manager.follower.thread.pool.size int 2
		remote.log.manager.task.interval.ms long 30000
		remote.log.manager.task.retry.backoff.max.ms long 30000
		remote.log.manager.task.retry.backoff.ms long 500
		remote.log.manager.task.retry.jitter double 0.2
		remote.log.manager.thread.pool.size int 2
		remote.log.metadata.custom.metadata.max.bytes int 128
		remote.log.metadata.manager.class.name string org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager
		remote.log.metadata.manager.class.path string
		remote.log.metadata.manager.impl.prefix string rlmm.config.
		remote.log.metadata.manager.listener.name string
		remote.log.reader.max.pending.tasks int 100
		remote.log.reader.threads int 10
		remote.log.storage.manager.class.name string
		remote.log.storage.manager.class.path string
		remote.log.storage.manager.impl.prefix string rsm.config.`)
}

// cleanerKeys are about compaction.
func cleanerKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes compaction, which does not exist yet: a topic with cleanup.policy=compact is refused", `
		log.cleaner.backoff.ms long 15000
		log.cleaner.dedupe.buffer.size long 134217728
		log.cleaner.enable boolean true
		log.cleaner.io.buffer.load.factor double 0.9
		log.cleaner.io.buffer.size int 524288
		log.cleaner.io.max.bytes.per.second double 1.7976931348623157E308
		log.cleaner.threads int 1`)
}

// flushKeys are about when Kafka syncs.
func flushKeys() []kafkaKey {
	return family(KafkaAccepted, "penstock.durability says when data is synced; recovery points are noted every checkpoint.interval", `
		log.flush.scheduler.interval.ms long 9223372036854775807
		log.flush.start.offset.checkpoint.interval.ms int 60000`)
}

// threadKeys size pools of threads and queues.
func threadKeys() []kafkaKey {
	return family(KafkaAccepted, "there are no pools to size: the runtime uses all processors, and request.memory and connections.in.flight bound what waits", `
		background.threads int 10
		num.io.threads int 8
		num.network.threads int 3
		queued.max.requests int 500`)
}

// socketKeys size the buffers of sockets.
func socketKeys() []kafkaKey {
	return family(KafkaAccepted, "the kernel sizes sockets by itself, for each connection as it needs", `
		socket.listen.backlog.size int 50
		socket.receive.buffer.bytes int 102400
		socket.send.buffer.bytes int 102400`)
}

// purgatoryKeys say how often Kafka tidies its waiting requests.
func purgatoryKeys() []kafkaKey {
	return family(KafkaAccepted, "a request that waits is forgotten as soon as it is answered", `
		delete.records.purgatory.purge.interval.requests int 1
		fetch.purgatory.purge.interval.requests int 1000
		producer.purgatory.purge.interval.requests int 1000`)
}

// sampleKeys are about how Kafka averages its metrics.
func sampleKeys() []kafkaKey {
	return family(KafkaAccepted, "metrics are plain counters; who reads them averages", `
		kafka.metrics.polling.interval.secs int 10
		metrics.num.samples int 2
		metrics.recording.level string INFO
		metrics.sample.window.ms long 30000`)
}

// housekeepingKeys time what happens here at once or never.
func housekeepingKeys() []kafkaKey {
	return family(KafkaAccepted, "what it times happens here at once, or never", `
		log.dir.failure.timeout.ms long 30000
		log.initial.task.delay.ms long 30000
		producer.id.expiration.check.interval.ms int 600000
		server.max.startup.time.ms long 9223372036854775807`)
}

// unstableKeys turn on what Kafka has not finished.
func unstableKeys() []kafkaKey {
	return family(KafkaRefused, "only finished APIs and features are served", `
		unstable.api.versions.enable boolean false
		unstable.feature.versions.enable boolean false`)
}

// telemetryKeys are about metrics that clients push (KIP-714).
func telemetryKeys() []kafkaKey {
	return family(KafkaAccepted, "no metrics are asked of clients, so they send none", `
		telemetry.max.bytes int 1048576`)
}

// requestSizeKeys bound answers of DescribeTopicPartitions.
func requestSizeKeys() []kafkaKey {
	return family(KafkaAccepted, "a client that asks for fewer partitions gets fewer; answers are bounded by the request", `
		max.request.partition.size.limit int 2000`)
}

// topicDefaultKeys are the broker-wide defaults of topics. They are keys here too; the catalogue of topic configuration says
// which have an effect.
func topicDefaultKeys() []kafkaKey {
	list := family(KafkaHonoured, "", `
		compression.gzip.level int -1
		compression.lz4.level int 9
		compression.type string producer
		compression.zstd.level int 3
		log.cleaner.delete.retention.ms long 86400000
		log.cleaner.max.compaction.lag.ms long 9223372036854775807
		log.cleaner.min.cleanable.ratio double 0.5
		log.cleaner.min.compaction.lag.ms long 0
		log.cleanup.policy list delete
		log.flush.interval.messages long 9223372036854775807
		log.flush.interval.ms long
		log.index.interval.bytes int 4096
		log.index.size.max.bytes int 10485760
		log.local.retention.bytes long -2
		log.local.retention.ms long -2
		log.message.timestamp.after.max.ms long 3600000
		log.message.timestamp.before.max.ms long 9223372036854775807
		log.message.timestamp.type string CreateTime
		log.preallocate boolean false
		log.retention.bytes long -1
		log.segment.bytes int 1073741824
		log.segment.delete.delay.ms long 60000
		message.max.bytes int 1048588
		min.insync.replicas int 1
		unclean.leader.election.enable boolean false`)
	return asCatalogue(list)
}
