// Runs the conformance cases on one or more hosts and compares the transcripts.
//
//   node tests/run.mjs [--host native,node,chromium,firefox,webkit] [--variant jspi-multi] [--only NAME]
//                      [--programs] [--on-demand] [--stored] [--shared] [--write]
//
// Each case runs in every variant of a host. Its transcript must equal the one in tests/transcripts/, which
// makes the hosts equal to each other. `--write` writes transcripts that don't exist yet; read them before
// they are committed. `--programs` runs the real programs of tests/programs instead of the guests, in the first
// variant of each host unless told; `--on-demand` the larger ones, which are fetched or compiled first. `--stored` runs the cases that write files on stored ones instead, in browsers, against
// the same transcripts. `--shared` runs all that have files in memory on a tree of the page's instead, which answers each request later.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildGuests, guests } from './build.mjs'
import { addressed, closeServers, named, serversFor } from './servers/servers.mjs'
import { asked, expected, masked, transcript, transcriptFile, wantedEnd } from './transcript.mjs'

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: 'native' },
    variant: { type: 'string' },
    only: { type: 'string' },
    programs: { type: 'boolean', default: false },
    'on-demand': { type: 'boolean', default: false },
    stored: { type: 'boolean', default: false },
    shared: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})

const programs = options.programs || options['on-demand']
const names = programs ? [] : await buildGuests()
const cases = options['on-demand']
  ? await (await import('./programs/on-demand.mjs')).prepared(options.only)
  : (await import(options.programs ? './programs/cases.mjs' : './cases.mjs')).cases
let passed = 0
let failed = 0
const ran = new Set()

function fail(where, text) {
  failed += 1
  console.log(`FAIL ${where}\n${text.replace(/^/gm, '    ')}`)
}

/** The first lines in which two texts differ, with what surrounds them. */
function difference(wanted, got) {
  const [left, right] = [wanted.split('\n'), got.split('\n')]
  const lines = []
  for (let index = 0; index < Math.max(left.length, right.length) && lines.length < 12; index += 1) {
    if (left[index] === right[index]) continue
    if (lines.length === 0 && index > 0) lines.push(`  ${left[index - 1]}`.slice(0, 300))
    if (left[index] !== undefined) lines.push(`- ${left[index]}`.slice(0, 300))
    if (right[index] !== undefined) lines.push(`+ ${right[index]}`.slice(0, 300))
  }
  return lines.join('\n')
}

/** The module to run; `collected` holds what earlier cases left, by their names. */
function program(wanted, collected) {
  if (wanted.program?.from) return collected.get(wanted.program.from)[wanted.program.path]
  if (wanted.program) return readFileSync(wanted.program)
  if (wanted.bytes !== undefined) return Buffer.from(wanted.bytes, 'base64')
  return readFileSync(join(guests, `${wanted.guest ?? wanted.name}.wasm`))
}

/** The mounts of a case with the files in them that earlier cases left, and with its program. */
function furnished(mounts = {}, collected, module) {
  const furnish = (mount) => {
    if (Array.isArray(mount)) return mount.map(furnish)
    const contents = (file) => (file.from ? collected.get(file.from)[file.path] : file.guest ? module : file)
    const files = Object.entries(mount.files ?? {}).map(([path, file]) => [path, contents(file)])
    return mount.files ? { ...mount, files: Object.fromEntries(files) } : mount
  }
  return Object.fromEntries(Object.entries(mounts).map(([path, mount]) => [path, furnish(mount)]))
}

/** The case with stored files in place of empty ones in memory, a tree for each; none if it has no such files. */
function onStored(wanted) {
  const scratch = ({ type, files = {}, rights }) => type === 'memory' && rights !== 'ro' && Object.keys(files).length === 0
  const mounts = Object.entries(wanted.mounts ?? {}).map(([path, mount]) => [
    path,
    scratch(mount) ? { type: 'opfs', directory: `${wanted.name}/${path}` } : mount,
  ])
  if (!mounts.some(([, { type }]) => type === 'opfs')) return undefined
  return { ...wanted, mounts: Object.fromEntries(mounts) }
}

/** Makes a hundred thousand files, which says nothing of a tree elsewhere but how long it takes. */
const LONG = 'readdir_hundred_thousand'

/** Guests that look at what is known on the spot alone. */
const AT_ONCE = new Set(['poll_left'])

