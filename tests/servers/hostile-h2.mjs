// A server that does over HTTP/2 what no server should, a port for each thing that it does when it is asked for something:
//
//   settings, pings, priorities, windows, unknown   such frames, without end
//   early          answers that are none (103), without end
//   empty          an answer whose body is frames without content, without end
//   small          an answer whose body is frames of a byte, without end
//   continued      headers that are continued, without end
//   bomb           few bytes of headers that unpack to many
//   resets         gives up every request
//   refuses        gives up the first request of a connection as not begun, and answers the next
//   pushes         an answer to what nobody asked for
//   later          an answer, and pings without end behind it
//   half, half-told, nothing   takes an answer back, without an error, when half of it was sent; told its length; before anything of it was
//   whole, trailed   does so behind the end of an answer, which is one
//   empty-status, not-changed   content in answers that have none, of the status 204 and 304
//   spaced         white space around the value of a header
//
// `node hostile-h2.mjs KEY CERTIFICATE` (files: PKCS 8 and X.509, both DER) prints a line `NAME PORT` for each and then `ready`; when a connection has ended,
// `closed NAME N`, with how many frames the client has sent. It ends with its standard input.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:tls'

const DATA = 0
const HEADERS = 1
const PRIORITY = 2
const RST_STREAM = 3
const SETTINGS = 4
const PUSH_PROMISE = 5
const PING = 6
const WINDOW_UPDATE = 8
const CONTINUATION = 9

const END_STREAM = 1
const END_HEADERS = 4

const NO_ERROR = 0
const REFUSED_STREAM = 7
const ENHANCE_YOUR_CALM = 11

/** What a client says first (RFC 9113, section 3.4). */
const PREFACE = 24

function frame(type, flags, stream, payload = '') {
  const bytes = Buffer.from(payload)
  const header = Buffer.alloc(9)
  header.writeUIntBE(bytes.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, bytes])
}

const word = (number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}

/** Writes the same bytes as long as they are taken. */
function flood(socket, bytes) {
  const many = Buffer.concat(Array(Math.max(1, Math.floor(65_536 / bytes.length))).fill(bytes))
  const more = () => {
    while (!socket.destroyed && socket.write(many));
    if (!socket.destroyed) socket.once('drain', more)
  }
  more()
}

/** `:status: 200`, from the table that everybody has (RFC 7541, appendix A), and 103, as a literal. */
const OK = Buffer.from([0x88])
const EARLY = Buffer.from([0x08, 3, ...Buffer.from('103')])
const NO_CONTENT = Buffer.from([0x89])
const NOT_MODIFIED = Buffer.from([0x8b])

/** A field as it is. */
const field = (name, value) => Buffer.from([0, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)])

/** A field, to be kept in the table of the connection: `x` with so many bytes, of fewer than 127. */
const kept = (length) => Buffer.from([0x40, 1, ...Buffer.from('x'), length, ...Buffer.alloc(length, 'v')])
/** The field that was kept last. */
const AGAIN = Buffer.from([0xbe])

const answer = (socket, stream, text, head = OK) => {
  socket.write(Buffer.concat([frame(HEADERS, END_HEADERS, stream, head), frame(DATA, END_STREAM, stream, text)]))
}

/** An answer with these fields that is taken back, without an error, when these frames of it were sent. */
const takeBack = (socket, stream, fields, ...frames) => {
  const head = frame(HEADERS, END_HEADERS, stream, Buffer.concat([OK, ...fields]))
  socket.write(Buffer.concat([head, ...frames, frame(RST_STREAM, 0, stream, word(NO_ERROR))]))
}

