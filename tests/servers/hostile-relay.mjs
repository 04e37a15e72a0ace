// A relay that lies, falls silent, hangs up. A connection's path says what it does when events are asked for or posted.

import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { loopback } from './loopback.mjs'

/** What somebody signed, once. */
const GENUINE = {
  content: 'hello there naïve 😀',
  created_at: 1795576722,
  id: '3794f687cc4072f64e26fd95e941f7b15acfbb9fbb0343ed9bd329c46564f9e4',
  kind: 1,
  pubkey: 'ad19089020a9b010ca061bd05109397ce5635afe21b9756c01c24e7bf3356f38',
  sig: 'f40af5c575d45834e409ea453fa4b663184b01d7a0421274b381e4c9bce75a4016a303199f7016e5bdede9280eb2588031abd18c3c7c28c868fb3f69c2eba309',
  tags: [],
}

/** An event with the id of what it says, which its author did not sign. */
export function forged(changes) {
  const event = { ...GENUINE, ...changes }
  const said = [0, event.pubkey, event.created_at, event.kind, event.tags, event.content]
  return { ...event, id: createHash('sha256').update(JSON.stringify(said)).digest('hex') }
}

const send = (socket, ...message) => socket.send(JSON.stringify(message))
const event = (socket, value) => send(socket, 'EVENT', 'notes', value)

const PATHS = {
  '/genuine': (socket) => {
    event(socket, GENUINE)
    send(socket, 'EVENT', 'another', forged({ content: 'not asked for by this name' }))
    send(socket, 'AUTH', 'challenge')
    send(socket, 'NOTICE', 'be \u001b[2J welcome')
    send(socket, 'EOSE', 'notes')
  },
  '/forged': (socket) => {
    event(socket, { ...GENUINE, content: 'another text under the old id' })
    event(socket, forged({ content: 'another text under its own id' }))
    event(socket, forged({ pubkey: 'f'.repeat(64) }))
    event(socket, { ...GENUINE, sig: '0'.repeat(128) })
    event(socket, { ...GENUINE, sig: 'short' })
    event(socket, { ...GENUINE, tags: [[1]] })
    event(socket, 'no event')
    event(socket, forged({ kind: 4 }))
    event(socket, GENUINE)
    event(socket, GENUINE)
    send(socket, 'EOSE', 'notes')
  },
  '/cut': (socket, tcp) => {
    event(socket, GENUINE)
    // A frame that says 100 bytes and has two.
    tcp.end(Buffer.from([0x81, 100, 0x5b, 0x22]))
  },
  '/hangup': (socket) => {
    event(socket, GENUINE)
    socket.close(4000, 'enough of you')
  },
  '/silent': (socket) => event(socket, GENUINE),
  '/nonsense': (socket) => socket.send('no JSON'),
  '/large': (socket) => socket.send(JSON.stringify(['NOTICE', 'x'.repeat(1_100_000)])),
  '/closed': (socket) => send(socket, 'CLOSED', 'notes', 'auth-required: who are you?'),
  '/flood': (socket) => {
    for (let count = 0; count < 200; count += 1) event(socket, GENUINE)
  },
  '/refuse': (socket, _, [, posted]) => send(socket, 'OK', posted.id, false, 'blocked: not \u001b[2J you'),
}

/** Starts it on loopback. */
export async function serve() {
  const http = createServer((_, response) => response.writeHead(426).end())
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket, request) => {
    socket.on('error', () => {})
    socket.once('message', (message) => PATHS[request.url](socket, request.socket, JSON.parse(message)))
  })
  return loopback(http, sockets)
}
