// Drives kafkajs as package spec says. Its modules are found through NODE_PATH.
'use strict'

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

const { Kafka, CompressionTypes, CompressionCodecs, AssignerProtocol, ConfigResourceTypes, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4js')
const zstd = require('@bokuweb/zstd-wasm')
const { record, Summer, Unsupported, serve } = require('./spec')

const CHUNK = 1000 // records in one call of send
const { MemberMetadata, MemberAssignment } = AssignerProtocol

// kafkajs brings gzip; the others are its plug-ins, which are functions of this shape.
const plugin = (compress, decompress) => () => ({
  compress: async encoder => Buffer.from(compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(decompress(buffer)),
})
// independent says in the frame's header that its blocks do not depend on each other, as is true of the one block that it has: the Java
// client reads no other frames. The last byte is the header's check sum.
function independent(buffer) {
  const frame = lz4.compress(buffer)
  if (buffer.length > 4 << 20 || frame[4] !== 0x40 || frame[5] !== 0x70) throw new Error('an lz4 frame of more than one block')
  frame[4] = 0x60
  frame[6] = 0x73
  return frame
}
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = plugin(independent, lz4.decompress)
CompressionCodecs[CompressionTypes.ZSTD] = plugin(zstd.compress, zstd.decompress)

const codecs = {
  none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD,
}

const client = (s, retry) => new Kafka({ clientId: 'kafkajs', brokers: [s.addr], logLevel: logLevel.NOTHING, retry })

async function info() {
  return {
    client: 'kafkajs', version: require('kafkajs/package.json').version, codecs: Object.keys(codecs), assignors: ['eager'],
    static: false, admin: Object.keys(operations).sort(),
  }
}

async function produce(s) {
  const p = client(s).producer({ idempotent: true, maxInFlightRequests: 1 })
  await p.connect()
  const first = s.from || 0
  for (let i = first; i < first + s.count; i += CHUNK) {
    const messages = []
    for (let j = i; j < Math.min(i + CHUNK, first + s.count); j++) messages.push(record(j, s.partitions, s.base))
    await p.send({ topic: s.topic, messages, acks: -1, compression: codecs[s.codec] })
  }
  await p.disconnect()
  return { count: s.count }
}

async function stream(s) {
  const p = client(s, { retries: 2000, initialRetryTime: 100, maxRetryTime: 500 }).producer({ idempotent: true, maxInFlightRequests: 1 })
  await p.connect()
  const begin = Date.now()
  let n = 0
  while (!s.ended) {
    const due = Math.min(n + CHUNK, Math.floor(((Date.now() - begin) * s.rate) / 1000))
    const messages = []
    for (; n < due; n++) messages.push(record(n, s.partitions, s.base))
    if (messages.length > 0) {
      await p.send({ topic: s.topic, messages, acks: -1, compression: codecs[s.codec || 'none'] })
      s.tell('acked', { n })
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  await p.disconnect()
  return { count: n }
}

async function consume(s) {
  const k = client(s)
  const admin = k.admin()
  await admin.connect()
  let left = (await admin.fetchTopicOffsets(s.topic)).reduce((n, p) => n + Number(p.high), 0)
  await admin.disconnect()
  const sums = new Summer(s.partitions)
  if (left > 0) {
    const c = k.consumer({ groupId: 'kafkajs-' + s.topic + '-' + process.pid, maxWaitTimeInMs: 250 })
    await c.connect()
    await c.subscribe({ topics: [s.topic], fromBeginning: true })
    await new Promise((resolve, reject) => {
      c.on(c.events.CRASH, e => reject(e.payload.error))
      const eachBatch = async ({ batch, resolveOffset, heartbeat }) => {
        try {
          for (const m of batch.messages) {
            sums.add(batch.partition, m)
            left--
          }
        } catch (e) {
          reject(e)
        }
        if (left <= 0) resolve()
        resolveOffset(batch.lastOffset())
        await heartbeat()
      }
      c.run({ autoCommit: false, eachBatch }).catch(reject)
    })
    await c.disconnect()
  }
  return { sums: sums.sums() }
}

// range is Kafka's assignor of that name, which kafkajs does not bring: with it kafkajs can be in one group with others.
const range = ({ cluster }) => ({
  name: 'range',
  version: 0,
  async assign({ members, topics }) {
    const out = new Map(members.map(m => [m.memberId, {}]))
    for (const topic of topics) {
      const wanting = members.filter(m => MemberMetadata.decode(m.memberMetadata).topics.includes(topic)).map(m => m.memberId).sort()
      const parts = cluster.findTopicPartitionMetadata(topic).map(p => p.partitionId).sort((a, b) => a - b)
      const each = Math.floor(parts.length / wanting.length)
      const more = parts.length % wanting.length
      let at = 0
      wanting.forEach((id, i) => {
        const n = each + (i < more ? 1 : 0)
        out.get(id)[topic] = parts.slice(at, at + n)
        at += n
      })
    }
    return [...out].map(([memberId, assignment]) => ({ memberId, memberAssignment: MemberAssignment.encode({ version: 0, assignment }) }))
  },
  protocol({ topics }) {
    return { name: 'range', metadata: MemberMetadata.encode({ version: 0, topics }) }
  },
})

const named = partitions => Object.fromEntries(partitions.map(p => [String(p), 0]))

async function member(s) {
  const c = client(s, { retries: 100, initialRetryTime: 100, maxRetryTime: 1000 }).consumer({
    groupId: s.group, sessionTimeout: s.session, heartbeatInterval: 1000, maxWaitTimeInMs: 250, partitionAssigners: [range],
    metadataMaxAge: 5000,
  })
  await c.connect()
  await c.subscribe({ topics: [s.topic], fromBeginning: true })
  let owned = []
  const give = () => {
    if (owned.length > 0) s.tell('revoked', { p: named(owned) })
    owned = []
  }
  c.on(c.events.REBALANCING, give)
  c.on(c.events.GROUP_JOIN, e => {
    give()
    owned = e.payload.memberAssignment[s.topic] || []
    s.tell('assigned', { p: named(owned) })
  })
  c.on(c.events.CRASH, e => {
    give()
    s.tell('trouble', { text: String(e.payload.error) })
  })
  let read = 0
  await c.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isStale }) => {
      if (isStale() || batch.messages.length === 0) return
      const next = Number(batch.lastOffset()) + 1
      s.tell('read', { part: batch.partition, o: batch.messages.map(m => Number(m.offset)), k: batch.messages.map(m => (m.key ? m.key.toString() : '')) })
      resolveOffset(batch.lastOffset())
      if (++read >= s.every || next >= Number(batch.highWatermark)) {
        read = 0
        await commit(s, c, batch.partition, next)
      }
      await heartbeat()
    },
  })
  await s.stopped
  await c.disconnect()
  give()
  return {}
}

