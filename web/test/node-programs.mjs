// How programs reach an agent in Node: by odd paths, by servers that change them, cut them short or never end.
import { execFile } from 'node:child_process'
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { syncBuiltinESMExports } from 'node:module'
import threads from 'node:worker_threads'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { format, promisify } from 'node:util'
import { constants, deflateRawSync, gzipSync, inflateRawSync } from 'node:zlib'
import { memberEnds } from '../dist/page/start/gzip.js'
import { createMailbox, MailboxReader, MailboxWriter } from '../dist/both/mailbox.js'
import { deflated } from './archive-cases.mjs'
import { same } from './cases.mjs'

const printed = async (capfs, program, args = ['hello'], options = {}) => {
  const agent = await capfs.spawn(program, { args, ...options })
  const out = await new Response(agent.stdout).text()
  await agent.dispose()
  return out
}

const rejection = (promise) => promise.then(() => undefined, (error) => error)

/** A server whose `answer` can be replaced. */
async function listen() {
  const served = { answer: (request, response) => response.end(), asked: [] }
  const server = createServer((request, response) => {
    served.asked.push(request.headers)
    served.answer(request, response)
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  served.address = `http://127.0.0.1:${server.address().port}/program.wasm`
  served.close = () =>
    new Promise((closed) => {
      server.close(closed)
      server.closeAllConnections()
    })
  return served
}

/** A module that ends with this code. */
const ends = (code) =>
  Uint8Array.of(
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 8, 2, 0x60, 1, 0x7f, 0, 0x60, 0, 0, 2, 36, 1, 22],
    ...new TextEncoder().encode('wasi_snapshot_preview1'), 9, ...new TextEncoder().encode('proc_exit'), 0, 0,
    ...[3, 2, 1, 1, 5, 3, 1, 0, 1, 7, 19, 2, 6, ...new TextEncoder().encode('memory'), 2, 0, 6, ...new TextEncoder().encode('_start'), 0, 1],
    ...[10, 8, 1, 6, 0, 0x41, code, 0x10, 0, 0x0b],
  )

/** A tar.gz with a file `note.txt`. */
function archive(text) {
  const tar = new Uint8Array(2048)
  const put = (at, value) => tar.set(new TextEncoder().encode(value), at)
  put(0, 'note.txt')
  put(100, '0000644\0')
  put(124, `${text.length.toString(8).padStart(11, '0')}\0`)
  put(136, '00000000000\0')
  put(148, '        ')
  put(156, '0')
  put(257, 'ustar\x0000')
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `)
  put(512, text)
  return new Uint8Array(gzipSync(tar))
}

const code = async (capfs, program) => {
  const agent = await capfs.spawn(program)
  const { code } = await agent.exit
  await agent.dispose()
  return code
}

/** A gzip file of what is packed; its checksum and length are nobody's. */
const member = (packed) => new Uint8Array(Buffer.concat([Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255), packed, new Uint8Array(8)]))

/** Lengths of the codes of 257 symbols or more; 0 but for these. */
const literals = (given, count = 257) => Array.from({ length: count }, (_, symbol) => given[symbol] ?? 0)

export const nodeCases = {
  async 'finds the ends of what zlib packs'() {
    const texts = ['', 'a', 'a'.repeat(100_000), Array.from({ length: 50_000 }, (_, index) => (index * index).toString(36)).join(' ')]
    const packed = texts.flatMap((text) =>
      [0, 1, 6, 9].flatMap((level) => ['Z_DEFAULT_STRATEGY', 'Z_HUFFMAN_ONLY', 'Z_RLE', 'Z_FIXED'].map((strategy) => member(deflateRawSync(text, { level, strategy: constants[strategy] })))),
    )
    const ends = []
    for (const { length } of packed) ends.push(length + (ends.at(-1) ?? 0))
    same(await memberEnds(new Uint8Array(Buffer.concat(packed))), ends)
  },
  async 'refuses the codes in a gzip file that zlib refuses'() {
    const whole = literals({ 0: 1, 256: 1 })
    const short = [...Array(15).fill(4), 0, 0, 0, 0]
    const cases = [
      [true, { literals: whole, distances: [1, 1] }],
      [true, { literals: whole, distances: [2, 2, 2, 2] }],
      // One code alone may leave room, or none.
      [true, { literals: whole, distances: [1] }],
      [true, { literals: whole, distances: [0] }],
      [true, { literals: literals({ 256: 1 }), distances: [0] }],
      [true, { literals: literals({ 0: 1, 256: 2, 285: 2 }, 286), distances: Array(30).fill(0) }],
      [true, { literals: whole, distances: [0], order: [2, 2, ...Array(15).fill(0), 0, 1], told: [[1], [18, 127, 7], [18, 106, 7], [1], [0]] }],
      // Too many for their lengths.
      [false, { literals: literals({ 0: 1, 1: 1, 256: 1 }), distances: [0] }],
      [false, { literals: literals({ 0: 1, 1: 2, 2: 2, 256: 15 }), distances: [0] }],
      [false, { literals: whole, distances: [1, 1, 1] }],
      [false, { literals: whole, distances: [1], order: [...Array(17).fill(4), 0, 0] }],
      // Too few.
      [false, { literals: literals({ 256: 2 }), distances: [0] }],
      [false, { literals: literals({ 0: 1, 256: 2 }), distances: [0] }],
      [false, { literals: literals({ 0: 15, 256: 15 }), distances: [0] }],
      [false, { literals: whole, distances: [2] }],
      [false, { literals: whole, distances: [1, 2] }],
      [false, { literals: whole, distances: [1], order: short }],
      [false, { literals: whole, distances: [1], order: Array(19).fill(0) }],
      // No end.
      [false, { literals: literals({ 0: 1, 1: 1 }), distances: [0] }],
      // More symbols than there are, lengths behind the last, and before the first.
      [false, { literals: literals({ 0: 1, 256: 1 }, 287), distances: [0] }],
      [false, { literals: whole, distances: Array(31).fill(0) }],
      [false, { literals: whole, distances: [0], order: [2, 2, ...Array(15).fill(0), 0, 1], told: [[1], [18, 127, 7], [18, 106, 7], [1], [18, 0, 7]] }],
      [false, { literals: whole, distances: [0], order: [2, 2, ...Array(14).fill(0), 1, 0, 0], told: [[16, 0, 2]] }],
    ]
    for (const [taken, block] of cases) {
      const packed = deflated(block)
      let inflates = true
      try {
        inflateRawSync(packed)
      } catch {
        inflates = false
      }
      const file = member(packed)
      const ends = await memberEnds(file).catch(({ message }) => message)
      same([block, inflates, ends], [block, taken, taken ? [file.length] : 'it is cut short, or damaged'])
    }
  },
  async 'writes no commands for a terminal to its own console'({ capfs, guest }) {
    const told = []
    const { log } = console
    console.log = (...text) => told.push(format(...text))
    try {
      const agent = await capfs.spawn(guest, { args: ['script'], stdin: 'set /cap/console/log a\u001b]0;b\u0007\tc\u009b2J\rd %s\u202e%c\n', grants: ['console'], name: 'n' })
      await agent.exit
    } finally {
      console.log = log
    }
    same(told.map((text) => text.replace(/^n \d+: /, '')), ['a\ufffd]0;b\ufffd\tc\ufffd2J\ufffdd %s\ufffd%c'])
  },
  async 'starts a file whatever its path is'({ capfs, guest }) {
    const folder = fileURLToPath(new URL('../../.cache/odd #1 ?2 %41 ü/', import.meta.url))
    await mkdir(folder, { recursive: true })
    for (const name of ['100%.wasm', 'a#b.wasm', 'c?d.wasm', 'c:e.wasm', '%2e%2e.wasm']) {
      const path = join(folder, name)
      await writeFile(path, guest)
      same([name, await printed(capfs, path), await printed(capfs, pathToFileURL(path))], [name, 'hello\n', 'hello\n'])
    }
    await rm(folder, { recursive: true })
    same((await rejection(capfs.spawn(join(folder, 'none.wasm')))).code, 'FETCH_FAILED')
  },
  async 'gives up the start of a file at any time, and the process goes on'({ guest }) {
    const [path, other] = ['given-up.wasm', 'given-up.tar'].map((name) => fileURLToPath(new URL(`../../.cache/${name}`, import.meta.url)))
    await writeFile(path, guest)
    // An archive of nothing.
    await writeFile(other, new Uint8Array(1 << 20))
    // An error that nobody listens for ends its process, so they are in one of their own.
    const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL('abort-child.mjs', import.meta.url)), path, other])
    same(stdout, 'ABORTED\n')
  },
  async 'starts the version of a file that is there'({ capfs }) {
    const path = fileURLToPath(new URL('../../.cache/changes.wasm', import.meta.url))
    for (const wanted of [3, 4, 4, 5]) {
      await writeFile(path, ends(wanted))
      same(await code(capfs, path), wanted)
    }
    await rm(path)
    same((await rejection(capfs.spawn(path))).code, 'FETCH_FAILED')
  },
  async 'asks a server each time, and compiles another version anew'({ capfs }) {
    const served = await listen()
    let [version, sent, broken] = [1, 0, false]
    served.answer = (request, response) => {
      if (broken) return response.writeHead(503).end()
      response.writeHead(200, { 'Content-Type': 'application/wasm', ETag: `"${version}"` })
      sent += 1
      response.end(ends(version))
    }
    same([await code(capfs, served.address), await code(capfs, served.address), served.asked.length], [1, 1, 2])
    version = 2
    same(await code(capfs, served.address), 2)
    broken = true
    same((await rejection(capfs.spawn(served.address))).code, 'FETCH_FAILED')
    broken = false
    same([await code(capfs, served.address), sent], [2, 4])
    await served.close()
  },
  async 'keeps a program as the version of which it was compiled'({ capfs }) {
    const served = await listen()
    // The first answer can't be compiled, and until it is asked for again the file has become another.
    const answers = [[Uint8Array.of(1, 2, 3), 'a'], [ends(2), 'b'], [ends(1), 'a'], [ends(1), 'a']]
    served.answer = (request, response) => {
      const [bytes, version] = answers.shift()
      response.writeHead(200, { 'Content-Type': 'application/wasm', ETag: `"${version}"` }).end(bytes)
    }
    same([await code(capfs, served.address), await code(capfs, served.address), await code(capfs, served.address), answers.length], [2, 1, 1, 0])
    await served.close()
  },
  async 'says of a server that can\'t be reached why'({ capfs, guest }) {
    const server = await listen()
    await server.close()
    const archive = { mounts: { '/a': { type: 'archive', data: server.address } } }
    for (const start of [() => capfs.spawn(server.address), () => capfs.spawn(guest, archive)]) {
      const { code, message } = await rejection(start())
      same([code, message.includes('fetch failed: connect ECONNREFUSED'), message], ['FETCH_FAILED', true, message])
    }
  },
  async 'says of a download that was cut short that it failed'({ capfs, guest }) {
    const served = await listen()
    for (const type of ['application/wasm', 'application/octet-stream']) {
      served.answer = (request, response) => {
        response.writeHead(200, { 'Content-Type': type, 'Content-Length': guest.length })
        response.write(guest.subarray(0, 1000), () => response.destroy())
      }
      const error = await rejection(capfs.spawn(served.address))
      same([error.name, error.code], ['CapfsError', 'FETCH_FAILED'])
      const archive = await rejection(capfs.spawn(guest, { mounts: { '/': { type: 'archive', data: served.address } } }))
      same([archive.name, archive.code], ['CapfsError', 'FETCH_FAILED'])
    }
    await served.close()
  },
  async 'tells how much of a program and of an archive has arrived'({ capfs, guest }) {
    const served = await listen()
    const tar = archive('told')
    let encoding
    served.answer = (request, response) => {
      const bytes = request.url.endsWith('.tgz') ? tar : guest
      const sent = encoding === undefined ? bytes : gzipSync(bytes)
      response.writeHead(200, { 'Content-Type': 'application/wasm', 'Content-Length': sent.length, ETag: `"${encoding}"`, ...(encoding ? { 'Content-Encoding': encoding } : {}) })
      response.write(sent.subarray(0, sent.length / 2), () => response.end(sent.subarray(sent.length / 2)))
    }
    const of = new URL('files.tgz', served.address).href
    for (const [limits, mounts] of [[{}, {}], [{ memory: 64 << 20 }, { '/a': { type: 'archive', data: of } }]]) {
      const told = []
      const start = () => printed(capfs, served.address, ['hello'], { limits, mounts, progress: (progress) => told.push(progress) })
      same(await start(), 'hello\n')
      for (const [address, bytes] of [[served.address, guest], ...(mounts['/a'] ? [[of, tar]] : [])]) {
        const pieces = told.filter((progress) => progress.address === address)
        same(pieces.at(-1), { address, loaded: bytes.length, total: bytes.length })
        same([pieces.length > 1 || bytes === tar, pieces.every(({ loaded }, i) => i === 0 || loaded > pieces[i - 1].loaded)], [true, true])
      }
      // It is known now.
      const before = told.length
      same([await start(), told.length], ['hello\n', before])
    }
    encoding = 'gzip'
    const told = []
    same(await printed(capfs, served.address, ['hello'], { progress: (progress) => told.push(progress) }), 'hello\n')
    same(told.at(-1), { address: served.address, loaded: guest.length })
    await served.close()
  },
  async 'tells each of those who start a program at once how much has arrived'({ capfs, guest }) {
    const served = await listen()
    let more
    const asked = new Promise((resolve) => {
      served.answer = (request, response) => {
        response.writeHead(200, { 'Content-Type': 'application/wasm', 'Content-Length': guest.length, ETag: '"at once"' })
        response.write(guest.subarray(0, 1000), resolve)
        more = () => response.end(guest.subarray(1000))
      }
    })
    const told = [[], []]
    const [one, other] = told.map((pieces) => () => printed(capfs, served.address, ['hello'], { progress: (progress) => pieces.push(progress) }))
    const first = one()
    await asked
    const second = other()
    // The second start joins the first one's download before anything else can happen.
    setTimeout(more)
    same(await Promise.all([first, second]), ['hello\n', 'hello\n'])
    same(told.map((pieces) => pieces.at(-1)), Array(2).fill({ address: served.address, loaded: guest.length, total: guest.length }))
    same(served.asked.length, 1)
    await served.close()
  },
  async 'runs what a file has in it now, whatever it says of its age'({ capfs }) {
    const folder = fileURLToPath(new URL('../../target/aged', import.meta.url))
    await mkdir(folder, { recursive: true })
    const [program, tar] = [join(folder, 'program.wasm'), join(folder, 'note.tgz')]
    const then = new Date('2026-01-01T00:00:00Z')
    try {
      for (const number of [1, 2, 3]) {
        await writeFile(program, ends(number))
        await writeFile(tar, archive(`note ${number}`))
        for (const path of [program, tar]) await utimes(path, then, then)
        const agent = await capfs.spawn(program, { mounts: { '/a': { type: 'archive', data: tar } } })
        same([(await agent.exit).code, await agent.readText('/a/note.txt')], [number, `note ${number}`])
        await agent.dispose()
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  },
  async 'goes on where the system has no thread for a spare worker'({ capfs: { constructor: Capfs }, guest }) {
    const capfs = await Capfs.create()
    const { Worker } = threads
    let [refused, thrown] = [0, undefined]
    const asked = new Promise((resolve) => {
      threads.Worker = class {
        constructor() {
          refused += 1
          resolve()
          throw Object.assign(new Error('Worker initialization failure: EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' })
        }
      }
    })
    const listener = (error) => (thrown = error)
    process.on('uncaughtException', listener)
    syncBuiltinESMExports()
    try {
      const agent = await capfs.spawn(guest, { args: ['spin'] })
      await asked
      // What is thrown there reaches the process in its next turn.
      await new Promise((resolve) => setImmediate(resolve))
      same([refused, thrown?.message], [1, undefined])
      same((await rejection(capfs.spawn(ends(6)))).code, 'VARIANT_UNAVAILABLE')
      same((await agent.kill()).reason, 'killed')
    } finally {
      threads.Worker = Worker
      syncBuiltinESMExports()
      process.off('uncaughtException', listener)
    }
    same(await code(capfs, ends(7)), 7)
    capfs.close()
  },
  async 'gives a download up that nobody waits for'({ capfs, guest }) {
    const served = await listen()
    let gone
    const asked = new Promise((resolve) => {
      served.answer = (request, response) => {
        gone = new Promise((closed) => response.on('close', closed))
        response.writeHead(200, { 'Content-Type': 'application/wasm' })
        response.write(guest.subarray(0, 1000), resolve)
      }
    })
    const [first, second] = [new AbortController(), new AbortController()]
    const waiting = [first, second].map(({ signal }) => rejection(capfs.spawn(served.address, { signal })))
    await asked
    first.abort()
    same([(await waiting[0]).code, served.asked.length], ['ABORTED', 1])
    second.abort()
    same((await waiting[1]).code, 'ABORTED')
    await gone
    await served.close()
  },
  async 'unpacks an archive once, and again when it is another'({ capfs, guest }) {
    const { DecompressionStream: Native } = globalThis
    let unpacked = 0
    globalThis.DecompressionStream = class extends Native {
      constructor(format) {
        super(format)
        unpacked += 1
      }
    }
    const served = await listen()
    try {
      const read = (data) => printed(capfs, guest, ['cat', '/a/note.txt'], { mounts: { '/a': { type: 'archive', data } } })
      const first = archive('one')
      same([await read(first), await read(first), unpacked], ['one', 'one', 1])
      const second = archive('two')
      // In the place of the first, and as long.
      const both = new Uint8Array(Math.max(first.length, second.length))
      both.set(first)
      const view = (length) => new Uint8Array(both.buffer, 0, length)
      same([await read(view(first.length)), unpacked], ['one', 2])
      both.set(second)
      same([await read(view(second.length)), unpacked], ['two', 3])
      let [version, content] = ['"1"', first]
      served.answer = (request, response) => response.writeHead(200, { ETag: version }).end(content)
      same([await read(served.address), await read(served.address), unpacked], ['one', 'one', 4])
      ;[version, content] = ['"2"', second]
      same([await read(served.address), unpacked, served.asked.length], ['two', 5, 3])
    } finally {
      globalThis.DecompressionStream = Native
      await served.close()
    }
  },
  async 'moves each byte of its mailbox once'() {
    const bytes = new Uint8Array(32 << 20).map((_, i) => i * 31 + i / 251)
    const buffer = createMailbox()
    let [room, moved] = [false, 0]
    const mails = []
    const reader = new MailboxReader(buffer, () => {
      room = true
    })
    const writer = new MailboxWriter(buffer, () => undefined)
    const { set } = Uint8Array.prototype
    Object.defineProperty(Uint8Array.prototype, 'set', {
      configurable: true,
      value(source, at) {
        moved += source.length
        return set.call(this, source, at)
      },
    })
    try {
      writer.send({ type: 'request', id: 1, request: 2, what: 'write', path: '/x', bytes })
      writer.send({ type: 'usage', id: 1, request: 3 })
      while (mails.length < 2) {
        mails.push(...reader.read())
        if (!room) continue
        room = false
        writer.pump()
      }
    } finally {
      delete Uint8Array.prototype.set
    }
    const [got, next] = mails
    same(next, { type: 'usage', id: 1, request: 3 })
    same([got.path, got.bytes.length, got.bytes.findIndex((byte, i) => byte !== bytes[i])], ['/x', bytes.length, -1])
    // Into the ring and out of it.
    same(moved < 2.1 * bytes.length, true)
  },
}
