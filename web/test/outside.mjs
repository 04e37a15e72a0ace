// A server on another origin than the page's, which is asked for nothing unless something leaves the page: it tells what it was asked for.
import { createServer } from 'node:http'

/** The smallest picture. */
const PICTURE = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')

/** Anything is a picture there, for every origin; `/seen` is a list of what was asked for, as JSON, and forgets it. */
export async function serveOutside() {
  const seen = new Set()
  const server = createServer((request, response) => {
    const headers = { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin', 'Cache-Control': 'no-store' }
    if (request.url !== '/seen') {
      seen.add(request.url)
      return response.writeHead(200, { ...headers, 'Content-Type': 'image/gif' }).end(PICTURE)
    }
    response.writeHead(200, { ...headers, 'Content-Type': 'application/json' }).end(JSON.stringify([...seen]))
    seen.clear()
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    address: `http://localhost:${server.address().port}/`,
    close: () =>
      new Promise((closed) => {
        server.close(closed)
        server.closeAllConnections()
      }),
  }
}
