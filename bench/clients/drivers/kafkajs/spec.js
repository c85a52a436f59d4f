// What a driver in JavaScript needs: the language of package spec, its records and sums.
'use strict'

const crypto = require('crypto')
const readline = require('readline')

const LETTERS = 'abcdefghij'.repeat(12)
const UNKNOWN = -2

// record is record number i.
function record(i, partitions, base) {
  const key = i % 11 === 10 ? null : Buffer.from(String(i))
  const value = i % 53 === 52 && key !== null ? null : Buffer.from(`record ${i} ${LETTERS.slice(0, 20 + ((i * 31) % 100))}`)
  const headers = i % 3 === 0 ? { n: String(i) } : {}
  return { partition: i % partitions, key, value, headers, timestamp: String(base + i) }
}

// Summer sums up the partitions of a topic.
class Summer {
  constructor(partitions) {
    this.hashes = Array.from({ length: partitions }, () => crypto.createHash('sha256'))
    this.counts = new Array(partitions).fill(0)
  }

  add(p, m) {
    if (Number(m.offset) !== this.counts[p]) {
      throw new Error(`partition ${p}: offset ${m.offset} came, want ${this.counts[p]}`)
    }
    const h = this.hashes[p]
    const field = b => {
      h.update(b === null ? '-1:' : `${b.length}:`)
      if (b !== null) h.update(b)
      h.update(',')
    }
    field(m.key)
    field(m.value)
    const names = Object.keys(m.headers || {})
    if (names.length > 0) h.update(`${names[0]}=${m.headers[names[0]].toString()}`)
    h.update(`,${m.timestamp}\n`)
    this.counts[p]++
  }

  sums() {
    return this.hashes.map((h, p) => ({ partition: p, records: this.counts[p], sha256: h.digest('hex') }))
  }
}

function write(obj) {
  process.stdout.write(JSON.stringify(obj) + '\n')
}

// Session is a command that runs. stopped resolves when it shall end.
class Session {
  constructor(command) {
    Object.assign(this, { configs: {}, ops: [], offsets: {} }, command)
    this.ended = false
    this.stopped = new Promise(resolve => {
      this.end = () => {
        this.ended = true
        resolve()
      }
    })
  }

  tell(e, more) {
    write({ e, t: Date.now(), ...more })
  }
}

// codeOf finds Kafka's code in what the client throws, which may lie in layers.
function codeOf(e) {
  if (!e) return UNKNOWN
  if (Number.isInteger(e.code)) return e.code
  if (Number.isInteger(e.errorCode)) return e.errorCode
  for (const inner of [...(e.errors || []), ...(e.groups || []), ...(e.partitions || []), e.error, e.cause]) {
    const code = codeOf(inner)
    if (code !== UNKNOWN) return code
  }
  return UNKNOWN
}

class Unsupported extends Error {}

async function answer(handler, s) {
  try {
    if (!handler) throw new Unsupported('unknown command ' + s.do)
    write({ ...(await handler(s)), done: true })
  } catch (e) {
    write({ error: `${e.name}: ${e.message}`, code: codeOf(e), unsupported: e instanceof Unsupported })
  }
}

// serve runs a driver.
function serve(handlers) {
  let last = null
  let turn = Promise.resolve()
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', line => {
    const s = new Session(JSON.parse(line))
    if (s.do === 'stop') {
      if (last) last.end()
      return
    }
    last = s
    turn = turn.then(() => answer(handlers[s.do], s))
  })
  lines.on('close', () => process.exit(0))
}

module.exports = { record, Summer, Unsupported, serve }
