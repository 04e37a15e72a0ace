// Many agents, and workers that fail: run on a page or in Node by endurance.mjs, which measures the memory from outside meanwhile.
import { rejects, same } from './checks.mjs'

/** Workers that were started and not ended. */
const alive = new Set()

/** Counts workers from now on. */
export function countWorkers() {
  if (typeof globalThis.Worker !== 'function') {
    process.on('worker', (worker) => {
      alive.add(worker)
      worker.on('exit', () => alive.delete(worker))
    })
    return
  }
  globalThis.Worker = class extends Worker {
    constructor(...args) {
      super(...args)
      alive.add(this)
    }
    terminate() {
      alive.delete(this)
      super.terminate()
    }
  }
}

/** Waits for a promise or for the event loop to come round, so that nothing here depends on a clock. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0))

async function until(holds) {
  while (!holds()) await turn()
}

let capfs
let module
let program

/** Makes the Capfs that the other cases use. */
export async function open(Capfs, variant, guest) {
  capfs = await Capfs.create({ variant })
  program = guest
  module = await capfs.compile(guest)
}

export async function close() {
  capfs.close()
  await until(() => alive.size === 0)
}

const mounts = () => ({ '/w': { type: 'memory', files: { 'a.txt': 'kept' } } })

/** So many agents, one after the other, as a page runs them that never disposes of any. */
export async function oneByOne(count) {
  let last
  for (let i = 0; i < count; i++) {
    last = await capfs.spawn(module, { args: ['hello'], mounts: mounts() })
    same(await new Response(last.stdout).text(), 'hello\n')
    const { code, reason, message } = await last.exit
    same([code, reason, message], [0, 'exit', undefined])
  }
  same(await last.readText('/w/a.txt'), 'kept')
  same([[...capfs.agents].length <= 16, alive.size <= 6 || `${alive.size} workers`], [true, true])
}

/** So many agents at once. */
export async function together(count) {
  const ends = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const agent = await capfs.spawn(module, { args: ['code', String(index % 100)], mounts: mounts() })
      const { code, reason, message } = await agent.exit
      return reason === 'exit' && code === index % 100 ? 'as it should' : `${index}: ${reason} ${code} ${message}`
    }),
  )
  same(ends.filter((end) => end !== 'as it should'), [])
  same([[...capfs.agents].length <= 16, alive.size <= 32 || `${alive.size} workers`], [true, true])
}

/** Starts that are given up, each a turn of the event loop later than the one before; as many agents that are killed. */
export async function aborted(count) {
  const before = alive.size
  for (let step = 0; step < count; step++) {
    const abort = new AbortController()
    const start = capfs.spawn(module, { args: ['call'], grants: ['random'], signal: abort.signal }).then((agent) => agent.exit, ({ code }) => same(code, 'ABORTED'))
    for (let turns = 0; turns < step % 30; turns++) await turn()
    abort.abort()
    await start
  }
  await Promise.all([...capfs.agents].map((agent) => agent.dispose()))
  await until(() => alive.size <= Math.max(before, 2))
  same([...capfs.agents].length, 0)
}

let downloading

/** Starts what is given as an address whose file never ends: a program, or an archive. */
export async function download(what, address) {
  const given = what === 'program' ? [address, {}] : [module, { mounts: { '/w': { type: 'archive', data: address } } }]
  downloading = { abort: new AbortController() }
  downloading.outcome = capfs.spawn(given[0], { ...given[1], signal: downloading.abort.signal }).then(() => 'started', ({ code }) => code)
}

/** Gives it up. */
export async function giveUp() {
  downloading.abort.abort()
  same(await downloading.outcome, 'ABORTED')
}

let asking

