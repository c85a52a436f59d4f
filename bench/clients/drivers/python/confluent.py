"""Drives confluent-kafka, and by it librdkafka, as package spec says."""

import time

import confluent_kafka as ck
from confluent_kafka import admin as ca

import spec

LIMIT = 300  # seconds that a command may take
WAIT = 60  # seconds that an administrative call may take
BATCH = 100  # records told of at once


class Failed(Exception):
    """A KafkaError as an exception."""

    def __init__(self, err):
        super().__init__(str(err))
        self.code = err.code()


def unwrap(call):
    """Runs call; a KafkaException becomes one with Kafka's code."""
    try:
        return call()
    except ck.KafkaException as e:
        raise Failed(e.args[0]) from e


def conf(s, **more):
    out = {"bootstrap.servers": s.addr, "client.id": "librdkafka", "topic.metadata.refresh.fast.interval.ms": 50}
    out.update({k.replace("_", "."): v for k, v in more.items()})
    return out


def info(_):
    return {
        "client": "librdkafka",
        "version": "%s (confluent-kafka %s)" % (ck.libversion()[0], ck.version() if isinstance(ck.version(), str) else ck.version()[0]),
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "assignors": ["eager", "cooperative"],
        "static": True,
        "stutters": True,
        "admin": sorted(ADMIN),
    }


class Sender:
    """A producer that counts acknowledgements and keeps the first error."""

    def __init__(self, config):
        self.p, self.acked, self.error = ck.Producer(config), 0, None

    def delivered(self, err, _):
        if err is not None:
            self.error = self.error or err
        else:
            self.acked += 1

    def send(self, s, i):
        p, key, value, headers, at = spec.record(i, s.partitions, s.base)
        while True:
            try:
                self.p.produce(s.topic, value=value, key=key, partition=p, timestamp=at, headers=headers, on_delivery=self.delivered)
                break
            except BufferError:
                self.p.poll(0.1)
        self.p.poll(0)

    def end(self, n, limit):
        left = self.p.flush(limit)
        if self.error is not None:
            raise Failed(self.error)
        if left or self.acked != n:
            raise RuntimeError("%d of %d records were acknowledged" % (self.acked, n))


def produce(s):
    out = Sender(conf(s, compression_type=s.codec, linger_ms=5, acks="all", enable_idempotence=True))
    for i in range(s.__getattr__("from"), s.__getattr__("from") + s.count):
        out.send(s, i)
    out.end(s.count, LIMIT)
    return {"count": s.count}


def stream(s):
    out = Sender(conf(s, compression_type=s.codec, linger_ms=5, enable_idempotence=True, delivery_timeout_ms=LIMIT * 1000))
    pace, n = spec.Pace(s.rate), 0
    while not s.stop.is_set() and out.error is None:
        out.send(s, n)
        n += 1
        if pace.wait():
            s.tell("acked", n=out.acked)
    out.end(n, LIMIT)
    return {"count": n}


def consume(s):
    c = ck.Consumer(conf(s, group_id="unused", enable_auto_commit=False))
    try:
        parts = [ck.TopicPartition(s.topic, p, ck.OFFSET_BEGINNING) for p in range(s.partitions)]
        left = sum(c.get_watermark_offsets(p, timeout=WAIT)[1] for p in parts)
        c.assign(parts)
        sums, until = spec.Summer(s.partitions), time.monotonic() + LIMIT
        while left > 0:
            if time.monotonic() > until:
                raise RuntimeError("%d records did not come" % left)
            for m in c.consume(min(left, 10000), 0.5):
                if m.error():
                    raise Failed(m.error())
                sums.add(m.partition(), m.offset(), m.key(), m.value(), m.headers(), m.timestamp()[1])
                left -= 1
        return {"sums": sums.sums()}
    finally:
        c.close()


def member(s):
    config = conf(
        s, group_id=s.group, enable_auto_commit=False, auto_offset_reset="earliest", session_timeout_ms=s.session,
        heartbeat_interval_ms=1000, fetch_wait_max_ms=250,
        partition_assignment_strategy="cooperative-sticky" if s.assignor == "cooperative" else "range",
    )
    if s.instance:
        config["group.instance.id"] = s.instance
    c = ck.Consumer(config)

    batch, at = {}, {}

    def tell_read():
        """Tells what was read; a change of the assignment must not come before it."""
        n = len(batch)
        for p, r in batch.items():
            s.tell("read", part=p, o=[o for o, _ in r], k=[k for _, k in r])
            at[p] = r[-1][0] + 1
        batch.clear()
        return n

    def change(e):
        def tell(_, parts):
            tell_read()
            for p in parts:
                at.pop(p.partition, None)
            s.tell(e, p={str(p.partition): 0 for p in parts})

        return tell

    c.subscribe([s.topic], on_assign=change("assigned"), on_revoke=change("revoked"), on_lost=change("lost"))
    read = 0
    while not s.stop.is_set():
        m, n = c.poll(0.2), 0
        while m is not None:
            if m.error():
                s.tell("trouble", text=str(m.error()))
            else:
                batch.setdefault(m.partition(), []).append((m.offset(), (m.key() or b"").decode()))
            n += 1
            m = c.poll(0) if n < BATCH else None
        new = tell_read()
        read += new
        if read >= s.every or new == 0:
            read = 0
            commit(s, c, at)
    commit(s, c, at)
    c.close()


