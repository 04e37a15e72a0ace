// A real Nostr relay: `nostr-relay-builder`, which checks ids and signatures and keeps events in memory. Built on first use.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))

/** Builds the relay, if it isn't; resolves to the program's path. */
export function buildRelay() {
  // A target directory of its own, as the guests have: no other build's lock is waited for.
  const target = join(resolve(here, '..', '..', process.env.CARGO_TARGET_DIR ?? 'target'), 'relay')
  const argv = ['build', '--quiet', '--locked', '--target-dir', target]
  const built = spawnSync('cargo', argv, { cwd: join(here, 'relay'), stdio: ['ignore', 'inherit', 'inherit'] })
  if (built.status !== 0) throw new Error('the relay can not be built')
  return join(target, 'debug', 'relay')
}

/** Starts it on loopback. */
export async function serve() {
  const child = spawn(buildRelay(), { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  const [address] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    ended.then(([code]) => Promise.reject(new Error(`the relay ended with ${code}`))),
  ])
  return {
    address,
    async close() {
      child.stdin.end()
      await ended
    },
  }
}