/** Starts an agent that asks a server which never answers, and is to end in this way. */
export async function asks(wait, address, how) {
  const { protocol, host, pathname, origin } = new URL(address)
  const told = []
  const own = await capfs.constructor.create({ variant: { wait }, capabilities: true })
  const [grant, path] = [`fetch,origin=${origin}`, `/cap/fetch/${protocol.slice(0, -1)}/${host}${pathname}`]
  const ways = {
    // By opening a file, which waits.
    waits: `cat ${path}\n`,
    // By a request that goes on while the agent does something else.
    sends: `cat /cap/fetch/new\nset /cap/fetch/1/ctl url ${address}\vsend\v\n`,
    // By a task with less of what it has itself.
    starts: `cat /task/new/wasi\nset /task/1/cmd /bin/guest.wasm cat ${path}\nput /task/1/ctl grant ${grant}\nput /task/1/ctl start\n`,
  }
  const agent = await own.spawn(module, {
    args: ['script'],
    stdin: 'pipe',
    mounts: { '/bin': { type: 'memory', files: { 'guest.wasm': program } } },
    grants: [grant, 'crypto,persist=no', 'task'],
    audit: ({ operation, outcome }) => told.push([operation, outcome]),
  })
  await agent.write(ways[how.split(' ')[0]])
  asking = { own, agent, told }
}

/** Ends it, once the server was asked: the audit has heard of that when the end is told, and hears nothing more. */
export async function ended(how) {
  const { own, agent, told } = asking
  if (how.endsWith('closed')) {
    own.close()
    const { code, reason, message } = await agent.exit
    same([code, reason, message], [70, 'host', 'this Capfs has been closed'])
    const heard = told.slice()
    same(heard.filter(([operation]) => operation === 'request'), [['request', 'ECANCELED']])
    return
  }
  if (how.endsWith('killed')) void agent.kill()
  else if (how.endsWith('lost')) agent.worker.end('its worker was lost')
  else await agent.closeStdin()
  const { reason } = await agent.exit
  const atEnd = told.slice()
  same(atEnd.filter(([operation]) => operation === 'request'), [['request', 'ECANCELED']])
  same(reason, how.endsWith('killed') ? 'killed' : how.endsWith('lost') ? 'host' : 'exit')
  await agent.dispose()
  // Whatever the device worker still has to say of it comes before what it says of the next.
  const next = await own.spawn(module, { args: ['hello'], grants: ['crypto,persist=no'], audit: () => undefined })
  await next.exit
  own.close()
  same(told, atEnd)
}

/** Milliseconds that an agent may run, and that its end may take when they are over. */
const [TIME, LATE] = [1_000, 1_500]

/** Agents that have the page hear of something for ever, by functions that take their time: each ends when its time is over. */
export async function flooded() {
  const slow = () => {
    const begun = performance.now()
    while (performance.now() - begun < 0.2);
  }
  let [heard, raw, wrong] = [0, false, 0]
  const floods = {
    audit: { args: ['flood', '/cap/random'], grants: ['random'], audit: () => (slow(), heard++) },
    raw: {
      args: ['flood', '/cap/console/consctl', 'rawon\n', 'rawoff\n'],
      grants: ['console'],
      console: { write() {}, raw: (on) => (slow(), heard++, on === raw && wrong++, (raw = on)) },
    },
    messages: { args: ['flood', '/cap/console/log', 'x\n'], grants: ['console'], console: { log: () => (slow(), heard++) } },
  }
  for (const [what, options] of Object.entries(floods)) {
    heard = 0
    const agent = await capfs.spawn(module, { ...options, limits: { time: TIME } })
    const begun = performance.now()
    const { reason } = await agent.exit
    const took = performance.now() - begun
    same([what, reason, took < TIME + LATE || `after ${took} ms`, heard > 10 || heard, raw, wrong], [what, 'timeout', true, true, false, 0])
  }
}

