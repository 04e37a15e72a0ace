// Serves the npm package and the page that drives it, on loopback, with or without isolation headers.

import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { dirname, extname, join, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, '..', '..')

/** What pages may ask for; the rest of the checkout is not theirs. */
const SERVED = [join(root, 'web', 'dist') + sep, here + sep]

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
}

const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
}

/**
 * @param {boolean} isolated
 * @returns {Promise<{address: string, close(): void}>} `address` is the driving page's
 */
export async function serve(isolated) {
  const server = createServer((request, response) => {
    const file = join(root, decodeURIComponent(new URL(request.url, 'http://localhost').pathname))
    const found = SERVED.some((folder) => file.startsWith(folder)) && statSync(file, { throwIfNoEntry: false })
    if (!found || !found.isFile()) return response.writeHead(404).end()
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': found.size,
      ...(isolated ? ISOLATION : {}),
    })
    createReadStream(file).pipe(response)
  })
  await new Promise((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  return {
    address: `http://127.0.0.1:${server.address().port}/tests/hosts/page.html`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
