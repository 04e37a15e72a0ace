// The page's half of the benchmarks: one function for each thing that is measured, called by ../browser.mjs.

const RIVALS = { 'browser_wasi_shim': 'browser-wasi-shim', '@runno/wasi': 'runno', 'JS floor': 'floor' }

/** The variant that a contender's name says: `capfs jspi multi`. */
const variantOf = (contender) => {
  const [, wait, memory] = /^(?:capfs|before) (\w+) (\w+)$/.exec(contender) ?? []
  return wait && { wait, memory }
}

/** The package: this one, or the one of another checkout. */
const packageOf = (contender) => import(contender.startsWith('before') ? '/before/web/dist/index.js' : '/web/dist/index.js')

const compile = async (name) => WebAssembly.compile(await (await fetch(`/programs/${name}.wasm`)).arrayBuffer())

const programs = {}
/** A program's module, compiled once. */
const program = async (name) => (programs[name] ??= await compile(name))

/** Waits for the message that `wanted` accepts. */
function message(worker, wanted = () => true) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.failed) reject(new Error(data.failed))
      else if (wanted(data)) resolve(data)
    }
    worker.onerror = (event) => reject(new Error(event.message || 'the worker could not be loaded'))
  })
}

async function startRival(contender, lock) {
  const url = new URL('rival-worker.mjs', import.meta.url)
  url.searchParams.set('rival', RIVALS[contender])
  if (lock) url.searchParams.set('lock', lock)
  const worker = new Worker(url, { type: 'module' })
  await message(worker, ({ ready }) => ready)
  return worker
}

const machines = new Map()

/** A contender that is warm: its Capfs with a spare worker, or its worker. */
async function warm(contender) {
  if (!machines.has(contender)) {
    const variant = variantOf(contender)
    if (variant) {
      const { Capfs } = await packageOf(contender)
      machines.set(contender, await Capfs.create({ variant }))
    } else machines.set(contender, await startRival(contender))
  }
  return machines.get(contender)
}

const files = () => ({ '/work': { type: 'memory' } })
const turn = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))

/** Runs a program to its end and answers what it printed. */
export async function output(contender, name, args) {
  const host = await warm(contender)
  const module = await program(name)
  if (variantOf(contender)) {
    const agent = await host.spawn(module, { args, mounts: files() })
    const text = await new Response(agent.stdout).text()
    const { code, message } = await agent.exit
    await agent.dispose()
    if (code !== 0) throw new Error(`it ended with ${code}: ${message ?? text}`)
    return text
  }
  const decoder = new TextDecoder()
  let text = ''
  const done = message(host, ({ output, end }) => {
    if (output) text += decoder.decode(output, { stream: true })
    return end
  })
  host.postMessage({ module, args })
  await done
  return text
}

/** Runs a program with capabilities to its end and answers what it printed. */
export async function granted(contender, name, args, grants) {
  const { Capfs } = await packageOf(contender)
  const key = `granted ${contender}`
  const capfs = machines.get(key) ?? machines.set(key, Capfs.create({ capabilities: true })).get(key)
  const agent = await (await capfs).spawn(await program(name), { id: name, args, grants })
  const [text, errors] = await Promise.all([agent.stdout, agent.stderr].map((stream) => new Response(stream).text()))
  const { code, message } = await agent.exit
  await agent.dispose()
  if (code !== 0) throw new Error(`it ended with ${code}: ${message ?? ''} ${errors}`)
  return text
}

/** Does the same by the platform's own interfaces, in a worker of its own. */
export async function bare(order) {
  const worker = new Worker(new URL('bare-devices.mjs', import.meta.url), { type: 'module' })
  try {
    await message(worker, ({ ready }) => ready)
    worker.postMessage(order)
    return (await message(worker, ({ end }) => end)).output
  } finally {
    worker.terminate()
  }
}

/** Milliseconds to the first byte of hello: in a worker that is warm. */
export async function warmStart(contender) {
  const host = await warm(contender)
  const module = await program('hello')
  if (variantOf(contender)) {
    // The next spare is there before the clock starts.
    await turn(60)
    const begun = performance.now()
    const agent = await host.spawn(module, { mounts: files() })
    await agent.stdout.getReader().read()
    const taken = performance.now() - begun
    await agent.exit
    await agent.dispose()
    return taken
  }
  await turn(60)
  const begun = performance.now()
  const first = message(host)
  host.postMessage({ module, args: [] })
  await first
  const taken = performance.now() - begun
  await message(host, ({ end }) => end)
  return taken
}

