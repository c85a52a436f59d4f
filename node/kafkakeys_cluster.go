package node

// aloneKeys are about other brokers and controllers.
func aloneKeys() []kafkaKey {
	return family(KafkaAccepted, "this node stands alone: there is no other broker or controller to talk to", `
		alter.log.dirs.replication.quota.window.num int 11
		alter.log.dirs.replication.quota.window.size.seconds int 1
		auto.leader.rebalance.enable boolean true
		broker.heartbeat.interval.ms int 2000
		broker.session.timeout.ms int 9000
		controlled.shutdown.enable boolean true
		controller.performance.always.log.threshold.ms long 2000
		controller.performance.sample.period.ms long 60000
		controller.quorum.append.linger.ms int 25
		controller.quorum.auto.join.enable boolean false
		controller.quorum.bootstrap.servers list
		controller.quorum.election.backoff.max.ms int 1000
		controller.quorum.election.timeout.ms int 1000
		controller.quorum.fetch.max.bytes int 1048576
		controller.quorum.fetch.snapshot.max.bytes int 1048576
		controller.quorum.fetch.timeout.ms int 2000
		controller.quorum.request.timeout.ms int 2000
		controller.quorum.retry.backoff.ms int 20
		controller.quorum.voters list
		controller.socket.timeout.ms int 30000
		early.start.listeners list
		follower.fetch.last.tiered.offset.enable boolean false
		initial.broker.registration.timeout.ms int 60000
		leader.imbalance.check.interval.seconds long 300
		num.replica.alter.log.dirs.threads int
		num.replica.fetchers int 1
		replica.fetch.backoff.ms int 1000
		replica.fetch.max.bytes int 1048576
		replica.fetch.min.bytes int 1
		replica.fetch.response.max.bytes int 10485760
		replica.fetch.wait.max.ms int 500
		replica.high.watermark.checkpoint.interval.ms long 5000
		replica.lag.time.max.ms long 30000
		replica.socket.receive.buffer.bytes int 65536
		replica.socket.timeout.ms int 30000
		replication.quota.window.num int 11
		replication.quota.window.size.seconds int 1
		request.timeout.ms int 30000
		sasl.mechanism.controller.protocol string GSSAPI
		sasl.mechanism.inter.broker.protocol string GSSAPI
		security.inter.broker.protocol string PLAINTEXT
		socket.connection.setup.timeout.max.ms long 30000
		socket.connection.setup.timeout.ms long 10000
		unclean.leader.election.interval.ms long 300000`)
}

// metadataKeys are about the log of metadata.
func metadataKeys() []kafkaKey {
	return family(KafkaAccepted, "metadata lies in an embedded store in the data directory, which looks after itself", `
		internal.metadata.delete.delay.millis long 60000
		internal.metadata.log.segment.bytes int
		internal.metadata.max.batch.size.in.bytes int 8388608
		metadata.log.dir string
		metadata.log.max.record.bytes.between.snapshots long 20971520
		metadata.log.max.snapshot.interval.ms long 3600000
		metadata.log.segment.bytes int 1073741824
		metadata.log.segment.ms long 604800000
		metadata.max.idle.interval.ms int 500
		metadata.max.retention.bytes long 104857600
		metadata.max.retention.ms long 604800000`)
}

// quotaWindowKeys are about how Kafka measures what clients take.
func quotaWindowKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes quotas, which do not exist yet: no client is slowed down", `
		controller.quota.window.num int 11
		controller.quota.window.size.seconds int 1
		quota.window.num int 11
		quota.window.size.seconds int 1`)
}

// quotaKeys are about what clients may take of the broker.
func quotaKeys() []kafkaKey {
	return family(KafkaRefused, "quotas do not exist yet: no client is slowed down", `
		client.quota.callback.class class
		max.connection.creation.rate int 2147483647`)
}

// pluginKeys name Java classes.
func pluginKeys() []kafkaKey {
	return family(KafkaRefused, "classes of Java cannot be loaded here. Prometheus reads /metrics on http.listen", `
		kafka.metrics.reporters list
		metric.reporters list org.apache.kafka.common.metrics.JmxReporter`)
}

// selectorKeys choose the replica that a client reads from.
func selectorKeys() []kafkaKey {
	return family(KafkaRefused, "there is one replica, and clients read from it", `
		replica.selector.class string`)
}
