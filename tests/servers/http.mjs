// A real HTTP server for cases: what its paths do is said beside them. Everybody may ask it, from any page.

import { createServer } from 'node:http'
import { gzipSync } from 'node:zlib'
import { loopback } from './loopback.mjs'

const OPEN = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': '*, authorization',
  'access-control-allow-methods': '*',
  'access-control-expose-headers': '*',
  'access-control-max-age': '600',
}

/** Bytes that can be told apart from each other's. */
export function pattern(length, from = 0) {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at++) bytes[at] = ((from + at) * 31 + ((from + at) >> 8)) & 255
  return bytes
}

async function bodyOf(request) {
  const parts = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts)
}

const PATHS = {
  '/hello': (_, response) => response.setHeader('x-greeting', 'hello').end('hello, world\n'),
  // What was asked: method, path, the headers that begin with x-, the body's length and first bytes.
  '/echo': async (request, response) => {
    const body = await bodyOf(request)
    const own = Object.entries(request.headers).filter(([name]) => name.startsWith('x-') || name === 'authorization')
    const lines = [`${request.method} ${request.url}`, ...own.sort().map(([name, value]) => `${name}: ${value}`), `${body.length} bytes: ${body.subarray(0, 60)}`]
    response.end(`${lines.join('\n')}\n`)
  },
  '/status': (_, response, url) => response.writeHead(Number(url.searchParams.get('code'))).end('so it is\n'),
  '/redirect': async (request, response, url) => {
    await bodyOf(request)
    response.writeHead(Number(url.searchParams.get('code') ?? 302), { location: url.searchParams.get('to') }).end()
  },
  '/loop': (_, response) => response.writeHead(302, { location: '/loop' }).end(),
  // So many bytes, as fast as they are taken.
  '/bytes': (_, response, url) => {
    const length = Number(url.searchParams.get('length'))
    if (!url.searchParams.has('chunked')) response.setHeader('content-length', length)
    const part = Buffer.alloc(64 * 1024, 'abcdefghijklmnopqrstuvwxyz012345')
    let left = length
    const more = () => {
      while (left > 0) {
        const count = Math.min(left, part.length)
        left -= count
        if (!response.write(count === part.length ? part : part.subarray(0, count))) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  },
  '/pattern': (_, response, url) => response.end(pattern(Number(url.searchParams.get('length')))),
  '/gzip': (_, response, url) => response.setHeader('content-encoding', 'gzip').end(gzipSync(pattern(Number(url.searchParams.get('length'))))),
  '/bad-gzip': (_, response) => response.setHeader('content-encoding', 'gzip').end('no gzip'),
  // Never an answer; never the rest of one.
  '/stall': () => {},
  '/stall-body': (_, response) => {
    response.setHeader('content-length', 100)
    response.write('the first part')
  },
  '/cut': (_, response) => {
    response.setHeader('content-length', 100)
    response.write('the first part', () => response.socket.destroySoon())
  },
}

/** Starts it on loopback. */
export async function serve() {
  const server = createServer(async (request, response) => {
    for (const [name, value] of Object.entries(OPEN)) response.setHeader(name, value)
    if (request.method === 'OPTIONS') return void response.writeHead(204).end()
    const url = new URL(request.url, 'http://localhost')
    const path = PATHS[url.pathname]
    if (path) await path(request, response, url)
    else response.writeHead(404).end('not here\n')
  })
  return loopback(server)
}
