// Builds everything: `npm run build`.
//
//   node scripts/build.mjs [PART…]     parts: host, kernel, web, agents; default: all

import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onPath, run } from './command.mjs'
import { agentsTarget, binary, has, path, shown } from './project.mjs'
import { Problem, entry, say, step, yellow } from './progress.mjs'
import { setUp } from './setup.mjs'

/** Where the sample agents are built to, one module each. */
export const agentsOut = path('agents', 'dist')

/** The parts and what each needs to be built before it. */
const PARTS = {
  kernel: { after: [], build: buildKernel },
  // After the kernel: both are cargo's, in one target directory, and would only wait for each other.
  host: { after: ['kernel'], build: buildHost },
  agents: { after: [], build: buildAgents },
  web: { after: ['kernel', 'agents'], build: buildWeb },
}

/**
 * Builds parts of the project, those that don't need each other side by side.
 *
 * @param {(keyof typeof PARTS)[]} [names] all by default
 */
export async function build(names = Object.keys(PARTS)) {
  const unknown = names.filter((name) => !PARTS[name])
  if (unknown.length > 0) {
    throw new Problem(`nothing to build is called ${unknown.join(', ')}`, { hint: `parts: ${Object.keys(PARTS).join(', ')}` })
  }
  const running = new Map()
  const part = (name) => {
    if (!running.has(name)) {
      const before = PARTS[name].after.filter((other) => names.includes(other))
      running.set(name, Promise.all(before.map(part)).then(() => PARTS[name].build()))
    }
    return running.get(name)
  }
  // All of them come to an end before an error is reported: none is left running behind it.
  const outcomes = await Promise.allSettled(names.map(part))
  const failed = outcomes.find(({ status }) => status === 'rejected')
  if (failed) throw failed.reason
}

const cargo = (title, args, options) =>
  step(title, (report) => run(['cargo', ...args, '--locked'], { report, ...options }))

function buildHost() {
  const cold = existsSync(binary('capfs-host')) ? '' : ' (wasmtime takes some minutes the first time)'
  return cargo(`Build capfs-host${cold}`, ['build', '--release', '--package', 'capfs-host'])
}

async function buildKernel() {
  await cargo('Build capfs-build', ['build', '--release', '--package', 'capfs-build'])
  await step('Build the kernel', (report) =>
    run([binary('capfs-build'), 'kernel', '--out', path('web', 'dist')], { report }),
  )
}

async function buildWeb() {
  if (!has('web', 'package.json')) throw new Problem('web/package.json is missing: there is no page to build')
  await step('Build the page and the npm package', (report) =>
    run(['npm', 'run', 'build', '--silent', '--workspace=web'], { report }),
  )
}

/** The sample agents: a cargo workspace in agents/, and one C file each in agents/c. */
async function buildAgents() {
  mkdirSync(agentsOut, { recursive: true })
  const target = 'wasm32-wasip1'
  await cargo('Build the sample agents in Rust', ['build', '--release', '--target', target], {
    cwd: path('agents'),
    env: { CARGO_TARGET_DIR: agentsTarget },
  })
  const built = join(agentsTarget, target, 'release')
  for (const name of readdirSync(built).filter((file) => file.endsWith('.wasm'))) {
    copyChanged(join(built, name), join(agentsOut, name))
  }

  const sources = has('agents', 'c') ? readdirSync(path('agents', 'c')).filter((file) => file.endsWith('.c')) : []
  if (sources.length === 0) return
  if (!onPath('clang') || !onPath('wasm-ld') || !existsSync('/usr/lib/wasm32-wasi/libc.a')) {
    // Enough for `npm start`; the tests' set-up brings a C compiler.
    say(yellow(`  no C compiler for WASI here: without ${sources.map((file) => shown(path('agents', 'c', file))).join(', ')}`))
    return
  }
  await step('Build the sample agents in C', async (report) => {
    for (const source of sources) {
      const module = join(agentsOut, `${basename(source, '.c')}.wasm`)
      await run(
        ['clang', '--target=wasm32-wasi', '-O2', '-Wall', '-Wextra', '-Werror', '-o', module, path('agents', 'c', source)],
        { report },
      )
    }
  })
}

/** Copies a file unless the copy has the same contents already, so that nothing is rebuilt in vain. */
function copyChanged(from, to) {
  if (existsSync(to) && readFileSync(from).equals(readFileSync(to))) return
  copyFileSync(from, to)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await entry(async () => {
    await setUp('start')
    await build(process.argv.length > 2 ? process.argv.slice(2) : undefined)
  })
}
