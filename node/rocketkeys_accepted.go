package node

func rocketRocksKeys() []kafkaKey {
	return family(KafkaAccepted, "there is no RocksDB: metadata lies in an embedded store, queues in files of their own", `
		bottomMostCompressionTypeForConsumeQueueStore string zstd
		cleanRocksDBDirtyCQIntervalMin long 60
		combineAssignOffsetCQType string default
		combineCQEnableCheckSelf boolean false
		combineCQLoadingCQTypes string
		combineCQMaxExtraSearchCommitLogFiles int 3
		combineCQPreferCQType string default
		configManagerVersion string v1
		enableRocksDBLog boolean false
		indexRocksDBEnable boolean false
		iteratorWhenUseRocksdbConsumeQueue boolean true
		maxRocksDBIndexQueryDays int 7
		memTableFlushIntervalMs long 3600000
		persistConsumerOffsetIncrementally boolean false
		realTimePersistRocksDBConfig boolean true
		rocksdbCQDoubleWriteEnable boolean false
		rocksdbCompressionType string lz4
		rocksdbFlushWalFrequency int 1024
		rocksdbWalFileRollingThreshold long 1073741824
		statRocksDBCQIntervalSec long 10
		useSeparateStorePathForRocksdbCQ boolean false
		useSingleRocksDBForAllConfigs boolean false
`)
}

func rocketNamesKeys() []kafkaKey {
	return family(KafkaAccepted, "this node is its own name server, and its metadata needs no registering", `
		compatibleWithOldNameSrv boolean true
		compressedRegister boolean false
		enableRegisterProducer boolean true
		enableSingleTopicRegister boolean false
		enableSplitMetadata boolean true
		enableSplitRegistration boolean false
		fetchNameSrvAddrByDnsLookup boolean false
		fetchNamesrvAddrByAddressServer boolean false
		fetchNamesrvAddrInterval long 10000
		forceRegister boolean true
		loadBalancePollNameServerInterval long 30000
		registerBrokerTimeoutMills int 24000
		registerNameServerPeriod int 30000
		scanAvailableNameSrv boolean true
		splitMetadataSize int 2000
		splitRegistrationSize int 800
		updateNameServerAddrPeriod int 120000
`)
}

func rocketPoolsKeys() []kafkaKey {
	return family(KafkaAccepted, "there are no pools of threads, and no queues before them: a connection's requests are served as they come", `
		adminBrokerThreadPoolNums int
		adminBrokerThreadPoolQueueCapacity int 10000
		batchDispatchRequestThreadPoolNums int
		clientAsyncSemaphoreValue int 65535
		clientCallbackExecutorThreads int 2
		clientManageThreadPoolNums int
		clientManagerThreadPoolQueueCapacity int 1000000
		clientOnewaySemaphoreValue int 65535
		clientWorkerThreads int
		consumerManageThreadPoolNums int
		consumerManagerThreadPoolQueueCapacity int 1000000
		disableCallbackExecutor boolean false
		dispatchCqThreads int 10
		dispatchFromSenderThread boolean false
		enableNetWorkFlowControl boolean false
		heartbeatThreadPoolNums int
		heartbeatThreadPoolQueueCapacity int 50000
		litePullMessageEnable boolean true
		litePullMessageThreadPoolNums int
		litePullThreadPoolQueueCapacity int 100000
		maxAsyncPutMessageRequests int 5000
		pullMessageThreadPoolNums int
		pullThreadPoolQueueCapacity int 100000
		putMessageFutureThreadPoolNums int
		putThreadPoolQueueCapacity int 10000
		queryMessageThreadPoolNums int
		queryThreadPoolQueueCapacity int 20000
		recoverThreadPoolNums int
		sendMessageThreadPoolNums int
		sendThreadPoolQueueCapacity int 10000
		serverAsyncSemaphoreValue int 64
		serverCallbackExecutorThreads int 0
		serverNettyWorkerGroupEnable boolean true
		serverOnewaySemaphoreValue int 256
		serverSelectorThreads int 3
		serverWorkerThreads int
		waitTimeMillsInAdminBrokerQueue long 5000
		waitTimeMillsInHeartbeatQueue long 31000
		waitTimeMillsInLitePullQueue long 5000
		waitTimeMillsInPullQueue long 5000
`)
}

