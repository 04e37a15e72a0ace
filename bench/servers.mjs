// What capabilities are measured against, on loopback: `GET /N` answers N bytes, and a WebSocket sends back what comes.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

const PIECE = Buffer.alloc(256 << 10, 'x')

/** Starts both and resolves to their addresses. */
export async function startServers() {
  const http = createServer(async (request, response) => {
    let left = Number(request.url.slice(1)) || 0
    response.writeHead(200, { 'content-length': left, 'content-type': 'application/octet-stream', 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
    const closed = once(response, 'close')
    while (left > 0 && !response.destroyed) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE
      left -= piece.length
      if (!response.write(piece)) await Promise.race([once(response, 'drain'), closed])
    }
    response.end()
  })
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false })
  sockets.on('connection', (socket) => {
    socket.on('error', () => undefined)
    socket.on('message', (data, binary) => socket.send(data, { binary }))
  })
  await new Promise((listening, failed) => http.once('error', failed).listen(0, '127.0.0.1', listening))
  const host = `127.0.0.1:${http.address().port}`
  return {
    http: `http://${host}`,
    ws: `ws://${host}`,
    async close() {
      for (const socket of sockets.clients) socket.terminate()
      http.closeAllConnections()
      await new Promise((closed) => http.close(closed))
    },
  }
}