/** The case with its files in the page's tree in place of its own memory; none if it has no files. */
function onShared(wanted) {
  if (wanted.name === LONG || AT_ONCE.has(wanted.name)) return undefined
  const shared = (mount, path) => (mount.type === 'memory' ? { ...mount, type: 'shared', path: `/${wanted.name}${path}` } : mount)
  const mounts = Object.entries(wanted.mounts ?? {}).map(([path, mount]) => [path, Array.isArray(mount) ? mount : shared(mount, path)])
  if (!mounts.some(([, { type }]) => type === 'shared')) return undefined
  return { ...wanted, mounts: Object.fromEntries(mounts) }
}

/** How long a case may take, in milliseconds; the slowest takes a quarter of this where two suites share a machine. */
const PATIENCE = 120_000

/** What a case comes to in a session; rejects where it takes longer than it may. */
async function patiently(session, wanted, module) {
  let timer
  const hung = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(`it hung for ${PATIENCE / 1000} s`), { hung: true })), PATIENCE)
  })
  try {
    return await Promise.race([session.run(wanted, module), hung])
  } finally {
    clearTimeout(timer)
  }
}

/** Compares one run with what it must be. */
function judge(where, wanted, result) {
  const got = transcript(wanted, result)
  const end = `--- ${wantedEnd(wanted)}\n`
  if (!got.endsWith(end)) {
    fail(where, `it must end with: ${end}${got.slice(-1_500)}${result.message ?? ''}`)
    return
  }
  const golden = expected(wanted.name)
  if (golden === undefined && options.write) {
    writeFileSync(transcriptFile(wanted.name), got)
    console.log(`wrote ${wanted.name}`)
  } else if (golden === undefined) {
    fail(where, `there is no transcript of ${wanted.name}`)
    return
  } else if (golden !== got) {
    fail(where, difference(golden, got))
    return
  }
  passed += 1
}

/** Why a case is left out on a host in a variant; `undefined` where it runs. What is left out is printed. */
function leftOut(wanted, host, variant) {
  // Without a way to wait there is nothing to run; the other variants run these.
  if (variant.startsWith('none') && (options.shared || wanted.waits || wanted.outside || wanted.exit?.reason === 'killed')) return 'need a variant that can wait'
  if (wanted.hosts && !wanted.hosts.includes(host)) return `need what is not on this host (${wanted.name})`
  return undefined
}

for (const name of options.host.split(',')) {
  const { variants, open } = await import(`./hosts/${name}.mjs`)
  const chosen = options.variant ? variants.filter((variant) => variant === options.variant) : programs ? variants.slice(0, 1) : variants
  if (chosen.length === 0) fail(name, `there is no variant ${options.variant}; there are ${variants.join(', ')}`)
  for (const variant of chosen) {
    const before = [passed, failed]
    const left = new Map()
    const collected = new Map()
    let session
    try {
      session = await open(variant)
    } catch (error) {
      fail(`${name} ${variant}`, `it can't be started: ${error.stack}`)
      continue
    }
    try {
      for (const given of cases) {
        const wanted = options.stored ? onStored(given) : options.shared ? onShared(given) : given
        if (!wanted) continue
        if (options.only && !wanted.name.includes(options.only)) continue
        const out = leftOut(wanted, name, variant)
        if (out) {
          left.set(out, (left.get(out) ?? 0) + 1)
          continue
        }
        const where = `${name} ${variant} ${wanted.name}`
        try {
          const addresses = await serversFor(wanted)
          const module = program(wanted, collected)
          const prepared = { ...addressed(wanted, addresses), mounts: furnished(wanted.mounts, collected, module) }
          const result = await patiently(session, prepared, module)
          collected.set(wanted.name, result.files ?? {})
          const shown = (bytes) => masked(named(bytes, addresses), wanted.masks)
          judge(where, wanted, { ...result, stdout: shown(result.stdout), stderr: shown(result.stderr), asked: shown(asked(result.asked ?? [])) })
        } catch (error) {
          fail(where, error.stack)
          if (error.hung) {
            // What hangs in it must not fail the cases that follow.
            await session.close()
            session = await open(variant)
          }
        }
        ran.add(wanted.guest ?? wanted.name)
      }
    } finally {
      await session.close()
    }
    const without = [...left].map(([why, count]) => `, ${count} ${why}`).join('')
    console.log(`${name} ${variant}: ${passed - before[0]} passed, ${failed - before[1]} failed${without}`)
  }
}
await closeServers()

/** Guests that another suite runs: `account` (account.test.mjs). */
const ELSEWHERE = new Set(['hold'])
if (!options.only && !options.stored && !options.shared) {
  for (const guest of names.filter((guest) => !ran.has(guest) && !ELSEWHERE.has(guest))) fail(guest, 'no host ran this guest')
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
