// In Chromium: capfs in its variants, other hosts, and the least that JavaScript must do.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { serve } from '../scripts/serve.mjs'
import { root } from '../scripts/project.mjs'
import { launchChromium, renderers } from '../tests/page/chromium.mjs'
import { CALLS, milliseconds } from './guest.mjs'
import { privateMemory } from './native.mjs'
import { inTurn, median } from './statistics.mjs'

/** The variant that is compared: what a page without headers gets in Chromium. */
const CAPFS = 'capfs jspi multi'
const OTHER_VARIANTS = ['capfs jspi single', 'capfs none multi']
const ISOLATED_VARIANTS = ['capfs sab multi']
const RIVALS = ['browser_wasi_shim', '@runno/wasi']
const FLOOR = 'JS floor'
const BARE = 'a worker that does nothing'
/** The same variant, of another checkout. */
const BEFORE = 'before jspi multi'

const STARTS = 'Chromium: start and end of hello'

/** What is to be reached, in milliseconds, or as a multiple of what another takes. */
const TARGETS = {
  'write-byte': { most: 100 },
  'write-block': { most: 120 },
  'read-block': { most: 20 },
  'open-close': { most: 60 },
  stat: { most: 40 },
  clock: { of: 'performance.now', at: 1.1 },
}

/** Milliseconds that a contender may take for one measurement before it is measured with less. */
const PATIENCE = 8_000

/** Agents that are started to see what memory one takes. */
const HELD = 8

/**
 * Runs every measurement in Chromium.
 *
 * @param {import('./run.mjs').Context} context
 */
export async function measureInChromium({ programs, size, add, say, against, chosen, contends }) {
  const browser = await launchChromium()
  try {
    for (const isolated of [false, true]) {
      const variants = isolated ? ISOLATED_VARIANTS : [CAPFS, ...(against ? [BEFORE] : []), ...OTHER_VARIANTS]
      const server = await serve({ folder: root, isolated })
      const onPage = (work) => withPage(browser, `${server.address}bench/page/index.html`, programs, against, work)
      const context = { onPage, variants: variants.filter(contends), chosen, size, say, add: (row) => add({ ...row, isolated }) }
      try {
        await calls(context, isolated ? [] : [...RIVALS, FLOOR].filter(contends))
        if (isolated) continue
        if (chosen({ name: 'start' })) await starts(context)
        if (chosen({ name: 'kill' })) await kills(context)
        if (chosen({ name: 'memory' })) await memory(context)
      } finally {
        await server.close()
      }
    }
  } finally {
    await browser.close()
  }
}

/**
 * Runs `work` with a new page, in a process of its own: Chromium has room for some 100 WebAssembly memories
 * in a process, and those of ended programs go only when their worker collects its garbage.
 */
async function withPage(browser, address, programs, against, work) {
  const context = await browser.newContext()
  try {
    if (against) await routeBefore(context, against)
    const page = await context.newPage()
    page.setDefaultTimeout(0)
    for (const [name, file] of Object.entries(programs)) {
      const body = readFileSync(file)
      await context.route(`**/programs/${name}.wasm`, (route) => route.fulfill({ body, contentType: 'application/wasm' }))
    }
    await page.goto(address)
    await page.waitForFunction(() => globalThis.bench !== undefined)
    return await work(page)
  } finally {
    await context.close()
  }
}

/** Serves the package of another checkout under `/before/`. */
export const routeBefore = (context, against) =>
  context.route('**/before/web/dist/**', (route) => route.fulfill({ path: resolve(against, new URL(route.request().url()).pathname.slice('/before/'.length)) }))

/** Calls a function of page/page.mjs. */
const ask = (page, name, ...args) => page.evaluate(({ name, args }) => globalThis.bench[name](...args), { name, args })

/**
 * Measures one call on one host. A host that would take too long is measured with a part of the calls, and
 * what is shown is a lower bound: none of them gets faster with more.
 */
async function measured(page, contender, call, size, portions) {
  const { name, count } = call
  const go = async (calls, times) => milliseconds(await ask(page, 'output', contender, 'calls', [name, String(calls), String(times)]), name)
  let part = portions.get(contender)
  if (part === undefined) {
    for (part = 1 / 16; part < 1; part *= 4) {
      const calls = size.count(count * part)
      const begun = performance.now()
      const taken = median(await go(calls, 1))
      // Preparations count as well.
      if (Math.max(taken, performance.now() - begun) * 4 > PATIENCE) break
    }
    part = Math.min(part, 1)
    portions.set(contender, part)
  }
  return (await go(size.count(count * part), size.times)).map((time) => time / part)
}

