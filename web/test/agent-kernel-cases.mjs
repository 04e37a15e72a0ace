// What an agent's kernel does for its worker, asked of the kernel itself: in an order, or by numbers, that come about by chance alone.
import { readFile } from 'node:fs/promises'
import { KernelInstance } from '../dist/worker/kernel-instance.js'
import { loadBindings } from '../dist/both/kernels.js'
import { same } from './checks.mjs'

const module = new WebAssembly.Module(await readFile(new URL('../dist/kernel.wasm', import.meta.url)))
const bindings = await loadBindings(false)

/** A kernel of its own. */
const make = () => new KernelInstance(module, bindings).bindings

/** A kernel that is about to run an agent; `print` takes what that prints. */
function agents(print = () => undefined) {
  const kernel = make()
  kernel.streams({ print, tty: false, clockOnly: false, ownConsole: true })
  return kernel
}

let last = 0

/** Asks a kernel about a file; resolves to the error or the value. */
const ask = (kernel, what, path, bytes) =>
  new Promise((resolve) => kernel.request(++last, what, path, bytes, undefined, (error, value) => resolve(error ?? value)))

/** Mounts a tree of one kernel in another. Answers can be held back; `answering` is when there is the first. */
function share(from, path, to, at) {
  const held = []
  const client = ++last
  let open = true
  let answered
  const answering = new Promise((resolve) => (answered = resolve))
  const post = (request) => {
    from.remote_serve(client, request, (bytes) => {
      held.push(bytes)
      answered()
      through()
    })
  }
  const through = () => {
    while (open && held.length > 0) to.remote_answer(client, held.shift())
  }
  from.remote_admit(client, 0)
  to.mount(to.remote_device(client, 0, path, post), at, true, false)
  to.mount_all()
  return {
    answering,
    hold: () => (open = false),
    through() {
      open = true
      through()
      to.advance()
    },
  }
}

const start = (kernel, at, files = 100) => kernel.start({ args: ['agent'], env: [], preopens: [{ name: at, path: at }], clockOnly: false, files })

export const agentKernelCases = {
  async 'counts descriptors up to as many as there can be'() {
    for (const files of [2 ** 32 - 1, 2 ** 32, 2 ** 32 + 3, Number.MAX_SAFE_INTEGER, Infinity]) {
      const kernel = agents()
      kernel.mount(kernel.memory_device(1 << 20), '/', true, false)
      kernel.mount_all()
      await start(kernel, '/', files)
      same(kernel.usage().filesPeak, 4)
    }
  },
  async 'begins nothing for an agent that has been ended'() {
    const [page, kernel] = [make(), agents()]
    page.mount(page.memory_device(1 << 20), '/', true, false)
    page.mount_all()
    await ask(page, 'make-dir', 'sub')
    const shared = share(page, '/', kernel, '/')
    shared.hold()
    const started = start(kernel, '/sub').then(() => 'started', String)
    await shared.answering
    kernel.end_process()
    shared.through()
    same([await started, kernel.usage()], ['the agent has been ended', undefined])
    const late = await kernel.grant({ identity: '', agent: '', device: 'random', terms: ['at', '/cap/random'] }).catch(String)
    same(late, 'the agent has been ended')
  },
  async 'keeps what an ended agent hands on to its rights'() {
    const [parent, child] = [agents(), make()]
    parent.mount(parent.memory_device(1 << 20), '/', true, false)
    parent.mount_all()
    const given = parent.memory_device(1 << 20)
    parent.device_write(given, 'a.txt', new TextEncoder().encode('given'))
    parent.mount(given, '/given', false, false)
    parent.mount_all()
    await start(parent, '/')
    share(parent, '/given', child, '/early')
    same(await ask(child, 'write', '/early/a.txt', new Uint8Array(1)), 'EROFS')
    parent.end_process()
    share(parent, '/given', child, '/late')
    same(await ask(child, 'write', '/late/a.txt', new Uint8Array(1)), 'EROFS')
    same(new TextDecoder().decode(await ask(child, 'read', '/late/a.txt')), 'given')
  },
  async 'tells a task that waits at its agent\'s console when there is something'() {
    const shown = []
    const [parent, child] = [agents((stream, bytes) => shown.push([stream, ...bytes])), make()]
    await parent.grant({ identity: '', agent: '', device: 'console', terms: ['at', '/cap/console'] })
    parent.mount_all()
    share(parent, '/cap/console', child, '/console')
    const goOn = () => {
      parent.advance()
      child.advance()
    }
    const reading = ask(child, 'read', '/console/cons')
    parent.feed(true, new TextEncoder().encode('typed'))
    goOn()
    parent.end_input(true)
    goOn()
    same(new TextDecoder().decode(await reading), 'typed')
    // More than the page may leave unread.
    const [screen, window] = [3, 1 << 20]
    const more = new Uint8Array(window + 2).fill(1)
    let written = false
    const writing = ask(child, 'write', '/console/cons', more).then((error) => (written = error ?? true))
    for (let turn = 0; turn < 100; turn++) await goOn()
    same([shown.flat().length - shown.length, written], [window, false])
    parent.output_read(screen, window)
    goOn()
    goOn()
    same([await writing, shown.flat().length - shown.length], [true, more.length])
    const other = ask(child, 'write', '/console/cons', more)
    for (let turn = 0; turn < 100; turn++) await goOn()
    parent.output_closed(screen)
    goOn()
    same(await other, 'EPIPE')
  },
  async 'tells who waits at a console that its agent has ended'() {
    const kernel = agents()
    await kernel.grant({ identity: '', agent: '', device: 'console', terms: ['at', '/cap/console'] })
    kernel.mount_all()
    await start(kernel, '/cap')
    const reading = ask(kernel, 'read', '/cap/console/cons')
    kernel.feed(true, new TextEncoder().encode('typed'))
    kernel.advance()
    kernel.end_process()
    kernel.advance()
    same(new TextDecoder().decode(await reading), 'typed')
    same(await ask(kernel, 'write', '/cap/console/log', new TextEncoder().encode('more\n')), 'EPIPE')
  },
  async 'gives up a request for another, and for itself, while it goes on with them'() {
    const kernel = agents()
    await kernel.grant({ identity: '', agent: '', device: 'console', terms: ['at', '/cap/console'] })
    kernel.mount_all()
    const [first, second] = [++last, ++last]
    const told = []
    const cons = '/cap/console/cons'
    kernel.request(first, 'read', cons, undefined, 1, (error) => {
      told.push(['first', error])
      told.push(['second waited', kernel.cancel(second)], ['first waited', kernel.cancel(first)])
    })
    kernel.request(second, 'read', cons, undefined, undefined, () => told.push(['second']))
    kernel.feed(true, new TextEncoder().encode('abc'))
    kernel.advance()
    same(told, [['first', 'EFBIG'], ['second waited', true], ['first waited', false]])
    kernel.end_input(true)
    kernel.advance()
    same(told.length, 3)
  },
}
