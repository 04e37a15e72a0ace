// A real WebSocket server for cases. A connection's path says what it does:
//
//   /echo        every message comes back as it is
//   /close       the first message says how the server closes: a code and a reason, `none`, or `cut`
//   /count       `N` messages, numbered; whatever is sent ends it
//   /large       one message of as many bytes as the first message says
//   /tail        a message, an empty one, another, and a close, all at once
//   /half        breaks off in the middle of a message
//   /deaf        nothing is read, ever
//   /refuse      no WebSocket: 403

import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { loopback } from './loopback.mjs'

const PATHS = {
  '/echo': (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })),
  '/close': (socket) =>
    socket.once('message', (data) => {
      const [code, ...reason] = data.toString().split(' ')
      socket.send('last words', () => {
        if (code === 'cut') socket.terminate()
        else if (code === 'none') socket.close()
        else socket.close(Number(code), reason.join(' '))
      })
    }),
  '/count': (socket) =>
    socket.once('message', (data) => {
      for (let number = 0; number < Number(data); number++) socket.send(String(number))
    }),
  '/large': (socket) => socket.once('message', (data) => socket.send(Buffer.alloc(Number(data), 'x'))),
  '/tail': (socket) => {
    for (const message of ['first', '', 'behind an empty one']) socket.send(message)
    socket.close(4000, 'the last')
  },
  '/deaf': (socket) => socket.pause(),
  '/half': (socket, tcp) => {
    socket.send('whole')
    // A frame that says 100 bytes and has four.
    tcp.end(Buffer.from([0x82, 100, 1, 2, 3, 4]))
  },
}

/** Starts it on loopback. */
export async function serve() {
  const http = createServer((_, response) => response.writeHead(426).end())
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered].find((name) => name !== 'unknown') ?? false })
  http.on('upgrade', (request, tcp, head) => {
    const path = PATHS[new URL(request.url, 'http://localhost').pathname]
    if (!path) return void tcp.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    sockets.handleUpgrade(request, tcp, head, (socket) => {
      // Whoever breaks off is part of the game.
      socket.on('error', () => {})
      path(socket, tcp)
    })
  })
  return loopback(http, sockets)
}
