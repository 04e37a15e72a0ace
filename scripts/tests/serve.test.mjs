import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { serve } from '../serve.mjs'

let folder
let served

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'capfs-serve-'))
  mkdirSync(join(folder, 'page', 'sub'), { recursive: true })
  writeFileSync(join(folder, 'secret.txt'), 'secret')
  writeFileSync(join(folder, 'page', 'index.html'), '<p>page')
  writeFileSync(join(folder, 'page', 'a b.wasm'), '\0asm')
  writeFileSync(join(folder, 'page', 'sub', 'index.html'), '<p>sub')
  symlinkSync('../secret.txt', join(folder, 'page', 'link.txt'))
  served = await serve({ folder: join(folder, 'page'), isolated: true })
})

after(async () => {
  await served.close()
  rmSync(folder, { recursive: true })
})

/** A request whose path is sent as it is: `fetch` would resolve the dots. */
const ask = (path, headers = {}, from = served) =>
  new Promise((resolve, reject) => {
    const { port } = new URL(from.address)
    get({ host: '127.0.0.1', port, path, headers }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, bytes: Buffer.concat(chunks), body: String(Buffer.concat(chunks)) }))
    }).on('error', reject)
  })

test('serves a folder by its index', async () => {
  assert.equal((await ask('/')).body, '<p>page')
  assert.equal((await ask('/sub/')).body, '<p>sub')
})

test('sends a folder without its slash to the one with it', async () => {
  const { status, headers } = await ask('/sub')
  assert.equal(status, 301)
  assert.equal(headers.location, 'sub/')
})

test('WebAssembly has its type, and names may be escaped', async () => {
  const { status, headers } = await ask('/a%20b.wasm')
  assert.equal(status, 200)
  assert.equal(headers['content-type'], 'application/wasm')
})

test('isolates when asked to', async () => {
  const { headers } = await ask('/')
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin')
  assert.equal(headers['cross-origin-embedder-policy'], 'require-corp')
})

test('a page that has not changed is not sent again', async () => {
  const { headers } = await ask('/')
  assert.equal((await ask('/', { 'if-none-match': headers.etag })).status, 304)
})

test('what compresses goes out as it is asked for', async () => {
  const long = 'body { color: red }\n'.repeat(1000)
  writeFileSync(join(folder, 'page', 'long.css'), long)
  writeFileSync(join(folder, 'page', 'picture.png'), long)
  const other = await serve({ folder: join(folder, 'page'), compressed: true })
  try {
    const get = (path, accepted, more) => ask(path, { ...(accepted === undefined ? {} : { 'accept-encoding': accepted }), ...more }, other)
    const tags = new Set()
    for (const [accepted, encoding, read] of [
      ['gzip, deflate, br, zstd', 'br', brotliDecompressSync],
      ['gzip;q=1.0, br;q=0', 'gzip', gunzipSync],
      ['*', 'br', brotliDecompressSync],
      ['identity', undefined, (bytes) => bytes],
      [undefined, undefined, (bytes) => bytes],
    ]) {
      const { headers, bytes } = await get('/long.css', accepted)
      assert.equal(headers['content-encoding'], encoding)
      assert.equal(headers.vary, 'Accept-Encoding')
      assert.equal(String(read(bytes)), long)
      assert.equal(encoding === undefined || bytes.length < long.length / 10, true)
      assert.equal((await get('/long.css', accepted, { 'if-none-match': headers.etag })).status, 304)
      tags.add(headers.etag)
    }
    assert.equal(tags.size, 3)
    for (const path of ['/picture.png', '/']) assert.equal((await get(path, 'br, gzip')).headers['content-encoding'], undefined)
  } finally {
    await other.close()
  }
  assert.equal((await ask('/long.css', { 'accept-encoding': 'br' })).headers['content-encoding'], undefined)
})

for (const path of ['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/sub/..%2f..%2fsecret.txt', '/link.txt', '/%00', '/%ff', '/none', `/${'x'.repeat(5000)}`]) {
  test(`does not serve ${path.slice(0, 40)}`, async () => {
    const { status, body } = await ask(path)
    assert.equal(status, 404)
    assert.doesNotMatch(body, /secret/)
  })
}
