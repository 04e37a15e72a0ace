// A plain static server as anybody has one: no isolation headers, no rewriting. It remembers what it served.

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}

/** Serves a folder on loopback. `served` holds the files that went out with a body; `close` ends it. */
export async function serveFolder(folder) {
  const served = new Set()
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname))
    const file = join(folder, path.endsWith('/') ? join(path, 'index.html') : path)
    const found = await stat(file).catch(() => null)
    if (!found?.isFile()) return response.writeHead(404).end()
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': found.size,
      'cache-control': 'no-store',
    })
    if (request.method === 'HEAD') return response.end()
    served.add(file)
    createReadStream(file).pipe(response)
  })
  await new Promise((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  return {
    address: `http://127.0.0.1:${server.address().port}/`,
    served,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
