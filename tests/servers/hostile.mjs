// A server that does what no server should, over HTTP and WebSocket on one port. A path says what:
//
//   /continue         answers that are none (103), without end
//   /head             a header of one answer without end
//   /fields?n=N&size=S  N headers of S bytes
//   /trailers         a short body, and trailers without end
//   /extensions       a chunk whose extension has no end
//   /chunk-size       a chunk whose size is no number
//   /switches         another protocol, for which nobody has asked
//   /members          a compressed body of empty members, without end
//   /slow-head, /slow-body   a byte every 20 ms
//   /endless          a body without end
//   /unpacked         a small body in brotli that is 32 MiB, to be unpacked with a window of 16 MiB
//   /deaf             not a byte of the request's body is read, and nothing answered
//   /early            a whole answer, and not a byte of the request's body is read
//   /folded, /repeated   headers in two lines; headers that come several times
//   /location?to=TO   a redirect to TO, whose bytes are sent as they are
//   /locations        a redirect to two places
//   /hops?n=N         N redirects, one after the other
//   /status?code=N    a status without words
//   /asked            how many requests came so far, those for a WebSocket included
//   /ws/pings, /ws/fragments   pings; fragments without content; without end
//   /ws/close?code=N&reason=R   closes so
//   /ws/deaf          reads nothing
//   /ws/both          messages without end, and reads nothing
//   /ws/mute          reads, and doesn't answer a close
//   /ws/chatty        messages without end, whatever is said
//   /ws/echo          sends back what comes
//
// `node hostile.mjs` prints its address, and ends with its standard input.

import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { pathToFileURL } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const OPEN = 'access-control-allow-origin: *\r\naccess-control-expose-headers: *\r\naccess-control-allow-headers: *\r\naccess-control-allow-methods: *\r\n'

/** Writes the same bytes as long as they are taken. */
function flood(socket, bytes) {
  const many = Buffer.concat(Array(Math.max(1, Math.floor(65_536 / bytes.length))).fill(Buffer.from(bytes)))
  const more = () => {
    while (!socket.destroyed && socket.write(many));
    if (!socket.destroyed) socket.once('drain', more)
  }
  more()
}

/** Writes a byte now and then. */
function trickle(socket, byte) {
  const timer = setInterval(() => socket.write(byte), 20)
  socket.once('close', () => clearInterval(timer))
}

let packed

/** 32 MiB in brotli, packed once. */
function unpacked() {
  const params = { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_QUALITY]: 5 }
  packed ??= brotliCompressSync(Buffer.alloc(32 << 20, 'many words, many words. '), { params })
  return packed
}