func rocketSocketsKeys() []kafkaKey {
	return family(KafkaAccepted, "sockets are driven by Go's runtime, and timeout.idle, timeout.frame and timeout.write bound what peers may do", `
		channelNotActiveInterval long 60000
		clientChannelMaxIdleTimeSeconds int 120
		clientCloseSocketIfTimeout boolean true
		clientPooledByteBufAllocatorEnable boolean false
		clientSocketRcvBufSize int 0
		clientSocketSndBufSize int 0
		connectTimeoutMillis int 3000
		disableNettyWorkerGroup boolean false
		enableFastChannelEventProcess boolean false
		enableReconnectForGoAway boolean true
		enableShutdownGracefully boolean false
		maxReconnectIntervalTimeSeconds long 60
		serverChannelMaxIdleTimeSeconds int 120
		serverPooledByteBufAllocatorEnable boolean true
		serverSocketBacklog int 1024
		serverSocketRcvBufSize int 0
		serverSocketSndBufSize int 0
		sharedByteBufferNum int 16
		shutdownWaitTimeSeconds int 30
		socksProxyConfig string
		useEpollNativeSelector boolean false
		useTLS boolean false
		writeBufferHighWaterMark int 0
		writeBufferLowWaterMark int 0
`)
}

func rocketFlushingKeys() []kafkaKey {
	return family(KafkaAccepted, "what acknowledgements wait for is flushDiskType and the request; the rest reaches the disk by checkpoint.interval, and group commit needs no tuning", `
		commitCommitLogLeastPages int 4
		commitCommitLogThoroughInterval int 200
		commitIntervalCommitLog int 200
		enableRunningFlagsInFlush boolean false
		flushCommitLogLeastPages int 4
		flushCommitLogThoroughInterval int 10000
		flushCommitLogTimed boolean true
		flushConsumeQueueLeastPages int 2
		flushConsumeQueueThoroughInterval int 60000
		flushConsumerOffsetHistoryInterval int 60000
		flushConsumerOffsetInterval int 5000
		flushDelayOffsetInterval long 10000
		flushIntervalConsumeQueue int 1000
		flushLeastPagesWhenWarmMapedFile int 4096
		putMessageTimeout int 8000
		syncFlushTimeout int 5000
		wakeCommitWhenPutMessage boolean true
		wakeFlushWhenPutMessage boolean false
`)
}

func rocketMappedKeys() []kafkaKey {
	return family(KafkaAccepted, "logs are written by system calls and read by sendfile: there are no mapped files, no pool of buffers, and the page cache is the kernel's", `
		accessMessageInMemoryHotRatio int 26
		accessMessageInMemoryMaxRatio int 40
		cleanSwapedMapInterval long 300000
		commitLogForceSwapMapInterval long 43200000
		commitLogSwapMapInterval long 3600000
		commitLogSwapMapReserveFileNum int 100
		dataReadAheadEnable boolean true
		debugLockEnable boolean false
		destroyMapedFileIntervalForcibly int 120000
		fastFailIfNoBufferInStorePool boolean false
		logicQueueForceSwapMapInterval long 43200000
		logicQueueSwapMapInterval long 3600000
		logicQueueSwapMapReserveFileNum int 20
		mappedFileSwapEnable boolean true
		osPageCacheBusyTimeOutMills long 1000
		putConsumeQueueDataByFileChannel boolean true
		spinLockCollisionRetreatOptimalDegree int 1000
		topicQueueLockNum int 32
		transferMsgByHeap boolean true
		transientStorePoolEnable boolean false
		transientStorePoolSize int 5
		useABSLock boolean false
		useReentrantLockWhenPutMessage boolean true
		writeWithoutMmap boolean false
`)
}

func rocketColdKeys() []kafkaKey {
	return family(KafkaAccepted, "reading old data does not slow writers down: it is sent from the page cache or read ahead by the kernel", `
		cgColdReadThreshold long 3145728
		coldCtrStrategyEnable boolean false
		coldDataFlowControlEnable boolean false
		coldDataScanEnable boolean false
		globalColdReadThreshold long 104857600
		usePIDColdCtrStrategy boolean true
`)
}