/** Milliseconds from a new worker to the first byte of hello, everything being loaded and compiled. */
export async function newWorker(contender) {
  const module = await program('hello')
  await turn(60)
  const variant = variantOf(contender)
  if (variant) {
    const { Capfs } = await packageOf(contender)
    const capfs = await Capfs.create({ variant, spares: 0 })
    const begun = performance.now()
    const agent = await capfs.spawn(module, { mounts: files() })
    await agent.stdout.getReader().read()
    const taken = performance.now() - begun
    await agent.exit
    capfs.close()
    return taken
  }
  const begun = performance.now()
  let worker
  if (contender === 'a worker that does nothing') {
    worker = new Worker(new URL('bare-worker.mjs', import.meta.url), { type: 'module' })
    await message(worker)
  } else {
    worker = await startRival(contender)
    const first = message(worker, ({ output }) => output)
    worker.postMessage({ module, args: [] })
    await first
  }
  const taken = performance.now() - begun
  worker.terminate()
  return taken
}

/** Milliseconds to the first byte of hello on a page that has loaded nothing of the contender yet. */
export async function cold(contender) {
  const begun = performance.now()
  const variant = variantOf(contender)
  if (variant) {
    const { Capfs } = await import('/web/dist/index.js')
    const capfs = await Capfs.create({ variant })
    const agent = await capfs.spawn('/programs/hello.wasm', { mounts: files() })
    await agent.stdout.getReader().read()
    return performance.now() - begun
  }
  const [worker, module] = await Promise.all([startRival(contender), compile('hello')])
  const first = message(worker, ({ output }) => output)
  worker.postMessage({ module, args: [] })
  await first
  return performance.now() - begun
}

/**
 * Milliseconds of one hello from spawn to exit, measured in the worker over `times` runs. The worker is ended
 * after it, and the memories of all these runs with it.
 */
export async function inWorker(contender, times, prepared) {
  const module = await program('hello')
  const variant = variantOf(contender)
  let worker
  let order = { module, args: [], quiet: true, prepared }
  if (variant) {
    worker = new Worker(new URL('kernel-worker.mjs', import.meta.url), { type: 'module' })
    await message(worker, ({ ready }) => ready)
    const file = async (name) => WebAssembly.compile(await (await fetch(`/web/dist/${name}.wasm`)).arrayBuffer())
    const [kernel, stub, adapter] = await Promise.all(['kernel', 'stub', `adapter-${variant.memory}`].map((name) => (programs[name] ??= file(name))))
    order = { ...order, modules: { kernel, full: false, stub, adapter }, variant }
  } else worker = await startRival(contender)
  // The first ones are for the engine to get to know the code.
  for (const runs of [5, times]) {
    worker.postMessage({ ...order, times: runs })
    order.each = (await message(worker, ({ end }) => end)).each
  }
  worker.terminate()
  return order.each
}

/** Milliseconds from asking that an agent which makes calls be ended until it is gone. */
export async function kill(contender) {
  const module = await program('calls')
  if (variantOf(contender)) {
    const capfs = await warm(contender)
    const agent = await capfs.spawn(module, { args: ['busy', '0', '1'] })
    await agent.stdout.getReader().read()
    await turn(20)
    const begun = performance.now()
    await agent.kill()
    const taken = performance.now() - begun
    await agent.dispose()
    return taken
  }
  // Nothing says when a worker has ended, but what it holds is given back then.
  const lock = `worker-${Math.random()}`
  const worker = await startRival(contender, lock)
  const first = message(worker, ({ output }) => output)
  worker.postMessage({ module, args: ['busy', '0', '1'] })
  await first
  await turn(20)
  const begun = performance.now()
  worker.terminate()
  await navigator.locks.request(lock, () => undefined)
  return performance.now() - begun
}

const held = []
/** Starts agents that stay, to see what memory they take. */
export async function hold(contender, count) {
  const module = await program('calls')
  for (let started = 0; started < count; started++) {
    const variant = variantOf(contender)
    if (variant) {
      const { Capfs } = await import('/web/dist/index.js')
      held[0] ??= await Capfs.create({ variant, spares: 0 })
      const agent = await held[0].spawn(module, { args: ['wait', '0', '1'], stdin: 'pipe', mounts: files() })
      await agent.stdout.getReader().read()
      held.push(agent)
    } else if (contender === 'a worker that does nothing') {
      const worker = new Worker(new URL('bare-worker.mjs', import.meta.url), { type: 'module' })
      await message(worker)
      held.push(worker)
    } else {
      const worker = await startRival(contender)
      const done = message(worker, ({ end }) => end)
      worker.postMessage({ module, args: ['wait', '0', '1'] })
      await done
      held.push(worker)
    }
  }
}

/** What this page's engine does for one `performance.now()`, in milliseconds for `count` of them. */
export function clocks(count) {
  let sum = 0
  const begun = performance.now()
  for (let call = 0; call < count; call++) sum += performance.now()
  return sum > 0 ? performance.now() - begun : 0
}

globalThis.bench = { output, granted, bare, warmStart, newWorker, cold, inWorker, kill, hold, clocks }
