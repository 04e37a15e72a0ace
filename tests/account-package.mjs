// Agents that try to hold more than they may, by the npm package: in a Node process of their own, and in a page of Chromium. What a
// process takes is read from outside.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { privateMemory } from '../bench/native.mjs'
import { root } from '../scripts/project.mjs'
import { serve } from '../scripts/serve.mjs'
import { launchChromium, renderers } from './page/chromium.mjs'

const FETCH = ['fetch,origin=*,method=*,concurrency=1000']

/**
 * Each way, and what refuses it; `only` is the one host that can try it: Chromium makes six requests of a server at once and no more,
 * and Node 20 has no WebSocket.
 * @type {Record<string, {way?: string, errno: string, only?: string, grants?: string[], env?: Record<string, string>}>}
 */
export const WAYS = {
  memory: { errno: 'NOMEM' },
  descriptors: { errno: 'NOMEM' },
  contents: { errno: 'NOSPC' },
  files: { errno: 'NOSPC' },
  holes: { errno: 'NOSPC' },
  links: { errno: 'NOSPC' },
  questions: { errno: 'NOMEM', grants: ['crypto,keys=1000000'] },
  bodies: { errno: 'NOMEM', grants: FETCH },
  'bodies that nobody reads': {
    way: 'answers of a server', errno: 'NOMEM', only: 'node', grants: [`${FETCH[0]},network=127.0.0.0/8`], env: { SERVER: '{hostile}/endless' },
  },
  'messages that no server reads': {
    way: 'sockets', errno: 'NOMEM', only: 'chromium', grants: ['ws,origin=*,connections=1000'], env: { SERVER: '{ws}/deaf' },
  },
}

/** In Node: a process for each. */
async function inNode(program) {
  return {
    async hold(wanted) {
      const script = fileURLToPath(new URL('hosts/hold-node.mjs', import.meta.url))
      const child = spawn(process.execPath, [script, program, JSON.stringify(wanted)], { stdio: ['pipe', 'pipe', 'inherit'] })
      const ended = once(child, 'close')
      try {
        const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
        const { value, done } = await lines.next()
        if (done) throw new Error(`it ended with ${(await ended).join(' ')}`)
        return { ...JSON.parse(value), bytes: privateMemory([child.pid]) * (1 << 20) }
      } finally {
        child.kill('SIGKILL')
        await ended
      }
    },
    async close() {},
  }
}

/** In Chromium: a page for each, in a process of its own. */
async function inChromium(program) {
  const [browser, server] = await Promise.all([launchChromium(), serve({ folder: root })])
  const wasm = readFileSync(program)
  return {
    async hold(wanted) {
      const context = await browser.newContext()
      try {
        await context.route('**/hold', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>hold</title>' }))
        await context.route('**/hold.wasm', (route) => route.fulfill({ contentType: 'application/wasm', body: wasm }))
        const others = new Set(renderers())
        const page = await context.newPage()
        page.setDefaultTimeout(0)
        await page.goto(`${server.address}hold`)
        const held = await page.evaluate(async (wanted) => {
          const [{ Capfs }, { hold }] = await Promise.all([import('/web/dist/index.js'), import('/tests/hosts/hold.mjs')])
          return hold(Capfs, new URL('hold.wasm', location.href).href, wanted)
        }, wanted)
        return { ...held, bytes: privateMemory(renderers().filter((pid) => !others.has(pid))) * (1 << 20) }
      } finally {
        await context.close()
      }
    },
    async close() {
      await Promise.all([browser.close(), server.close()])
    },
  }
}

/** Starts a host; what it answers holds as it is told and says what it took. */
export const holders = { node: inNode, chromium: inChromium }