async function calls({ onPage, variants, chosen, size, say, add }, others) {
  if (variants.length + others.length === 0) return
  for (const call of CALLS.filter(chosen)) {
    say(call.work)
    const contenders = [...variants, ...others]
    const portions = new Map()
    // A page for each go: V8 keeps the code of equal bytes once in a process, so who comes second finds the program optimised.
    const samples = await inTurn(contenders, size.rounds, (contender) => onPage((page) => measured(page, contender, call, size, portions)))
    if (call.name === 'clock') samples.set('performance.now', await onPage((page) => clockFloor(page, size, call.count)))
    const notes = [...portions].filter(([, part]) => part < 1).map(([contender, part]) => `${contender}: with 1/${1 / part} of the calls`)
    const made = size.count(call.count)
    add({
      group: 'Chromium: memory files, measured in the agent', id: `chromium-${call.name}`, work: call.work, unit: 'ms', scale: call.count / made,
      target: TARGETS[call.name], floor: others.length > 0 ? FLOOR : undefined, notes, samples: Object.fromEntries(samples),
    })
  }
}

async function clockFloor(page, size, count) {
  const samples = []
  for (let round = 0; round < size.rounds; round++) samples.push(await ask(page, 'clocks', size.count(count)))
  return samples
}

/** Without the other checkout: its package is not served like the others', and its worker is another. */
const beside = (hosts) => hosts.filter((name) => name !== BEFORE)

async function starts({ onPage, variants, size, say, add }) {
  const hosts = [...variants, ...RIVALS, FLOOR]
  const collect = async (contenders, rounds, name, ...args) => {
    say(name)
    return Object.fromEntries(
      await onPage((page) => inTurn(contenders, rounds, async (contender) => [await ask(page, name, contender, ...args)])),
    )
  }
  const row = (id, work, samples, target) => add({ group: STARTS, id: `chromium-${id}`, work, unit: 'ms', floor: FLOOR, target, samples })
  say('cold')
  const cold = await inTurn(beside(hosts), size.colds, async (contender) => [await onPage((page) => ask(page, 'cold', contender))])
  row('cold', 'nothing loaded yet, to the first byte', Object.fromEntries(cold))
  row('new-worker', 'everything compiled, a new worker, to the first byte', await collect([...hosts, BARE], size.starts, 'newWorker'), { of: BARE, at: 1.3 })
  row('warm', 'a warm worker, from the page, to the first byte', await collect(hosts, size.starts, 'warmStart'), { most: 2 })
  row('in-worker', 'spawn to exit, measured in a spare worker with its fresh kernel', await collect(beside(hosts), size.starts, 'inWorker', size.inWorker, true), { most: 0.3 })
  row('in-worker-kernel', 'the same, and the making of the next kernel', await collect(beside(hosts), size.starts, 'inWorker', size.inWorker, false))
}

async function kills({ onPage, variants, size, say, add }) {
  say('kill')
  const kill = (contenders, rounds) => onPage((page) => inTurn(contenders, rounds, async (contender) => [await ask(page, 'kill', contender)]))
  const capfs = await kill(variants.filter((name) => !name.includes('none')), size.starts)
  // Rivals have one way: to end the worker.
  const rivals = await kill(RIVALS, size.kills)
  add({
    group: STARTS, id: 'chromium-kill', work: 'kill of an agent that makes calls, until it is gone', unit: 'ms', target: { most: 20 },
    samples: Object.fromEntries([...capfs, ...rivals]),
  })
}

/** What an agent takes: a page that holds several, against the same page before. */
async function memory({ onPage, size, say, add }) {
  say('memory')
  const samples = await inTurn([CAPFS, ...RIVALS, BARE], size.memories, (contender) =>
    onPage(async (page) => {
      await ask(page, 'hold', contender, 1)
      const before = privateMemory(renderers())
      await ask(page, 'hold', contender, HELD)
      return [(privateMemory(renderers()) - before) / HELD]
    }),
  )
  add({ group: STARTS, id: 'chromium-memory', work: `memory of one more agent in a worker of its own (mean of ${HELD})`, unit: 'MiB', samples: Object.fromEntries(samples) })
}
