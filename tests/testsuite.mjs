// Runs the official WASI tests (github.com/WebAssembly/wasi-testsuite, its branch prod/testsuite-base).
//
//   npm run testsuite -- DIR [--host native,node,chromium,firefox,webkit] [--only NAME]
//
// Only tests of preview 1 are run. Both forms of a test's description are understood: the older one with
// `args`, `env`, `root` or `dirs`, and the list of `operations`. Each test gets a fresh copy of its
// folders, writable. testsuite-skip.json maps names of tests to the reasons why they are not run.

import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, cpSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { host: { type: 'string', default: 'native,node,chromium,firefox,webkit' }, only: { type: 'string' } },
})
if (positionals.length !== 1 || !existsSync(positionals[0])) {
  console.error('usage: npm run testsuite -- DIR\nDIR is a checkout of wasi-testsuite at its branch prod/testsuite-base')
  process.exit(2)
}
const [suite] = positionals
const skips = JSON.parse(readFileSync(join(here, 'testsuite-skip.json'), 'utf8'))

/** The system-call variant that a host is tested with; the conformance cases go through all of them. */
const VARIANT = { native: 'directory', node: 'sab-single', chromium: 'jspi-multi', firefox: 'jspi-multi', webkit: 'sab-single' }

/** The modules that import preview 1, by their files; the rest are components or other snapshots. */
function modules(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.wasm'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => readFileSync(file).subarray(4, 8).equals(Buffer.from([1, 0, 0, 0])))
    .sort()
}

/** A test's description in one form: how it is run and what it must come to. */
function description(file) {
  const json = file.replace(/\.wasm$/, '.json')
  const given = existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : {}
  const operations = given.operations
  if (!operations) {
    return {
      args: given.args ?? [],
      env: given.env ?? {},
      // Either one folder that is the root, or folders by the names that they have for the guest too.
      mounts: given.root ? { '/': given.root } : Object.fromEntries((given.dirs ?? []).map((dir) => [dir, dir])),
      code: given.exit_code ?? 0,
      outputs: ['stdout', 'stderr'].filter((id) => given[id] !== undefined).map((id) => ({ id, payload: given[id] })),
    }
  }
  const of = (type) => operations.filter((operation) => operation.type === type)
  const strange = operations.find(({ type }) => !['run', 'read', 'wait'].includes(type))
  if (strange) throw new Error(`the operation \`${strange.type}\` is not of preview 1`)
  const [run = {}] = of('run')
  return {
    args: run.args ?? [],
    env: run.env ?? {},
    mounts: run.root ? { '/': run.root } : {},
    code: of('wait')[0]?.exit_code ?? 0,
    outputs: of('read').map(({ id = 'stdout', payload = '' }) => ({ id, payload })),
  }
}

/** The files below a folder, path -> bytes; pages and worker threads get them as memory files. */
function contents(folder) {
  const files = {}
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath ?? entry.path, entry.name)
    if (statSync(file).isFile()) files[relative(folder, file)] = readFileSync(file)
  }
  return files
}

/** A mount of a test's folder as the host takes it: natively a copy of it, elsewhere its files and an archive of its directories. */
function mount(folder, host, scratch) {
  if (host === 'native') {
    const copy = mkdtempSync(join(scratch, 'root-'))
    cpSync(folder, copy, { recursive: true })
    return { host: copy, rights: 'rw' }
  }
  return { type: 'memory', files: Object.fromEntries(Object.entries(contents(folder)).map(([path, bytes]) => [path, bytes.toString('utf8')])) }
}

const tests = modules(suite).filter((file) => !options.only || basename(file).includes(options.only))
let passed = 0
let failed = 0
for (const host of options.host.split(',')) {
  const { open } = await import(`./hosts/${host}.mjs`)
  const scratch = mkdtempSync(join(tmpdir(), 'capfs-testsuite-'))
  const session = await open(VARIANT[host])
  const before = [passed, failed]
  try {
    for (const file of tests) {
      const name = basename(file, '.wasm')
      if (skips[name]) {
        console.log(`skip ${host} ${name}: ${skips[name]}`)
        continue
      }
      const wrong = []
      let result
      try {
        const wanted = description(file)
        const mounts = Object.fromEntries(
          Object.entries(wanted.mounts).map(([path, folder]) => [path, mount(join(dirname(file), folder), host, scratch)]),
        )
        result = await session.run({ name, args: wanted.args, env: wanted.env, mounts }, readFileSync(file))
        if (result.reason !== 'exit') wrong.push(`it ended by ${result.reason} ${result.error ?? ''}`)
        else if (result.code !== wanted.code) wrong.push(`exit code ${result.code}, not ${wanted.code}`)
        for (const { id, payload } of wanted.outputs) {
          const text = Buffer.from(result[id]).toString('utf8')
          if (text !== payload) wrong.push(`${id} is ${JSON.stringify(text)}, not ${JSON.stringify(payload)}`)
        }
      } catch (error) {
        wrong.push(error.message)
      }
      if (wrong.length === 0) {
        passed += 1
      } else {
        failed += 1
        const said = result ? Buffer.from(result.stderr).toString('utf8').trim() : ''
        console.log(`FAIL ${host} ${name}: ${wrong.join('; ')}\n${said.replace(/^/gm, '    ')}`)
      }
    }
  } finally {
    await session.close()
    rmSync(scratch, { recursive: true, force: true })
  }
  console.log(`${host}: ${passed - before[0]} of ${tests.length} passed`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
