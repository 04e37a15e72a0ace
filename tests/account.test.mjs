// Agents that try to make their host hold ten times what they may, in every way that there is, and what its process really holds then.
//
//   node tests/account.test.mjs [--host native,node,chromium] [WAY…]
//
// A guest holds as much as it can in one way (`guests/src/bin/hold.rs`, or a module of text below), and waits; then the peak of the
// process's own memory is read. It must be what the account lets be held and what the host takes for itself, whatever the guest did.
// Node and Chromium are in `account-package.mjs`.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import load from 'wabt'
import { WAYS as PACKAGE_WAYS, holders } from './account-package.mjs'
import { buildGuests, guests } from './build.mjs'
import { DEFINITIONS } from './definitions.mjs'
import { serve as serveHostile } from './servers/hostile.mjs'
import { serve as serveWs } from './servers/ws.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const binary = join(resolve(root, process.env.CARGO_TARGET_DIR ?? 'target'), 'release', 'capfs-host')

const MIB = 1 << 20
/** What an agent may make its host hold. */
const LIMIT = 64 * MIB
/** What it tries to. */
const MOST = 10 * LIMIT
/**
 * What the host may hold beside the account: its own code and data, a small compiled program, stacks, buffers of one call, what an
 * allocator keeps.
 */
const BESIDE = 24 * MIB
/** How much of the limit must have been held when more is refused, so that a way which fails at once is no success. */
const LEAST = LIMIT / 4

const KEYS = 'crypto,keys=1000000'
const TASKS = 'task,children=1000000'
const CHILDREN = ['--grant', TASKS, '--dir', '{scratch}::/scratch']
const DATABASES = 'indexeddb,quota=1GiB'
const memory = ['--mount', 'memory:/memory']
const grant = (...flags) => flags.flatMap((flag) => ['--grant', flag])

const NETWORK = 'network=127.0.0.0/8'
const asking = (server) => [...grant(`fetch,origin=*,method=*,${NETWORK},concurrency=1000`), '--env', `SERVER=${server}`]
const connecting = (server) => [...grant(`ws,origin=*,${NETWORK},connections=1000`), '--env', `SERVER=${server}`]

/**
 * Each way: the options of a run, and what refuses it; `way` is what the guest calls it, where that is something else.
 * @type {Record<string, {way?: string, options?: string[], errno?: string, text?: () => string}>}
 */
const WAYS = {
  memory: { errno: 'NOMEM' },
  descriptors: { options: memory, errno: 'NOMEM' },
  scattered: { options: [...memory, '--dir', '{scratch}::/scratch:rw'], errno: 'NOMEM' },
  contents: { options: memory, errno: 'NOSPC' },
  nameless: { options: memory, errno: 'NOSPC' },
  files: { options: memory, errno: 'NOSPC' },
  holes: { options: memory, errno: 'NOSPC' },
  links: { options: memory, errno: 'NOSPC' },
  directories: { options: memory, errno: 'NOSPC' },
  listings: { options: ['--dir', '{folder}::/folder'], errno: 'NOMEM' },
  values: { options: grant(TASKS), errno: 'NOMEM' },
  texts: { options: grant(TASKS), errno: 'NOMEM' },
  given: { options: grant(TASKS), errno: 'NOMEM' },
  tasks: { options: grant(TASKS), errno: 'NOMEM' },
  pipes: { options: grant(TASKS), errno: 'NOMEM' },
  children: { options: CHILDREN, errno: 'NOMEM' },
  lines: { options: grant(TASKS), errno: 'NOMEM' },
  messages: { options: grant('console'), errno: 'NOMEM' },
  keys: { options: grant(KEYS), errno: 'NOMEM' },
  questions: { options: grant(KEYS), errno: 'NOMEM' },
  answers: { options: grant(KEYS), errno: 'NOMEM' },
  bodies: { options: grant('fetch,origin=*'), errno: 'NOMEM' },
  batches: { options: [...grant(DATABASES), '--state', '{state}'], errno: 'NOMEM' },
  records: { options: [...grant(DATABASES), '--state', '{state}'], errno: 'NOMEM' },
  'bodies that nobody reads': { way: 'answers of a server', options: asking('{hostile}/endless'), errno: 'NOMEM' },
  'bodies in brotli that nobody reads': { way: 'answers of a server', options: asking('{hostile}/unpacked'), errno: 'NOMEM' },
  'bodies that no server reads': { way: 'bodies on their way', options: asking('{hostile}/deaf'), errno: 'NOMEM' },
  'messages that no server reads': { way: 'sockets', options: connecting('{ws}/deaf'), errno: 'NOMEM' },
  'messages that nobody reads': { way: 'sockets', options: connecting('{hostileWs}/ws/both'), errno: 'NOMEM' },
  memories: { text: () => growing(50, (index) => `(memory $${index} 0)`, growMemory) },
  'memory of 64 bits': { text: () => growing(1, (index) => `(memory $${index} i64 0)`, growMemory64) },
  tables: { text: () => growing(50, (index) => `(table $${index} 0 funcref)`, growTable) },
}

