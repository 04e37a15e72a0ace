// Kernels that have trees of each other, without workers between them: what becomes of the trees when one of them goes.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { same } from './checks.mjs'
import { DeviceServer } from '../dist/worker/device-server.js'
import { kernelBindings } from '../dist/kernel-full.js'
import { NodeNetwork } from '../dist/worker/node-network.js'

// What a worker's entry in Node does for its kernels.
globalThis.capfsNetwork = NodeNetwork

const module = new WebAssembly.Module(readFileSync(new URL('../dist/kernel-full.wasm', import.meta.url)))
const [EBADF, ESTALE] = [8, 72]
/** Types of requests. */
const [STAT, ATTACH] = [24, 104]
const CLIENT = 7
const PEER = 3

/** A kernel with a memory file system, and a file in it. */
function kernel(content) {
  const made = kernelBindings()
  made.initSync({ module })
  made.on_wake(() => queueMicrotask(() => made.advance()))
  const files = made.memory_device(1 << 20)
  if (content !== undefined) made.device_write(files, 'a.txt', new TextEncoder().encode(content))
  made.mount(files, '/', true, false)
  made.mount_all()
  return made
}

/** Asks a kernel about its files: what it answers, or the name of an errno. */
const ask = (of, what, path, bytes) =>
  new Promise((resolve) => of.request(1, what, path, bytes, undefined, (error, value) => resolve(error ?? (value instanceof Uint8Array ? new TextDecoder().decode(value) : value))))

/** Hands one kernel's requests to another. */
const post = (client, server) => (bytes) =>
  queueMicrotask(() => server.remote_serve(CLIENT, bytes.slice(), (answer) => queueMicrotask(() => client.remote_answer(PEER, answer.slice()) ?? client.advance())))

/** A request of this type (`capfs_remote::wire`), with numbers and an empty text; the errno that it is answered with, or 0. */
function status(server, client, type, ...numbers) {
  const text = type === ATTACH ? 2 : 0
  const request = new Uint8Array(7 + 4 * numbers.length + text)
  const view = new DataView(request.buffer)
  view.setUint32(0, request.length, true)
  request[4] = type
  view.setUint16(5, 1, true)
  numbers.forEach((number, index) => view.setUint32(7 + 4 * index, number, true))
  const ERROR = 7
  let answered
  server.remote_serve(client, request, (bytes) => (answered = bytes[4] === ERROR ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(7, true) : 0))
  return answered
}

/** Has a kernel make a capability for its client. */
const granted = (server, device, client = CLIENT) => server.remote_grant({ client, identity: 'id', agent: 'agent', device, terms: [] })

/** What a call of a kernel throws. */
async function thrown(call) {
  try {
    await call()
    return undefined
  } catch (error) {
    return error
  }
}

