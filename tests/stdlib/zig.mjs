// The tests of Zig's standard library, compiled for wasm32-wasi.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../../scripts/command.mjs'
import { compiler } from '../../scripts/setup/fetched-tools.mjs'

/**
 * Parts of the library whose tests are run: their names in it begin so. Left out is what its package ships without the files that
 * the tests are made of (compress, crypto, tar, tz, zip), and what never asks the host (compiler internals, targets, mathematics).
 */
const PARTS = [
  'Io.', 'Progress.', 'Random.', 'Thread.', 'Uri.', 'array_hash_map.', 'array_list.', 'ascii.', 'base64.', 'bit_set.', 'buf_map.', 'debug.', 'enums.',
  'fmt.', 'fs.', 'hash.', 'hash_map.', 'heap.', 'http.', 'json.', 'mem.', 'os.', 'posix.', 'process.', 'sort.', 'time.', 'unicode.',
]

/** What a run printed, as tests: name -> `PASS`, `FAIL` or `SKIP`. */
export function results(text) {
  const ends = { OK: 'PASS', SKIP: 'SKIP' }
  // A test that prints has its end on a line of its own; one that fails has its error behind the dots or further down.
  const lines = [...text.matchAll(/^\d+\/\d+ (.+?)\.\.\.([^]*?)(?=^\d+\/\d+ |^\d+ passed|(?![^]))/gm)]
  return new Map(lines.map(([, name, rest]) => [name, ends[/(OK|SKIP)\n?$/.exec(rest)?.[1]] ?? 'FAIL']))
}

/**
 * Compiles the tests: those of the library, and ours of files by the library, for it ships without its own.
 *
 * @param {{work: string, only: (name: string) => boolean, report: (line: string) => void}} options
 * @returns {Promise<{name: string, wanted: any, module: string}[]>} a case for each, in the form of tests/cases.mjs
 */
export async function compiled({ work, only, report }) {
  const root = await compiler('zig')
  mkdirSync(work, { recursive: true })
  const env = { ZIG_GLOBAL_CACHE_DIR: join(work, 'cache'), ZIG_LOCAL_CACHE_DIR: join(work, 'cache') }
  const sources = {
    std: [join(root, 'lib', 'std', 'std.zig'), '--zig-lib-dir', join(root, 'lib'), ...PARTS.flatMap((part) => ['--test-filter', part])],
    files: [fileURLToPath(new URL('./files.zig', import.meta.url))],
  }
  const cases = []
  for (const [name, source] of Object.entries(sources).filter(([name]) => only(name))) {
    const module = join(work, `${name}.wasm`)
    await run([join(root, 'zig'), 'test', ...source, '-target', 'wasm32-wasi', '--test-no-exec', `-femit-bin=${module}`], { env, cwd: work, report })
    cases.push({ name, module, wanted: { name: `zig_${name}`, mounts: { '/': { type: 'memory', files: {} } }, patience: 600_000 } })
  }
  return cases
}
