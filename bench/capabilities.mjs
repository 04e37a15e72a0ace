// What capabilities cost: an agent that uses them, beside the same done by the platform's own interfaces, in one run.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../scripts/command.mjs'
import { binary, root } from '../scripts/project.mjs'
import { serve } from '../scripts/serve.mjs'
import { openChromium } from '../tests/page/chromium.mjs'
import { routeBefore } from './browser.mjs'
import { milliseconds } from './guest.mjs'
import { startServers } from './servers.mjs'
import { inTurn } from './statistics.mjs'

const MIB = 1 << 20

/** Within a tenth of the bare interface. */
const ALMOST = { of: 'bare', at: 1.1 }

/** 5 us each, of 100,000. */
const FIVE = { most: 500 }

/**
 * What is measured: the argument of `devices.wasm`, how often, by which grants and with which server. What stands alone asks
 * nothing of the outside, so that there is nothing to compare it with.
 */
const WORK = [
  { name: 'fetch-large', count: 100 * MIB, work: 'fetch: a body of 100 MiB', server: 'http', grants: ({ http }) => [`fetch,origin=${http}`], target: ALMOST },
  { name: 'fetch-small', count: 1_000, work: 'fetch: 1,000 bodies of 100 bytes', server: 'http', grants: ({ http }) => [`fetch,origin=${http}`] },
  { name: 'echo', count: 5_000, work: 'ws: 5,000 messages of 100 bytes and back, one by one', server: 'ws', grants: ({ ws }) => [`ws,origin=${ws}`] },
  { name: 'echo-many', count: 20_000, work: 'ws: 20,000 messages of 100 bytes and back, 16 at once', server: 'ws', grants: ({ ws }) => [`ws,origin=${ws}`] },
  { name: 'echo-large', count: 2_000, work: 'ws: 2,000 messages of 64 KiB and back, 16 at once', server: 'ws', grants: ({ ws }) => [`ws,origin=${ws}`], target: ALMOST },
  { name: 'store-4k', count: 16_384, work: 'opfs: 64 MiB written by 4 KiB', grants: () => ['opfs'], target: { of: 'bare', at: 1 / 10 } },
  { name: 'sync-4k', count: 16_384, work: 'opfs: the sync behind 64 MiB', grants: () => ['opfs'] },
  { name: 'load-4k', count: 16_384, work: 'opfs: 64 MiB read by 4 KiB', grants: () => ['opfs'] },
  { name: 'store-1m', count: 64, work: 'opfs: 64 MiB written by 1 MiB', grants: () => ['opfs'] },
  { name: 'load-1m', count: 64, work: 'opfs: 64 MiB read by 1 MiB', grants: () => ['opfs'] },
  { name: 'records', count: 1_000, work: 'indexeddb: 1,000 records, a transaction each', grants: () => ['indexeddb'] },
  { name: 'digests', count: 10_000, work: 'crypto: 10,000 SHA-256 of 1 KiB', grants: () => ['crypto'] },
  { name: 'signatures', count: 2_000, work: 'crypto: 2,000 Ed25519 signatures', grants: () => ['crypto'] },
  { name: 'walks', count: 100_000, work: '100,000 stat of /cap/fetch/N/ctl', grants: () => ['fetch,origin=https://example.com'], target: FIVE, alone: true },
  { name: 'commands', count: 100_000, work: "100,000 commands to a conversation's ctl", grants: () => ['fetch,origin=https://example.com'], target: FIVE, alone: true },
]

/**
 * Runs every measurement of capabilities in Chromium.
 *
 * @param {import('./run.mjs').Context} context
 */
export const measureCapabilities = (context) => withServers((servers, folder) => inChromium({ ...context, servers, folder }))

/**
 * Runs every measurement of capabilities natively.
 *
 * @param {import('./run.mjs').Context} context
 */
export const measureCapabilitiesNatively = (context) => withServers((servers, folder) => natively({ ...context, servers, folder }))