/** An agent that can't wait until what it does is heard is ended once that is too much. */
export async function unheard() {
  const unwaiting = await capfs.constructor.create({ variant: { wait: 'none' } })
  let heard = 0
  const agent = await unwaiting.spawn(module, { args: ['flood', '/cap/random'], grants: ['random'], audit: () => heard++ })
  const { reason, message } = await agent.exit
  same([reason, /can't wait/.test(message), heard > 10_000, heard < 100_000], ['host', true, true, true])
  unwaiting.close()
}

/** What fails in a worker, and workers that can't be started: everything that waits hears of it. */
export async function failing(Capfs, variant, guest) {
  const agent = await capfs.spawn(module, { args: ['call'] })
  const before = new Set(capfs.agents)
  const start = capfs.spawn(module, { args: ['call'], grants: ['random'] }).then(({ exit }) => exit.then(({ reason }) => reason), ({ code }) => code)
  // It has a worker, whether it has begun or not.
  await until(() => [...capfs.agents].some((other) => !before.has(other)))
  // Workers end without the page: in Node somebody has terminated them, in a browser their script throws.
  for (const worker of [...alive]) {
    if (worker.dispatchEvent && globalThis.ErrorEvent) worker.dispatchEvent(new ErrorEvent('error', { message: 'gone' }))
    else await worker.terminate()
  }
  same([(await agent.exit).reason, (await start).toLowerCase()], ['host', 'host'])
  await rejects(agent.readFile('/w'), 'CLOSED')
  const after = await capfs.spawn(module, { args: ['code', '9'] })
  same((await after.exit).code, 9)
}

/** No memory is left for an agent: it is told so, and when there is room again, there is. */
export async function withoutMemory() {
  const taken = []
  let ended = false
  const take = () => {
    try {
      for (;;) taken.push(new WebAssembly.Memory({ initial: 1, maximum: 65_536 }))
    } catch {
      // Now there is none.
    }
  }
  // Those of workers that have ended come free one by one.
  for (let [rounds, had] = [0, -1]; rounds < 20; rounds++, had = taken.length) {
    take()
    if (taken.length > had) rounds = 0
    await turn()
  }
  // What comes free later isn't for the agents either.
  const taking = (async () => {
    for (; !ended; take()) await turn()
  })()
  // Whoever runs keeps what he has until one of them has got nothing.
  let refused
  const first = new Promise((resolve) => (refused = resolve))
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, async () => {
      try {
        const agent = await capfs.spawn(module, { args: ['echo'], mounts: mounts(), stdin: new ReadableStream() })
        void first.then(() => agent.kill())
        const { reason, message } = await agent.exit
        refused()
        return reason === 'killed' ? 'ran' : `${reason}: ${/memory|room/.test(message) && !/stack/.test(message) ? 'no memory' : message}`
      } catch ({ code, message }) {
        refused()
        return `${code}: ${/memory|room/i.test(message) ? 'no memory' : message}`
      }
    }),
  )
  const expected = ['ran', 'host: no memory', 'HOST: no memory']
  same(outcomes.filter((outcome) => !expected.includes(outcome)), [])
  same(outcomes.some((outcome) => outcome !== 'ran'), true)
  ended = true
  await taking
  taken.length = 0
}

/** A worker that had taken every memory there is has ended, and its memories come back a moment later: agents that are started just then wait for them. */
export async function memoriesThatComeBack() {
  const code = (body) => URL.createObjectURL(new Blob([body], { type: 'text/javascript' }))
  const hears = (worker) => new Promise((resolve) => (worker.onmessage = resolve))
  const taker = new Worker(code('const taken = []; try { for (;;) taken.push(new WebAssembly.Memory({ initial: 1, maximum: 65_536 })) } catch { postMessage(0) }'))
  await hears(taker)
  const starts = Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const agent = await capfs.spawn(module, { args: ['code', String(index)], mounts: mounts() })
      const { code, reason, message } = await agent.exit
      return message ?? `${reason} ${code}`
    }),
  )
  // It is started behind the agents' workers, so they have tried when it answers.
  const last = new Worker(code('postMessage(0)'))
  await hears(last)
  last.terminate()
  taker.terminate()
  same(await starts, Array.from({ length: 8 }, (_, index) => `exit ${index}`))
}
