// What every host and every variant must do. Each case gets a Capfs, the guest, and `assert`-like helpers;
// it runs in Node and, unchanged, on a page.

import { rejects, run, same } from './checks.mjs'
import * as archives from './archive-cases.mjs'
import * as life from './life-cases.mjs'

export { same }

function thrown(call) {
  try {
    call()
  } catch ({ code, message }) {
    return [code, message]
  }
  return undefined
}

/** What is said of an agent that didn't notice its end. */
const forced = (why) => `${why}, and as it made no system call, its worker was ended with it`

/** Cases for every variant. */
export const everywhere = {
  async 'prints and ends'({ capfs, guest }) {
    const { out, code, reason, exit } = await run(capfs, guest, ['hello'])
    same([out, code, reason], ['hello\n', 0, 'exit'])
    same(exit.timings.firstByte > 0 && exit.timings.total >= exit.timings.firstByte, true)
    same(exit.usage.calls > 0 && exit.usage.memory > 0, true)
  },
  async 'has the exit code'({ capfs, guest }) {
    same((await run(capfs, guest, ['code', '42'])).code, 42)
  },
  async 'has arguments and environment'({ capfs, guest }) {
    same((await run(capfs, guest, ['env'], { env: { GREETING: 'good day' } })).out, 'good day\n')
  },
  async 'reads standard input given as a whole'({ capfs, guest }) {
    const long = 'some line\n'.repeat(20_000)
    same((await run(capfs, guest, ['echo'], { stdin: long })).out === long, true)
  },
  async 'copies every length both ways'({ capfs, guest }) {
    const { code } = await run(capfs, guest, ['copies'], { mounts: { '/w': { type: 'memory' } } })
    same(code, 0)
  },
  async 'keeps its files after its end'({ capfs, guest }) {
    const mounts = { '/w': { type: 'memory', files: { 'a.txt': 'one ' } } }
    const { agent, code } = await run(capfs, guest, ['append', '/w/a.txt', 'two'], { mounts })
    same([code, await agent.readText('/w/a.txt')], [0, 'one two'])
    same(await agent.readDir('/w'), [{ name: 'a.txt', type: 'file' }])
    same((await agent.stat('/w/a.txt')).size, 7)
    await rejects(agent.readText('/w/none'), 'ENOENT')
    await agent.dispose()
    await rejects(agent.readText('/w/a.txt'), 'CLOSED')
  },
  async 'reads grants as a start does'({ capfs, guest }) {
    same([capfs.checkGrant('console,raw=no'), capfs.checkGrant({ device: 'random', at: '/dev/random' })], ['/cap/console', '/dev/random'])
    for (const wrong of ['floppy', 'random,speed=high', 'console,raw=perhaps', 'opfs,quota=lots', 'random,at=dev', 'random,=x']) {
      const error = await capfs.spawn(guest, { grants: [wrong] }).then(() => undefined, (failure) => failure)
      same([error?.code, thrown(() => capfs.checkGrant(wrong))], ['GRANT_INVALID', ['GRANT_INVALID', error?.message]])
    }
    const [code, message] = thrown(() => capfs.checkGrant({ device: 'fetch', origin: '*', maxBody: '1MiB' }))
    same([code, message.includes('"maxBody"'), message.includes('is max-body meant?')], ['GRANT_INVALID', true, true])
  },
  async 'says what a page may not be told of a server'({ capfs }) {
    // Of another origin than the page's, where nobody listens.
    const { code, message } = await capfs.compile('http://127.0.0.1:1/none.wasm').catch((error) => error)
    same([code, message.includes('CORS')], ['FETCH_FAILED', globalThis.document !== undefined])
  },
  async 'refuses a second grant at one path'({ capfs, guest }) {
    for (const grants of [['random', 'random'], ['console', { device: 'random', at: '/cap/console/' }]]) {
      const error = await capfs.spawn(guest, { grants }).then(() => undefined, (failure) => failure)
      same([error?.code, error?.message.includes('gives already')], ['GRANT_INVALID', true])
    }
    same((await run(capfs, guest, ['hello'], { grants: ['random', 'random,at=/dev/random'] })).code, 0)
  },
  async 'grants stored files where there are any, and says so where there are none'({ capfs, guest }) {
    const outcome = await capfs.spawn(guest, { args: ['hello'], grants: ['opfs,name=granted'] }).then(
      async (agent) => {
        await agent.exit
        await agent.dispose()
        return 'granted'
      },
      ({ code }) => code,
    )
    same(outcome, typeof globalThis.navigator?.storage?.getDirectory === 'function' ? 'granted' : 'STORAGE_UNAVAILABLE')
  },
  async 'may not write where it may only read'({ capfs, guest }) {
    const mounts = { '/w': { type: 'memory', files: { 'a.txt': 'one' }, rights: 'ro' } }
    const { agent, code } = await run(capfs, guest, ['append', '/w/a.txt', 'two'], { mounts })
    same([code !== 0, await agent.readText('/w/a.txt')], [true, 'one'])
  },
  async 'unites directories'({ capfs, guest }) {
    const layer = (files, rights) => ({ type: 'memory', files, rights })
    const mounts = { '/w': [layer({ 'a.txt': 'upper' }, 'rw'), layer({ 'a.txt': 'lower', 'b.txt': 'below' }, 'ro')] }
    same((await run(capfs, guest, ['cat', '/w/a.txt'], { mounts })).out, 'upper')
    same((await run(capfs, guest, ['cat', '/w/b.txt'], { mounts })).out, 'below')
  },
  async 'prints more than fits anywhere'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['many-bytes', String(5 << 20)] })
    same((await new Response(agent.stdout).arrayBuffer()).byteLength, 5 << 20)
    same((await agent.exit).code, 0)
  },
  async 'reports a trap'({ capfs, guest }) {
    const { code, reason, exit } = await run(capfs, guest, ['trap'])
    same([code, reason, typeof exit.message], [134, 'trap', 'string'])
    same((await run(capfs, guest, ['hello'])).out, 'hello\n')
  },
  async 'is refused memory beyond its limit'({ capfs, guest }) {
    const { out, code, exit } = await run(capfs, guest, ['grow'], { limits: { memory: 16 << 20 } })
    same([out, code, exit.usage.memory <= 16 << 20], ['refused\n', 0, true])
  },
  async 'counts what it holds beside its memory, and refuses more than its limit'({ capfs, guest }) {
    const mounts = { '/w': { type: 'memory' } }
    const { out, code, exit } = await run(capfs, guest, ['fill'], { mounts, limits: { memory: 16 << 20 } })
    const { held, heldPeak, memory } = exit.usage
    same([out, code, held.memory === memory], ['no room\n', 0, true])
    same([held.files > 8 << 20, held.descriptors > 0, memory + held.files <= 16 << 20], [true, true, true])
    same([heldPeak >= Object.values(held).reduce((sum, each) => sum + each), heldPeak <= 16 << 20], [true, true])
    const unlimited = await run(capfs, guest, ['fill'], { mounts, limits: { storage: 20 << 20 } })
    same([unlimited.out, unlimited.exit.usage.held.files > 19 << 20], ['no room\n', true])
  },
  async 'ends an agent that spins'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['spin'] })
    const exit = await agent.kill()
    same([exit.code, exit.reason], [137, 'killed'])
    // Unless it was ended before it began to spin.
    same(exit.message ?? forced('it was killed'), forced('it was killed'))
    same((await run(capfs, guest, ['hello'])).out, 'hello\n')
  },
  async 'ends an agent whose time is up'({ capfs, guest }) {
    for (const [what, time] of [['call', 50], ['spin', 20]]) {
      const { code, reason, message } = (await run(capfs, guest, [what], { limits: { time } })).exit
      const why = `its time was up: limits.time is ${time} ms`
      same([code, reason, [why, forced(why)].includes(message) || message], [124, 'timeout', true])
    }
  },
  async 'sleeps'({ capfs, guest }) {
    const before = performance.now()
    same((await run(capfs, guest, ['sleep', '30'])).code, 0)
    same(performance.now() - before >= 30, true)
  },
  async 'runs several agents at once'({ capfs, guest }) {
    const codes = await Promise.all([1, 2, 3].map((code) => run(capfs, guest, ['code', String(code)])))
    same(codes.map(({ code }) => code), [1, 2, 3])
  },
  async 'starts a compiled module again and again'({ capfs, guest }) {
    const module = await capfs.compile(guest)
    for (let i = 0; i < 20; i++) {
      const { agent, out } = await run(capfs, module, ['hello'])
      same(out, 'hello\n')
      await agent.dispose()
    }
  },
  async 'starts what lies at an address'({ capfs, guest }) {
    const address = (bytes, type) => URL.createObjectURL(new Blob([bytes], { type }))
    for (const type of ['application/wasm', 'application/octet-stream']) {
      same((await run(capfs, address(guest, type), ['hello'])).out, 'hello\n')
      const limited = await run(capfs, address(guest, type), ['grow'], { limits: { memory: 16 << 20 } })
      same([limited.out, limited.exit.usage.memory <= 16 << 20], ['refused\n', true])
      for (const program of [address(guest, type), guest]) {
        const compiled = await capfs.compile(program)
        same((await run(capfs, compiled, ['hello'])).out, 'hello\n')
        const bounded = await run(capfs, compiled, ['grow'], { limits: { memory: 16 << 20 } })
        same([bounded.out, bounded.exit.usage.memory <= 16 << 20], ['refused\n', true])
      }
      await rejects(capfs.spawn(await WebAssembly.compile(guest), { limits: { memory: 16 << 20 } }), 'MEMORY_LIMIT')
      await rejects(capfs.spawn(address(guest.slice(0, 1000), type)), 'MODULE_INVALID')
      await rejects(capfs.spawn(address(Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), type)), 'MODULE_COMPONENT')
    }
  },
  async 'refuses what is no agent'({ capfs, guest }) {
    const bytes = (...numbers) => Uint8Array.of(0, 0x61, 0x73, 0x6d, ...numbers)
    await rejects(capfs.spawn(bytes()), 'MODULE_INVALID')
    await rejects(capfs.spawn(guest.slice(0, 1000)), 'MODULE_INVALID')
    const given = guest.slice()
    structuredClone(given, { transfer: [given.buffer] })
    for (const detached of [given, given.buffer]) await rejects(capfs.spawn(detached), 'MODULE_INVALID')
    await rejects(capfs.spawn(new TextEncoder().encode('#!/bin/sh\necho hello')), 'MODULE_INVALID')
    await rejects(capfs.spawn(bytes(0x0d, 0, 1, 0)), 'MODULE_COMPONENT')
    await rejects(capfs.spawn(bytes(1, 0, 0, 0)), 'MODULE_NO_START')
    // (import "env" "f" (func)), and one function type
    const imports = bytes(1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 2, 9, 1, 3, 0x65, 0x6e, 0x76, 1, 0x66, 0, 0)
    await rejects(capfs.spawn(imports), 'MODULE_IMPORTS')
    await rejects(capfs.spawn(guest, { limits: { memory: 65536 } }), 'MEMORY_LIMIT')
    await rejects(capfs.spawn(guest, { mounts: { '/': { type: 'archive', data: Uint8Array.of(0x1f, 0x8b, 1) } } }), 'ARCHIVE_INVALID')
  },
  async 'reads files up to a limit'({ capfs }) {
    await capfs.writeFile('/sized', '12345')
    same((await capfs.readFile('/sized', { maxBytes: 5 })).length, 5)
    await rejects(capfs.readFile('/sized', { maxBytes: 4 }), 'EFBIG')
    same(await capfs.readText('/sized', { maxBytes: Infinity }), '12345')
    for (const maxBytes of [-1, 1.5, NaN, -Infinity]) await rejects(capfs.readFile('/sized', { maxBytes }), 'OPTION_INVALID')
    await rejects(capfs.readText('/sized', { signal: AbortSignal.abort() }), 'ABORTED')
    await capfs.remove('/sized')
  },
  async 'removes whole trees, and nothing of what can\'t be removed'({ capfs }) {
    await capfs.writeFile('/tree/a/b', '1')
    const refused = { '/': 'EBUSY', '': 'EBUSY', '.': 'EBUSY', '//./': 'EBUSY', '/tree/.': 'EINVAL', '/tree/a/..': 'EINVAL', '..': 'EINVAL' }
    for (const [path, code] of Object.entries(refused)) await rejects(capfs.remove(path), code)
    same(await capfs.readText('/tree/a/b'), '1')
    // As deep as a path of 4096 bytes goes, and named from above with some bytes more.
    const deep = Array(2043).fill('d').join('/')
    await capfs.makeDir(`/tree/a/${deep}`)
    await capfs.writeFile(`/tree/a/${deep}/f`, '1')
    await capfs.remove(`/tree${'/'.repeat(20)}`)
    await rejects(capfs.stat('/tree'), 'ENOENT')
  },
  async 'removes nothing of a mount, or of what a mount is in'({ capfs, guest }) {
    const memory = (files) => ({ type: 'memory', files })
    const mounts = {
      '/': memory({ 'a/of/a': '1', 'top/b': '2', 'left/c': '3' }),
      '/a/of/mount': memory({ 'd/e': '4' }),
      '/top': [memory({ f: '5' }), memory({ g: '6' })],
      '/file': memory({ h: '7' }),
    }
    const { agent } = await run(capfs, guest, ['hello'], { mounts })
    const all = async (path) => {
      const entries = await agent.readDir(path)
      const found = await Promise.all(entries.map(({ name, type }) => (type === 'directory' ? all(`${path}/${name}`) : `${path}/${name}`)))
      return found.flat().sort()
    }
    const before = await all('')
    same(before, ['/a/of/a', '/a/of/mount/d/e', '/file/h', '/left/c', '/top/f', '/top/g'])
    for (const path of ['/a', '/a/', '/a/of', '/a/of/mount', '/top', '/top/', '/file', '/']) {
      await rejects(agent.remove(path), 'EBUSY')
      same([path, await all('')], [path, before])
    }
    for (const path of ['/a/of/mount/d', '/top/f', '/left']) await agent.remove(path)
    same(await all(''), ['/a/of/a', '/file/h', '/top/g'])
    await agent.dispose()
  },
  async 'reads text as it was written, with a mark of its order of bytes'({ capfs }) {
    await capfs.writeFile('/marked', '\ufefftext')
    same(await capfs.readText('/marked'), '\ufefftext')
    await capfs.remove('/marked')
  },
  async 'ends with the code of its host where the files that it begins with have no room'({ capfs, guest }) {
    const mounts = { '/w': { type: 'memory', files: { 'a.txt': new Uint8Array(8 << 20) } } }
    for (const limits of [{ storage: 1 << 20 }, { memory: 4 << 20 }]) {
      const { code, reason, exit } = await run(capfs, guest, ['hello'], { mounts, limits })
      same([code, reason, exit.message?.includes('a.txt')], [70, 'host', true])
    }
  },
  async 'removes no directory that a link leads to'({ capfs, guest }) {
    const { agent } = await run(capfs, guest, ['script'], { stdin: 'link /w/link kept/deep\nlink /w/name kept/deep/file\n', mounts: { '/w': { type: 'memory', files: { 'kept/deep/file': 'kept' } } } })
    same((await agent.readDir('/w/link')).length, 1)
    for (const path of ['/w/link/', '/w/link//', '/w/name/', '/w/kept/deep/file/']) await rejects(agent.remove(path), 'ENOTDIR')
    same(await agent.readText('/w/kept/deep/file'), 'kept')
    for (const path of ['/w/link', '/w/name']) await agent.remove(path)
    same([(await agent.readDir('/w')).map(({ name }) => name), await agent.readText('/w/kept/deep/file')], [['kept'], 'kept'])
    await agent.dispose()
  },
  async 'mounts what is granted within mounts, and mounts within what is granted'({ capfs, guest }) {
    const memory = { type: 'memory', files: { own: 'x' } }
    const shown = async (options, ...paths) => {
      const { agent } = await run(capfs, guest, ['hello'], options)
      const found = await Promise.all(paths.map(async (path) => (await agent.readDir(path)).map(({ name }) => name).sort().join()))
      await agent.dispose()
      return found
    }
    same(await shown({ grants: ['random'], mounts: { '/cap': memory } }, '/', '/cap'), ['cap', 'own,random'])
    same(await shown({ grants: ['random'], mounts: { '/': memory } }, '/', '/cap'), ['cap,own', 'random'])
    same(await shown({ grants: [{ device: 'random', at: '/data/random' }], mounts: { '/data': memory } }, '/', '/data'), ['data', 'own,random'])
    same(await shown({ grants: [{ device: 'random', at: '/a/b/c' }, 'random,at=/a/d'], mounts: { '/a/b': memory, '/a': memory } }, '/a', '/a/b'), ['b,d,own', 'c,own'])
    // Within a file there is nothing, and nothing stands beside it in one place.
    const beside = { grants: ['random'], mounts: { '/cap/random': memory } }
    const below = { grants: [{ device: 'random', at: '/data/random' }], mounts: { '/data/random/inner': memory } }
    const files = { mounts: { '/w': { type: 'memory', files: { a: '1' } }, '/w/a/b': memory } }
    const united = { mounts: { '/w': [{ type: 'null' }, memory] } }
    const named = (path) => ({ mounts: { [path]: memory } })
    same(await shown(named(`/${'n'.repeat(255)}`), `/${'n'.repeat(255)}`), ['own'])
    for (const options of [beside, below, files, united, named(`/${'n'.repeat(256)}`), named(`/a${'é'.repeat(128)}`), named('/n'.repeat(2049))]) await rejects(capfs.spawn(guest, options), 'OPTION_INVALID')
    for (const grants of [['random,at=/a', 'random,at=/a/b'], ['random,at=/a/b', 'random,at=/a']]) await rejects(capfs.spawn(guest, { grants }), 'GRANT_INVALID')
    await rejects(capfs.spawn(guest, { grants: ['random,at=/w/a'], mounts: { '/w': { type: 'null' } } }), 'GRANT_INVALID')
  },
  async 'mounts within mounts, in whatever order they are given'({ capfs, guest }) {
    const memory = (files) => ({ type: 'memory', files })
    const inner = ['/a/b/c', memory({ in: 'in c' })]
    const middle = ['/a/b/', memory({ in: 'in b' })]
    const outer = ['/a', memory({ in: 'in a', 'b/hidden': 'x' })]
    for (const order of [[outer, middle, inner], [inner, middle, outer], [middle, inner, outer]]) {
      const mounts = Object.fromEntries(order)
      for (const [path, files] of [['/a', 'a'], ['/a/b', 'b'], ['/a/b/c', 'c']]) same((await run(capfs, guest, ['cat', `${path}/in`], { mounts })).out, `in ${files}`)
    }
    // Two names of one place are a union of what is given for both, as where one name is given a list.
    const mounts = { '/a': memory({ one: '1' }), '/a/': memory({ one: 'hidden', two: '2' }) }
    same([(await run(capfs, guest, ['cat', '/a/one'], { mounts })).out, (await run(capfs, guest, ['cat', '/a/two'], { mounts })).out], ['1', '2'])
  },
  async 'keeps what an agent stores by its identity, and not by a name'({ capfs, guest }) {
    if (typeof globalThis.navigator?.storage?.getDirectory !== 'function') return
    // Programs that do the same and are others, here and to what ran before: by a custom section at the end.
    const variant = () => Uint8Array.from([...new Uint8Array(guest), 0, 10, 1, 0x78, ...crypto.getRandomValues(new Uint8Array(8))])
    const [bytes, other] = [variant(), variant()]
    const [one, two] = [`one-${crypto.randomUUID()}`, `two-${crypto.randomUUID()}`]
    const tell = async (program, line, options = {}) => {
      const { agent, out } = await run(capfs, program, ['script'], { name: 'same.wasm', stdin: `${line}\n`, grants: ['opfs'], ...options })
      await agent.dispose()
      return out
    }
    const [set, get, none] = ['set /cap/storage/opfs/who me', 'cat /cap/storage/opfs/who', '!44\n']
    // The guest makes no file: it is there as soon as one agent has it.
    const seed = async (program, options = {}) => {
      const { agent } = await run(capfs, program, ['write', '/cap/storage/opfs/who', '1'], { name: 'same.wasm', grants: ['opfs'], ...options })
      await agent.dispose()
    }
    for (const options of [{}, { id: one }]) same(await tell(bytes, get, options), none)
    await seed(bytes)
    same([await tell(bytes, set), await tell(bytes, get)], ['=\n', '=me\n'])
    same([await tell(other, get), await tell(bytes, get, { id: one }), await tell(bytes, get, { name: 'different' })], [none, none, '=me\n'])
    const module = await WebAssembly.compile(bytes)
    await seed(module, { id: one })
    same([await tell(other, set, { id: one }), await tell(module, get, { id: one }), await tell(bytes, get, { id: two })], ['=\n', '=me\n', none])
    await rejects(capfs.spawn(module, { grants: ['opfs'] }), 'GRANT_INVALID')
    for (const id of ['', 'a/b', '.hidden', 'notes.wasm', 'x'.repeat(65), 'sha256:00']) await rejects(capfs.spawn(bytes, { id }), 'OPTION_INVALID')
  },
  async 'rejects with an error of its own, whatever it is given'({ capfs }) {
    for (const program of [null, undefined, 5, {}, [], new Map()]) await rejects(capfs.spawn(program), 'MODULE_INVALID')
    for (const program of ['http://[', new Response('x', { status: 404 })]) await rejects(capfs.spawn(program), 'FETCH_FAILED')
    const used = new Response('x')
    await used.text()
    await rejects(capfs.spawn(used), 'FETCH_FAILED')
    const broken = new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('cut short')) }), { headers: { 'Content-Type': 'application/wasm' } })
    await rejects(capfs.spawn(broken), 'FETCH_FAILED')
    await rejects(capfs.spawn('x', { signal: AbortSignal.abort() }), 'ABORTED')
  },
  async 'has a tree of its own'({ capfs }) {
    await capfs.writeFile('/notes/today.txt', 'work')
    same(await capfs.readText('notes/today.txt'), 'work')
    same(await capfs.readDir('/notes'), [{ name: 'today.txt', type: 'file' }])
    await capfs.remove('/notes')
    await rejects(capfs.stat('/notes'), 'ENOENT')
  },
}

