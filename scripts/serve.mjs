// A static server for the demo page, on the loopback interface only: `npm run serve`.
//
//   node scripts/serve.mjs [--root DIR] [--port N] [--isolated]
//
// What compresses goes out compressed, for pages that are looked at through a tunnel. The page needs no header. `--isolated` sends those for cross-origin isolation, to try the variant
// that waits on shared memory.

import { createReadStream, realpathSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, resolve, sep } from 'node:path'
import { pipeline } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { constants, createBrotliCompress, createGzip } from 'node:zlib'
import { path, shown } from './project.mjs'
import { Problem, bold, entry, say } from './progress.mjs'

/** What the build of `web` writes the demo page to. */
export const page = path('web', 'dist', 'demo')

const PORT = 8040

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.gz': 'application/gzip',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml; charset=utf-8',
  '.tar': 'application/x-tar',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.woff2': 'font/woff2',
}

/** What gets smaller: the others are compressed already. */
const COMPRESSES = new Set(['.css', '.html', '.js', '.json', '.map', '.mjs', '.svg', '.tar', '.txt', '.wasm', '.webmanifest', '.xml'])
/** Bytes from which it is worth it. */
const COMPRESS_FROM = 1024

/** Ways to compress, the better one first. Neither at its best: a file is compressed each time that it is sent. */
const ENCODINGS = [
  ['br', (size) => createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 3, [constants.BROTLI_PARAM_SIZE_HINT]: size } })],
  ['gzip', () => createGzip({ level: 5 })],
]

/** The first of `ENCODINGS` that a request takes (RFC 9110, section 12.5.3); nothing where it takes none. */
function encodingFor({ headers }) {
  const taken = new Map()
  for (const part of String(headers['accept-encoding'] ?? '').split(',')) {
    const [name, weight] = part.split(';').map((piece) => piece.trim().toLowerCase())
    taken.set(name, weight === undefined || Number(weight.replace(/^q=/, '')) > 0)
  }
  return ENCODINGS.find(([name]) => taken.get(name) ?? taken.get('*') ?? false)
}

const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
}

/**
 * The file that a request names, or `undefined`. Nothing outside of the folder is served, neither by
 * `..` nor through a symbolic link.
 */
function find(folder, url) {
  let name
  try {
    name = decodeURIComponent(new URL(url, 'http://loopback').pathname)
  } catch {
    return undefined
  }
  if (name.includes('\0')) return undefined
  try {
    let file = realpathSync(join(folder, name))
    if (file !== folder && !file.startsWith(folder + sep)) return undefined
    if (statSync(file).isDirectory()) {
      // Without the slash the page's relative addresses would miss the folder.
      if (!name.endsWith('/')) return { redirect: `${name.split('/').at(-1)}/` }
      file = realpathSync(join(file, 'index.html'))
      if (!file.startsWith(folder + sep)) return undefined
    }
    const { size, mtimeMs } = statSync(file)
    return { file, size, tag: `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"` }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EACCES', 'ELOOP'].includes(error.code)) return undefined
    throw error
  }
}

/**
 * Serves a folder on the loopback interface.
 *
 * @param {{folder: string, port?: number, isolated?: boolean, compressed?: boolean}} options `port` 0 takes any free one; `compressed` what is asked for so
 * @returns {Promise<{address: string, close: () => Promise<void>}>}
 */
export async function serve({ folder, port = 0, isolated = false, compressed = false }) {
  const top = realpathSync(resolve(folder))
  const server = createServer((request, response) => {
    const headers = { 'Cache-Control': 'no-cache', 'X-Content-Type-Options': 'nosniff', ...(isolated ? ISOLATION : {}) }
    const end = (status, text, more = {}) =>
      response.writeHead(status, { ...headers, ...more, 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
    if (request.method !== 'GET' && request.method !== 'HEAD') return end(405, 'method not allowed', { Allow: 'GET, HEAD' })
    const found = find(top, request.url)
    if (!found) return end(404, 'not found')
    if (found.redirect) return end(301, 'moved', { Location: encodeURI(found.redirect) })
    const extension = extname(found.file).toLowerCase()
    const encoding = compressed && found.size >= COMPRESS_FROM && COMPRESSES.has(extension) ? encodingFor(request) : undefined
    if (compressed) headers.Vary = 'Accept-Encoding'
    // Another form of a file has another tag (RFC 9110, section 8.8.3).
    headers.ETag = encoding ? found.tag.replace(/"$/, `-${encoding[0]}"`) : found.tag
    if (request.headers['if-none-match'] === headers.ETag) return response.writeHead(304, headers).end()
    response.writeHead(200, {
      ...headers,
      ...(encoding ? { 'Content-Encoding': encoding[0] } : { 'Content-Length': found.size }),
      'Content-Type': TYPES[extension] ?? 'application/octet-stream',
    })
    if (request.method === 'HEAD') return response.end()
    // A client that goes away ends the reading too, and a file that can't be read any more its answer.
    pipeline([createReadStream(found.file), ...(encoding ? [encoding[1](found.size)] : []), response], () => undefined)
  })
  await new Promise((ready, failed) => {
    server.once('error', failed)
    server.listen(port, '127.0.0.1', ready)
  })
  return {
    address: `http://localhost:${server.address().port}/`,
    close: () =>
      new Promise((closed) => {
        server.close(closed)
        server.closeAllConnections()
      }),
  }
}

/** Serves the demo page until the process ends, on the usual port or, where that is taken, any other. */
export async function servePage({ folder = page, port = PORT, isolated = false } = {}) {
  const options = { folder, isolated, compressed: true }
  let served
  try {
    served = await serve({ ...options, port })
  } catch (error) {
    if (error.code === 'ENOENT') throw new Problem(`${shown(folder)} is missing`, { hint: 'npm run build' })
    if (error.code !== 'EADDRINUSE') throw error
    served = await serve(options)
  }
  say(`\n${bold('The demo page:')} ${served.address}${isolated ? ' (cross-origin isolated)' : ''}   Ctrl-C ends it`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await entry(async () => {
    const { values } = parseArgs({
      options: { root: { type: 'string' }, port: { type: 'string' }, isolated: { type: 'boolean' } },
    })
    await servePage({
      folder: values.root === undefined ? undefined : resolve(values.root),
      port: values.port === undefined ? undefined : Number(values.port),
      isolated: values.isolated,
    })
  })
}