def commit(s, c, at):
    """Commits what was read. What is refused is kept: a rebalance is over some day, and perhaps nothing more comes to be read."""
    if not at:
        return
    told = {str(p): o for p, o in at.items()}
    s.tell("commit", p=told)
    try:
        got = c.commit(offsets=[ck.TopicPartition(s.topic, p, o) for p, o in at.items()], asynchronous=False)
        for p in got:
            if p.error:
                raise Failed(p.error)
    except (ck.KafkaException, Failed) as e:
        s.tell("refused", p=told, text=str(e))
        return
    at.clear()
    s.tell("committed", p=told)


def one(futures):
    """The result of the only future."""
    return list(futures.values())[0].result(WAIT)


def node_ids(nodes):
    return [n.id for n in nodes]


def create_topic(a, s):
    new = ca.NewTopic(s.topic, num_partitions=s.partitions, replication_factor=1, config=s.configs)
    one(a.create_topics([new], validate_only=bool(s.validate)))


def list_topics(a, _):
    return {"topics": sorted(a.list_topics(timeout=WAIT).topics)}


def describe_topic(a, s):
    t = one(a.describe_topics(ck.TopicCollection([s.topic])))
    return {"layout": [{"id": p.id, "leader": p.leader.id, "replicas": node_ids(p.replicas), "isr": node_ids(p.isr)} for p in t.partitions]}


def delete_topic(a, s):
    one(a.delete_topics([s.topic]))


def create_partitions(a, s):
    one(a.create_partitions([ca.NewPartitions(s.topic, s.partitions)], validate_only=bool(s.validate)))


def resource(s, **more):
    return ca.ConfigResource(ca.ResourceType.BROKER if s.type == "broker" else ca.ResourceType.TOPIC, s.name, **more)


def describe_configs(a, s):
    got = one(a.describe_configs([resource(s)]))
    mine = {ca.ConfigSource.DYNAMIC_TOPIC_CONFIG.value, ca.ConfigSource.DYNAMIC_BROKER_CONFIG.value}
    return {
        "values": {k: e.value for k, e in got.items() if e.value is not None},
        "changed": [k for k, e in got.items() if e.source in mine],
    }


def incremental_configs(a, s):
    ops = [
        ca.ConfigEntry(o["key"], o.get("value", "") if o["op"] != "delete" else None, incremental_operation=ca.AlterConfigOpType[o["op"].upper()])
        for o in s.ops
    ]
    one(a.incremental_alter_configs([resource(s, incremental_configs=ops)], validate_only=bool(s.validate)))


def alter_configs(a, s):
    one(a.alter_configs([resource(s, set_config=s.configs)], validate_only=bool(s.validate)))


def partitions(s):
    return [ck.TopicPartition(s.topic, int(p), o) for p, o in s.offsets.items()]


def delete_records(a, s):
    got = a.delete_records(partitions(s))
    return {"offsets": {str(p.partition): f.result(WAIT).low_watermark for p, f in got.items()}}


def list_offsets(a, s):
    fixed = {"earliest": ca.OffsetSpec.earliest(), "latest": ca.OffsetSpec.latest(), "max": ca.OffsetSpec.max_timestamp()}
    at = fixed[s.at] if s.at in fixed else ca.OffsetSpec.for_timestamp(int(s.at))
    got = a.list_offsets({ck.TopicPartition(s.topic, p): at for p in range(s.partitions)})
    return {"offsets": {str(p.partition): f.result(WAIT).offset for p, f in got.items()}}


def list_groups(a, _):
    got = a.list_consumer_groups().result(WAIT)
    if got.errors:
        raise got.errors[0]
    return {"groups": sorted(g.group_id for g in got.valid)}


def describe_group(a, s):
    g = one(a.describe_consumer_groups([s.group]))
    members = [
        {
            "client": m.client_id,
            "instance": m.group_instance_id or "",
            "partitions": [p.partition for p in m.assignment.topic_partitions if p.topic == s.topic],
        }
        for m in g.members
    ]
    names = {"STABLE": "Stable", "EMPTY": "Empty", "DEAD": "Dead"}
    return {"state": names.get(g.state.name, g.state.name), "protocol": g.partition_assignor, "members": members}


def delete_group(a, s):
    one(a.delete_consumer_groups([s.group]))


def group_offsets(a, s):
    got = one(a.list_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(s.group)]))
    for p in got.topic_partitions:
        if p.error:
            raise Failed(p.error)
    return {"offsets": {str(p.partition): p.offset for p in got.topic_partitions if p.topic == s.topic}}


def alter_group_offsets(a, s):
    got = one(a.alter_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(s.group, partitions(s))]))
    for p in got.topic_partitions:
        if p.error:
            raise Failed(p.error)


def describe_cluster(a, _):
    c = a.describe_cluster().result(WAIT)
    return {
        "cluster": c.cluster_id,
        "lead": c.controller.id if c.controller else -1,
        "brokers": ["%d@%s:%d" % (n.id, n.host, n.port) for n in c.nodes],
    }


ADMIN = {
    f.__name__: f
    for f in (
        create_topic, list_topics, describe_topic, delete_topic, create_partitions, describe_configs, incremental_configs,
        alter_configs, delete_records, list_offsets, list_groups, describe_group, delete_group, group_offsets,
        alter_group_offsets, describe_cluster,
    )
}


def admin(s):
    op = ADMIN.get(s.op)
    if op is None:
        raise spec.Unsupported()
    return unwrap(lambda: op(ca.AdminClient(conf(s)), s))


spec.serve({"info": info, "produce": produce, "consume": consume, "stream": stream, "group": member, "admin": admin})
