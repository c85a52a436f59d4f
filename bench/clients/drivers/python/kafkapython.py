"""Drives kafka-python as package spec says. Its one argument is the version of Kafka that the client shall speak, as 2.1; without
one it asks the broker."""

import re
import sys
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import OffsetAndMetadata

import spec

LIMIT = 300  # seconds that a command may take
WAIT = 60  # seconds that an administrative call may take


def conf(s, **more):
    out = {"bootstrap_servers": s.addr, "client_id": "kafka-python", "metadata_max_age_ms": 5000}
    if len(sys.argv) > 1:
        out["api_version"] = tuple(int(x) for x in sys.argv[1].split("."))
    out.update(more)
    return out


OLD = kafka.__version__.startswith("2.0.")  # no idempotence, no cooperative groups, no static members, an admin API half as large


def info(_):
    if OLD:
        return {
            "client": "kafka-python", "version": kafka.__version__, "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
            "assignors": ["eager"], "plain": True,
        }
    return {
        "client": "kafka-python",
        "version": kafka.__version__,
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "assignors": ["eager", "cooperative"],
        "static": len(sys.argv) == 1,  # Kafka has static members since 2.3
        "admin": sorted(ADMIN),
    }


class Sender:
    """A producer that counts acknowledgements and keeps the first error."""

    def __init__(self, **config):
        self.p, self.acked, self.error = KafkaProducer(**config), 0, None

    def ok(self, _):
        self.acked += 1

    def bad(self, e):
        self.error = self.error or e

    def send(self, s, i):
        p, key, value, headers, at = spec.record(i, s.partitions, s.base)
        f = self.p.send(s.topic, value=value, key=key, headers=headers, partition=p, timestamp_ms=at)
        f.add_callback(self.ok)
        f.add_errback(self.bad)

    def end(self, n):
        self.p.flush(timeout=LIMIT)
        self.p.close()
        if self.error is not None:
            raise self.error
        if self.acked != n:
            raise RuntimeError("%d of %d records were acknowledged" % (self.acked, n))


def place(offset):
    """An offset to commit."""
    return OffsetAndMetadata(offset, "") if OLD else OffsetAndMetadata(offset, "", -1)


def codec(s):
    return None if s.codec in ("none", 0) else s.codec


def produce(s):
    out = Sender(**conf(s, compression_type=codec(s), acks="all", linger_ms=5, max_block_ms=60000))
    first = s.__getattr__("from")
    for i in range(first, first + s.count):
        out.send(s, i)
    out.end(s.count)
    return {"count": s.count}


def stream(s):
    out = Sender(**conf(
        s, compression_type=codec(s), enable_idempotence=True, linger_ms=5, delivery_timeout_ms=LIMIT * 1000, max_block_ms=60000,
        reconnect_backoff_max_ms=500,
    ))
    pace, n = spec.Pace(s.rate), 0
    while not s.stop.is_set() and out.error is None:
        out.send(s, n)
        n += 1
        if pace.wait():
            s.tell("acked", n=out.acked)
    out.end(n)
    return {"count": n}


def consume(s):
    c = KafkaConsumer(**conf(s, group_id=None, enable_auto_commit=False))
    try:
        parts = [TopicPartition(s.topic, p) for p in range(s.partitions)]
        c.assign(parts)
        left = sum(c.end_offsets(parts).values())
        c.seek_to_beginning(*parts)
        sums, until = spec.Summer(s.partitions), time.monotonic() + LIMIT
        while left > 0:
            if time.monotonic() > until:
                raise RuntimeError("%d records did not come" % left)
            for tp, rs in c.poll(timeout_ms=1000, max_records=5000).items():
                for r in rs:
                    sums.add(tp.partition, r.offset, r.key, r.value, r.headers, r.timestamp)
                left -= len(rs)
        return {"sums": sums.sums()}
    finally:
        c.close()


class Listener(kafka.ConsumerRebalanceListener):
    def __init__(self, s):
        self.s = s

    def tell(self, e, parts):
        self.s.tell(e, p={str(p.partition): 0 for p in parts})

    def on_partitions_assigned(self, assigned):
        self.tell("assigned", assigned)

    def on_partitions_revoked(self, revoked):
        self.tell("revoked", revoked)

    def on_partitions_lost(self, lost):
        self.tell("lost", lost)


