// What becomes of agents and workers: how a start is refused or given up, what an ended agent keeps, what fails in a worker. Run by
// cases.mjs, in every host and every variant.
import { gzipped, tar as tarred } from './archive-cases.mjs'
import { rejects, run, same } from './checks.mjs'

const bytes = (stream) => new Response(stream).arrayBuffer()
const text = (stream) => new Response(stream).text()

/** The error that a promise is rejected with: its code and its message. */
const failure = (promise) => promise.then(() => [undefined, ''], ({ code, message }) => [code, message])

/** Waits until the event loop has run so many times. */
async function turns(count) {
  const channel = new MessageChannel()
  for (let turn = 0; turn < count; turn++) {
    await new Promise((resolve) => {
      channel.port1.onmessage = resolve
      channel.port2.postMessage(null)
    })
  }
  channel.port1.close()
}

/** What another window of this host has, and how it is closed: a frame, or a context of Node. */
async function anotherWindow() {
  if (typeof document !== 'object') return [(await import('node:vm')).runInNewContext('globalThis'), () => {}]
  const frame = document.body.appendChild(document.createElement('iframe'))
  return [frame.contentWindow, () => frame.remove()]
}

/** A module that does nothing. */
const ends = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 19, 2, 6, 109, 101, 109, 111, 114, 121, 2, 0, 6, 95, 115, 116, 97, 114, 116, 0, 0, 10, 4, 1, 2, 0, 11]

/** Hears of errors that were reported while `action` ran, one at least; they are nobody else's then. */
async function reported(action) {
  const errors = []
  let heard
  const first = new Promise((resolve) => (heard = resolve))
  const hear = (error) => {
    errors.push(error.message)
    heard()
  }
  if (typeof globalThis.reportError === 'function') {
    const onError = (event) => {
      event.preventDefault()
      hear(event.error)
    }
    globalThis.addEventListener('error', onError)
    await Promise.all([action(), first])
    globalThis.removeEventListener('error', onError)
  } else {
    process.on('uncaughtException', hear)
    await Promise.all([action(), first])
    process.off('uncaughtException', hear)
  }
  return errors
}

/** An address of a program whose name has bytes that are no UTF-8. */
const address = (program) => `data:application/wasm,${[...program].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`

const stored = () => typeof globalThis.navigator?.storage?.getDirectory === 'function'