/** A child that uses most of its stack, says so, and waits. */
const DEEP = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\n") (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00")
  (func $deep (param $more i32) (result i32)
    (if (i32.eqz (local.get $more)) (then
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (return (i32.const 0))))
    (i32.add (call $deep (i32.sub (local.get $more) (i32.const 1))) (local.get $more)))
  (func (export "_start") (drop (call $deep (i32.const 20000)))))`

/** A program that grows each definition until it is refused, says that it is full, and waits for the end of its input. */
function growing(count, define, grow) {
  const all = [...Array(count).keys()].map((index) => `g${index}`)
  return `(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    ${all.map(define).join('\n')}
    (data (i32.const 16) "full\\n") (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
    (func (export "_start")
      (local $from i32) (local $from64 i64)
      ${all.map(grow).join('\n')}
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))`
}

const growMemory = (name) => `(block $full${name} (loop $more${name}
  (local.set $from (memory.grow $${name} (i32.const 1)))
  (br_if $full${name} (i32.eq (local.get $from) (i32.const -1)))
  (i32.store $${name} (i32.shl (local.get $from) (i32.const 16)) (i32.const 1))
  (memory.fill $${name} (i32.shl (local.get $from) (i32.const 16)) (i32.const 1) (i32.const 65536))
  (br $more${name})))`

const growMemory64 = (name) => `(block $full${name} (loop $more${name}
  (local.set $from64 (memory.grow $${name} (i64.const 1)))
  (br_if $full${name} (i64.eq (local.get $from64) (i64.const -1)))
  (memory.fill $${name} (i64.shl (local.get $from64) (i64.const 16)) (i32.const 1) (i64.const 65536))
  (br $more${name})))`

const growTable = (name) => `(loop $more${name}
  (br_if $more${name} (i32.ne (table.grow $${name} (ref.null func) (i32.const 1000)) (i32.const -1))))`

async function assemble(name, text) {
  const wabt = await load()
  const parsed = wabt.parseWat(name, text, { multi_memory: true, memory64: true, reference_types: true, bulk_memory: true })
  try {
    return parsed.toBinary({}).buffer
  } finally {
    parsed.destroy()
  }
}

/** Runs a program until it has said a line and waits; resolves to the line, the report, and the peak of the process's memory. */
function held(argv, env) {
  return new Promise((resolved, rejected) => {
    const child = spawn(binary, argv, { env: { ...process.env, ...env } })
    const out = { stdout: '', stderr: '' }
    let peak
    const hung = setTimeout(() => child.kill('SIGKILL'), 120_000)
    child.stderr.on('data', (bytes) => (out.stderr += bytes))
    child.stdout.on('data', (bytes) => {
      out.stdout += bytes
      if (peak !== undefined || !out.stdout.includes('\n')) return
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)[1]) * 1024
      child.stdin.end()
    })
    child.on('error', rejected)
    child.on('close', (code, signal) => {
      clearTimeout(hung)
      if (code !== 0 || peak === undefined) {
        return rejected(new Error(`${argv.join(' ')} ended with ${code ?? signal}\n${out.stdout}${out.stderr}`))
      }
      const report = JSON.parse(out.stderr.trim().split('\n').at(-1))
      resolved({ line: out.stdout.trim(), account: report.account, peak })
    })
  })
}

const mib = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`
const { values: given, positionals: chosen } = parseArgs({ options: { host: { type: 'string', default: 'native' } }, allowPositionals: true })
const hosts = given.host.split(',')
const scratch = mkdtempSync(join(tmpdir(), 'capfs-account-'))
let passed = 0
let failed = 0

await buildGuests()
const [hostile, ws] = await Promise.all([serveHostile(), serveWs()])
const places = {
  folder: join(scratch, 'folder'),
  hostile: hostile.address,
  hostileWs: hostile.address.replace(/^http/, 'ws'),
  ws: ws.address.replace(/^http/, 'ws'),
  scratch: join(scratch, 'files'),
}
const env = { CAPFS_CACHE_DIR: join(scratch, 'cache') }

/** What stands for a place of this run, put in. */
const filled = (text, more = {}) => text.replace(/\{(\w+)\}/g, (_, name) => ({ ...places, ...more })[name])

async function tryToHold(title, { way = title, options = [], errno, text }) {
  let module = join(guests, 'hold.wasm')
  if (text) {
    module = join(scratch, 'text.wasm')
    writeFileSync(module, await assemble(title, text()))
  }
  const limits = ['--quiet', '--json', '--max-memory', String(LIMIT), '--max-files', '10000000']
  const own = { state: join(scratch, `state-${title}`) }
  const argv = ['run', ...limits, ...options.map((option) => filled(option, own)), module, way, String(MOST)]
  // The first run compiles, which is no work of the agent's.
  if (text) await held(argv, env)
  const { line, account, peak } = await held(argv, env)
  console.log(`${title.padEnd(36)} ${line.padEnd(32)} peak of the account ${mib(account.peak)}, of the process ${mib(peak)}`)
  assert.equal(account.max, LIMIT)
  assert.ok(account.peak <= LIMIT, 'the account holds more than it may')
  assert.ok(account.refused > 0, 'nothing was refused')
  assert.ok(account.peak >= LEAST, `no more than ${mib(account.peak)} was held when it was refused`)
  if (errno) assert.match(line, new RegExp(`, then ${errno}$`))
  assert.ok(peak <= LIMIT + BESIDE, `the process held ${mib(peak)}`)
}

/** Runs a way of some host, if it was chosen, and counts it. */
async function tested(way, run) {
  if (chosen.length > 0 && !chosen.includes(way)) return
  try {
    await run()
    passed += 1
  } catch (error) {
    failed += 1
    console.log(`FAIL ${way}\n${error.stack}`)
  }
}

/** Children of programs that are mostly definitions: what an engine keeps of these is charged, too. Each kind by itself. */
async function definitions() {
  for (const [kind, make] of Object.entries(DEFINITIONS)) {
    // An engine keeps what is the same only once.
    const programs = make.length > 0 ? 6 : 1
    const folder = join(scratch, `definitions-${kind}`)
    mkdirSync(folder)
    for (let number = 0; number < programs; number++) writeFileSync(join(folder, `${number}.wasm`), make(number))
    const options = ['--grant', TASKS, '--dir', `${folder}::/scratch`, '--env', `PROGRAMS=${programs}`]
    // Compiling takes more than they do then, by far.
    const roomy = ['run', '--quiet', '--json', '--max-memory', '4GiB', ...options, join(guests, 'hold.wasm'), 'children']
    const { line } = await held([...roomy, String(programs * MIB)], env)
    assert.match(line, /, then no more$/)
    await tryToHold(kind, { way: 'children', options, errno: 'NOMEM' })
  }
}

async function natively() {
  if (!existsSync(binary)) throw new Error(`${binary} is missing: cargo build --release -p capfs-host`)
  mkdirSync(places.folder)
  mkdirSync(places.scratch)
  writeFileSync(join(places.scratch, '0.wasm'), await assemble('deep', DEEP))
  for (let index = 0; index < 20_000; index++) writeFileSync(join(places.folder, `a-file-with-a-name-of-some-length-${index}`), '')
  await held(['run', '--json', join(guests, 'hold.wasm'), 'nothing', '0'], env)
  const { peak } = await held(['run', '--json', join(guests, 'hold.wasm'), 'nothing', '0'], env)
  console.log(`nothing: the process ${mib(peak)}`)
  for (const [way, given] of Object.entries(WAYS)) await tested(way, () => tryToHold(way, given))
  await tested('modules that are mostly definitions, several at once', definitions)
}

/** By the package: an agent may have twice the limit, once in its own memory and once in what its worker holds. */
async function byPackage(host) {
  const holder = await holders[host](join(guests, 'hold.wasm'))
  try {
    const nothing = await holder.hold({ way: 'nothing', most: 0, limit: LIMIT })
    console.log(`${host}: nothing: the process ${mib(nothing.bytes)}`)
    for (const [title, { way = title, errno, only = host, grants = [], env = {} }] of Object.entries(PACKAGE_WAYS)) {
      if (only !== host) continue
      await tested(title, async () => {
        const variables = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, filled(value)]))
        const { line, usage, bytes } = await holder.hold({ way, most: MOST, limit: LIMIT, grants, env: variables })
        const more = bytes - nothing.bytes
        console.log(`${host}: ${title.padEnd(28)} ${line.padEnd(32)} peak of the account ${mib(usage.heldPeak)}, of the process ${mib(more)} more`)
        assert.match(line, new RegExp(`, then ${errno}$`))
        assert.ok(usage.heldPeak <= LIMIT, 'the account holds more than it may')
        // What the device worker holds is counted there.
        const most = Math.max(usage.heldPeak, usage.memory, Number(/^held (\d+)/.exec(line)[1]))
        assert.ok(most >= LEAST, `no more than ${mib(most)} was held when it was refused`)
        assert.ok(more <= 2 * LIMIT + BESIDE, `the process held ${mib(more)} more`)
      })
    }
  } finally {
    await holder.close()
  }
}

try {
  for (const host of hosts) await (host === 'native' ? natively() : byPackage(host))
} finally {
  await Promise.all([hostile.close(), ws.close()])
  rmSync(scratch, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