def assignor(s):
    if s.assignor == "cooperative":
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

        return CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    return RangePartitionAssignor


def member(s):
    more = {"group_instance_id": s.instance} if s.instance else {}
    c = KafkaConsumer(**conf(
        s, group_id=s.group, enable_auto_commit=False, auto_offset_reset="earliest", session_timeout_ms=s.session,
        heartbeat_interval_ms=1000, fetch_max_wait_ms=250, partition_assignment_strategy=[assignor(s)], **more,
    ))
    c.subscribe([s.topic], listener=Listener(s))
    read, at = 0, {}
    while not s.stop.is_set():
        got = c.poll(timeout_ms=200, max_records=200)
        for tp, rs in got.items():
            s.tell("read", part=tp.partition, o=[r.offset for r in rs], k=[(r.key or b"").decode() for r in rs])
            at[tp] = rs[-1].offset + 1
            read += 1
        if read >= s.every or not got:
            read = 0
            commit(s, c, at)
    commit(s, c, at)
    c.close(autocommit=False)  # what was read is committed already


def commit(s, c, at):
    """Commits what was read, where the client would go on from there: it may have lost a partition, and begin anew when it is back.

    What is refused is kept: a rebalance is over some day, and perhaps nothing more comes to be read.
    """
    mine = c.assignment()
    for tp, o in list(at.items()):
        if tp not in mine or c.position(tp) != o:
            del at[tp]
    if not at:
        return
    told = {str(tp.partition): o for tp, o in at.items()}
    s.tell("commit", p=told)
    try:
        c.commit({tp: place(o) for tp, o in at.items()})
    except errors.KafkaError as e:
        s.tell("refused", p=told, text="%s: %s" % (type(e).__name__, e))
        return
    at.clear()
    s.tell("committed", p=told)


def check(code, what):
    """Raises what the broker answered."""
    if code:
        raise spec.Coded(code, "%s: %s" % (what, errors.for_code(code).__name__))


def said(text):
    """Raises what the client put into words."""
    if text in ("OK", None):
        return
    found = re.search(r"\[Error (\d+)\]", text)
    if found:
        raise spec.Coded(int(found.group(1)), text)
    kind = getattr(errors, text.split(":")[0], None)
    raise spec.Coded(getattr(kind, "errno", spec.UNKNOWN), text)


def create_topic(a, s):
    a.create_topics({s.topic: {"num_partitions": s.partitions, "replication_factor": 1, "configs": s.configs}}, validate_only=bool(s.validate))


def list_topics(a, _):
    return {"topics": a.list_topics()}


def describe_topic(a, s):
    (t,) = a.describe_topics([s.topic])
    check(t["error_code"], s.topic)
    layout = [
        {"id": p["partition_index"], "leader": p["leader_id"], "replicas": list(p["replica_nodes"]), "isr": list(p["isr_nodes"])}
        for p in t["partitions"]
    ]
    return {"layout": sorted(layout, key=lambda p: p["id"])}


def describe_topic_partitions(a, s):
    got = a.describe_topic_partitions([s.topic])
    (t,) = got["topics"] if isinstance(got, dict) else got
    check(t["error_code"], s.topic)
    layout = [
        {"id": p["partition_index"], "leader": p["leader_id"], "replicas": list(p["replica_nodes"]), "isr": list(p["isr_nodes"])}
        for p in t["partitions"]
    ]
    return {"layout": sorted(layout, key=lambda p: p["id"])}


def delete_topic(a, s):
    a.delete_topics([s.topic])


def create_partitions(a, s):
    a.create_partitions({s.topic: s.partitions}, validate_only=bool(s.validate))


def resource(s, configs=None):
    return ConfigResource(ConfigResourceType.BROKER if s.type == "broker" else ConfigResourceType.TOPIC, s.name, configs)


def describe_configs(a, s):
    got = a.describe_configs([resource(s)], config_filter="all")
    (per,) = got.values()
    (configs,) = per.values()
    if not configs:
        raise spec.Unsupported("the client passes over the error in the answer")
    mine = ("DYNAMIC_TOPIC_CONFIG", "DYNAMIC_BROKER_CONFIG")
    return {
        "values": {k: c["value"] for k, c in configs.items() if c.get("value") is not None},
        "changed": [k for k, c in configs.items() if str(c.get("config_source")).split(".")[-1] in mine],
    }


