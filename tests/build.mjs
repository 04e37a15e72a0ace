// Builds the guests: Rust, C and WebAssembly text, into tests/dist/guests.
//
//   node tests/build.mjs

import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const sources = join(here, 'guests')

/** Where the built guests are. */
export const guests = join(here, 'dist', 'guests')

/** Builds what has changed and returns the names of all guests, sorted. */
export async function buildGuests() {
  mkdirSync(guests, { recursive: true })
  const wanted = new Map()
  for (const [folder, ending, build] of [
    [join(sources, 'src', 'bin'), '.rs', undefined],
    [join(sources, 'c'), '.c', compileC],
    [join(sources, 'wat'), '.wat', assemble],
  ]) {
    for (const file of readdirSync(folder).filter((file) => file.endsWith(ending))) {
      const name = basename(file, ending)
      if (wanted.has(name)) throw new Error(`two guests are called ${name}`)
      wanted.set(name, { source: join(folder, file), build })
    }
  }

  const built = buildRust()
  for (const [name, { source, build }] of wanted) {
    const module = join(guests, `${name}.wasm`)
    if (!build) {
      copyFileSync(join(built, `${name}.wasm`), module)
    } else if (!existsSync(module) || statSync(module).mtimeMs < statSync(source).mtimeMs) {
      await build(source, module)
    }
  }
  // A guest that was renamed must not go on being tested under its old name.
  for (const file of readdirSync(guests)) {
    if (!wanted.has(basename(file, '.wasm'))) rmSync(join(guests, file))
  }
  return [...wanted.keys()].sort()
}

function run(argv, options) {
  const done = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options })
  if (done.error) throw new Error(`${argv[0]} can't be started: ${done.error.message}`)
  if (done.status !== 0) throw new Error(`${argv.join(' ')} failed:\n${done.stdout}${done.stderr}`)
  return done.stdout
}

/** Builds the cargo package of guests and returns the folder with its modules. */
function buildRust() {
  // A target directory of its own: the root workspace's lock is for builds of the project.
  const outer = process.env.CARGO_TARGET_DIR ?? join(here, '..', 'target')
  const target = join(resolve(here, '..', outer), 'guests')
  run(['cargo', 'build', '--release', '--quiet', '--target', 'wasm32-wasip1', '--target-dir', target], { cwd: sources })
  return join(target, 'wasm32-wasip1', 'release')
}

function compileC(source, module) {
  run(['clang', '--target=wasm32-wasi', '--sysroot=/usr', '-O1', '-Wall', '-Wextra', '-Werror', source, '-o', module])
}

async function assemble(source, module) {
  const { default: load } = await import('wabt')
  const { readFileSync } = await import('node:fs')
  const wabt = await load()
  const parsed = wabt.parseWat(basename(source), readFileSync(source, 'utf8'), { bulk_memory: true, mutable_globals: true })
  try {
    writeFileSync(module, parsed.toBinary({}).buffer)
  } finally {
    parsed.destroy()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = await buildGuests()
  console.log(`${names.length} guests`)
}
