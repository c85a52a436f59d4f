package node

// consumerGroupKeys are about the consumer protocol of KIP-848.
func consumerGroupKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes the protocol of KIP-848, which is not served yet; clients use the classic one (group.protocol=classic)", `
		group.consumer.assignment.interval.ms int 1000
		group.consumer.assignors list uniform,range
		group.consumer.heartbeat.interval.ms int 5000
		group.consumer.max.assignment.interval.ms int 15000
		group.consumer.max.heartbeat.interval.ms int 15000
		group.consumer.max.session.timeout.ms int 60000
		group.consumer.max.size int 2147483647
		group.consumer.migration.policy string bidirectional
		group.consumer.min.assignment.interval.ms int 0
		group.consumer.min.heartbeat.interval.ms int 5000
		group.consumer.min.session.timeout.ms int 45000
		group.consumer.regex.refresh.interval.ms int 600000
		group.consumer.session.timeout.ms int 45000`)
}

// shareGroupKeys are about share groups (KIP-932).
func shareGroupKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes share groups, which are not served yet", `
		group.share.assignment.interval.ms int 1000
		group.share.assignors list simple
		group.share.delivery.count.limit int 5
		group.share.heartbeat.interval.ms int 5000
		group.share.initialize.retry.interval.ms int 30000
		group.share.max.assignment.interval.ms int 15000
		group.share.max.delivery.count.limit int 10
		group.share.max.heartbeat.interval.ms int 15000
		group.share.max.partition.max.record.locks int 4000
		group.share.max.record.lock.duration.ms int 60000
		group.share.max.session.timeout.ms int 60000
		group.share.max.share.sessions int 2000
		group.share.max.size int 200
		group.share.min.assignment.interval.ms int 0
		group.share.min.delivery.count.limit int 2
		group.share.min.heartbeat.interval.ms int 5000
		group.share.min.partition.max.record.locks int 100
		group.share.min.record.lock.duration.ms int 15000
		group.share.min.session.timeout.ms int 45000
		group.share.partition.max.record.locks int 2000
		group.share.persister.class.name string org.apache.kafka.server.share.persister.DefaultStatePersister
		group.share.record.lock.duration.ms int 30000
		group.share.session.timeout.ms int 45000
		share.coordinator.append.linger.ms int -1
		share.coordinator.cached.buffer.max.bytes int 1048588
		share.coordinator.cold.partition.snapshot.interval.ms int 300000
		share.coordinator.load.buffer.size int 5242880
		share.coordinator.snapshot.update.records.per.snapshot int 500
		share.coordinator.state.topic.compression.codec int 0
		share.coordinator.state.topic.min.isr short 2
		share.coordinator.state.topic.num.partitions int 50
		share.coordinator.state.topic.prune.interval.ms int 300000
		share.coordinator.state.topic.replication.factor short 3
		share.coordinator.state.topic.segment.bytes int 104857600
		share.coordinator.threads int 1
		share.coordinator.write.timeout.ms int 5000
		share.fetch.purgatory.purge.interval.requests int 1000`)
}

// streamsGroupKeys are about the streams protocol (KIP-1071).
func streamsGroupKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes the streams protocol, which is not served yet; Kafka Streams uses the classic one (group.protocol=classic)", `
		group.streams.assignment.interval.ms int 1000
		group.streams.heartbeat.interval.ms int 5000
		group.streams.initial.rebalance.delay.ms int 3000
		group.streams.max.assignment.interval.ms int 15000
		group.streams.max.heartbeat.interval.ms int 15000
		group.streams.max.session.timeout.ms int 60000
		group.streams.max.size int 2147483647
		group.streams.max.standby.replicas int 2
		group.streams.min.assignment.interval.ms int 0
		group.streams.min.heartbeat.interval.ms int 5000
		group.streams.min.session.timeout.ms int 45000
		group.streams.num.standby.replicas int 0
		group.streams.session.timeout.ms int 45000`)
}

// coordinatorKeys are about how Kafka runs its coordinator.
func coordinatorKeys() []kafkaKey {
	return family(KafkaAccepted, "groups are served without threads or caches of their own; a commit is answered when it is on disk", `
		group.coordinator.append.linger.ms int -1
		group.coordinator.background.threads int 2
		group.coordinator.cached.buffer.max.bytes int 1048588
		group.coordinator.threads int 4
		offsets.commit.timeout.ms int 5000
		offsets.load.buffer.size int 5242880
		offsets.topic.compression.codec int 0
		offsets.topic.segment.bytes int 104857600`)
}

// transactionKeys are about transactions.
func transactionKeys() []kafkaKey {
	return family(KafkaAccepted, "it tunes transactions, which do not exist yet: a producer with a transactional.id is refused", `
		add.partitions.to.txn.retry.backoff.max.ms int 100
		add.partitions.to.txn.retry.backoff.ms int 20
		transaction.abort.timed.out.transaction.cleanup.interval.ms int 10000
		transaction.max.timeout.ms int 900000
		transaction.partition.verification.enable boolean true
		transaction.remove.expired.transaction.cleanup.interval.ms int 3600000
		transaction.state.log.load.buffer.size int 5242880
		transaction.state.log.min.isr int 2
		transaction.state.log.num.partitions int 50
		transaction.state.log.replication.factor short 3
		transaction.state.log.segment.bytes int 104857600
		transaction.two.phase.commit.enable boolean false
		transactional.id.expiration.ms int 604800000`)
}
