// The manifests beside the sample agents: each can be read, asks for nothing that this machine lacks, and starts its agent.
//
//   node tests/manifests.test.mjs

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const binary = join(resolve(root, process.env.CARGO_TARGET_DIR ?? 'target'), 'release', 'capfs-host')

/** Each manifest, and what its agent prints in a run that asks nobody outside. Behind `--` no argument is the host's. */
const AGENTS = {
  'agents/notes/agent.toml': [['add', '-t', 'home', 'buy', 'milk'], /^ +1 {2}buy milk {2}#home\n$/],
  'agents/nostr/agent.toml': [['key'], /^npub1[a-z0-9]{58}\n[0-9a-f]{64}\n$/],
  'agents/c/websum.toml': [['--', '--help'], /^usage: websum/],
}

const state = mkdtempSync(join(tmpdir(), 'capfs-manifests-'))
let passed = 0
let failed = 0

function capfsHost(verb, manifest, ...args) {
  // Each agent has a folder of its own.
  const argv = [verb, '--state', join(state, dirname(manifest)), '--manifest', manifest, ...args]
  const { status, stdout, stderr } = spawnSync(binary, argv, { cwd: root, encoding: 'utf8', timeout: 60_000 })
  assert.equal(status, 0, `capfs-host ${argv.join(' ')}: ${stderr}`)
  assert.doesNotMatch(stderr + stdout, /degraded|missing/)
  return stdout
}

try {
  for (const [manifest, [args, shown]] of Object.entries(AGENTS)) {
    try {
      assert.match(capfsHost('inspect', manifest), /^starts +yes$/m)
      assert.match(capfsHost('run', manifest, ...args), shown)
      passed += 1
    } catch (error) {
      failed += 1
      console.log(`FAIL ${manifest}\n${error.stack}`)
    }
  }
} finally {
  rmSync(state, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
