// What requests of agents connect to in Node, and what comes of them there.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { NodeNetwork } from '../dist/worker/node-network.js'
import { same } from './cases.mjs'

const TEXT = 'what the server says '.repeat(10_000)

/** A server of this machine's, its port, and the connections that were made to it. */
async function listen(answer) {
  const connections = []
  const server = createServer(answer)
  server.on('connection', (socket) => connections.push(socket.remoteAddress))
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const close = () =>
    new Promise((closed) => {
      server.close(closed)
      server.closeAllConnections()
    })
  return { port: server.address().port, server, connections, close }
}

const outcome = (promise) => promise.then((text) => text, ({ code }) => code)

/** Reads files of an agent that has this grant. */
async function granted(capfs, guest, grant, read) {
  const agent = await capfs.spawn(guest, { args: ['script'], stdin: 'pipe', grants: [grant] })
  try {
    return await read((path) => outcome(agent.readText(path)))
  } finally {
    await agent.dispose()
  }
}

export const networkCases = {
  async 'connects to no address that is neither public nor granted'({ guest, capfs: { constructor: Capfs } }) {
    const { port, connections, close } = await listen((request, response) => {
      if (request.url === '/away') response.writeHead(302, { location: `http://localhost:${port}/there` })
      response.end('reached')
    })
    const capfs = await Capfs.create({ capabilities: true })
    const get = (terms, host, path = 'x') =>
      granted(capfs, guest, { device: 'fetch', ...terms }, async (read) => {
        const got = await read(`/cap/fetch/http/${host}:${port}/${path}`)
        return got === 'reached' ? got : [got, (await read('/cap/fetch/error')).includes('not public and not granted')]
      })
    const refused = ['EACCES', true]
    try {
      for (const origin of ['*', `http://*:${port}`]) {
        for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:7f00:1]', '169.254.169.254', '0.0.0.0', '2130706433']) same([origin, host, await get({ origin }, host)], [origin, host, refused])
      }
      same(await get({ origin: '*', network: '10.0.0.0/8' }, '127.0.0.1'), refused)
      same(await get({ origin: '*', network: '10.0.0.0/8' }, 'localhost'), refused)
      same(connections, [])
      same(await get({ origin: '*', network: '127.0.0.0/8' }, '127.0.0.1'), 'reached')
      same(await get({ origin: '*', network: '127.0.0.0/8' }, 'localhost'), 'reached')
      same(await get({ origin: `http://127.0.0.1:${port}` }, '127.0.0.1'), 'reached')
      same(await get({ origin: `http://localhost:${port}` }, 'localhost'), 'reached')
      same(connections.length, 4)
      // A redirect is asked about like a request; so is what another agent has a connection to.
      const both = { origin: ['*', `http://127.0.0.1:${port}`] }
      same(await get(both, '127.0.0.1', 'away'), refused)
      const first = capfs.spawn(guest, { args: ['script'], stdin: 'pipe', grants: [{ device: 'fetch', origin: `http://127.0.0.1:${port}` }] })
      const agent = await first
      same(await agent.readText(`/cap/fetch/http/127.0.0.1:${port}/x`), 'reached')
      const before = connections.length
      same(await get({ origin: '*' }, '127.0.0.1'), refused)
      same(await agent.readText(`/cap/fetch/http/127.0.0.1:${port}/x`), 'reached')
      same(connections.length, before)
      await agent.dispose()
    } finally {
      capfs.close()
      await close()
    }
  },
  async 'opens no socket to an address that is neither public nor granted'({ guest }) {
    const { port, server, connections, close } = await listen((request, response) => response.end())
    server.on('upgrade', ({ headers }, socket) => {
      const accept = createHash('sha1').update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      socket.on('error', () => undefined)
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
      sockets.push(socket)
    })
    const sockets = []
    const folder = await mkdtemp(join(tmpdir(), 'capfs-'))
    try {
      const program = join(folder, 'guest.wasm')
      await writeFile(program, guest)
      const child = fileURLToPath(new URL('websocket-child.mjs', import.meta.url))
      const { stdout } = await promisify(execFile)(process.execPath, ['--experimental-websocket', child, program, String(port)])
      same(JSON.parse(stdout), [...Array(5).fill(['EACCES', true]), ...Array(2).fill(['connected', false])])
      same(connections.length, 2)
    } finally {
      await rm(folder, { recursive: true })
      for (const socket of sockets) socket.destroy()
      await close()
    }
  },
  async 'reads what servers encode, and answers without a body'({ guest, capfs: { constructor: Capfs } }) {
    const encoded = {
      gzip: gzipSync(TEXT),
      deflate: deflateSync(TEXT),
      'raw-deflate': deflateRawSync(TEXT),
      br: brotliCompressSync(TEXT),
      'gzip, br': brotliCompressSync(gzipSync(TEXT)),
    }
    const broken = {
      none: () => Buffer.alloc(0),
      half: (whole) => whole.subarray(0, whole.length / 2),
      'all but a byte': (whole) => whole.subarray(0, -1),
      'another checksum': (whole) => Buffer.concat([whole.subarray(0, -8), Buffer.alloc(4), whole.subarray(-4)]),
    }
    const { port, connections, close } = await listen((request, response) => {
      const name = decodeURIComponent(request.url.slice(1))
      if (name === 'none') return response.writeHead(204).end()
      if (name === 'reset') return response.writeHead(205, { 'content-length': 4 }).end('gone')
      if (name === 'cut') return response.writeHead(200, { 'content-length': 100 }).write('begun', () => response.destroy())
      if (name === 'many') return response.writeHead(200, { 'content-encoding': Array(5).fill('gzip').join(', ') }).end('many')
      if (name === 'long') return response.end(Buffer.alloc(8 << 20, 'x'))
      const [coding, part] = name.split(' of ').reverse()
      response.writeHead(200, { 'content-encoding': coding.replace('raw-', '') }).end(broken[part]?.(encoded[coding]) ?? encoded[coding])
    })
    const capfs = await Capfs.create({ capabilities: true })
    try {
      const base = `/cap/fetch/http/127.0.0.1:${port}`
      await granted(capfs, guest, { device: 'fetch', origin: `http://127.0.0.1:${port}` }, async (read) => {
        for (const name of Object.keys(encoded)) same([name, (await read(`${base}/${name}`)) === TEXT], [name, true])
        same([await read(`${base}/none`), await read(`${base}/reset`)], ['', ''])
        same((await read(`${base}/long`)).length, 8 << 20)
        same([await read(`${base}/cut`), await read(`${base}/many`)], ['EIO', 'EIO'])
        for (const name of Object.keys(encoded)) {
          same([name, await read(`${base}/none of ${name}`)], [name, ''])
          // Raw deflate may say so in its last byte.
          for (const part of ['half', 'all but a byte']) same([part, name, await read(`${base}/${part} of ${name}`)], [part, name, 'EIO'])
        }
        same(await read(`${base}/another checksum of gzip`), 'EIO')
        same(await read(`${base}/gzip`), TEXT)
      })
      // One that is kept serves the next request, unless what came by it was broken.
      same(connections.length < 22, true)
    } finally {
      capfs.close()
      await close()
    }
  },
  async 'has every address of a name that something else is to connect to allowed'() {
    const asked = []
    const allows = (...question) => {
      asked.push(question)
      return question[3] === '127.0.0.1'
    }
    const network = new NodeNetwork(allows)
    same(await network.check('ws://127.0.0.1:7/'), undefined)
    same(asked, [['ws', '127.0.0.1', 7, '127.0.0.1']])
    const refused = await network.check('wss://[::1]/').catch((error) => error)
    same([refused.code, asked.at(-1)], ['EACCES', ['wss', '[::1]', 443, '::1']])
    const nobody = new NodeNetwork(() => {
      throw new Error('its device is gone')
    })
    same((await nobody.check('ws://localhost/').catch((error) => error)).code, 'EACCES')
  },
}
