// What archives from anywhere may do to a page: cases for every host and variant.

import { rejects, run, same } from './checks.mjs'

/** A tar of one file. */
export function tar(name, content) {
  const bytes = new Uint8Array(512 + 512 * Math.ceil(content.length / 512) + 1024)
  const field = (text, at) => bytes.set(new TextEncoder().encode(text), at)
  const octal = (value, digits) => value.toString(8).padStart(digits, '0')
  field(name, 0)
  field(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0${octal(content.length, 11)}\0${octal(0, 11)}\0        0`, 100)
  field('ustar\x0000', 257)
  field(`${octal(bytes.subarray(0, 512).reduce((sum, byte) => sum + byte, 0), 6)}\0 `, 148)
  field(content, 512)
  return bytes
}

export const gzipped = async (bytes) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer())

const joined = async (...parts) => new Uint8Array(await new Blob(parts).arrayBuffer())

/** Gzip as other programs write it: with every field that a head may have, and nothing packed by deflate but stored in blocks. */
async function stored(bytes) {
  const plain = await gzipped(bytes)
  const [head, trailer] = [plain.slice(0, 10), plain.slice(-8)]
  head[3] = 4 | 8 | 16 | 2
  // The checksum of the head, which follows it, is compared by some engines.
  const optional = await joined(Uint8Array.of(3, 0, 1, 0, 2), 'a name\0', 'and what is said of it\0')
  let crc = ~0
  for (const byte of await joined(head, optional)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  const blocks = []
  for (let at = 0; at < bytes.length || at === 0; at += 60_000) {
    const block = bytes.slice(at, at + 60_000)
    const size = block.length
    blocks.push(Uint8Array.of(at + size >= bytes.length ? 1 : 0, size & 255, size >> 8, ~size & 255, (~size >> 8) & 255), block)
  }
  return joined(head, optional, Uint8Array.of(~crc & 255, (~crc >> 8) & 255), ...blocks, trailer)
}

/** The order in which a block of deflate tells the lengths of the codes of lengths. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

/** The codes of symbols that have these lengths, whether there is room for them or not. */
function codes(lengths) {
  const found = []
  let code = 0
  for (let length = 1; length < 16; length++, code <<= 1) lengths.forEach((own, symbol) => own === length && (found[symbol] = [code++, length]))
  return found
}

/**
 * Blocks of deflate that each hold nothing but their codes, by the lengths of those for literals and for distances. `order` are the lengths of the codes in
 * which those are told, and `told` what they are told by, where that isn't one by one: symbols, and how often each in how many bits. `none` begins no block.
 */
export function deflated(...blocks) {
  const bytes = []
  let [held, count] = [0, 0]
  const bit = (value) => {
    held |= value << count
    if (++count < 8) return
    bytes.push(held)
    held = count = 0
  }
  const put = (value, width) => {
    for (let at = 0; at < width; at++) bit((value >> at) & 1)
  }
  const putCode = ([code, length] = [0, 1]) => {
    for (let at = length - 1; at >= 0; at--) bit((code >> at) & 1)
  }
  blocks.forEach(({ none = false, literals, distances, order = [...Array(16).fill(4), 0, 0, 0], told }, index) => {
    put(index === blocks.length - 1 ? 1 : 0, 1)
    put(none ? 3 : 2, 2)
    if (none) return
    put(literals.length - 257, 5)
    put(distances.length - 1, 5)
    put(ORDER.length - 4, 4)
    for (const place of ORDER) put(order[place], 3)
    const known = codes(order)
    for (const [symbol, times = 0, width = 0] of told ?? [...literals, ...distances].map((length) => [length])) {
      putCode(known[symbol])
      put(times, width)
    }
    putCode(codes(literals)[256])
  })
  put(0, 7)
  return Uint8Array.from(bytes)
}

const mounting = (data) => ({ mounts: { '/a': { type: 'archive', data } } })

/** Does something while `globalThis[name]` is another. */
async function replaced(name, value, action) {
  const before = globalThis[name]
  globalThis[name] = value
  try {
    await action()
  } finally {
    globalThis[name] = before
  }
}

export const everywhere = {
  async 'reads archives from everywhere, and as they were when it was asked'({ capfs, guest }) {
    const [whole, other] = [tar('a.txt', 'as it was'), tar('a.txt', 'another x')]
    const padded = new Uint8Array([1, 2, 3, ...whole, 4]).subarray(3, 3 + whole.length)
    const packed = await gzipped(whole)
    for (const data of [whole.slice(), whole.slice().buffer, padded, packed.slice(), packed.slice().buffer]) {
      for (let again = 0; again < 2; again++) same((await run(capfs, guest, ['cat', '/a/a.txt'], mounting(data))).out, 'as it was')
    }
    for (const bytes of [whole, packed]) {
      const address = URL.createObjectURL(new Blob([bytes]))
      for (const data of [address, new URL(address)]) same((await run(capfs, guest, ['cat', '/a/a.txt'], mounting(data))).out, 'as it was')
    }
    const instead = await gzipped(other)
    for (const [given, later] of [[whole.slice(), other], [packed.slice(), instead.length === packed.length ? instead : packed.map(() => 0)]]) {
      const running = run(capfs, guest, ['cat', '/a/a.txt'], mounting(given))
      given.set(later)
      same((await running).out, 'as it was')
    }
    // The checksum at the end is that of the last member alone.
    const halves = [whole, other].map((bytes) => [bytes.subarray(0, 1024), bytes.subarray(1024)])
    const [first, second] = await Promise.all(halves.map(async (parts) => new Uint8Array(await new Blob(await Promise.all(parts.map(gzipped))).arrayBuffer())))
    const shared = new Uint8Array(Math.max(first.length, second.length))
    for (const [bytes, text] of [[first, 'as it was'], [second, 'another x']]) {
      shared.set(bytes)
      const given = shared.subarray(0, bytes.length)
      same((await run(capfs, guest, ['cat', '/a/a.txt'], mounting(given))).out, text)
    }
    const file = new TextEncoder().encode('as it was')
    const running = run(capfs, guest, ['cat', '/w/a.txt'], { mounts: { '/w': { type: 'memory', files: { 'a.txt': file } } } })
    file.fill(0x78)
    same((await running).out, 'as it was')
  },
  async 'reads gzip of several members as one archive, and nothing that is behind them'({ capfs, guest }) {
    // What is packed looks like gzip itself, is hardly any shorter for it, and is cut where no file ends.
    let seed = 1
    const noise = String.fromCharCode(...Array.from({ length: 60_000 }, () => (seed = (seed * 48_271) % 0x7fffffff) % 94 + 33))
    const content = `${noise}${'again and again, '.repeat(4_000)}${noise.slice(0, 30_000)}\u001f`
    const whole = tar('a.txt', content)
    const magic = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3)
    whole.set(magic, 700)
    const text = new TextDecoder().decode(whole.subarray(512, 512 + content.length))
    const parts = [whole.subarray(0, 100), new Uint8Array(), whole.subarray(100, 90_000), whole.subarray(90_000)]
    const packed = await Promise.all(parts.map(gzipped))
    const held = await Promise.all(parts.map(stored))
    for (const data of [await joined(...packed), await joined(...held), await joined(packed[0], packed[1], held[2], packed[3])]) {
      const { out, agent } = await run(capfs, guest, ['cat', '/a/a.txt'], mounting(data))
      same([out.length, out === text], [text.length, true])
      await agent.dispose()
      for (const behind of [[0], [0x1f], [0x1f, 0x8b, 8, 0], magic, new Uint8Array(512), data.subarray(0, data.length - 1)]) {
        await rejects(capfs.spawn(guest, mounting(await joined(data, Uint8Array.from(behind)))), 'ARCHIVE_INVALID')
      }
    }
    const single = await gzipped(whole)
    await rejects(capfs.spawn(guest, mounting(await joined(single, Uint8Array.of(0)))), 'ARCHIVE_INVALID')
    const damaged = await joined(...packed)
    damaged[packed[0].length + packed[1].length + 5_000] ^= 0x10
    await rejects(capfs.spawn(guest, mounting(damaged)), 'ARCHIVE_INVALID')
  },
  async 'refuses a damaged archive before its agent begins, whatever it comes from'({ capfs, guest }) {
    const whole = tar('a.txt', 'x'.repeat(2_000))
    const damaged = [new Uint8Array(512).fill(0x78), whole.map((byte, at) => (at === 3 ? byte ^ 1 : byte)), whole.subarray(0, 700)]
    for (const bytes of damaged) {
      const packed = await gzipped(bytes)
      const cut = packed.subarray(0, packed.length - 9)
      for (const data of [bytes, packed, cut, bytes.slice().buffer, URL.createObjectURL(new Blob([bytes])), URL.createObjectURL(new Blob([packed]))]) {
        await rejects(capfs.spawn(guest, mounting(data)), 'ARCHIVE_INVALID')
      }
      await rejects(capfs.spawn(guest, { ...mounting(bytes), grants: ['random'] }), 'ARCHIVE_INVALID')
      await rejects(capfs.spawn(guest, { mounts: { '/a': [{ type: 'memory' }, { type: 'archive', data: bytes }] } }), 'ARCHIVE_INVALID')
    }
    const { agent, out } = await run(capfs, guest, ['hello'])
    same(out, 'hello\n')
    // Their ends are on their way from their workers.
    while ([...capfs.agents].some((other) => other !== agent)) await new Promise((resolve) => setTimeout(resolve))
  },
  async 'counts an archive and its names among what its agent may hold'({ capfs, guest }) {
    const whole = tar('a.txt', 'x'.repeat(8 << 20))
    const limits = (memory) => ({ ...mounting(whole), limits: { memory } })
    await rejects(capfs.spawn(guest, limits(8 << 20)), 'ARCHIVE_INVALID')
    const { agent, out } = await run(capfs, guest, ['hello'], limits(64 << 20))
    same(out, 'hello\n')
    const { usage } = await agent.exit
    if (usage.held.files < 8 << 20) throw new Error(`${usage.held.files} bytes of files are held`)
  },
  async 'neither unpacks nor loads an archive that is longer than archives may be'({ capfs, guest }) {
    // Ten MiB that by what is at their end become ten GiB, modulo four.
    const bomb = new Uint8Array(10 << 20)
    bomb.set([0x1f, 0x8b, 8])
    new DataView(bomb.buffer).setUint32(bomb.length - 4, (10 * 2 ** 30) % 2 ** 32, true)
    let unpackers = 0
    const Real = globalThis.DecompressionStream
    class Counted extends Real {
      constructor(format) {
        super(format)
        unpackers += 1
      }
    }
    await replaced('DecompressionStream', Counted, async () => {
      for (const data of [bomb, bomb.buffer, URL.createObjectURL(new Blob([bomb]))]) await rejects(capfs.spawn(guest, mounting(data)), 'ARCHIVE_INVALID')
      same(unpackers, 0)
      same((await run(capfs, guest, ['cat', '/a/a.txt'], mounting(await gzipped(tar('a.txt', 'counted'))))).out, 'counted')
      same(unpackers, 1)
    })
    let [pieces, given] = [0, 0]
    const endless = (headers) =>
      new Response(
        new ReadableStream(
          {
            pull(controller) {
              pieces += 1
              controller.enqueue(new Uint8Array(1 << 10))
            },
            cancel() {
              given += 1
            },
          },
          { highWaterMark: 0 },
        ),
        { headers },
      )
    await replaced('fetch', async () => endless({ 'Content-Length': String(2 ** 30 + 1) }), () =>
      rejects(capfs.spawn(guest, mounting('https://example.com/endless.tar')), 'ARCHIVE_INVALID'),
    )
    same([pieces, given], [0, 1])
  },
  async 'lets the page go on while it looks for the ends of an archive\'s members'({ capfs, guest }) {
    // Blocks in which there is nothing but their codes, of which the longest has as many bits as it can. They end in what is no block.
    const literals = Array.from({ length: 257 }, (_, symbol) => (symbol < 2 ? 15 : symbol < 15 ? symbol : symbol === 256 ? 1 : 0))
    const blocks = 1000
    const packed = deflated(...Array(blocks).fill({ literals, distances: [0] }), { none: true })
    const member = new Uint8Array(10 + packed.length + 8)
    member.set([0x1f, 0x8b, 8])
    member.set(packed, 10)
    let turns = 0
    const Real = globalThis.MessageChannel
    class Counted extends Real {
      constructor() {
        super()
        turns += 1
      }
    }
    await replaced('MessageChannel', Counted, () => rejects(capfs.spawn(guest, mounting(member)), 'ARCHIVE_INVALID'))
    // A table of 2^15 places each: that is the work of a block, however short it is.
    same([turns >= (blocks * 2 ** 15) >> 19, packed.length < blocks * 256], [true, true])
  },
  async 'hands an archive of its own on, and copies what others have'({ capfs, guest }) {
    const whole = tar('a.txt', 'handed on')
    const first = await run(capfs, guest, ['hello'])
    const pooled = Object.getPrototypeOf(first.agent.worker)
    const { spawn } = pooled
    const left = []
    pooled.spawn = function (command, ...rest) {
      spawn.call(this, command, ...rest)
      left.push(command.config.mounts[0].members[0].tar.length)
    }
    try {
      const packed = await gzipped(whole)
      for (const data of [URL.createObjectURL(new Blob([whole])), whole, packed, packed]) {
        same((await run(capfs, guest, ['cat', '/a/a.txt'], mounting(data))).out, 'handed on')
      }
      // What is kept for the next agent stays, and what was given is its owner's.
      same([left, whole.length > 0, packed.length > 0], [[0, 0, whole.length, whole.length], true, true])
    } finally {
      pooled.spawn = spawn
    }
  },
}
