// Programs with the older exception instructions print natively, where they are translated, what they print in this Node,
// whose engine runs them as they are.
//
//   node tests/exceptions/agree.test.mjs [--programs 12] [--seed 1]      as many random programs, from this seed on

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import loadWabt from 'wabt'
import { program } from './random.mjs'

const { values: options } = parseArgs({
  options: { programs: { type: 'string', default: '12' }, seed: { type: 'string', default: '1' } },
})
const root = resolve(fileURLToPath(import.meta.url), '..', '..', '..')
const binary = join(resolve(root, process.env.CARGO_TARGET_DIR ?? 'target'), 'release', 'capfs-host')
if (!existsSync(binary)) throw new Error(`${binary} is missing: cargo build --release -p capfs-host`)

/** Functions in a program, each of which is called with several arguments. */
const FUNCTIONS = 60

/** What a program prints in this engine. */
function here(wasm) {
  let memory
  const printed = []
  const fd_write = (fd, vectors) => {
    const [at, length] = new Uint32Array(memory.buffer, vectors, 2)
    printed.push(Buffer.from(memory.buffer.slice(at, at + length)))
    return 0
  }
  const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), { wasi_snapshot_preview1: { fd_write } })
  memory = instance.exports.memory
  instance.exports._start()
  return Buffer.concat(printed)
}

const wabt = await loadWabt()
const scratch = mkdtempSync(join(tmpdir(), 'capfs-exceptions-'))
let passed = 0
let failed = 0
/** How often the calls ended in how many ways: programs that all do the same prove nothing. */
const values = new Set()
try {
  for (let seed = Number(options.seed); seed < Number(options.seed) + Number(options.programs); seed += 1) {
    const parsed = wabt.parseWat(`${seed}.wat`, program(seed, FUNCTIONS), { exceptions: true })
    const wasm = Buffer.from(parsed.toBinary({}).buffer)
    parsed.destroy()
    const wanted = here(wasm)
    const file = join(scratch, `${seed}.wasm`)
    writeFileSync(file, wasm)
    const ran = spawnSync(binary, ['run', '--no-cache', '--quiet', file], { maxBuffer: 2 ** 24 })
    const results = new Int32Array(wanted.buffer.slice(wanted.byteOffset, wanted.byteOffset + wanted.length))
    for (const value of results) values.add(value)
    if (ran.status === 0 && wanted.equals(ran.stdout)) {
      passed += 1
      continue
    }
    failed += 1
    const got = new Int32Array(ran.stdout.buffer.slice(ran.stdout.byteOffset, ran.stdout.byteOffset + (ran.stdout.length & ~3)))
    const at = results.findIndex((value, index) => value !== got[index])
    console.log(`FAIL seed ${seed}: call ${at} gives ${got[at]}, not ${results[at]}; exit ${ran.status} ${ran.stderr.toString('utf8').slice(0, 500)}`)
  }
  if (values.size < 40) {
    failed += 1
    console.log(`FAIL the programs give ${values.size} different values: they do too little`)
  } else {
    passed += 1
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