func rocketDispatchKeys() []kafkaKey {
	return family(KafkaAccepted, "queues and indexes are written within the append, and not by a thread behind it", `
		checkCRCOnRecover boolean true
		checkCommitLogOffsetOnRecover boolean false
		commitLogRecoverMaxNum int 10
		dispatchCqCacheNum int 4096
		enableAcceleratedRecovery boolean false
		enableAsyncReput boolean true
		enableBuildConsumeQueueConcurrently boolean false
		enableLogConsumeQueueRepeatedlyBuildWhenRecover boolean false
		indexFileReadEnable boolean true
		indexFileWriteEnable boolean true
		maxBatchDeleteFilesNum int 50
		maxRecoveryCommitlogFiles int 30
		messageIndexSafe boolean false
		putMsgIndexHightWater int 600000
		recheckReputOffsetFromCq boolean false
		recoverConcurrently boolean false
`)
}

func rocketDeletionKeys() []kafkaKey {
	return family(KafkaAccepted, "old files go by retention.interval, a whole file at a time", `
		autoDeleteUnusedStats boolean true
		cleanResourceInterval int 10000
		clearRetryTopicWhenDeleteTopic boolean true
		correctLogicMinOffsetForceInterval int 300000
		correctLogicMinOffsetSleepInterval int 1
		deleteCommitLogFilesInterval int 100
		deleteConsumeQueueFilesInterval int 100
		deleteFileBatchMax int 10
		disappearTimeAfterStart int -1
		diskFallRecorded boolean true
		enableCleanExpiredOffset boolean false
		logicalDiskSpaceCleanForciblyThreshold double 0.8
		redeleteHangedFileInterval int 120000
`)
}

func rocketLimitsKeys() []kafkaKey {
	return family(KafkaAccepted, "one limit, rocket.pull.max.bytes and rocket.pull.max.count, holds wherever the messages lie", `
		defaultQueryMaxNum int 32
		maxConsumeQueueScan int 20000
		maxMsgsNumBatch int 64
		maxStatsIdleTimeInMinutes int -1
		maxTransferBytesOnMessageInDisk int 65536
		maxTransferCountOnMessageInDisk int 8
		pullBatchMaxMessageCount int 160
		travelCqFileNumWhenGetMessage int 1
`)
}

func rocketFiguresKeys() []kafkaKey {
	return family(KafkaAccepted, "figures are counted always and cost nothing worth tuning", `
		accountStatsEnable boolean true
		accountStatsPrintZeroValues boolean true
		commercialBaseCount int 1
		commercialSizePerMsg int 4096
		enableDetailStat boolean true
		enableScheduleMessageStats boolean true
		estimateAccumulation boolean true
		isolateLogEnable boolean false
		msgTraceTopicName string RMQ_SYS_TRACE_TOPIC
		printChannelGroups boolean false
		printChannelGroupsMinNum int 5
		regionId string DefaultRegion
		sampleCountThreshold int 5000
		sampleSteps int 32
		traceOn boolean true
`)
}

func rocketOffsetsKeys() []kafkaKey {
	return family(KafkaAccepted, "offsets are committed to a journal as they come, and are never behind by an interval", `
		broadcastOffsetExpireMaxSecond long 300
		broadcastOffsetExpireSecond long 120
		consumerOffsetUpdateVersionStep long 500
		delayOffsetUpdateVersionStep long 200
		enableBroadcastOffsetStore boolean true
		useServerSideResetOffset boolean true
`)
}

func rocketPollsKeys() []kafkaKey {
	return family(KafkaAccepted, "a pull that waits is woken by the message that it waits for", `
		realTimeNotifyConsumerChange boolean true
		shortPollingTimeMills long 1000
		subscriptionExpiredTimeout long 600000
`)
}

func rocketFormsKeys() []kafkaKey {
	return family(KafkaAccepted, "a message is stored in the form that its topic's name needs, and a topic takes every type of message that is served", `
		autoMessageVersionOnTopicLen boolean true
		enableMixedMessageType boolean false
`)
}

func rocketFilesKeys() []kafkaKey {
	return family(KafkaAccepted, "it names files of RocketMQ's own", `
		brokerConfigPath string
		configBlackList string
		rocketmqHome string
`)
}

func rocketOwnTopicKeys() []kafkaKey {
	return family(KafkaAccepted, "topics and groups of the broker's own are made when somebody needs them", `
		brokerTopicEnable boolean true
		clusterTopicEnable boolean true
		enableCreateSysGroup boolean true
`)
}

func rocketDeliveryKeys() []kafkaKey {
	return family(KafkaAccepted, "delayed messages are always delivered many at a time", `
		enableScheduleAsyncDeliver boolean false
		scheduleAsyncDeliverMaxPendingLimit int 2000
		scheduleAsyncDeliverMaxResendNum2Blocked int 3
`)
}
