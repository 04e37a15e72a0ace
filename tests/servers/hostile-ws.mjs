// The server of hostile.mjs, by the address that a WebSocket has.

import { serve as serveHttp } from './hostile.mjs'

/** Starts it on loopback. */
export async function serve() {
  const server = await serveHttp()
  return { ...server, address: server.address.replace('http:', 'ws:') }
}
