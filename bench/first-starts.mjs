// First starts of large programs natively: nothing is compiled yet.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Problem } from '../scripts/progress.mjs'
import { binary, path } from '../scripts/project.mjs'
import { cargoTool } from '../scripts/setup/cargo-tools.mjs'

const langs = path('node_modules', '@runno', 'sandbox', 'dist', 'langs')

/** Large programs that nobody here wrote, and what they are asked. */
const PROGRAMS = [
  { name: 'clang', file: 'clang.wasm', args: ['--version'] },
  { name: 'Ruby', file: 'ruby-3.2.0.wasm', args: ['--version'] },
  { name: 'Python', file: 'python-3.11.3.wasm', args: ['--version'] },
]

/** What takes its time in a program, and not before it. */
const WORK = { name: 'Ruby', file: 'ruby-3.2.0.wasm', args: ['-e', 'sum = 0; 2_000_000.times { |each| sum += each }; puts sum'] }

/** How long optimised code may take to be made behind a program. */
const PATIENCE = 1_800_000

/** Milliseconds that a command takes from its start to its end, and what it said. */
function timed([command, ...args], env) {
  const begun = process.hrtime.bigint()
  const done = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const took = Number(process.hrtime.bigint() - begun) / 1e6
  if (done.error) throw done.error
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status ?? done.signal}:\n${done.stdout}${done.stderr}`)
  return { took, stderr: done.stderr }
}

/**
 * Measures first starts, and those that follow.
 *
 * @param {import('./run.mjs').Context} context
 */
export async function measureFirstStarts({ size, add, say }) {
  for (const { name, file, args } of PROGRAMS) {
    say(`first start of ${name}`)
    const program = join(langs, file)
    const samples = { tiered: [], optimising: [], wasmtime: [] }
    const next = { tiered: [], optimised: [] }
    const ready = { tiered: [] }
    for (let round = 0; round < size.firsts; round += 1) {
      await kept(async (env) => {
        const start = (compiler) => timed([binary('capfs-host'), 'run', '--quiet', '--json', '--compiler', compiler, program, ...args], env)
        samples.tiered.push(start('tiered').took)
        const begun = Date.now()
        const second = start('tiered')
        // Where optimised code was there already it is no start of this kind.
        if (tier(second) === 'baseline') next.tiered.push(second.took)
        let last
        do {
          if (Date.now() - begun > PATIENCE) throw new Problem(`there is no optimised code of ${name} after ${PATIENCE / 1000} s`)
          await pause(250)
          last = start('tiered')
        } while (tier(last) !== 'optimised')
        ready.tiered.push(Date.now() - begun)
        next.optimised.push(start('tiered').took)
      })
      await kept((env) => samples.optimising.push(timed([binary('capfs-host'), 'run', '--quiet', '--compiler', 'optimising', program, ...args], env).took))
      if (existsSync(cargoTool('wasmtime'))) samples.wasmtime.push(timed([cargoTool('wasmtime'), 'run', program, ...args]).took)
    }
    const group = 'natively: first starts of large programs'
    row({ add, group, id: `native-first-${name}`, work: `${name}, nothing compiled before`, samples: { 'capfs-host': samples.tiered, 'capfs-host --compiler optimising': samples.optimising, wasmtime: samples.wasmtime } })
    row({ add, group, id: `native-next-${name}`, work: `${name}, a start right after that, and one with optimised code`, samples: { 'capfs-host': next.tiered, 'capfs-host, later': next.optimised } })
    row({ add, group, id: `native-ready-${name}`, work: `${name}, until its optimised code is there, from the end of the first start`, samples: { 'capfs-host': ready.tiered } })
  }
  await kept((env) => {
    const run = (compiler) => timed([binary('capfs-host'), 'run', '--quiet', '--compiler', compiler, join(langs, WORK.file), ...WORK.args], env).took
    const all = { baseline: [], optimising: [] }
    for (let round = -1; round < size.firsts; round += 1) {
      for (const [compiler, times] of Object.entries(all)) {
        const took = run(compiler)
        // The first time it is compiled.
        if (round >= 0) times.push(took)
      }
    }
    row({ add, group: 'natively: first starts of large programs', id: 'native-baseline-code', work: `${WORK.name}: 2,000,000 blocks called`, samples: { 'baseline code': all.baseline, 'optimised code': all.optimising } })
  })
}

const tier = ({ stderr }) => JSON.parse(stderr.trim().split('\n').at(-1)).tier

/** A row without those who are not here. */
function row({ add, samples, ...rest }) {
  add({ ...rest, unit: 'ms', samples: Object.fromEntries(Object.entries(samples).filter(([, numbers]) => numbers.length > 0)) })
}

/** Does something with an empty cache of its own. */
async function kept(something) {
  const folder = mkdtempSync(join(tmpdir(), 'capfs-first-'))
  try {
    await something({ CAPFS_CACHE_DIR: folder })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