export const everywhere = {
  async 'refuses options that there are not, and values that they can\'t have'({ Capfs, capfs, guest }) {
    const memory = (more) => ({ mounts: { '/w': { type: 'memory', ...more } } })
    const wrong = [
      [{ arg: ['x'] }, ['there is no option "arg"; is args meant?']],
      [{ args: 'hello' }, ['args', 'an array', '"hello"']],
      [{ args: [1] }, ['args[0]', 'a string', '1']],
      [{ args: ['a\0b'] }, ['args[0]', 'NUL']],
      [{ env: { A: 1 } }, ['env.A', 'a string']],
      [{ env: { 'A=B': '1' } }, ['env', '"A=B"']],
      [{ stdin: 5 }, ['stdin', '5']],
      [{ stdin: [1, 2] }, ['stdin', 'an array']],
      [{ tty: 'yes' }, ['tty', '"yes"']],
      [{ clock: 0 }, ['clock', '0']],
      [{ clock: NaN }, ['clock', 'NaN']],
      [{ limits: { time: NaN } }, ['limits.time', 'NaN']],
      [{ limits: { time: 0 } }, ['limits.time', '0']],
      [{ limits: { memory: -1 } }, ['limits.memory', '-1']],
      [{ limits: { memory: 0 } }, ['limits.memory', '0']],
      [{ limits: { files: 1.5 } }, ['limits.files', '1.5']],
      [{ limits: { storage: '1 GiB' } }, ['limits.storage', '"1 GiB"']],
      [{ limits: { cpu: 1 } }, ['limits has no option "cpu"', 'memory, time, files, storage']],
      [{ mounts: { '/w': {} } }, ['mounts["/w"].type', 'undefined', "'memory'"]],
      [{ mounts: { '/w': { type: 'tmpfs' } } }, ['mounts["/w"].type', '"tmpfs"']],
      [{ mounts: { '/w': { type: 'constructor' } } }, ['mounts["/w"].type', '"constructor"']],
      [{ mounts: { '/w': [] } }, ['mounts["/w"]', 'union']],
      [{ mounts: { '/w': { type: 'archive' } } }, ['mounts["/w"]', 'data']],
      [{ mounts: { '/a/../b': { type: 'memory' } } }, ['"/a/../b"', '..', 'write "/b"']],
      [memory({ quota: 1 }), ['mounts["/w"]', '"quota"']],
      [memory({ rights: 'wo' }), ['mounts["/w"].rights', '"wo"']],
      [memory({ files: { 'a.txt': 1 } }), ['mounts["/w"].files["a.txt"]', '1']],
      [memory({ files: { '../a.txt': '1' } }), ['"../a.txt"']],
      [memory({ files: { 'd/': '' } }), ['files["d/"]', 'directory']],
      [memory({ files: { '': '' } }), ['files[""]', 'directory']],
      [memory({ files: { 'd/.': '' } }), ['files["d/."]', 'directory']],
      [memory({ files: { f: '', 'f/g': '' } }), ['files["f/g"]', '"f"']],
      [memory({ files: { 'a//f/./g/h': '', 'a/f': '' } }), ['files["a//f/./g/h"]', '"a/f"']],
      [memory({ files: { 'a//f': '', 'a/f': '' } }), ['files["a/f"]', '"a//f"']],
      [memory({ files: { [`${'n'.repeat(254)}é`]: '' } }), ['longer']],
      [memory({ files: { ['d/'.repeat(2048) + 'f']: '' } }), ['longer']],
      [memory({ files: { 'd/a\ud800': '' } }), ['files', 'lone surrogates']],
      [memory({ files: { 'a\udc00\ud800': '' } }), ['files', 'lone surrogates']],
      [{ mounts: { '/\ud800': { type: 'memory' } } }, ['mounts', 'lone surrogates']],
      [{ args: ['\ud800'] }, ['args[0]', 'lone surrogates']],
      [{ env: { A: '\udfff' } }, ['env.A', 'lone surrogates']],
      [{ env: { '\udfff': 'a' } }, ['env']],
      [memory({ files: new Map([['a.txt', '1']]) }), ['files', 'not a Map']],
      [memory({ files: Promise.resolve({}) }), ['files', 'not a Promise']],
      [memory({ files: new Uint8Array(2) }), ['files', 'not a Uint8Array']],
      [memory({ files: { 'a.txt': new Blob(['1']) } }), ['files["a.txt"]', 'not a Blob']],
      [{ mounts: new Map([['/w', { type: 'memory' }]]) }, ['mounts', 'not a Map']],
      [{ env: new Map([['A', '1']]) }, ['env', 'not a Map']],
      [{ env: new URLSearchParams('A=1') }, ['env', 'not a URLSearchParams']],
      [{ limits: new Map([['time', 1]]) }, ['limits', 'not a Map']],
      [new Map([['args', []]]), ['the options', 'not a Map']],
      [{ grants: 'random' }, ['grants', 'an array']],
      [{ grants: [{ at: '/x' }] }, ['grants[0]', 'a device']],
      [{ audit: true }, ['audit', 'a function']],
      [{ console: { size: { columns: 80, rows: -1 } } }, ['console.size.rows', '-1']],
      [{ signal: {} }, ['signal', 'an AbortSignal']],
      [{ dom: 'main' }, ['dom', 'an element']],
    ]
    for (const [options, parts] of wrong) {
      const [code, message] = await failure(capfs.spawn(guest, options))
      same([code, parts.filter((part) => !message.includes(part))], ['OPTION_INVALID', []])
    }
    for (const options of [{ spare: 1 }, { spares: -1 }, { maxWorkers: 0 }, { maxWorkers: Infinity }, { capabilities: 'all' }, { assets: 1 }]) {
      await rejects(Capfs.create(options), 'OPTION_INVALID')
    }
    await rejects(Capfs.create({ variant: { wait: 'constructor' } }), 'VARIANT_UNAVAILABLE')
    same([...capfs.agents].length, 0)
  },
  async 'refuses arguments that methods can\'t have, and loses nothing by them'({ capfs, guest }) {
    const handedOn = (view) => {
      structuredClone(view.buffer, { transfer: [view.buffer] })
      return view
    }
    const paths = [undefined, null, 5, {}, ['/kept'], new URL('file:///kept'), Symbol('kept'), '/ke\0pt', '/ke\ud83dpt']
    const contents = [undefined, null, 5, {}, [1, 2], { [Symbol.toStringTag]: 'ArrayBuffer' }, handedOn(new Uint8Array(8)), handedOn(new Float64Array(1)), handedOn(new DataView(new ArrayBuffer(8))), handedOn(new Uint8Array(8)).buffer]
    const readings = [null, 5, 'maxBytes', { max: 5 }, new Map([['maxBytes', 5]]), { signal: {} }, { signal: null }, ...[-1, 1.5, NaN, -Infinity, '5', null].map((maxBytes) => ({ maxBytes }))]
    const wrong = (files) => [
      ...paths.flatMap((path) => [
        () => files.readFile(path),
        () => files.readText(path),
        () => files.writeFile(path, 'written'),
        () => files.readDir(path),
        () => files.stat(path),
        () => files.makeDir(path),
        () => files.remove(path),
      ]),
      () => files.writeFile('/w/kept'),
      ...contents.map((content) => () => files.writeFile('/w/kept', content)),
      ...readings.flatMap((reading) => [() => files.readFile('/w/kept', reading), () => files.readText('/w/kept', reading)]),
    ]
    const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)
    const right = [bytes, bytes.buffer, bytes.subarray(2, 6), new DataView(bytes.buffer, 1, 3), new Uint16Array(bytes.buffer, 2, 2)]
    if (typeof SharedArrayBuffer === 'function') {
      const shared = new SharedArrayBuffer(8)
      new Uint8Array(shared).set(bytes)
      right.push(shared, new Uint8Array(shared, 2, 4))
    }
    const seen = ['0,1,2,3,4,5,6,7', '0,1,2,3,4,5,6,7', '2,3,4,5', '1,2,3', '2,3,4,5', '0,1,2,3,4,5,6,7', '2,3,4,5'].slice(0, right.length)
    const { agent: ended } = await run(capfs, guest, ['hello'], { mounts: { '/w': { type: 'memory' } } })
    for (const files of [capfs, ended]) {
      await files.makeDir('/w')
      await files.writeFile('/w/kept', 'kept')
      for (const call of wrong(files)) {
        const [code] = await failure(call())
        same([code, String(call), await files.readText('/w/kept')], ['OPTION_INVALID', String(call), 'kept'])
      }
      await rejects(files.writeFile('/w/kept', new ArrayBuffer(2 ** 31)), 'EFBIG')
      same(await files.readText('/w/kept'), 'kept')
      const read = []
      for (const content of right) {
        await files.writeFile('/w/bytes', content)
        read.push((await files.readFile('/w/bytes', {})).join())
      }
      same(read, seen)
    }
    const agent = await capfs.spawn(guest, { args: ['spin'], grants: ['console'], console: { write: () => {} } })
    const calls = [
      ...paths.map((path) => () => agent.revoke(path)),
      ...[null, 5, { discard: true }, { discardOutput: 1 }].map((options) => () => agent.kill(options)),
      ...contents.flatMap((content) => [() => agent.write(content), () => agent.type(content)]),
    ]
    for (const call of calls) same([(await failure(call()))[0], String(call)], ['OPTION_INVALID', String(call)])
    // None of it has ended the agent.
    same((await agent.kill({ discardOutput: true })).reason, 'killed')
    same(await agent.revoke('/cap/console'), false)
    for (const files of [agent, ended]) await files.dispose()
  },
  async 'reads each option once, and uses what it has checked'({ Capfs, capfs, guest }) {
    // Each property is as it should be when it is first read, and never again.
    const fickle = (value) => {
      if (!Array.isArray(value) && Object.getPrototypeOf(value ?? 0) !== Object.prototype) return value
      const seen = new Set()
      return new Proxy(value, {
        get(target, name) {
          // The iterator of an array looks at its length at each step.
          if (seen.has(name) && !(Array.isArray(target) && name === 'length')) throw new Error(`${String(name)} was read twice`)
          seen.add(name)
          return Array.isArray(target) && typeof name === 'symbol' ? target[name] : fickle(target[name])
        },
      })
    }
    const options = () => ({
      args: ['script'],
      name: 'once',
      id: 'once',
      env: { GREETING: 'once' },
      mounts: { '/w': [{ type: 'memory', files: { 'a.txt': 'once' }, rights: 'ro' }, { type: 'memory' }] },
      grants: [{ device: 'console', raw: 'no' }, 'random'],
      console: { log: () => {}, size: { columns: 80, rows: 24 } },
      limits: { memory: 16 << 20, files: 100 },
      stdin: 'cat /w/a.txt\nset /w/a.txt x\ncat /cap/console/winsize\n',
      clock: 1,
      random: true,
      tty: false,
    })
    const [EROFS, said] = [69, ['=once', '=80 24|']]
    const check = ({ out }) => same(out.split('\n').filter((line) => line !== ''), [said[0], `!${EROFS}`, said[1]])
    const start = async (given) => {
      const agent = await capfs.spawn(guest, given)
      const [out, exit] = await Promise.all([new Response(agent.stdout).text(), agent.exit])
      return { out, exit }
    }
    check(await start(options()))
    check(await start(fickle(options())))
    capfs.checkGrant(fickle({ device: 'random', at: '/dev/random' }))
    ;(await Capfs.create(fickle({ spares: 1, variant: { wait: capfs.variant.wait, memory: capfs.variant.memory } }))).close()
    // What is changed while it starts is another agent's.
    const given = options()
    const starting = start(given)
    given.args[0] = 'trap'
    given.mounts['/w'][0].rights = 'rw'
    given.mounts['/w'][0].files['a.txt'] = 'changed'
    given.mounts['/x'] = { type: 'archive', data: 'nowhere' }
    given.grants.length = 0
    Object.assign(given.console.size, { columns: 1, rows: 1 })
    Object.assign(given.limits, { memory: 65536, time: 1 })
    Object.assign(given, { args: 5, env: 5, stdin: 5, limits: 5, console: 5, clock: -1, tty: 5, signal: 5 })
    check(await starting)
    const stdin = new TextEncoder().encode('cat /w/a.txt\n')
    const reading = run(capfs, guest, ['script'], { ...options(), args: ['script'], stdin })
    stdin.fill(0x78)
    same((await reading).out, '=once\n')
    const broken = { get args() { throw new TypeError('no arguments today') } }
    same(await failure(capfs.spawn(guest, broken)), ['OPTION_INVALID', "the options can't be read: no arguments today"])
  },
  async 'takes bytes, and what else the platform has, of another window'({ capfs, guest }) {
    const [other, close] = await anotherWindow()
    const written = new TextEncoder().encode('of another')
    const given = other.Uint8Array.from(written)
    same([given instanceof Uint8Array, given.buffer instanceof ArrayBuffer], [false, false])
    const file = (content) => ({ mounts: { '/w': { type: 'memory', files: { 'a.txt': content } } } })
    for (const content of [given, given.buffer, new other.DataView(given.buffer), written, written.buffer]) {
      same((await run(capfs, guest, ['cat', '/w/a.txt'], file(content))).out, 'of another')
      same((await run(capfs, guest, ['echo'], { stdin: content })).out, 'of another')
      await capfs.writeFile('/another', content)
      same(await capfs.readText('/another'), 'of another')
    }
    await capfs.remove('/another')
    for (const content of [tarred('a.txt', 'in a tar'), await gzipped(tarred('a.txt', 'in a tar'))]) {
      const data = other.Uint8Array.from(new Uint8Array(content))
      for (const each of [data, data.buffer]) same((await run(capfs, guest, ['cat', '/a/a.txt'], { mounts: { '/a': { type: 'archive', data: each } } })).out, 'in a tar')
    }
    same((await run(capfs, other.Uint8Array.from(new Uint8Array(guest)), ['cat', '/w/a.txt'], file('run'))).out, 'run')
    const options = new other.Object()
    Object.assign(options, file('given'), { args: other.Array.of('cat', '/w/a.txt') })
    same(await text((await capfs.spawn(guest, options)).stdout), 'given')
    const module = new other.WebAssembly.Module(new Uint8Array(ends))
    same((await run(capfs, module, [])).code, 0)
    // A context of Node has what is JavaScript's alone.
    if (typeof other.AbortSignal === 'function') {
      await rejects(capfs.spawn(guest, { signal: other.AbortSignal.abort() }), 'ABORTED')
      await rejects(capfs.spawn(new other.URL('/nowhere.wasm', location.href)), 'FETCH_FAILED')
      same((await run(capfs, new other.Response(new Uint8Array(guest)), ['cat', '/w/a.txt'], file('answered'))).out, 'answered')
    }
    close()
  },
  async 'takes Infinity as no limit, and limits that are longer than timers'({ capfs, guest }) {
    const most = Number.MAX_SAFE_INTEGER
    const limits = [Infinity, 2 ** 31, 2 ** 40].map((time) => ({ time, memory: Infinity, files: Infinity, storage: Infinity }))
    for (const files of [2 ** 32, 2 ** 32 + 3, most]) limits.push({ files })
    limits.push({ memory: most }, { storage: most })
    for (const each of limits) {
      const { out, exit } = await run(capfs, guest, ['cat', '/w/a.txt'], { limits: each, mounts: { '/w': { type: 'memory', files: { 'a.txt': 'read' } } } })
      same([each, out, exit.code, exit.reason], [each, 'read', 0, 'exit'])
    }
  },
  async 'takes nothing for a standard input that is closed, or was given'({ capfs, guest }) {
    for (const stdin of ['closed', 'given']) {
      const agent = await capfs.spawn(guest, { args: ['echo'], stdin })
      await rejects(agent.write('more'), 'CLOSED')
      await rejects(agent.stdin.getWriter().write('more'), 'CLOSED')
      same([await text(agent.stdout), (await agent.exit).code], [stdin === 'closed' ? '' : stdin, 0])
    }
  },
  async 'refuses a stream that somebody reads already'({ capfs, guest }) {
    const stdin = new ReadableStream()
    stdin.getReader()
    await rejects(capfs.spawn(guest, { args: ['echo'], stdin }), 'OPTION_INVALID')
  },
  async 'compiles a program with a limit again where there was no memory for it'({ capfs, guest }) {
    const module = await capfs.compile(guest)
    const { compile } = WebAssembly
    const start = () => run(capfs, module, ['hello'], { limits: { memory: 16 << 20 } })
    WebAssembly.compile = () => Promise.reject(new RangeError('WebAssembly.compile(): Out of memory'))
    try {
      await rejects(start(), 'MODULE_INVALID')
    } finally {
      WebAssembly.compile = compile
    }
    same((await start()).out, 'hello\n')
  },
  async 'starts a program whose name is no text'({ capfs, guest }) {
    same((await run(capfs, address(guest), ['hello'])).out, 'hello\n')
  },
  async 'lets go of the files of agents that ended before the last sixteen'({ capfs, guest }) {
    const mounts = { '/w': { type: 'memory', files: { 'a.txt': 'kept' } } }
    const agents = []
    for (let i = 0; i < 18; i++) agents.push((await run(capfs, guest, ['hello'], { mounts })).agent)
    const read = await Promise.all(agents.map((agent) => agent.readText('/w/a.txt').catch(({ code }) => code)))
    same(read, [...Array(2).fill('CLOSED'), ...Array(16).fill('kept')])
    same([...capfs.agents].length, 16)
    await agents[17].dispose()
    await rejects(agents[17].readText('/w/a.txt'), 'CLOSED')
    same([...capfs.agents].length, 15)
  },
  async 'runs so many agents at once, and the others in turn'({ Capfs, capfs, guest }) {
    const few = await Capfs.create({ variant: capfs.variant, maxWorkers: 2 })
    try {
      const abort = new AbortController()
      const running = await Promise.all([1, 2].map(() => few.spawn(guest, { args: ['spin'] })))
      const third = few.spawn(guest, { args: ['hello'] })
      const given = failure(few.spawn(guest, { args: ['hello'], signal: abort.signal }))
      const more = [5, 6, 7].map((code) => run(few, guest, ['code', String(code)]))
      await turns(20)
      same([...few.agents].length, 2)
      abort.abort(new Error('enough'))
      same((await given)[0], 'ABORTED')
      await running[0].kill()
      same(await text((await third).stdout), 'hello\n')
      same((await Promise.all(more)).map(({ code }) => code), [5, 6, 7])
      const never = failure(few.spawn(guest, { args: ['spin'] }).then(() => few.spawn(guest, { args: ['spin'] })))
      await turns(20)
      few.close()
      same((await never)[0], 'CLOSED')
      same((await running[1].exit).reason, 'host')
    } finally {
      few.close()
    }
  },
  async 'gives a start up at whatever step it is'({ capfs, guest }) {
    // One turn of the event loop more for each: from before the program is compiled until the agent runs.
    let given = 0
    for (let step = 0; step < 30; step++) {
      const abort = new AbortController()
      const reason = new Error('changed my mind')
      const start = capfs.spawn(guest, { args: ['spin'], grants: ['random', 'console'], mounts: { '/w': { type: 'memory' } }, signal: abort.signal })
      const outcome = start.then((agent) => agent.exit.then(({ reason }) => reason), (error) => error)
      await turns(step)
      abort.abort(reason)
      const what = await outcome
      if (what !== 'killed') {
        same([what.code, what.cause === reason], ['ABORTED', true])
        given++
      }
    }
    same(given > 0, true)
    const before = new AbortController()
    before.abort()
    await rejects(capfs.spawn(guest, { signal: before.signal }), 'ABORTED')
    // What was begun ends by itself: then nothing is held but the files of agents that had begun.
    await Promise.all([...capfs.agents].map((agent) => agent.dispose()))
    same([...capfs.agents].length, 0)
    same((await run(capfs, guest, ['hello'])).out, 'hello\n')
  },
  async 'settles what is under way when it is closed'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['spin'] })
    const starts = Array.from({ length: 4 }, () => failure(capfs.spawn(guest, { args: ['hello'], grants: ['random'] })))
    await turns(1)
    capfs.close()
    same((await Promise.all(starts)).map(([code]) => code), Array(4).fill('CLOSED'))
    same((await agent.exit).reason, 'host')
    await rejects(agent.readText('/w'), 'CLOSED')
    await rejects(capfs.spawn(guest), 'CLOSED')
  },
  async 'goes on when functions of the page\'s throw'({ capfs, guest }) {
    const told = []
    const errors = await reported(async () => {
      const agent = await capfs.spawn(guest, {
        args: ['cat', '/cap/random'],
        grants: ['random'],
        audit: (event) => {
          told.push(event.operation)
          throw new Error('the audit is full')
        },
      })
      for await (const chunk of agent.stdout) if (chunk.length > 0) break
      await agent.kill()
    })
    same([told.includes('open'), errors], [true, told.map(() => 'the audit is full')])
  },
  async 'goes on when the page\'s own console throws, and what tells of that'({ capfs, guest }) {
    const { console } = globalThis
    const { reportError } = globalThis
    const broken = { log: undefined, warn() { throw new Error('no more warnings') }, error() { throw new Error('no more errors') } }
    const shown = []
    const errors = await reported(async () => {
      const start = () => capfs.spawn(guest, { args: ['script'], stdin, grants: ['console'], console: { warn: (line) => shown.push(line) } })
      const stdin = 'set /cap/console/log one\vtwo\v\nset /cap/console/error three\v\nset /cap/console/warn four\v\nset /cap/console/error unended\n'
      globalThis.console = broken
      if (reportError) globalThis.reportError = () => { throw new Error('nor reports') }
      try {
        const [agent, other] = [await start(), await start()]
        same([(await agent.exit).reason, (await agent.kill()).reason, (await other.exit).code], ['exit', 'exit', 0])
      } finally {
        Object.assign(globalThis, { console, reportError })
      }
    })
    same([shown, errors.length], [['four', 'four'], 8])
  },
  async 'tells the page what an agent says in slices, in its order, and before its end'({ capfs, guest }) {
    const SLICE = 256
    const LINES = 60_000
    const channel = new MessageChannel()
    let [turn, lines, inTurn, most, over] = [0, 0, 0, 0, false]
    const come = new Promise((resolve) => {
      channel.port1.onmessage = () => {
        turn += 1
        inTurn = 0
        if (over) resolve(channel.port1.close())
        else channel.port2.postMessage(null)
      }
    })
    channel.port2.postMessage(null)
    const order = []
    const count = (line) => {
      if (line === '' ) lines += 1
      else order.push([line, lines])
      inTurn += 1
      most = Math.max(most, inTurn)
    }
    const stdin = `set /cap/console/log first\v${'\v'.repeat(LINES)}last\v\nset /cap/console/warn behind\nset /cap/console/log unended\n`
    const agent = await capfs.spawn(guest, { args: ['script'], stdin, grants: ['console'], console: { log: count, warn: count } })
    const { reason } = await agent.exit
    same([reason, lines], ['exit', LINES])
    same([order.slice(0, 2), order.slice(2).map(([line]) => line).sort()], [[['first', 0], ['last', LINES]], ['behind', 'unended']])
    over = true
    await come
    // The two don't come round in step everywhere.
    same([most <= 4 * SLICE || most, turn >= LINES / (4 * SLICE) || turn], [true, true])
  },
  async 'tells what an agent had used at its end, however it ended'({ capfs, guest }) {
    const sum = (held) => Object.values(held).reduce((sum, each) => sum + each)
    const used = ({ calls, memory, held, heldPeak }) => [calls > 0, memory > 0, held.memory === memory, heldPeak >= sum(held)]
    const ends = {
      exit: (agent) => agent.exit,
      trap: (agent) => agent.exit,
      // It makes calls, and ends itself at the next.
      killed: (agent) => agent.kill(),
      // It makes none any more: it ends with its worker.
      spinning: (agent) => agent.kill(),
      host: (agent) => {
        agent.worker.end('its worker is gone')
        return agent.exit
      },
    }
    const programs = { exit: ['hello'], trap: ['trap'], killed: ['call', 'called'], spinning: ['spin'], host: ['call'] }
    for (const [how, end] of Object.entries(ends)) {
      const agent = await capfs.spawn(guest, { args: programs[how] })
      // That it began is known when its worker tells of its start, and with it of what it has then.
      const started = new Promise((resolve) => {
        const { receive } = agent
        agent.receive = (report) => {
          receive.call(agent, report)
          if (report.type === 'started' || report.type === 'exit') resolve()
        }
      })
      await started
      // It has made calls, which the page knows of, should a busy machine end it with its worker.
      if (how === 'killed') while ((await agent.usage()).calls === 0);
      // What computes can't answer everywhere, and is known of all the same.
      if (how === 'spinning') same((await agent.usage()).memory > 0, true)
      // Nobody awaits this one before the end: it is answered by that at the latest.
      const asked = agent.usage()
      const { reason, usage } = await end(agent)
      same([how, (await asked).memory > 0], [how, true])
      same([how, reason], [how, how === 'spinning' ? 'killed' : how])
      // What begins to spin at once has made calls to read its arguments, and none after that.
      if (how === 'spinning' || how === 'host') same([how, usage.memory > 0, usage.held.memory === usage.memory, usage.heldPeak >= sum(usage.held)], [how, true, true, true])
      else same([how, ...used(usage)], [how, true, true, true, true])
      same(await agent.usage(), usage)
    }
    const { exit } = await run(capfs, guest, ['spin'], { limits: { time: 1 } })
    same(exit.reason, 'timeout')
    const never = await capfs.spawn(guest, { args: ['hello'], signal: AbortSignal.abort() }).catch(({ code }) => code)
    same(never, 'ABORTED')
  },
  async 'settles its end whatever fails at it'({ capfs, guest }) {
    const errors = await reported(async () => {
      const agent = await capfs.spawn(guest, { args: ['hello'] })
      agent.atEnd(() => {
        throw new Error('what is to be done at the end fails')
      })
      same((await agent.exit).code, 0)
      await agent.dispose()
    })
    same(errors, ['what is to be done at the end fails'])
  },
  async 'answers questions about an agent that is gone with an error of its own'({ capfs, guest }) {
    const { agent } = await run(capfs, guest, ['hello'])
    await agent.dispose()
    for (const question of [{ type: 'usage' }, { type: 'revoke', at: '/cap/random' }]) {
      const error = await agent.worker.ask({ ...question, id: agent.id }).catch((error) => error)
      same([error.name, error.code], ['CapfsError', 'CLOSED'])
    }
  },
}

