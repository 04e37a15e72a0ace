// What the servers share: a port of the system's choice, an end that waits for nobody.

/**
 * Listens on loopback.
 *
 * @param {import('node:http').Server} server
 * @param {import('ws').WebSocketServer} [sockets] where it is one for WebSockets
 */
export async function loopback(server, sockets) {
  await new Promise((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  return {
    address: `${sockets ? 'ws' : 'http'}://127.0.0.1:${server.address().port}`,
    async close() {
      for (const socket of sockets?.clients ?? []) socket.terminate()
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}