function answer(socket, text, { status = '200 OK', headers = '' } = {}) {
  const body = Buffer.from(text)
  socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${OPEN}${headers}content-length: ${body.length}\r\n\r\n`, 'utf8'), body]))
}

const begins = (socket, headers) => socket.write(`HTTP/1.1 200 OK\r\n${OPEN}${headers}`)

let asked = 0

const HTTP = {
  '/continue': (socket) => flood(socket, `HTTP/1.1 103 Early Hints\r\nlink: <${'x'.repeat(900)}>\r\n\r\n`),
  '/head': (socket) => {
    begins(socket, 'x-endless: ')
    flood(socket, 'x')
  },
  '/fields': (socket, url) => {
    const value = 'v'.repeat(Number(url.searchParams.get('size')))
    const fields = Array.from({ length: Number(url.searchParams.get('n')) }, (_, place) => `x-${place}: ${value}\r\n`)
    answer(socket, 'all of them', { headers: fields.join('') })
  },
  '/trailers': (socket) => {
    begins(socket, 'transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n')
    flood(socket, 'x-more: and more\r\n')
  },
  '/extensions': (socket) => {
    begins(socket, 'transfer-encoding: chunked\r\n\r\n4;x=')
    flood(socket, 'x')
  },
  '/chunk-size': (socket) => begins(socket, 'transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n'),
  '/switches': (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\nanything'),
  '/members': (socket) => {
    begins(socket, 'content-encoding: gzip\r\n\r\n')
    flood(socket, gzipSync(''))
  },
  '/slow-head': (socket) => {
    begins(socket, 'x-slow: ')
    trickle(socket, 'x')
  },
  '/slow-body': (socket) => {
    // So that a browser doesn't wait for what it would guess a type from.
    begins(socket, 'content-type: text/plain\r\nx-content-type-options: nosniff\r\ncontent-length: 1000000\r\n\r\n')
    trickle(socket, 'x')
  },
  '/endless': (socket) => {
    begins(socket, '\r\n')
    flood(socket, 'x'.repeat(1000))
  },
  '/unpacked': (socket) => answer(socket, unpacked(), { headers: 'content-encoding: br\r\n' }),
  '/deaf': (socket) => socket.pause(),
  '/early': (socket) => {
    socket.pause()
    answer(socket, 'enough')
  },
  '/folded': (socket) => answer(socket, '', { headers: 'x-folded: one\r\n two\r\n' }),
  '/repeated': (socket) => answer(socket, '', { headers: 'x-twice: one\r\nset-cookie: a=1, b\r\nX-Twice: two\r\nset-cookie: c=2\r\netag: "a"\r\netag: "b\r\n' }),
  '/location': (socket, url) => answer(socket, '', { status: '302 Found', headers: `location: ${url.searchParams.get('to')}\r\n` }),
  '/locations': (socket) => answer(socket, '', { status: '302 Found', headers: 'location: /one\r\nlocation: /two\r\n' }),
  '/hops': (socket, url) => {
    const left = Number(url.searchParams.get('n'))
    if (left === 0) return answer(socket, 'arrived')
    return answer(socket, '', { status: '302 Found', headers: `location: /hops?n=${left - 1}\r\n` })
  },
  '/status': (socket, url) => answer(socket, '', { status: `${url.searchParams.get('code')} ` }),
  '/asked': (socket) => answer(socket, String(asked)),
}

/** A frame of at most 125 bytes. */
const frame = (opcode, payload = '', last = true) => Buffer.concat([Buffer.from([(last ? 0x80 : 0) | opcode, payload.length]), Buffer.from(payload)])

/** The frames that a client sent, unmasked, as far as they are whole and small. */
function* frames(bytes) {
  let at = 0
  while (bytes.length >= at + 6) {
    const length = bytes[at + 1] & 127
    if (bytes.length < at + 6 + length) return
    const payload = bytes.subarray(at + 6, at + 6 + length).map((byte, place) => byte ^ bytes[at + 2 + (place % 4)])
    yield { opcode: bytes[at] & 15, payload }
    at += 6 + length
  }
}

const WS = {
  '/ws/pings': (socket) => flood(socket, frame(9)),
  '/ws/fragments': (socket) => {
    socket.write(frame(1, '', false))
    flood(socket, frame(0, '', false))
  },
  '/ws/close': (socket, url) => {
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(Number(url.searchParams.get('code')))
    socket.write(frame(8, Buffer.concat([payload, Buffer.from(url.searchParams.get('reason') ?? '')])))
  },
  '/ws/deaf': (socket) => socket.pause(),
  '/ws/both': (socket) => {
    socket.pause()
    flood(socket, frame(2, 'x'.repeat(100)))
  },
  '/ws/mute': () => {},
  '/ws/chatty': (socket) => flood(socket, frame(2, 'x'.repeat(100))),
  '/ws/echo': (socket) =>
    socket.on('data', (bytes) => {
      for (const { opcode, payload } of frames(bytes)) socket.write(frame(opcode, payload))
    }),
}

function serveOne(socket) {
  socket.on('error', () => {})
  let head = ''
  const read = (bytes) => {
    head += bytes.toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    const lines = head.slice(0, end).split('\r\n')
    const [method, path] = lines[0].split(' ')
    const url = new URL(path, 'http://localhost')
    const key = lines.find((line) => /^sec-websocket-key:/i.test(line))?.split(':')[1].trim()
    head = ''
    if (method === 'OPTIONS') return void answer(socket, '', { status: '204 No Content' })
    asked += 1
    if (key) {
      socket.off('data', read)
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`)
      // What is said is read, unless the path has something else in mind.
      socket.on('data', () => {})
      return void WS[url.pathname]?.(socket, url)
    }
    // What is asked for by a path that isn't there is shown as it came.
    const act = HTTP[url.pathname] ?? (() => answer(socket, `${lines.join('\n')}\n`))
    act(socket, url)
  }
  socket.on('data', read)
}

/** Starts it on loopback. */
export async function serve() {
  const sockets = new Set()
  const server = createServer((socket) => {
    sockets.add(socket.setNoDelay(true))
    socket.once('close', () => sockets.delete(socket))
    serveOne(socket)
  })
  await new Promise((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { address } = await serve()
  console.log(address)
  process.stdin.resume().once('end', () => process.exit(0))
}
