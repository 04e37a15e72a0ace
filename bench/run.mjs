// The benchmarks: `npm run bench`.
//
//   node bench/run.mjs [--only native,first-starts,chromium,capabilities] [--work NAME,…] [--of CONTENDER,…] [--against DIR] [--rounds N] [--quick | --smoke] [--json | --markdown]
//
// `--work` measures these calls and capabilities alone (names in guest.mjs and capabilities.mjs; in Chromium `start`, `kill` and
// `memory` as well). `--of` has these contenders alone make the calls in Chromium (names as printed). `--against` lets another
// checkout of this project, built, take part, to see what a change costs: with `--rounds` of 8 or more, for single runs differ by 10 %.
// `--quick` measures less often. `--smoke` does next to nothing, to see whether everything still runs.

import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { Problem, entry, say } from '../scripts/progress.mjs'
import { measureInChromium } from './browser.mjs'
import { measureCapabilities, measureCapabilitiesNatively } from './capabilities.mjs'
import { measureFirstStarts } from './first-starts.mjs'
import { buildGuests } from './guest.mjs'
import { measureNatively } from './native.mjs'
import { evaluated, markdown, print } from './report.mjs'

/**
 * How often each thing is measured.
 *
 * @typedef {object} Size
 * @property {(calls: number) => number} count how many of a measurement's calls are made
 * @property {number} times repetitions within one run, the first of which doesn't count
 * @property {number} rounds runs of each contender
 * @property {number} starts
 * @property {number} colds starts with everything loaded anew
 * @property {number} inWorker starts in a row that are measured as one
 * @property {number} instantiations
 * @property {number} kills of a rival's worker, each of which takes seconds
 * @property {number} memories
 * @property {number} firsts first starts of programs that take long to be compiled
 */

/** @type {Record<string, Size>} */
const SIZES = {
  full: { count: (calls) => calls, times: 4, rounds: 3, starts: 31, colds: 9, inWorker: 50, instantiations: 2_000, kills: 5, memories: 3, firsts: 3 },
  quick: { count: (calls) => calls, times: 3, rounds: 1, starts: 9, colds: 3, inWorker: 20, instantiations: 500, kills: 1, memories: 1, firsts: 1 },
  smoke: { count: (calls) => Math.max(1, Math.round(calls / 1_000)), times: 1, rounds: 1, starts: 1, colds: 1, inWorker: 1, instantiations: 3, kills: 1, memories: 1, firsts: 1 },
}

/** @typedef {{programs: {hello: string, calls: string, devices: string}, size: Size, chosen: (work: {name: string}) => boolean, contends: (name: string) => boolean, add: (row: import('./report.mjs').Row) => void, say: (text: string) => void, against?: string}} Context `against` is the folder of another checkout */

async function natively(context) {
  await measureNatively(context)
  await measureCapabilitiesNatively(context)
}

/** What the measurements depend on. */
function machine() {
  const [{ model } = { model: 'unknown' }] = cpus()
  return { date: new Date().toISOString().slice(0, 16), processors: cpus().length, model, load: loadavg()[0] }
}

/** @returns {Partial<Size>} */
function roundsOf(text) {
  if (text === undefined) return {}
  const rounds = Number(text)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Problem(`--rounds wants a number from 1, not ${text}`)
  return { rounds }
}

await entry(async () => {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, work: { type: 'string' }, of: { type: 'string' }, against: { type: 'string' }, rounds: { type: 'string' }, quick: { type: 'boolean' }, smoke: { type: 'boolean' }, json: { type: 'boolean' }, markdown: { type: 'boolean' } },
  })
  const parts = { native: natively, 'first-starts': measureFirstStarts, chromium: measureInChromium, capabilities: measureCapabilities }
  const wanted = values.only?.split(',') ?? Object.keys(parts)
  const unknown = wanted.filter((name) => !parts[name])
  if (unknown.length > 0) throw new Problem(`there is nothing called ${unknown.join(', ')}`, { hint: Object.keys(parts).join(', ') })
  const size = { ...SIZES[values.smoke ? 'smoke' : values.quick ? 'quick' : 'full'], ...roundsOf(values.rounds) }
  const programs = await buildGuests()
  const before = machine()
  say(`load ${before.load.toFixed(2)} on ${before.processors} processors`)
  const rows = []
  const works = values.work?.split(',')
  const contenders = values.of?.split(',')
  const context = { programs, size, against: values.against, chosen: ({ name }) => works?.includes(name) ?? true, contends: (name) => contenders?.includes(name) ?? true, say: (text) => say(`  ${text}`), add: (row) => rows.push(evaluated(row)) }
  for (const [name, measure] of Object.entries(parts)) {
    if (!wanted.includes(name)) continue
    say(`… ${name}`)
    await measure(context)
  }
  const after = machine()
  if (values.json) console.log(JSON.stringify({ before, after, rows }, undefined, 2))
  else if (values.markdown) console.log(`${before.date} UTC, ${before.model}, ${before.processors} processors, load ${before.load.toFixed(2)} to ${after.load.toFixed(2)}\n\n${markdown(rows)}`)
  else {
    print(rows)
    console.log(`\n${before.date} UTC, ${before.model}, ${before.processors} processors, load ${before.load.toFixed(2)} before and ${after.load.toFixed(2)} after`)
  }
  if (values.smoke) console.log(`${rows.length} passed, 0 failed`)
})
