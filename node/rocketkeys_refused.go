package node

func rocketAuthKeys() []kafkaKey {
	return family(KafkaRefused, "there is neither authentication nor authorisation yet: everybody may do everything", `
		aclCacheExpiredSecond int 600
		aclCacheMaxNum int 1000
		aclCacheRefreshSecond int 60
		authConfigPath string
		authenticationMetadataProvider string
		authenticationProvider string
		authenticationStrategy string
		authenticationWhitelist string
		authorizationMetadataProvider string
		authorizationProvider string
		authorizationStrategy string
		authorizationWhitelist string
		clusterName string
		configName string
		initAuthenticationUser string
		innerClientAuthenticationCredentials string
		statefulAuthenticationCacheExpiredSecond int 60
		statefulAuthenticationCacheMaxNum int 10000
		statefulAuthorizationCacheExpiredSecond int 60
		statefulAuthorizationCacheMaxNum int 10000
		userCacheExpiredSecond int 600
		userCacheMaxNum int 1000
		userCacheRefreshSecond int 60
`)
}

func rocketTransactionsKeys() []kafkaKey {
	return family(KafkaRefused, "transactions are not served yet: a client that sends one is told so", `
		enableTransactionMetrics boolean true
		endTransactionPoolQueueCapacity int 100000
		endTransactionThreadPoolNums int
		rejectTransactionMessage boolean false
		transRocksDBEnable boolean false
		transWriteOriginTransHalfEnable boolean true
		transactionCheckInterval long 30000
		transactionCheckMax int 15
		transactionCheckRocksdbCoreThreads int 2
		transactionCheckRocksdbMaxThreads int 5
		transactionCheckRocksdbQueueCapacity int 2000
		transactionMetricFlushInterval long 10000
		transactionOpBatchInterval int 3000
		transactionOpMsgMaxSize int 4096
		transactionTimeOut long 6000
		waitTimeMillsInTransactionQueue long 3000
`)
}

func rocketTimerKeys() []kafkaKey {
	return family(KafkaRefused, "delays of any length, which lie in the timer wheel, are not served yet; the levels of messageDelayLevel are", `
		allowRecallWhenBrokerNotWriteable boolean true
		appendTopicForTimerDeleteKey boolean false
		mappedFileSizeTimerLog int 104857600
		recallMessageEnable boolean false
		timerColdDataCheckIntervalMs int 60000
		timerCongestNumEachSlot int 2147483647
		timerEnableCheckMetrics boolean true
		timerEnableRetryUntilSuccess boolean false
		timerFlushIntervalMs int 1000
		timerGetMessageThreadNum int 3
		timerInterceptDelayLevel boolean false
		timerMaxDelaySec int 259200
		timerMetricSmallThreshold int 1000000
		timerPrecisionMs int 1000
		timerProgressLogIntervalMs int 10000
		timerPutMessageThreadNum int 3
		timerRecallToTimeWheelEnable boolean true
		timerRecallToTimelineEnable boolean true
		timerReputServiceCorePoolSize int 6
		timerReputServiceMaxPoolSize int 6
		timerReputServiceQueueCapacity int 10000
		timerRocksDBEnable boolean false
		timerRocksDBPrecisionMs long 1000
		timerRocksDBRollIntervalHours int 1
		timerRocksDBRollMaxTps double 8000.0
		timerRocksDBRollRangeHours int 2
		timerRocksDBStopScan boolean false
		timerRocksDBTimeExpiredMaxTps double 200000.0
		timerRollWindowSlot int 172800
		timerSkipUnknownError boolean false
		timerStopEnqueue boolean false
		timerWheelEnable boolean true
		timerWheelSnapshotFlush boolean false
		timerWheelSnapshotIntervalMs int 10000
`)
}