async function commit(s, c, partition, next) {
  const p = { [String(partition)]: next }
  s.tell('commit', { p })
  try {
    await c.commitOffsets([{ topic: s.topic, partition, offset: String(next) }])
  } catch (e) {
    s.tell('refused', { p, text: String(e) })
    throw e
  }
  s.tell('committed', { p })
}

const resource = s => ({ type: s.type === 'broker' ? ConfigResourceTypes.BROKER : ConfigResourceTypes.TOPIC, name: s.name })
const seeks = s => Object.entries(s.offsets).map(([p, o]) => ({ partition: Number(p), offset: String(o) }))
const offsets = (list, value) => Object.fromEntries(list.map(p => [String(p.partition), Number(value(p))]))
const thrown = (code, text) => Object.assign(new Error(text), { code })

const operations = {
  async create_topic(a, s) {
    const configEntries = Object.entries(s.configs).map(([name, value]) => ({ name, value }))
    const made = await a.createTopics({ validateOnly: !!s.validate, waitForLeaders: !s.validate, topics: [{ topic: s.topic, numPartitions: s.partitions, replicationFactor: 1, configEntries }] })
    if (!made) throw thrown(36, 'createTopics returned false: the topic exists') // the client hides the code for this one error
  },
  async list_topics(a) {
    return { topics: await a.listTopics() }
  },
  async describe_topic(a, s) {
    const { topics } = await a.fetchTopicMetadata({ topics: [s.topic] })
    const layout = topics[0].partitions.map(p => ({ id: p.partitionId, leader: p.leader, replicas: p.replicas, isr: p.isr }))
    return { layout: layout.sort((a, b) => a.id - b.id) }
  },
  async delete_topic(a, s) {
    await a.deleteTopics({ topics: [s.topic] })
  },
  async create_partitions(a, s) {
    await a.createPartitions({ validateOnly: !!s.validate, topicPartitions: [{ topic: s.topic, count: s.partitions }] })
  },
  async describe_configs(a, s) {
    const { resources } = await a.describeConfigs({ includeSynonyms: false, resources: [resource(s)] })
    const entries = resources[0].configEntries
    return {
      values: Object.fromEntries(entries.filter(e => e.configValue !== null).map(e => [e.configName, e.configValue])),
      changed: entries.filter(e => e.configSource === 1 || e.configSource === 2).map(e => e.configName),
    }
  },
  async alter_configs(a, s) {
    const configEntries = Object.entries(s.configs).map(([name, value]) => ({ name, value }))
    await a.alterConfigs({ validateOnly: !!s.validate, resources: [{ ...resource(s), configEntries }] })
  },
  async delete_records(a, s) {
    await a.fetchTopicOffsets(s.topic) // without it the client says that it knows no metadata
    await a.deleteTopicRecords({ topic: s.topic, partitions: seeks(s) })
  },
  async list_offsets(a, s) {
    if (s.at === 'max') throw new Unsupported('fetchTopicOffsets knows the first and the last')
    if (s.at === 'earliest') return { offsets: offsets(await a.fetchTopicOffsets(s.topic), p => p.low) }
    if (s.at === 'latest') return { offsets: offsets(await a.fetchTopicOffsets(s.topic), p => p.high) }
    return { offsets: offsets(await a.fetchTopicOffsetsByTimestamp(s.topic, Number(s.at)), p => p.offset) }
  },
  async list_groups(a) {
    return { groups: (await a.listGroups()).groups.map(g => g.groupId) }
  },
  async describe_group(a, s) {
    const g = (await a.describeGroups([s.group])).groups[0]
    if (g.errorCode) throw thrown(g.errorCode, 'describeGroups')
    const members = g.members.map(m => {
      const assigned = MemberAssignment.decode(m.memberAssignment)
      return { client: m.clientId, partitions: (assigned && assigned.assignment[s.topic]) || [] }
    })
    return { state: g.state, protocol: g.protocol, members }
  },
  async delete_group(a, s) {
    await a.deleteGroups([s.group])
  },
  async group_offsets(a, s) {
    const got = await a.fetchOffsets({ groupId: s.group, topics: [s.topic] })
    return { offsets: offsets(got[0].partitions.filter(p => p.offset !== '-1'), p => p.offset) }
  },
  async alter_group_offsets(a, s) {
    await a.setOffsets({ groupId: s.group, topic: s.topic, partitions: seeks(s) })
  },
  async describe_cluster(a) {
    const c = await a.describeCluster()
    return { cluster: c.clusterId, lead: c.controller, brokers: c.brokers.map(b => `${b.nodeId}@${b.host}:${b.port}`) }
  },
}

async function admin(s) {
  const op = operations[s.op]
  if (!op) throw new Unsupported('the client has no such call')
  const a = client(s, { retries: 2, initialRetryTime: 50 }).admin()
  await a.connect()
  try {
    return await op(a, s)
  } finally {
    await a.disconnect()
  }
}

zstd.init().then(() => serve({ info, produce, stream, consume, group: member, admin }))
