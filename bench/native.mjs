// Natively: capfs-host, the wasmtime command and node:wasi.

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../scripts/command.mjs'
import { CALLS, milliseconds } from './guest.mjs'
import { contenders as here } from './native/contenders.mjs'
import { inTurn } from './statistics.mjs'

/** A folder in memory, which is as near as the rivals come to files in memory. */
const SHARED_MEMORY = '/dev/shm'

/**
 * Runs every native measurement.
 *
 * @param {import('./run.mjs').Context} context
 */
export async function measureNatively({ programs, size, add, against }) {
  const folder = mkdtempSync(join(tmpdir(), 'capfs-bench-'))
  const inMemory = mkdtempSync(join(SHARED_MEMORY, 'capfs-bench-'))
  process.env.CAPFS_CACHE_DIR = join(folder, 'cache')
  try {
    const contenders = await here({ folder, programs: Object.values(programs), against })
    await starts({ contenders, programs, size, add })
    await instantiation({ programs, size, add })
    await calls({ contenders, programs, size, add, where: 'memory files', note: `the others: ${SHARED_MEMORY}`, files: ({ name }) => (name.startsWith('capfs-host') ? { memory: true } : { host: inMemory }) })
    const onDisk = join(folder, 'files')
    mkdirSync(onDisk)
    await calls({ contenders, programs, size, add, where: 'a folder of the host', files: () => ({ host: onDisk }) })
    await memory({ contenders, programs, size, add })
  } finally {
    rmSync(folder, { recursive: true, force: true })
    rmSync(inMemory, { recursive: true, force: true })
  }
}

/** Runs a command to its end and answers what it printed. */
function output([command, ...args]) {
  const done = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 24 })
  if (done.error) throw done.error
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status ?? done.signal}:\n${done.stdout}${done.stderr}`)
  return done.stdout
}

/** Hello, from the start of the process to its end. The floor is a process that does nothing. */
async function starts({ contenders, programs, size, add }) {
  const floor = { name: 'a process that does nothing', command: () => ['/bin/true'] }
  const all = [...contenders, floor]
  for (const contender of all) output(contender.command(programs.hello, []))
  const samples = await inTurn(all, size.starts, (contender) => {
    const command = contender.command(programs.hello, [])
    const begun = process.hrtime.bigint()
    output(command)
    return [Number(process.hrtime.bigint() - begun) / 1e6]
  })
  add({ group: 'natively: start', id: 'native-hello', work: 'hello, start of the process to its end, compiled before', unit: 'ms', target: { of: 'wasmtime', at: 1 }, samples: named(samples) })
}

/** Instantiation in a process that runs: see native-host/benches/start.rs. */
async function instantiation({ programs, size, add }) {
  const printed = await run([
    'cargo', 'bench', '--locked', '--quiet', '--package', 'capfs-host', '--bench', 'start', '--', programs.hello, String(size.instantiations),
  ])
  const times = JSON.parse(printed.trim().split('\n').at(-1))
  add({
    group: 'natively: start', id: 'native-instantiate', work: 'process, store and instance of hello, in a host that runs', unit: 'us', target: { most: 20 },
    samples: { 'capfs-host': times.capfs, 'wasmtime, no WASI': times.wasmtime },
  })
}

async function calls({ contenders, programs, size, add, where, note, files }) {
  for (const { name, count, work } of CALLS) {
    // The clock has nothing to do with files.
    if (name === 'clock' && where !== 'memory files') continue
    const made = size.count(count)
    const samples = await inTurn(contenders, size.rounds, (contender) =>
      milliseconds(output(contender.command(programs.calls, [name, String(made), String(size.times)], files(contender))), name),
    )
    add({
      group: `natively: ${where}${note ? ` (${note})` : ''}`, id: `native-${where === 'memory files' ? 'memory' : 'folder'}-${name}`, work, unit: 'ms', scale: count / made,
      target: TARGETS[where]?.[name], samples: named(samples),
    })
  }
}

/**
 * What is to be reached, where it is said, in milliseconds. For reads from a folder it is a fifth of the 22 us that wasmtime's pool of
 * blocking threads takes for each; its command makes them on the agent's own thread by now, as we do, which leaves the system call.
 */
const TARGETS = {
  'memory files': { 'write-byte': { most: 100 } },
  'a folder of the host': { 'read-block': { most: 72 }, 'pread-block': { most: 72 } },
}

/** What one agent that waits takes of the machine, beside what it shares with others. */
async function memory({ contenders, programs, size, add }) {
  const samples = await inTurn(contenders, size.memories, async (contender) => {
    const [command, ...args] = contender.command(programs.calls, ['wait', '0', '1'])
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      await new Promise((waits, failed) => {
        child.stdout.once('data', waits)
        child.once('error', failed)
        child.once('close', () => failed(new Error(`${command} ended before it waited`)))
      })
      return [privateMemory([child.pid])]
    } finally {
      child.stdin.end()
      await new Promise((closed) => (child.exitCode === null ? child.once('close', closed) : closed()))
    }
  })
  add({ group: 'natively: start', id: 'native-memory', work: 'memory of one agent that waits (its own process)', unit: 'MiB', samples: named(samples) })
}

/** MiB that only these processes have. */
export function privateMemory(processes) {
  const kibibytes = processes.map((pid) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    return [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
  })
  return kibibytes.reduce((sum, count) => sum + count, 0) / 1024
}

const named = (samples) => Object.fromEntries([...samples].map(([{ name }, numbers]) => [name, numbers]))