/** Cases for the variants that can wait. */
export const waiting = {
  async 'lets no agent\'s requests to devices keep those of another'({ capfs, guest }) {
    if (capfs.variant.wait !== 'sab') return
    const start = () => capfs.spawn(guest, { args: ['script'], stdin: 'pipe', grants: ['fetch,origin=https://example.com'] })
    const [flooder, other] = [await start(), await start()]
    const reads = async (agent) => {
      const reader = agent.stdout.getReader()
      await agent.write('cat /cap/fetch/policy\n')
      same(new TextDecoder().decode((await reader.read()).value).startsWith('='), true)
      reader.releaseLock()
    }
    // What the flooder's kernel asks for such a read, to be asked again and again.
    const devices = capfs.devices()
    const asked = []
    const request = devices.request
    devices.request = (client, bytes) => {
      if (client === flooder.id) asked.push(bytes.slice())
      request.call(devices, client, bytes)
    }
    await reads(flooder)
    const own = asked.splice(0)
    delete devices.request
    const FLOOD = 20_000
    let answers = 0
    const all = new Promise((resolve) => {
      flooder.answered = () => {
        answers += 1
        if (answers === FLOOD) resolve()
      }
    })
    for (let i = 0; i < FLOOD; i++) devices.request(flooder.id, own[0].slice())
    // How many of the flooder's are answered between a question of the other's and its answer, at most.
    let [since, between, questions] = [0, 0, 0]
    devices.request = (client, bytes) => {
      if (client === other.id) [since, questions] = [answers, questions + 1]
      request.call(devices, client, bytes)
    }
    const answered = other.answered
    other.answered = (...answer) => {
      between = Math.max(between, answers - since)
      answered.apply(other, answer)
    }
    await reads(other)
    await all
    delete devices.request
    const WINDOW = 32
    same([between <= 2 * WINDOW || between, questions > 0, answers], [true, true, FLOOD])
    for (const agent of [flooder, other]) await agent.dispose()
  },
  async 'loses no mail while the mounts are made'({ capfs, guest }) {
    const options = { args: ['echo'], stdin: 'pipe', mounts: { '/w': { type: 'opfs', directory: `mail-${capfs.variant.wait}` }, '/m': { type: 'memory', files: { a: '1' } } } }
    if (!stored()) return rejects(capfs.spawn(guest, options), 'STORAGE_UNAVAILABLE')
    const agent = await capfs.spawn(guest, options)
    const wrote = agent.write('typed at once')
    agent.resize(100, 40)
    const closed = agent.closeStdin()
    const [listed, , out, exit] = await Promise.all([agent.readDir('/m'), agent.writeFile('/w/a.txt', 'stored'), text(agent.stdout), agent.exit, wrote, closed])
    same([listed.map(({ name }) => name), out, exit.code, exit.reason], [['a'], 'typed at once', 0, 'exit'])
    await agent.dispose()
    const again = await capfs.spawn(guest, { args: ['cat', '/w/a.txt'], mounts: options.mounts })
    same(await text(again.stdout), 'stored')
    await again.exit
    await again.dispose()
  },
  async 'ends an agent whose mounts are being made'({ capfs, guest }) {
    const mounts = { '/w': { type: stored() ? 'opfs' : 'memory' } }
    const agent = await capfs.spawn(guest, { args: ['echo'], stdin: 'pipe', mounts })
    same((await agent.kill()).reason, 'killed')
  },
  async 'settles questions that wait when their agent is disposed of, or all is closed'({ Capfs, capfs, guest }) {
    const few = await Capfs.create({ variant: capfs.variant, capabilities: true })
    const own = { args: ['script'], stdin: 'pipe', grants: ['console', 'task'], console: { write: () => {} } }
    const ask = async (files) => {
      const number = (await files.readText('task/new/wasi')).trim()
      return [`task/${number}/wait`, `task/${number}/fd/1`].map((path) => failure(files.readFile(path)))
    }
    try {
      const agent = await few.spawn(guest, own)
      const other = await few.spawn(guest, own)
      const [waiting, others] = [await ask(agent), await ask(other)]
      waiting.push(failure(agent.readText('/cap/console/cons')))
      // Behind those in their worker, which still wait then.
      same((await agent.stat('/cap')).type, 'directory')
      await agent.dispose()
      same(await Promise.all(waiting), Array(3).fill(['CLOSED', 'the agent was disposed of']))
      const home = await ask(few)
      same((await few.stat('/')).type, 'directory')
      few.close()
      same((await Promise.all([...home, ...others])).map(([code]) => code), Array(4).fill('CLOSED'))
    } finally {
      few.close()
    }
  },
  async 'ends an agent at once that waits for stored files of another, and lets go of them'({ capfs, guest }) {
    if (!stored()) return
    const mounts = { '/w': { type: 'opfs', directory: `held-${capfs.variant.wait}` } }
    const holder = await capfs.spawn(guest, { args: ['script'], stdin: 'pipe', mounts })
    await holder.writeFile('/w/a.txt', 'stored')
    const before = new Set(capfs.agents)
    const start = capfs.spawn(guest, { args: ['cat', '/w/a.txt'], mounts }).catch(() => undefined)
    let waits
    while (!waits) {
      await turns(1)
      waits = [...capfs.agents].find((agent) => !before.has(agent))
    }
    // Its worker tries to open them again and again.
    await turns(20)
    const { reason, message } = await waits.kill()
    same([reason, message], ['killed', undefined])
    await start
    // Its worker is there as before, and what that opens late is closed: those who come next have the files.
    same((await waits.stat('/')).type, 'directory')
    await holder.kill()
    const next = await run(capfs, guest, ['cat', '/w/a.txt'], { mounts })
    same(next.out, 'stored')
    for (const agent of [holder, waits, next.agent]) await agent.dispose()
  },
  async 'tells an agent that its standard input has failed'({ capfs, guest }) {
    let pulled = 0
    const stdin = new ReadableStream({
      pull(controller) {
        if (pulled++ === 0) controller.enqueue(new TextEncoder().encode('ten bytes!'))
        else controller.error(new Error('the cable was cut'))
      },
    })
    const { out, code, exit } = await run(capfs, guest, ['echo'], { stdin })
    const EIO = 29
    same([out, code, exit.message?.includes('the cable was cut')], ['ten bytes!', EIO, true])
    same(stdin.locked, false)
    const agent = await capfs.spawn(guest, { args: ['echo'], stdin: 'pipe' })
    await agent.stdin.abort(new Error('and the other one'))
    same((await agent.exit).code, EIO)
  },
  async 'cancels and unlocks its standard input at its end'({ capfs, guest }) {
    let cancelled
    const cancelling = new Promise((resolve) => (cancelled = resolve))
    const stdin = new ReadableStream({
      start: (controller) => controller.enqueue(Uint8Array.of(1)),
      cancel: (reason) => cancelled(reason),
    })
    const agent = await capfs.spawn(guest, { args: ['code', '3'], stdin })
    same((await agent.exit).code, 3)
    same((await cancelling).code, 'CLOSED')
    // It is unlocked when it has heard of it.
    while (stdin.locked) await turns(1)
    const other = await capfs.spawn(guest, { args: ['code', '4'], stdin: 'pipe' })
    const writer = other.stdin.getWriter()
    await other.exit
    await rejects(writer.write('late'), 'CLOSED')
    await rejects(other.write('late'), 'CLOSED')
  },
  async 'gives what is left of an ended agent in few pieces, or leaves it out'({ capfs, guest }) {
    const fill = async () => {
      const agent = await capfs.spawn(guest, { args: ['lines'] })
      // It has printed as much as it may, and waits for a reader.
      while ((await agent.usage()).bytesWritten < 1 << 20) await turns(1)
      return agent
    }
    const agent = await fill()
    await agent.kill()
    let [size, chunks] = [0, 0]
    for await (const chunk of agent.stdout) [size, chunks] = [size + chunk.length, chunks + 1]
    same([size >= 1 << 20, chunks <= 40], [true, true])
    const other = await fill()
    const rest = bytes(other.stdout)
    await other.kill({ discardOutput: true })
    same((await rest).byteLength <= 64 << 10, true)
  },
  async 'keeps nothing of tasks that have ended, whatever they waited for'({ capfs, guest }) {
    await capfs.writeFile('/bin/guest.wasm', guest)
    const held = async () => {
      // What was woken has gone on by then.
      await turns(20)
      const { used } = capfs.home.kernel.account_usage()
      return used
    }
    // Nobody closes their input; the others print more than anybody reads.
    const task = async (args, end) => {
      const number = (await capfs.readText('/task/new/wasi')).trim()
      await capfs.writeFile(`/task/${number}/cmd`, `/bin/guest.wasm ${args}`)
      await capfs.writeFile(`/task/${number}/ctl`, 'start')
      if (end) await capfs.writeFile(`/task/${number}/ctl`, end)
      const code = await capfs.readText(`/task/${number}/wait`)
      await capfs.writeFile(`/task/${number}/ctl`, 'delete')
      return code
    }
    const some = async () => [await task('code 3'), await task('echo', 'kill'), await task('many-bytes 10000000', 'kill')]
    same(await some(), ['3\n', '137\n', '137\n'])
    const before = await held()
    for (let round = 0; round < 3; round++) await some()
    same(await held(), before)
  },
  async 'says so when the page\'s own tree has failed'({ capfs, guest }) {
    await capfs.writeFile('/common/a.txt', 'one')
    const agent = await capfs.spawn(guest, { args: ['script'], stdin: 'pipe', mounts: { '/c': { type: 'shared', path: '/common' } } })
    const reader = agent.stdout.pipeThrough(new TextDecoderStream()).getReader()
    await agent.write('cat /c/a.txt\n')
    same((await reader.read()).value, '=one\n')
    // The kernel runs out of stack in the midst of something: an engine's own error, and nothing of the kernel can be called any more.
    let failed = false
    const deep = () => {
      try {
        deep()
      } catch {
        // Here there is hardly any stack.
      }
      if (failed) return
      try {
        capfs.home.checkGrant('random', [])
      } catch ({ code }) {
        failed = code === 'HOST'
      }
    }
    deep()
    same(failed, true)
    await rejects(capfs.readText('/common/a.txt'), 'HOST')
    await agent.write('cat /c/a.txt\n')
    const EIO = '!29\n'
    same((await reader.read()).value, EIO)
    await agent.closeStdin()
    same((await agent.exit).reason, 'exit')
  },
}
