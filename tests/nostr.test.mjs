// The Nostr client between hosts: what one posts to a real relay, another one reads; the relay takes nothing that is forged.
//
//   node tests/nostr.test.mjs [--hosts native,chromium]

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import WebSocket from 'ws'
import { forged } from './servers/hostile-relay.mjs'
import { serve } from './servers/relay.mjs'

const { values: options } = parseArgs({ options: { hosts: { type: 'string', default: 'native,chromium' } } })
const module = readFileSync(new URL('../agents/dist/nostr.wasm', import.meta.url))
const relay = await serve()
let passed = 0
let failed = 0

async function test(name, body) {
  try {
    await body()
    passed += 1
  } catch (error) {
    failed += 1
    console.log(`FAIL ${name}\n${error.stack}`)
  }
}

const text = (bytes) => Buffer.from(bytes).toString('utf8')

/** Runs the client in a session of a host, with the relay and a key of the host's own. */
async function client(session, args, rest = {}) {
  const grants = [`ws,origin=${relay.address}`, 'crypto']
  const result = await session.run({ name: 'nostr', guest: 'nostr', args: [...args, '--relay', relay.address], grants, ...rest }, module)
  if (!rest.dialogue) assert.equal(result.code ?? 0, 0, text(result.stderr))
  return text(result.stdout)
}

/** What the relay answers to an event. */
function published(event) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(relay.address)
    socket.once('error', reject)
    socket.once('open', () => socket.send(JSON.stringify(['EVENT', event])))
    socket.once('message', (message) => {
      socket.close()
      resolve(JSON.parse(message))
    })
  })
}

const sessions = new Map()
for (const host of options.hosts.split(',')) {
  const { variants, open } = await import(`./hosts/${host}.mjs`)
  sessions.set(host, await open(variants[0]))
}
try {
  const posts = new Map()
  for (const [host, session] of sessions) {
    await test(`${host} posts`, async () => {
      const event = JSON.parse(await client(session, ['post', '--json', `posted by ${host}: "grüße" \\ 😀`]))
      assert.equal(event.content, `posted by ${host}: "grüße" \\ 😀`)
      posts.set(host, event)
    })
  }
  for (const [author, event] of posts) {
    for (const [host, session] of sessions) {
      await test(`${host} reads what ${author} posted`, async () => {
        const read = await client(session, ['read', '--json', '--author', event.pubkey])
        assert.deepEqual(JSON.parse(read), event)
      })
    }
    await test(`the relay takes no forgery of ${author}`, async () => {
      const [, id, taken, words] = await published(forged({ ...event, content: 'never said' }))
      assert.equal(taken, false, words)
      assert.notEqual(id, event.id)
      assert.match(words, /^invalid:/)
    })
  }
  for (const [follower, poster] of [...sessions.keys()].flatMap((one, _, all) => all.filter((other) => other !== one).map((other) => [one, other]))) {
    await test(`${follower} follows ${poster}`, async () => {
      const said = `live from ${poster} to ${follower}`
      const dialogue = [{ until: said, kill: true }]
      const following = client(sessions.get(follower), ['follow', '--author', posts.get(poster).pubkey], { dialogue })
      await client(sessions.get(poster), ['post', said])
      const shown = await following
      assert.match(shown, /posted by/)
      assert.match(shown, new RegExp(said))
    })
  }
} finally {
  for (const session of sessions.values()) await session.close()
  await relay.close()
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