func rocketPopKeys() []kafkaKey {
	return family(KafkaRefused, "pop consumption is not served yet: its requests are answered with an error", `
		ackMessageThreadPoolNums int
		ackThreadPoolQueueCapacity int 100000
		appendAckAsync boolean false
		appendCkAsync boolean false
		defaultMessageRequestMode string PULL
		defaultPopShareQueueNum int -1
		enableLitePopLog boolean false
		enableNotifyAfterPopOrderLockRelease boolean true
		enableNotifyBeforePopCalculateLag boolean true
		enablePopBatchAck boolean false
		enablePopBufferMerge boolean false
		enablePopLog boolean false
		enablePopMessageThreshold boolean false
		enablePopMetrics boolean true
		enableRetryTopicV2 boolean false
		enableSkipLongAwaitingAck boolean false
		initPopOffsetByCheckMsgInMem boolean true
		loadBalanceProcessorThreadPoolNums int
		loadBalanceThreadPoolQueueCapacity int 100000
		maxPopPollingSize long 100000
		popCkMaxBufferSize int 200000
		popCkOffsetMaxQueueSize int 20000
		popCkStayBufferTime int 10000
		popCkStayBufferTimeOut int 3000
		popConsumerFSServiceInit boolean true
		popConsumerKVServiceEnable boolean false
		popConsumerKVServiceInit boolean false
		popConsumerKVServiceLog boolean false
		popFromRetryProbability int 20
		popFromRetryProbabilityForPriority int 0
		popInflightMessageThreshold long 10000
		popLongPollingForceNotifyInterval long 800
		popPollingMapExpireTimeSeconds int 600
		popPollingMapSize int 100000
		popPollingSize int 1024
		popResponseReturnActualRetryTopic boolean false
		popReviveConcurrency int 32
		popReviveMaxAttemptTimes int 16
		popReviveMaxReturnSizePerRead int 16384
		popReviveSkipIfGroupAbsent boolean true
		priorityOrderAsc boolean true
		retrieveMessageFromPopRetryTopicV1 boolean true
		reviveAckWaitMs long 180000
		reviveInterval long 1000
		reviveMaxSlow long 3
		reviveQueueNum int 8
		reviveScanTime long 10000
		serverLoadBalancerEnable boolean true
		skipWhenCKRePutReachMaxTimes boolean false
		useSeparateRetryQueue boolean false
		waitTimeMillsInAckQueue long 3000
`)
}

func rocketLiteKeys() []kafkaKey {
	return family(KafkaRefused, "lite topics and multi-dispatch are not served", `
		combineCQUseRocksdbForLmq boolean false
		enableLiteEventMode boolean true
		enableLmq boolean false
		enableLmqQuota boolean false
		enableLmqStats boolean false
		enableMultiDispatch boolean false
		liteEventCheckInterval long 10000
		liteEventFullDispatchDelayTime long 10000
		liteEventFullDispatchDelayTimeForWildcardGroup long 10000
		liteLagCountMetricsEnable boolean false
		liteLagLatencyCollectEnable boolean false
		liteLagLatencyMetricsEnable boolean false
		liteLagLatencyTopK int 50
		liteSubscriptionCheckInterval long 120000
		liteSubscriptionCheckTimeoutMills long 180000
		liteTtlCheckInterval long 120000
		maxClientEventCount int 100
		maxLiteSubscriptionCount long 100000
		maxLmqConsumeQueueNum int 20000
		minLiteTTl long 900000
`)
}

func rocketFilterKeys() []kafkaKey {
	return family(KafkaRefused, "filters by SQL92 are not served yet: a subscription with one is refused, and tags are served", `
		bitMapLengthConsumeQueueExt int 64
		enableCalcFilterBitMap boolean false
		enableConsumeQueueExt boolean false
		enablePropertyFilter boolean false
		expectConsumerNumUseFilter int 32
		filterDataCleanTimeSpan long 86400000
		filterSupportRetry boolean false
		mappedFileSizeConsumeQueueExt int 50331648
		maxErrorRateOfBloomFilter int 20
		maxFilterMessageSize int 16000
		maxMessageFilterNumForNotification int 64
		useMessageFilterForNotification boolean true
`)
}

func rocketCompactionKeys() []kafkaKey {
	return family(KafkaRefused, "compaction of topics does not exist yet", `
		compactionCqMappedFileSize int 10485760
		compactionMappedFileSize int 104857600
		compactionScheduleInternal int 900000
		compactionThreadNum int 6
		enableCompaction boolean true
		maxOffsetMapSize int 104857600
`)
}