/** Cases for the variants that can wait. */
export const waiting = {
  async 'waits for standard input'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['echo'], stdin: 'pipe' })
    const reader = agent.stdout.getReader()
    const decoder = new TextDecoder()
    for (const line of ['first\n', 'second\n']) {
      await agent.write(line)
      same(decoder.decode((await reader.read()).value), line)
    }
    await agent.closeStdin()
    same([(await reader.read()).done, (await agent.exit).code], [true, 0])
  },
  async 'takes more standard input than fits anywhere'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['echo'], stdin: 'pipe' })
    const whole = new Uint8Array(3 << 20).map((_, index) => index % 251)
    const writing = agent.write(whole).then(() => agent.closeStdin())
    const back = new Uint8Array(await new Response(agent.stdout).arrayBuffer())
    await writing
    same([back.length, back.every((byte, index) => byte === index % 251)], [whole.length, true])
  },
  async 'tells an agent that nobody reads any more'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['many-bytes', String(50 << 20)] })
    for await (const chunk of agent.stdout) {
      same(chunk.length > 0, true)
      break
    }
    const EPIPE = 64
    const { reason, code } = await agent.exit
    same([reason, code], ['exit', EPIPE])
  },
  async 'ends an agent that waits'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['echo'], stdin: 'pipe' })
    same((await agent.kill()).reason, 'killed')
  },
  async 'ends an agent that sleeps'({ capfs, guest }) {
    const abort = new AbortController()
    const agent = await capfs.spawn(guest, { args: ['sleep', '1000000'], signal: abort.signal })
    abort.abort()
    const { reason, message } = await agent.exit
    same([reason, message], ['killed', 'its signal was aborted'])
  },
  async 'ends an agent that makes calls, without its worker'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['call'] })
    const exit = await agent.kill()
    // The message is there when the worker had to be ended with it.
    same([exit.reason, exit.message], ['killed', undefined])
  },
  async 'serves files while the agent runs'({ capfs, guest }) {
    const mounts = { '/w': { type: 'memory', files: { 'a.txt': 'one' } } }
    for (const args of [['call'], ['echo']]) {
      const agent = await capfs.spawn(guest, { args, stdin: 'pipe', mounts })
      same(await agent.readText('/w/a.txt'), 'one')
      await agent.writeFile('/w/sub/b.txt', 'two')
      same((await agent.readDir('/w')).map(({ name }) => name).sort(), ['a.txt', 'sub'])
      same((await agent.usage()).memory > 0, true)
      await agent.dispose()
    }
  },
  async 'writes more than fits anywhere, by one call'({ capfs, guest }) {
    const size = 40 << 20
    await capfs.makeDir('/large')
    const mounts = { '/c': { type: 'shared', path: '/large' } }
    const { agent, code, out } = await run(capfs, guest, ['write', '/c/by-agent', String(size)], { mounts })
    same([code, Number(out) > 0], [0, true])
    const bytes = await capfs.readFile('/large/by-agent')
    same([bytes.length, bytes.findIndex((byte, i) => byte !== ((i * 31 + Math.floor(i / 251)) & 255))], [size, -1])
    // The page by way of the agent's kernel.
    await agent.writeFile('/c/by-page', bytes)
    const back = await capfs.readFile('/large/by-page')
    same([back.length, back.findIndex((byte, i) => byte !== bytes[i])], [size, -1])
    await agent.dispose()
    await capfs.remove('/large')
  },
  async 'reads no device without end, and gives a read up'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['script'], stdin: 'pipe', grants: ['random', 'console'], console: { write() {} } })
    const endless = await agent.readFile('/cap/random').catch((error) => error)
    same([endless.code, endless.message.includes('maxBytes')], ['EFBIG', true])
    await rejects(agent.readFile('/cap/random', { maxBytes: 1000 }), 'EFBIG')
    const given = new AbortController()
    const reading = agent.readText('/cap/console/cons', { signal: given.signal }).catch((error) => error)
    await agent.readDir('/cap')
    const reason = new Error('closed')
    given.abort(reason)
    same([(await reading).code, (await reading).cause === reason], ['ABORTED', true])
    // Nobody takes the agent's keys any more.
    const reader = agent.stdout.pipeThrough(new TextDecoderStream()).getReader()
    await agent.write('once /cap/console/cons\n')
    await agent.type('key\n')
    same((await reader.read()).value, '=key|\n')
    await agent.dispose()
  },
  async 'shares the page\'s tree'({ capfs, guest }) {
    await capfs.writeFile('/common/log.txt', 'page ')
    const mounts = { '/c': { type: 'shared', path: '/common' } }
    const first = await run(capfs, guest, ['append', '/c/log.txt', 'first '], { mounts })
    same(first.code, 0)
    const second = await run(capfs, guest, ['append', '/c/log.txt', 'second'], { mounts })
    same([second.code, await capfs.readText('/common/log.txt')], [0, 'page first second'])
    same((await run(capfs, guest, ['cat', '/c/log.txt'], { mounts })).out, 'page first second')
    same(await second.agent.readText('/c/log.txt'), 'page first second')
    const absent = await capfs.spawn(guest, { mounts: { '/c': [{ type: 'shared', path: '/common' }, { type: 'shared', path: '/absent' }] } }).catch((error) => error)
    same([absent.code, absent.message.includes('/absent'), absent.message.includes('mounts["/c"]')], ['OPTION_INVALID', true, true])
    await rejects(capfs.spawn(guest, { mounts: { '/c': { type: 'shared', path: '/common/log.txt' } } }), 'OPTION_INVALID')
    const narrow = { '/c': { type: 'shared', path: '/common', rights: 'ro' } }
    same((await run(capfs, guest, ['append', '/c/log.txt', 'no'], { mounts: narrow })).code !== 0, true)
  },
  async 'tells when a file of the page\'s tree was changed'({ capfs, guest }) {
    const begun = Date.now()
    await capfs.writeFile('/times/first', '')
    // From its end: the write itself may have taken long.
    const written = Date.now()
    while (Date.now() < written + 50) await capfs.readDir('/times')
    await capfs.writeFile('/times/second', '')
    const mounts = { '/c': { type: 'shared', path: '/times' } }
    same((await run(capfs, guest, ['append', '/c/third', 'x'], { mounts })).code, 0)
    const times = await Promise.all(['first', 'second', 'third'].map(async (name) => (await capfs.stat(`/times/${name}`)).mtime))
    const gaps = [times[1] - times[0], times[2] - times[1], Date.now() - times[2]]
    same([gaps[0] >= 30, gaps[1] >= 0, gaps[2] >= 0], [true, true, true])
    same(times[0] >= begun - 1_000, true)
    await capfs.remove('/times')
  },
  async 'has a terminal of its own for a console'({ capfs, guest }) {
    const told = []
    let screen = ''
    let shown = () => {}
    const agent = await capfs.spawn(guest, {
      args: ['console'],
      grants: ['console'],
      console: {
        write: (bytes) => {
          screen += new TextDecoder().decode(bytes)
          shown()
        },
        raw: (on) => told.push(`raw ${on}`),
        size: { columns: 80, rows: 24 },
        warn: (line) => told.push(line),
      },
    })
    const shows = async (text) => {
      while (!screen.includes(text)) await new Promise((resolve) => (shown = resolve))
    }
    await shows('size 80 24')
    same(told, ['raw true'])
    await agent.type('a')
    await shows('<a>')
    await agent.type('bq')
    same((await agent.exit).code, 0)
    same([screen.endsWith('<b>'), told.sort()], [true, ['over and out', 'raw false', 'raw true']])
    await rejects(agent.type('x'), 'CLOSED')
  },
  async 'runs tasks of the page by files'({ capfs, guest }) {
    await capfs.writeFile('/bin/guest.wasm', guest)
    await capfs.writeFile('/data/a.txt', 'one\n')
    same(await capfs.readText('task/new/wasi'), '1\n')
    await capfs.writeFile('task/1/cmd', '/bin/guest.wasm cat /in/a.txt')
    await capfs.writeFile('task/1/ctl', 'bind /data /in ro')
    same([await capfs.readText('task/1/status'), await capfs.readText('task/1/ns')], ['new\n', 'bind /data /in ro\n'])
    await capfs.writeFile('task/1/ctl', 'start')
    same([await capfs.readText('task/1/fd/1'), await capfs.readText('task/1/wait')], ['one\n', '0\n'])
    same([await capfs.readText('task/1/status'), await capfs.readText('task/1/exit')], ['ended exit\n', '0\n'])
    same(await capfs.readText('task/new/wasi'), '2\n')
    await capfs.writeFile('task/2/cmd', '/bin/guest.wasm')
    await capfs.writeFile('task/2/args', 'echo')
    await capfs.writeFile('task/2/ctl', 'start')
    await capfs.writeFile('task/2/fd/0', 'typed')
    same([await capfs.readText('task/2/fd/1'), await capfs.readText('task/2/wait')], ['typed', '0\n'])
    await capfs.readText('task/new/wasi')
    await capfs.writeFile('task/3/cmd', '/bin/guest.wasm spin')
    await capfs.writeFile('task/3/ctl', 'start\n')
    same(await capfs.readText('task/3/status'), 'running\n')
    const waiting = capfs.readText('task/3/wait')
    await capfs.writeFile('task/3/ctl', 'kill')
    same([await waiting, await capfs.readText('task/3/status')], ['137\n', 'ended killed\n'])
    await capfs.readText('task/new/wasi')
    await rejects(capfs.writeFile('task/4/ctl', 'start'), 'EINVAL')
    await capfs.writeFile('task/4/cmd', '/data/a.txt')
    await rejects(capfs.writeFile('task/4/ctl', 'start'), 'ENOEXEC')
    same((await capfs.readText('task/error')).includes('is not WebAssembly'), true)
    await capfs.writeFile('task/4/cmd', '/bin/none')
    await rejects(capfs.writeFile('task/4/ctl', 'start'), 'ENOENT')
    await capfs.writeFile('task/4/ctl', 'delete')
    same((await capfs.readDir('task')).map(({ name }) => name), ['new', 'policy', 'error', '1', '2', '3'])
    // Its program is what another task prints, which prints nothing for now.
    const silent = (await capfs.readText('task/new/wasi')).trim()
    await capfs.writeFile(`task/${silent}/cmd`, '/bin/guest.wasm echo')
    await capfs.writeFile(`task/${silent}/ctl`, 'start')
    const reads = (await capfs.readText('task/new/wasi')).trim()
    await capfs.writeFile(`task/${reads}/cmd`, `/task/${silent}/fd/1`)
    const started = rejects(capfs.writeFile(`task/${reads}/ctl`, 'start'), 'ECANCELED')
    await capfs.writeFile(`task/${reads}/ctl`, 'kill')
    await started
    // The start that was given up reads no more of it.
    const printed = capfs.readText(`task/${silent}/fd/1`)
    await capfs.writeFile(`task/${silent}/fd/0`, 'not for a program')
    same([await printed, await capfs.readText(`task/${silent}/wait`)], ['not for a program', '0\n'])
  },
  async 'ends a task whose output nobody reads'({ capfs, guest }) {
    await capfs.writeFile('/bin/guest.wasm', guest)
    const known = new Set(capfs.agents)
    const task = `task/${(await capfs.readText('task/new/wasi')).trim()}`
    await capfs.writeFile(`${task}/cmd`, '/bin/guest.wasm many-bytes 300000')
    await capfs.writeFile(`${task}/ctl`, 'start')
    const child = [...capfs.agents].find((agent) => !known.has(agent))
    same((await child.exit).code, 0)
    same(await capfs.readText(`${task}/status`), 'running\n')
    const waiting = capfs.readText(`${task}/wait`)
    await capfs.writeFile(`${task}/ctl`, 'kill')
    same([await waiting, await capfs.readText(`${task}/status`)], ['137\n', 'ended killed\n'])
    await capfs.writeFile(`${task}/ctl`, 'delete')
  },
  async 'starts no task with what no program can be given'({ capfs, guest }) {
    await capfs.writeFile('/bin/guest.wasm', guest)
    for (const [file, text] of [['env', '=x\n'], ['env', 'A=b\0c\n'], ['args', 'a\0b\n'], ['dir', '/a\0b']]) {
      const task = `task/${(await capfs.readText('task/new/wasi')).trim()}`
      await capfs.writeFile(`${task}/cmd`, '/bin/guest.wasm hello')
      // Some of it is refused as it is written.
      const written = await capfs.writeFile(`${task}/${file}`, text).catch(({ code }) => code)
      if (written === undefined) {
        await rejects(capfs.writeFile(`${task}/ctl`, 'start'), 'EINVAL')
        same([file, text, await capfs.readText(`${task}/status`)], [file, text, 'failed EINVAL\n'])
      } else same(written, 'EINVAL')
      await capfs.writeFile(`${task}/ctl`, 'delete')
    }
  },
  async 'takes what a task was granted away'({ capfs, guest }) {
    await capfs.writeFile('/bin/guest.wasm', guest)
    await capfs.readText('task/new/wasi')
    await capfs.writeFile('task/1/cmd', '/bin/guest.wasm script')
    await capfs.writeFile('task/1/ctl', 'grant console,raw=no\nstart\n')
    await capfs.writeFile('task/1/ctl', 'revoke /cap/console')
    await rejects(capfs.writeFile('task/1/ctl', 'revoke /cap/none'), 'EINVAL')
    await capfs.writeFile('task/1/fd/0', 'cat /cap/console/policy\n')
    const ENODEV = '!43\n'
    same(await capfs.readText('task/1/fd/1'), ENODEV)
  },
  async 'runs tasks of an agent, which get at most what it has'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, {
      args: ['script'],
      stdin: 'pipe',
      grants: ['task,children=2', 'console'],
      mounts: {
        '/bin': { type: 'memory', files: { 'guest.wasm': guest } },
        '/mine': { type: 'memory', files: { 'a.txt': 'mine\n', 'sub/b.txt': 'below\n' } },
        '/given': { type: 'memory', files: { 'c.txt': 'given\n' }, rights: 'ro' },
      },
    })
    const reader = agent.stdout.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const tell = async (line) => {
      await agent.write(`${line}\n`)
      while (!text.includes('\n')) text += (await reader.read()).value
      const [answer, ...rest] = text.split('\n')
      text = rest.join('\n')
      return answer
    }
    const [EACCES, EROFS, EMFILE] = ['!2', '!69', '!33']
    same(await tell('cat /task/new/wasi'), '=1|')
    same(await tell('set /task/1/cmd /bin/guest.wasm script'), '=')
    for (const line of ['bind /mine /in', 'bind /given /ro', 'bind /cap /cap']) same(await tell(`put /task/1/ctl ${line}`), '=')
    same(await tell('put /task/1/ctl grant fetch,origin=*'), EACCES)
    same(await tell('put /task/1/ctl start'), '=')
    const script = ['cat /in/a.txt', 'set /in/a.txt changed', 'cat /in/sub/b.txt', 'set /ro/c.txt x', 'ls /ro', 'cat /cap/console/winsize', 'ls /']
    same(await tell(`set /task/1/fd/0 ${script.join('\v')}`), '=')
    same(await tell('cat /task/1/wait'), '=0|')
    same((await tell('cat /task/1/fd/1')).slice(1).split('|').filter(Boolean).slice(0, 6), ['=mine', '=', '=below', EROFS, '=c.txt ', '=0 0'])
    same(await agent.readText('/mine/a.txt'), 'changed')
    same([await tell('cat /task/new/wasi'), await tell('cat /task/new/wasi')], ['=2|', EMFILE])
    same(await tell('set /task/2/cmd /bin/guest.wasm spin'), '=')
    same(await tell('put /task/2/ctl start'), '=')
    same(await tell('cat /task/2/status'), '=running|')
    const child = [...capfs.agents].find((other) => other !== agent)
    await agent.dispose()
    same((await child.exit).reason, 'killed')
  },
  async 'lets go of what tasks have open in the files of an agent that has ended'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, {
      args: ['script'],
      stdin: 'pipe',
      grants: ['task'],
      mounts: { '/bin': { type: 'memory', files: { 'guest.wasm': guest } }, '/mine': { type: 'memory' } },
      limits: { storage: 1 << 20 },
    })
    const ended = new Response(agent.stdout).text()
    const most = 700_000
    for (const line of ['cat /task/new/wasi', `set /task/1/cmd /bin/guest.wasm hold /in/f ${most}`, 'put /task/1/ctl bind /mine /in', 'put /task/1/ctl start', 'once /task/1/fd/1']) {
      await agent.write(`${line}\n`)
    }
    await agent.closeStdin()
    same((await ended).split('\n').slice(0, -1), ['=1|', '=', '=', '=', '=held|'])
    same((await agent.exit).reason, 'exit')
    while ([...capfs.agents].some((other) => other !== agent)) await new Promise((resolve) => setTimeout(resolve, 0))
    // There is room for as much again.
    await agent.writeFile('/mine/g', new Uint8Array(most))
    same((await agent.stat('/mine/g')).size, most)
    await agent.dispose()
  },
  async 'hands no more of a buffer to an agent than is written'({ capfs, guest }) {
    const Handle = globalThis.Worker ?? (await import('node:worker_threads')).Worker
    const { postMessage } = Handle.prototype
    const agent = await capfs.spawn(guest, { args: ['echo'], stdin: 'pipe', mounts: { '/w': { type: 'memory' } } })
    const whole = new Uint8Array(1 << 20).fill(7)
    const sent = []
    Handle.prototype.postMessage = function (message, ...rest) {
      if (message?.bytes) sent.push(message.bytes.buffer.byteLength)
      return postMessage.call(this, message, ...rest)
    }
    try {
      await agent.writeFile('/w/f', whole.subarray(500, 503))
      await agent.write(whole.subarray(500, 502))
    } finally {
      Handle.prototype.postMessage = postMessage
    }
    await agent.closeStdin()
    same(new Uint8Array(await new Response(agent.stdout).arrayBuffer()), new Uint8Array([7, 7]))
    same(await agent.readFile('/w/f'), new Uint8Array([7, 7, 7]))
    // Where a mailbox is, it has the bytes.
    same(sent, capfs.variant.wait === 'sab' ? [] : [3, 2])
    await agent.dispose()
  },
  async 'keeps tables to a limit of memory, and refuses what it can\'t keep to one'({ capfs }) {
    const text = (name) => [...name].map((character) => character.charCodeAt(0))
    const module = (types, table, code) =>
      new Uint8Array([
        ...[0, ...text('asm'), 1, 0, 0, 0], ...types, ...[3, 2, 1, 0], ...table, ...[5, 3, 1, 0, 1],
        ...[7, 19, 2, 6, ...text('memory'), 2, 0, 6, ...text('_start'), 0, 0], ...[10, code.length + 4, 1, code.length + 2, 0, ...code, 0x0b],
      ])
    // A million elements, and a trap if there are that many.
    const grows = [0xd0, 0x6f, 0x41, 0xc0, 0x84, 0x3d, 0xfc, 15, 0, 0x41, 0x7f, 0x47, 4, 0x40, 0, 0x0b]
    const grown = module([1, 4, 1, 0x60, 0, 0], [4, 4, 1, 0x6f, 0, 1], grows)
    const limits = { memory: 16 << 20 }
    same((await run(capfs, grown, [], { limits })).code, 0)
    same((await run(capfs, grown, [])).reason, 'trap')
    const array = module([1, 7, 2, 0x60, 0, 0, 0x5e, 0x7f, 1], [], [])
    await rejects(capfs.spawn(array, { limits }), 'MEMORY_LIMIT')
    const many = module([1, 4, 1, 0x60, 0, 0], [4, 7, 1, 0x6f, 0, 0x80, 0xad, 0xe2, 4], [])
    await rejects(capfs.spawn(many, { limits }), 'MEMORY_LIMIT')
  },
  async 'lets no agent make a device hold more than its limit, wherever the device is'({ capfs, guest }) {
    const limits = { memory: 4 << 20 }
    const agent = await capfs.spawn(guest, { args: ['script'], stdin: 'pipe', grants: ['fetch,origin=https://example.com'], limits })
    const reader = agent.stdout.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const tell = async (line) => {
      await agent.write(`${line}\n`)
      while (!text.includes('\n')) text += (await reader.read()).value
      const [answer, ...rest] = text.split('\n')
      text = rest.join('\n')
      return answer
    }
    const ENOMEM = '!48'
    let answer = '='
    let held = 0
    for (; answer === '=' && held < 200; held++) {
      // Where it is the agent's own account that is at its end, there may be no room for one more request either.
      const made = await tell('cat /cap/fetch/new')
      if (made === ENOMEM) {
        answer = made
        break
      }
      same(made, `=${held + 1}|`)
      answer = await tell(`set /cap/fetch/${held + 1}/postbody ${'x'.repeat(60_000)}`)
    }
    same([answer, held > 10], [ENOMEM, true])
    await agent.dispose()
  },
  async 'ends the tasks of an agent from which they are taken'({ capfs, guest }) {
    const mounts = { '/bin': { type: 'memory', files: { 'guest.wasm': guest } }, '/zero': { type: 'zero' } }
    const agent = await capfs.spawn(guest, { args: ['script'], stdin: 'pipe', grants: ['task'], mounts })
    const reader = agent.stdout.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    // A program that never ends is none: not more than its beginning is read.
    const endless = ['cat /task/new/wasi', 'set /task/1/cmd /zero', 'put /task/1/ctl start']
    const lines = [...endless, 'cat /task/new/wasi', 'set /task/2/cmd /bin/guest.wasm spin', 'put /task/2/ctl start', 'cat /task/2/status']
    for (const line of lines) await agent.write(`${line}\n`)
    while (!text.includes('=running|')) text += (await reader.read()).value
    const ENOEXEC = '!45'
    same(text.split('\n').slice(0, 7), ['=1|', '=', ENOEXEC, '=2|', '=', '=', '=running|'])
    const child = [...capfs.agents].find((other) => other !== agent)
    same(await agent.revoke('/task'), true)
    same((await child.exit).reason, 'killed')
    await agent.dispose()
  },
  async 'takes a capability away while the agent waits on it'({ capfs, guest }) {
    const agent = await capfs.spawn(guest, { args: ['cat', '/cap/console/cons'], grants: ['console'], console: { write: () => {} } })
    same(await agent.revoke('/cap/console'), true)
    const ENODEV = 43
    const { code, reason } = await agent.exit
    same([code === ENODEV || code === 0, reason], [true, 'exit'])
    same(await agent.revoke('/cap/none').catch((error) => error.code), false)
  },
}