def altered(got):
    for per in got.values():
        for text in per.values():
            said(text)


def incremental_configs(a, s):
    configs = {o["key"]: (o["op"].upper(), o.get("value")) for o in s.ops}
    altered(a.alter_configs([resource(s, configs)], validate_only=bool(s.validate), raise_on_unknown=False, incremental=True))


def alter_configs(a, s):
    altered(a.alter_configs([resource(s, dict(s.configs))], validate_only=bool(s.validate), raise_on_unknown=False, incremental=False))


def partitions(s):
    return {TopicPartition(s.topic, int(p)): o for p, o in s.offsets.items()}


def delete_records(a, s):
    got = a.delete_records(partitions(s))
    return {"offsets": {str(tp.partition): r["low_watermark"] for tp, r in got.items()}}


def list_offsets(a, s):
    at = {"earliest": -2, "latest": -1, "max": -3}.get(s.at)
    if at is None:
        at = int(s.at)
    got = a.list_partition_offsets({TopicPartition(s.topic, p): at for p in range(s.partitions)})
    return {"offsets": {str(tp.partition): o.offset for tp, o in got.items()}}


def list_groups(a, _):
    return {"groups": sorted(g["group_id"] for g in a.list_groups())}


def describe_group(a, s):
    g = a.describe_groups([s.group])[s.group]
    said(g["error"])
    members = []
    for m in g["members"]:
        assigned = m["member_assignment"]
        topics = assigned.get("assigned_partitions", []) if isinstance(assigned, dict) else []
        members.append({
            "client": m["client_id"],
            "instance": m.get("group_instance_id") or "",
            "partitions": [p for t in topics if t["topic"] == s.topic for p in t["partitions"]],
        })
    return {"state": g["group_state"], "protocol": g["protocol_data"], "members": members}


def delete_group(a, s):
    said(a.delete_groups([s.group])[s.group])


def group_offsets(a, s):
    got = a.list_group_offsets(s.group)[s.group]
    return {"offsets": {str(tp.partition): o.offset for tp, o in got.items() if tp.topic == s.topic}}


def raise_kind(got):
    for kind in got.values():
        if kind is not None and getattr(kind, "errno", 0):
            raise kind()


def alter_group_offsets(a, s):
    raise_kind(a.alter_group_offsets(s.group, {tp: place(o) for tp, o in partitions(s).items()}))


def delete_group_offsets(a, s):
    raise_kind(a.delete_group_offsets(s.group, list(partitions(s))))


def describe_cluster(a, _):
    c = a.describe_cluster()
    return {
        "cluster": c["cluster_id"],
        "lead": c["controller_id"],
        "brokers": ["%d@%s:%d" % (b.get("node_id", b.get("broker_id")), b["host"], b["port"]) for b in c["brokers"]],
    }


def log_dirs(a, s):
    sizes = {}
    for b in a.describe_log_dirs():
        for d in b["log_dirs"]:
            check(d["error_code"], d["log_dir"])
            for t in d["topics"]:
                if t["name"] == s.topic:
                    sizes.update({str(p["partition_index"]): p["partition_size"] for p in t["partitions"]})
    return {"offsets": sizes}


def describe_producers(a, s):
    got = a.describe_producers([TopicPartition(s.topic, p) for p in range(s.partitions)])
    return {"ids": [p.producer_id for state in got.values() for p in state.active_producers]}


ADMIN = {
    f.__name__: f
    for f in (
        create_topic, list_topics, describe_topic, describe_topic_partitions, delete_topic, create_partitions, describe_configs,
        incremental_configs, alter_configs, delete_records, list_offsets, list_groups, describe_group, delete_group,
        group_offsets, alter_group_offsets, delete_group_offsets, describe_cluster, log_dirs, describe_producers,
    )
}


def admin(s):
    op = ADMIN.get(s.op)
    if op is None:
        raise spec.Unsupported()
    a = KafkaAdminClient(**conf(s, request_timeout_ms=WAIT * 1000))
    try:
        return op(a, s)
    finally:
        a.close()


spec.serve({"info": info, "produce": produce, "consume": consume, "stream": stream, "group": member, "admin": admin})