async function withServers(work) {
  const servers = await startServers()
  const folder = mkdtempSync(join(tmpdir(), 'capfs-bench-'))
  try {
    await work(servers, folder)
  } finally {
    await servers.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

const argumentsOf = ({ name, server }, made, times, servers) => [name, String(made), String(times), ...(server ? [servers[server]] : [])]

async function inChromium({ programs, size, chosen, add, say, servers, folder, against }) {
  const browser = await openChromium(join(folder, 'profile'))
  const pages = await serve({ folder: root, isolated: false })
  try {
    if (against) await routeBefore(browser, against)
    const body = readFileSync(programs.devices)
    await browser.route('**/programs/devices.wasm', (route) => route.fulfill({ body, contentType: 'application/wasm' }))
    for (const item of WORK.filter(chosen)) {
      say(item.work)
      const made = size.count(item.count)
      const page = await browser.newPage()
      page.setDefaultTimeout(0)
      await page.goto(`${pages.address}bench/page/index.html`)
      await page.waitForFunction(() => globalThis.bench !== undefined)
      const granted = (contender) => () =>
        page.evaluate(([contender, args, grants]) => globalThis.bench.granted(contender, 'devices', args, grants), [contender, argumentsOf(item, made, size.times, servers), item.grants(servers)])
      const sides = {
        'capfs jspi': granted('capfs'),
        ...(against ? { 'before jspi': granted('before') } : {}),
        bare: async () => page.evaluate((order) => globalThis.bench.bare(order), { name: item.name, count: made, times: size.times, address: servers[item.server] }),
      }
      const contenders = Object.keys(sides).filter((side) => side !== 'bare' || !item.alone)
      const samples = await inTurn(contenders, size.rounds, async (side) => milliseconds(await sides[side](), item.name))
      await page.close()
      add({
        group: 'Chromium: capabilities, and the same in a worker by fetch, WebSocket, access handles, IndexedDB and Web Crypto', id: `capability-${item.name}`, work: item.work, unit: 'ms',
        scale: item.count / made, target: item.target, samples: Object.fromEntries(samples),
      })
    }
  } finally {
    await browser.close()
    await pages.close()
  }
}

/** Natively the bare side is what the capability is made of, in one process with it: see native-host/devices/benches/network.rs. */
async function natively({ programs, size, add, say, servers, folder }) {
  const group = 'natively: capabilities'
  for (const item of WORK.filter(({ alone }) => alone)) {
    say(`natively: ${item.work}`)
    const made = size.count(item.count)
    const args = item.grants(servers).flatMap((grant) => ['--grant', grant])
    const done = spawnSync(binary('capfs-host'), ['run', '--quiet', ...args, programs.devices, ...argumentsOf(item, made, size.times, servers)], {
      encoding: 'utf8', env: { ...process.env, CAPFS_CACHE_DIR: join(folder, 'cache') },
    })
    if (done.status !== 0) throw new Error(`capfs-host ended with ${done.status ?? done.signal}:\n${done.stdout}${done.stderr}`)
    add({ group, id: `native-capability-${item.name}`, work: item.work, unit: 'ms', scale: item.count / made, target: item.target, samples: { 'capfs-host': milliseconds(done.stdout, item.name) } })
  }
  say('natively: fetch and ws')
  const printed = await run(['cargo', 'bench', '--locked', '--quiet', '--package', 'capfs-native-devices', '--bench', 'network', '--', String(size.times), String(size.count(1_000) / 1_000)])
  for (const line of printed.trim().split('\n').filter((line) => line.startsWith('{'))) {
    const { name, work, tree, bare, rival } = JSON.parse(line)
    const large = name.endsWith('large')
    add({ group, id: `native-capability-${name}`, work, unit: 'ms', target: large ? { of: rival, at: 1.1 } : undefined, samples: { 'capfs tree': tree, [rival]: bare } })
  }
}