/** Cases for the variant that can't wait. */
export const notWaiting = {
  async 'refuses input that it could not wait for'({ capfs, guest }) {
    await rejects(capfs.spawn(guest, { args: ['echo'], stdin: 'pipe' }), 'VARIANT_UNAVAILABLE')
    const mounts = { '/c': { type: 'shared', path: '/' } }
    await rejects(capfs.spawn(guest, { args: ['hello'], mounts }), 'VARIANT_UNAVAILABLE')
  },
}

/** Runs every case of a variant, or one of so many parts of them; `report(name, error)` hears of each. */
export async function runCases(Capfs, variant, guest, report, [part, parts] = [0, 1]) {
  const cases = { ...everywhere, ...archives.everywhere, ...life.everywhere, ...(variant.wait === 'none' ? notWaiting : { ...waiting, ...life.waiting }) }
  const all = Object.entries(cases)
  const place = (part) => Math.round((all.length * part) / parts)
  for (const [name, body] of all.slice(place(part), place(part + 1))) {
    const capfs = await Capfs.create({ variant, capabilities: true })
    try {
      same(capfs.variant, variant)
      await body({ Capfs, capfs, guest })
      report(name)
    } catch (error) {
      report(name, error)
    } finally {
      capfs.close()
    }
  }
}
