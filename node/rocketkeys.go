package node

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// RocketKeys lists every configuration that a broker of RocketMQ 5.5.0 reads from broker.conf (BrokerConfig, MessageStoreConfig, NettyServerConfig,
// NettyClientConfig, AuthConfig), by name. The slice is the caller's.
func RocketKeys() []KafkaKey {
	var out []KafkaKey
	for _, k := range rocketTable() {
		out = append(out, k.KafkaKey)
	}
	return out
}

// rocketTable is sorted by name. It is built once.
var rocketTable = sync.OnceValue(func() []kafkaKey {
	list := slices.Concat(rocketPlaceKeys(), rocketStoreKeys(), rocketPromiseKeys(), rocketOtherKeys(),
		rocketAuthKeys(), rocketTransactionsKeys(), rocketTimerKeys(), rocketPopKeys(), rocketLiteKeys(), rocketFilterKeys(), rocketCompactionKeys(),
		rocketRepliesKeys(), rocketBatchQueueKeys(), rocketExportersKeys(), rocketCopiesKeys(), rocketEarlyKeys(), rocketStaticKeys(),
		rocketRocksKeys(), rocketNamesKeys(), rocketPoolsKeys(), rocketSocketsKeys(), rocketFlushingKeys(), rocketMappedKeys(), rocketColdKeys(),
		rocketDispatchKeys(), rocketDeletionKeys(), rocketLimitsKeys(), rocketFiguresKeys(), rocketOffsetsKeys(), rocketPollsKeys(),
		rocketFormsKeys(), rocketFilesKeys(), rocketOwnTopicKeys(), rocketDeliveryKeys())
	slices.SortFunc(list, func(a, b kafkaKey) int { return strings.Compare(a.Name, b.Name) })
	return list
})

// rocketDialect is broker.conf.
var rocketDialect = dialect{name: "rocket", system: "RocketMQ", version: "5.5", table: func() []kafkaKey { return rocketTable() },
	stranger: func(im *importer, p property) bool {
		for _, prefix := range []string{"tls.", "rocketmq.", "com.rocketmq."} {
			if strings.HasPrefix(p.key, prefix) {
				im.note(p, KafkaRefused, "RocketMQ reads it from the system's properties and not from this file; nothing is encrypted yet")
				return true
			}
		}
		return false
	}}

// rocketPlaceKeys say who and where the broker is.
func rocketPlaceKeys() []kafkaKey {
	return []kafkaKey{
		row("brokerClusterName", "string", "DefaultCluster", "rocket.cluster", to("rocket.cluster", same), ""),
		row("brokerName", "string", "", "rocket.broker.name", to("rocket.broker.name", same), ""),
		row("brokerId", "long", "0", "", stopsUnless("0", "0 is a master, and this node copies from nobody. Set 0 to accept that"), "0 is a master; more is a slave and stops the start"),
		row("listenPort", "int", "10911", "rocket.listen", takeRocketListen, "on bindAddress, else on brokerIP1, else on this machine alone"),
		row("bindAddress", "string", "0.0.0.0", "rocket.listen", unless(takeRocketListen, "listenPort"), "with listenPort, 10911 where it is left out"),
		row("brokerIP1", "string", "", "rocket.advertise", to("rocket.advertise", same), ""),
		row("namesrvAddr", "string", "", "rocket.namesrv.listen", takeNameServer,
			"this node is its own name server: one address on the broker's host, or on this machine, is where it listens; others are left out, and nothing is registered there"),
		row("autoCreateTopicEnable", "boolean", "true", "rocket.auto.create", to("rocket.auto.create", same), ""),
		row("defaultTopicQueueNums", "int", "8", "rocket.default.queues", to("rocket.default.queues", same), ""),
		row("channelExpiredTimeout", "long", "120000", "rocket.client.expiry", to("rocket.client.expiry", millis), ""),
		row("maxMessageSize", "int", "4194304", "rocket.message.max", to("rocket.message.max", same), ""),
		row("maxTransferBytesOnMessageInMemory", "int", "262144", "rocket.pull.max.bytes", to("rocket.pull.max.bytes", same), "wherever the messages lie"),
		row("maxTransferCountOnMessageInMemory", "int", "32", "rocket.pull.max.count", to("rocket.pull.max.count", same), "wherever the messages lie"),
		row("messageDelayLevel", "string", defaultLevels, "rocket.delay.levels", to("rocket.delay.levels", same), ""),
	}
}