export const kernelCases = {
  async 'serves those clients alone that it has taken in, until it has forgotten them'() {
    const server = kernel('content')
    const grant = () => granted(server, 'crypto')
    const narrow = (tree, check = false) => {
      const { here, refused } = server.narrow({ client: CLIENT, tree, device: 'crypto', terms: ['keys', '2'], check })
      return here ? 'here' : refused?.errno
    }
    same([status(server, CLIENT, ATTACH, 1, 0), await thrown(grant)], [ESTALE, 'ESTALE'])
    server.remote_admit(CLIENT, 0)
    same([await thrown(() => server.remote_admit(CLIENT, 0)), status(server, CLIENT, ATTACH, 1, 0), status(server, CLIENT, STAT, 1)], ['EEXIST', 0, 0])
    const { number: tree } = await grant()
    same([narrow(tree), narrow(tree, true)], ['here', 'here'])
    server.remote_forget(CLIENT)
    // What comes late finds nobody, and makes nobody of whom nobody would ever hear.
    same([status(server, CLIENT, STAT, 1), await thrown(grant), narrow(tree)], [ESTALE, 'ESTALE', 'ENOENT'])
    server.remote_forget(CLIENT)
    server.remote_admit(CLIENT, 0)
    same([status(server, CLIENT, STAT, 1), narrow(tree)], [EBADF, 'ENOENT'])
  },
  async 'says which field of what it is told is not as it must be'() {
    const server = kernel('content')
    server.remote_admit(CLIENT, 0)
    const order = { client: CLIENT, identity: 'id', agent: 'agent', device: 'crypto', terms: [] }
    const wrong = (change) => thrown(() => server.remote_grant({ ...order, ...change }))
    same(await wrong({ terms: 'keys' }), 'ClientGrant.terms must be string[]')
    same(await wrong({ terms: ['keys', 2] }), 'ClientGrant.terms must be string')
    same(await wrong({ client: -1 }), 'ClientGrant.client must be a whole number of 32 bits')
    same(await wrong({ identity: undefined }), 'ClientGrant.identity must be string')
    same(await wrong({ audit: 'tell' }), 'ClientGrant.audit must be a function')
    same(await thrown(() => server.remote_grant(undefined)), 'ClientGrant.client must be a whole number of 32 bits')
    same(await thrown(() => server.narrow({ ...order, tree: 1, check: 1 })), 'NarrowRequest.check must be boolean')
    same(await thrown(() => ask(server, 'seek', 'a.txt')), 'it must be FileRequest')
    // None of it has left anything behind.
    same([(await granted(server, 'crypto')).number, await ask(server, 'read', 'a.txt')], [1, 'content'])
  },
  async 'lets nothing be made by a start of a capability that is forgotten in the midst of it'() {
    const server = kernel()
    server.remote_admit(CLIENT, 0)
    const unmade = thrown(() => granted(server, 'indexeddb'))
    const made = granted(server, 'crypto')
    const late = thrown(() => made)
    server.remote_forget(CLIENT)
    same([await late, typeof (await unmade)], ['ESTALE', 'string'])
  },
  async 'keeps to what a client was taken in with, for all that is made for it'() {
    for (const [held, answer] of [[1_000, 'ENOMEM'], [100_000, '1\n']]) {
      const [server, client] = [kernel(), kernel()]
      server.remote_admit(CLIENT, held)
      for (const at of ['/first', '/second']) {
        const { number: tree } = await granted(server, 'crypto')
        client.mount(client.remote_device(PEER, tree, '', post(client, server)), at, true, false)
        client.mount_all()
        same(await ask(client, 'read', `${at}/key/clone`), answer)
      }
    }
  },
  async 'asks another peer of the same number nothing that was the one\'s that is gone'() {
    const [first, second, client] = [kernel('the first'), kernel('the second'), kernel()]
    const attach = (server, at) => {
      server.remote_admit(CLIENT, 0)
      client.mount(client.remote_device(PEER, 0, '/', post(client, server)), at, true, false)
      client.mount_all()
    }
    attach(first, '/one')
    same(await ask(client, 'read', '/one/a.txt'), 'the first')
    client.remote_lost(PEER)
    same(await ask(client, 'read', '/one/a.txt'), 'EIO')
    attach(second, '/two')
    same([await ask(client, 'read', '/two/a.txt'), await ask(client, 'read', '/one/a.txt')], ['the second', 'EIO'])
    client.remote_lost(PEER)
    same([await ask(client, 'read', '/two/a.txt'), await ask(client, 'read', '/one/a.txt')], ['EIO', 'EIO'])
  },
  async 'takes away elsewhere what was made there for a task, at its end or when it can\'t be handed on'() {
    // The device worker's kernel, the parent's, which is its client, and the task's number there.
    const [devices, parent] = [kernel(), kernel()]
    const [PARENT, TASK] = [CLIENT, 9]
    devices.remote_admit(PARENT, 0)
    const tree = await granted(devices, 'crypto', PARENT)
    const asked = []
    const send = (bytes) => {
      asked.push(bytes.slice())
      devices.remote_serve(PARENT, bytes.slice(), (answer) => queueMicrotask(() => parent.remote_answer(PEER, answer.slice())))
    }
    const at = parent.grant_from({ agent: 'agent', device: 'crypto', terms: [], peer: PEER, tree, post: send })
    const less = () => devices.narrow({ client: PARENT, tree: tree.number, device: 'crypto', terms: ['keys', '2'], check: false }).here.tree
    const gone = ({ number }) => devices.narrow({ client: PARENT, tree: number, device: 'crypto', terms: ['keys', '1'], check: true }).refused !== undefined
    const adopt = (tree) => parent.adopt({ client: TASK, of: 0, at, peer: PEER, tree, post: send })
    const early = less()
    same([await thrown(() => adopt(early)), gone(early)], ['ESTALE', true])
    parent.remote_admit(TASK, 0)
    const handed = less()
    same([adopt(handed).number > 0, gone(handed)], [true, false])
    parent.remote_forget(TASK)
    same([gone(handed), gone(tree)], [true, false])
  },
  async 'lets no more of a client\'s requests come while its audit lags behind'() {
    const http = createServer((_, response) => response.end('content'))
    await once(http.listen(0, '127.0.0.1'), 'listening')
    const origin = `127.0.0.1:${http.address().port}`
    // Here is the page: what comes from the device worker, and what it is told.
    const client = kernel()
    let [taken, sent, untold, made] = [0, 0, [], undefined]
    const port = {
      post(report) {
        taken += report.taken ?? 0
        if (report.type === 'device-audit') untold.push(report)
        if (report.type === 'device-granted') made(report.tree)
        if (report.type === 'device-answer') queueMicrotask(() => client.remote_answer(PEER, report.bytes.slice()) ?? client.advance())
      },
    }
    const devices = new DeviceServer(port, module, kernelBindings)
    devices.receive({ type: 'device-admit', client: CLIENT, held: 0 })
    const tree = new Promise((resolve) => (made = resolve))
    devices.receive({ type: 'device-grant', request: 1, client: CLIENT, identity: 'id', audit: 'agent', device: 'fetch', terms: ['origin', `http://${origin}`] })
    const send = (bytes) => {
      sent += 1
      const request = bytes.slice()
      queueMicrotask(() => devices.receive({ type: 'device-request', client: CLIENT, bytes: request }))
    }
    client.mount(client.remote_device(PEER, (await tree).number, '', send), '/fetch', true, false)
    client.mount_all()
    const fetched = () => ask(client, 'read', `/fetch/http/${origin}/${Array(15).fill('x'.repeat(200)).join('/')}`)
    const weight = () => untold.reduce((sum, report) => sum + report.weight, 0)
    const UNTOLD_MAX = 64 << 10
    try {
      let before = 0
      while (weight() <= UNTOLD_MAX) {
        before = taken
        same(await fetched(), 'content')
        same(taken > before, true)
      }
      // From here on it is told of none, however many there are: the page sends no more than may be under way.
      const [lagging, more] = [taken, sent]
      for (let again = 0; again < 4; again++) same(await fetched(), 'content')
      same([taken, sent > more], [lagging, true])
      for (const { weight } of untold.splice(0)) devices.receive({ type: 'device-told', client: CLIENT, weight })
      same(taken > lagging, true)
      before = taken
      same([await fetched(), taken > before], ['content', true])
      devices.receive({ type: 'device-forget', client: CLIENT })
      devices.receive({ type: 'device-told', client: CLIENT, weight: 1 })
    } finally {
      http.closeAllConnections()
      http.close()
    }
  },
}