func rocketRepliesKeys() []kafkaKey {
	return family(KafkaRefused, "request and reply is not served yet", `
		forwardTimeout long 3000
		processReplyMessageThreadPoolNums int
		replyThreadPoolQueueCapacity int 10000
		storeReplyMessageEnable boolean true
`)
}

func rocketBatchQueueKeys() []kafkaKey {
	return family(KafkaRefused, "queues of batches (cleanup of 5.x, searchBcq) do not exist: a batch is stored as its messages", `
		enableBatchPush boolean false
		mapperFileSizeBatchConsumeQueue int 13800000
		maxChecksumRange long 1073741824
		searchBcqByCacheEnable boolean true
`)
}

func rocketExportersKeys() []kafkaKey {
	return family(KafkaRefused, "figures are not pushed anywhere: Prometheus reads /metrics on http.listen", `
		enableConnectionMetrics boolean true
		enableLagAndDlqMetrics boolean true
		enableMessageStoreMetrics boolean true
		enableRemotingMetrics boolean true
		enableRequestMetrics boolean true
		enableStatsMetrics boolean true
		metricGrpcExporterIntervalInMills long 60000
		metricGrpcExporterTimeOutInMills long 3000
		metricLoggingExporterIntervalInMills long 10000
		metricsExportBatchMaxDataPoints int 1000
		metricsExporterType string DISABLE
		metricsGrpcExporterHeader string
		metricsGrpcExporterTarget string
		metricsInDelta boolean false
		metricsLabel string
		metricsOtelCardinalityLimit int 50000
		metricsPromExporterHost string
		metricsPromExporterPort int 5557
`)
}

func rocketCopiesKeys() []kafkaKey {
	return family(KafkaRefused, "this node stands alone: it copies to nobody and from nobody", `
		asyncLearner boolean false
		asyncSendEnable boolean true
		brokerElectionPriority int 2147483647
		brokerHeartbeatInterval int 1000
		brokerIP2 string
		brokerNotActiveTimeoutMillis long 10000
		checkSyncStateSetPeriod long 5000
		cleanOfflineBrokerInterval int 30000
		consumerFallbehindThreshold long 17179869184
		controllerAddr string
		controllerHeartBeatTimeoutMills long 10000
		dLegerGroup string
		dLegerPeers string
		dLegerSelfId string
		disableConsumeIfConsumerReadSlowly boolean false
		enableAutoInSyncReplicas boolean false
		enableRemoteEscape boolean false
		enableSlaveActingMaster boolean false
		fetchControllerAddrByDnsLookup boolean false
		haFlowControlEnable boolean false
		haHousekeepingInterval int 20000
		haListenPort int 10912
		haMasterAddress string
		haMaxGapNotInSync int 268435456
		haMaxTimeSlaveNotCatchup long 15000
		haSendHeartbeatInterval int 5000
		haTransferBatchSize int 32768
		inBrokerContainer boolean false
		maxHaTransferByteInSecond long 104857600
		maxSlaveResendLength long 268435456
		offsetCheckInSlave boolean false
		preferredLeaderId string
		replicasPerDiskPartition int 1
		sendHeartbeatTimeoutMillis int 1000
		skipPreOnline boolean false
		slaveReadEnable boolean false
		slaveTimeout int 3000
		storePathBrokerIdentity string
		storePathEpochFile string
		syncBrokerMemberGroupPeriod int 1000
		syncBrokerMetadataPeriod long 5000
		syncControllerMetadataPeriod long 10000
		syncFromLastFile boolean false
		syncMasterFlushOffsetWhenStartup boolean false
`)
}

func rocketEarlyKeys() []kafkaKey {
	return family(KafkaRefused, "messages are taken as soon as the broker is ready, and read as soon as they are as durable as was asked for", `
		readUnCommitted boolean false
		startAcceptSendRequestTimeStamp long 0
`)
}

func rocketStaticKeys() []kafkaKey {
	return family(KafkaRefused, "what a group reads is what its members' heartbeats tell", `
		useStaticSubscription boolean false
`)
}