// rocketStoreKeys say where and how messages are stored.
func rocketStoreKeys() []kafkaKey {
	return []kafkaKey{
		row("storePathRootDir", "string", "", "data", to("data", same), "files of RocketMQ's in it are left alone and not read"),
		row("mappedFileSizeCommitLog", "int", "1073741824", "commit.file.bytes", to("commit.file.bytes", same), "of the log that partitions share, for files made from now on"),
		row("flushDiskType", "string", "ASYNC_FLUSH", "penstock.durability", takeFlush, "of every topic that does not say otherwise: SYNC_FLUSH is fsync, ASYNC_FLUSH relaxed"),
		row("fileReservedTime", "int", "72", "log.retention.ms", to("log.retention.ms", forEver(3_600_000)), "hours, of every topic that does not say otherwise"),
		row("deleteWhen", "string", "04", "commit.delete.hours", to("commit.delete.hours", same), "of the log that partitions share"),
		row("diskMaxUsedSpaceRatio", "int", "75", "commit.disk.clean", to("commit.disk.clean", same), "of the log that partitions share"),
		row("diskSpaceCleanForciblyRatio", "int", "85", "commit.disk.force", unlessFalse("cleanFileForciblyEnable", to("commit.disk.force", same)),
			"of the log that partitions share; where it is left out nothing is deleted that is to be kept"),
		row("diskSpaceWarningLevelRatio", "int", "90", "commit.disk.refuse", to("commit.disk.refuse", same),
			"of the log that partitions share; where it is left out only a full disk refuses"),
		row("cleanFileForciblyEnable", "boolean", "true", "", nothing("read with diskSpaceCleanForciblyRatio"), "false sets nothing of diskSpaceCleanForciblyRatio"),
		row("warmMapedFileEnable", "boolean", "false", "commit.warm", to("commit.warm", same), "of the log that partitions share"),
		row("messageIndexEnable", "boolean", "true", "rocket.index", to("rocket.index", same), ""),
		row("maxHashSlotNum", "int", "5000000", "rocket.index.slots", to("rocket.index.slots", same), "of files made from now on"),
		row("maxIndexNum", "int", "20000000", "rocket.index.entries", to("rocket.index.entries", same), "of files made from now on"),
	}
}

// rocketPromiseKeys are those whose value may promise what is not kept. Such a value stops the start.
func rocketPromiseKeys() []kafkaKey {
	refused := func(name, kind, def, why string, take func(*importer, string) (taken, error)) kafkaKey {
		return kafkaKey{KafkaKey{Name: name, Type: kind, Default: def, Status: KafkaRefused, Why: why}, take}
	}
	const open = "nobody would be kept from anything. Set it to false to accept that"
	const one = "this node stands alone and keeps one copy. Set %s to accept that"
	copies := fmt.Sprintf(one, "1")
	const openWhy = "there is neither authentication nor authorisation yet: everybody may do everything. true stops the start"
	const copiesWhy = "there is one copy of everything; more stops the start"
	return []kafkaKey{
		refused("aclEnable", "boolean", "false", openWhy, stopsAt("true", open)),
		refused("authenticationEnabled", "boolean", "false", openWhy, stopsAt("true", open)),
		refused("authorizationEnabled", "boolean", "false", openWhy, stopsAt("true", open)),
		refused("migrateAuthFromV1Enabled", "boolean", "false", "there is nothing to migrate to", nil),
		refused("brokerRole", "string", "ASYNC_MASTER", "a master of no slaves is served; SYNC_MASTER promises a second copy and SLAVE keeps one, and both stop the start",
			stopsUnless("ASYNC_MASTER", fmt.Sprintf(one, "ASYNC_MASTER"))),
		refused("inSyncReplicas", "int", "1", copiesWhy, stopsUnless("1", copies)),
		refused("minInSyncReplicas", "int", "1", copiesWhy, stopsUnless("1", copies)),
		refused("totalReplicas", "int", "1", copiesWhy, stopsUnless("1", copies)),
		refused("allAckInSyncStateSet", "boolean", "false", copiesWhy, stopsAt("true", fmt.Sprintf(one, "false"))),
		refused("duplicationEnable", "boolean", "false", copiesWhy, stopsAt("true", fmt.Sprintf(one, "false"))),
		refused("enableDLegerCommitLog", "boolean", "false", copiesWhy, stopsAt("true", fmt.Sprintf(one, "false"))),
		refused("enableControllerMode", "boolean", "false", copiesWhy, stopsAt("true", fmt.Sprintf(one, "false"))),
		refused("messageStorePlugIn", "string", "", "classes of Java cannot be loaded here. A class stops the start", stops("the store would not be the one asked for. Take it out to accept that")),
	}
}