/** What is done when a request has come, by its stream's number. */
const ACTS = {
  settings: (socket) => flood(socket, frame(SETTINGS, 0, 0)),
  pings: (socket) => flood(socket, frame(PING, 0, 0, 'whatever')),
  priorities: (socket, stream) => flood(socket, frame(PRIORITY, 0, stream, Buffer.alloc(5))),
  windows: (socket) => flood(socket, frame(WINDOW_UPDATE, 0, 0, word(1))),
  unknown: (socket) => flood(socket, frame(0xfe, 0, 0)),
  early: (socket, stream) => flood(socket, frame(HEADERS, END_HEADERS, stream, EARLY)),
  empty: (socket, stream) => {
    socket.write(frame(HEADERS, END_HEADERS, stream, OK))
    flood(socket, frame(DATA, 0, stream))
  },
  small: (socket, stream) => {
    socket.write(frame(HEADERS, END_HEADERS, stream, OK))
    flood(socket, frame(DATA, 0, stream, 'x'))
  },
  continued: (socket, stream) => {
    socket.write(frame(HEADERS, 0, stream, OK))
    flood(socket, frame(CONTINUATION, 0, stream))
  },
  bomb: (socket, stream) => {
    const block = Buffer.concat([OK, kept(120), ...Array(12_000).fill(AGAIN)])
    socket.write(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
  },
  resets: (socket, stream) => socket.write(frame(RST_STREAM, 0, stream, word(ENHANCE_YOUR_CALM))),
  refuses: (socket, stream) => {
    if (stream === 1) socket.write(frame(RST_STREAM, 0, stream, word(REFUSED_STREAM)))
    else answer(socket, stream, 'at last')
  },
  pushes: (socket, stream) => socket.write(frame(PUSH_PROMISE, END_HEADERS, stream, Buffer.concat([word(2), OK]))),
  later: (socket, stream) => {
    answer(socket, stream, 'for now')
    flood(socket, frame(PING, 0, 0, 'whatever'))
  },
  half: (socket, stream) => takeBack(socket, stream, [], frame(DATA, 0, stream, 'half')),
  'half-told': (socket, stream) => takeBack(socket, stream, [field('content-length', '9')], frame(DATA, 0, stream, 'half')),
  nothing: (socket, stream) => takeBack(socket, stream, [field('content-length', '9')]),
  whole: (socket, stream) => takeBack(socket, stream, [], frame(DATA, 0, stream, 'all '), frame(DATA, END_STREAM, stream, 'of it')),
  trailed: (socket, stream) => {
    const trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream, field('x-sum', '1'))
    takeBack(socket, stream, [], frame(DATA, 0, stream, 'all of it'), trailers)
  },
  'empty-status': (socket, stream) => answer(socket, stream, 'more', NO_CONTENT),
  'not-changed': (socket, stream) => answer(socket, stream, 'more', NOT_MODIFIED),
  spaced: (socket, stream) => answer(socket, stream, 'all of it', Buffer.concat([OK, field('x-v', ' \tin the  middle\t ')])),
}

/** Tells of each request that comes, and at the end how many frames came. */
function listen(socket, requested, ended) {
  let count = 0
  socket.once('close', () => ended(count))
  let bytes = Buffer.alloc(0)
  let greeted = false
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more])
    if (!greeted) {
      if (bytes.length < PREFACE) return
      greeted = true
      bytes = bytes.subarray(PREFACE)
    }
    while (bytes.length >= 9) {
      const end = 9 + bytes.readUIntBE(0, 3)
      if (bytes.length < end) return
      count += 1
      if (bytes[3] === HEADERS) requested(bytes.readUInt32BE(5))
      bytes = bytes.subarray(end)
    }
  })
}

const [secret, signed] = process.argv.slice(2).map((file) => readFileSync(file))
const key = createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' })
const cert = new X509Certificate(signed).toString()
for (const [name, act] of Object.entries(ACTS)) {
  const server = createServer({ key, cert, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => {})
    socket.write(frame(SETTINGS, 0, 0))
    listen(socket, (stream) => act(socket, stream), (count) => console.log(`closed ${name} ${count}`))
  })
  await new Promise((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  console.log(`${name} ${server.address().port}`)
}
console.log('ready')
process.stdin.resume().once('end', () => process.exit(0))