// rocketOtherKeys have reasons of their own.
func rocketOtherKeys() []kafkaKey {
	one := func(status KafkaStatus, line, why string) kafkaKey { return family(status, why, line)[0] }
	return []kafkaKey{
		one(KafkaRefused, "brokerPermission int 6", "rights are a topic's: set rocketmq.perm on each"),
		one(KafkaRefused, "storePathCommitLog string", "everything lies in the data directory, which storePathRootDir names"),
		one(KafkaRefused, "storePathDLedgerCommitLog string", "everything lies in the data directory, which storePathRootDir names"),
		one(KafkaRefused, "readOnlyCommitLogStorePaths string", "everything lies in the data directory, which storePathRootDir names"),
		one(KafkaRefused, "storeType string default", "queues are files, as with default"),
		one(KafkaRefused, "mappedFileSizeConsumeQueue int 6000000", "a file of a queue has 300,000 entries, which is RocketMQ's default"),
		one(KafkaRefused, "maxTopicLength int 127", "names have 127 characters at most, those of a group's own topics 255"),
		one(KafkaRefused, "autoCreateSubscriptionGroup boolean true", "a group needs no creation: without a configuration of its own the defaults count"),
		one(KafkaRefused, "longPollingEnable boolean true", "a client that asks to wait waits"),
		one(KafkaRefused, "rejectPullConsumerEnable boolean false", "pull and push consumers pull alike"),
		one(KafkaRefused, "traceTopicEnable boolean false", "there is no topic for traces by itself: it is made when a client sends to it"),
		one(KafkaAccepted, "flushIntervalCommitLog int 500", "what nobody waits for reaches the disk by checkpoint.interval, or by flush.ms of the topics"),
		one(KafkaAccepted, "notifyConsumerIdsChangedEnable boolean true", "it is a group's, and members are told of changes"),
		one(KafkaAccepted, "validateSystemTopicWhenUpdateTopic boolean true", "topics of the broker's own are guarded always"),
		one(KafkaAccepted, "enabledAppendPropCRC boolean false", "every message is stored with its checksum"),
		one(KafkaAccepted, "forceVerifyPropCRC boolean false", "every message is stored with its checksum, which recovery looks at"),
		one(KafkaAccepted, "lockInStrictMode boolean false", "queues are locked strictly: a lock is given up or runs out before another gets it"),
		one(KafkaAccepted, "highSpeedMode boolean false", "RocketMQ 5.5 does not read it either"),
		one(KafkaAccepted, "waitTimeMillsInSendQueue long 200", "there is no queue before the log"),
		one(KafkaAccepted, "brokerFastFailureEnable boolean true", "there is no queue before the log that could be long"),
	}
}

// unlessFalse does nothing if the file turns it off by another key.
func unlessFalse(key string, take func(*importer, string) (taken, error)) func(*importer, string) (taken, error) {
	return func(im *importer, v string) (taken, error) {
		if strings.EqualFold(im.get(key), "false") {
			return taken{why: "not used: " + key + " is false"}, nil
		}
		return take(im, v)
	}
}

// stopsUnless refuses every value but one.
func stopsUnless(value, why string) func(*importer, string) (taken, error) {
	return func(_ *importer, v string) (taken, error) {
		if v != value {
			return taken{}, errors.New(why)
		}
		return taken{}, nil
	}
}

// rocketHost is where the file wants the broker to listen.
func (im *importer) rocketHost() string {
	for _, key := range []string{"bindAddress", "brokerIP1"} {
		if h := im.get(key); h != "" {
			return h
		}
	}
	return "127.0.0.1"
}

func takeRocketListen(im *importer, _ string) (taken, error) {
	port := im.get("listenPort")
	if port == "" {
		port = "10911"
	}
	return taken{"rocket.listen", net.JoinHostPort(im.rocketHost(), port), ""}, nil
}

// takeNameServer takes an address that is this machine's for where the name server listens.
func takeNameServer(im *importer, v string) (taken, error) {
	addrs := strings.FieldsFunc(v, func(r rune) bool { return r == ';' || r == ',' })
	for _, a := range addrs {
		a = strings.TrimPrefix(strings.TrimSpace(a), "http://")
		host, port, err := splitAddress(a)
		if err != nil {
			return taken{}, errors.New("want host:port, several of them separated by semicolons")
		}
		if loopback(host) || host == im.rocketHost() || host == im.get("brokerIP1") {
			return taken{"rocket.namesrv.listen", net.JoinHostPort(host, strconv.Itoa(port)), ""}, nil
		}
	}
	return taken{why: "not used: this node is its own name server, at rocket.namesrv.listen, and registers nowhere"}, nil
}

func takeFlush(_ *importer, v string) (taken, error) {
	switch v {
	case "SYNC_FLUSH":
		return taken{"penstock.durability", "fsync", ""}, nil
	case "ASYNC_FLUSH":
		return taken{"penstock.durability", "relaxed", ""}, nil
	}
	return taken{}, errors.New("want SYNC_FLUSH or ASYNC_FLUSH")
}
