// The manifests beside the sample agents: each can be read, asks for nothing that this machine lacks, and starts its agent; and the example
// of docs/manifest.md, as a reader would copy it.
//
//   node tests/manifests.test.mjs

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

function example() {
  const folder = join(state, 'example')
  mkdirSync(join(folder, 'data'), { recursive: true })
  copyFileSync(join(root, 'agents/dist/feeds.wasm'), join(folder, 'feeds.wasm'))
  const [, text] = /^```toml\n(.*?)^```$/ms.exec(readFileSync(join(root, 'docs/manifest.md'), 'utf8'))
  writeFileSync(join(folder, 'agent.toml'), text)
  const run = (verb, ...args) =>
    spawnSync(binary, [verb, '--manifest', 'agent.toml', ...args], { cwd: folder, encoding: 'utf8', timeout: 60_000 })
  const inspected = run('inspect')
  assert.match(inspected.stdout, /^starts +yes$/m, inspected.stderr)
  // Nobody outside is asked by it: there are no subscriptions.
  const listed = run('run', 'list')
  assert.deepEqual([listed.status, listed.stdout], [0, ''], listed.stderr)
  assert.match(listed.stderr, /^degraded: .*headlines are printed instead of shown$/m)
  const ungranted = spawnSync(binary, ['run', join(folder, 'feeds.wasm'), '--help'], { encoding: 'utf8', timeout: 60_000 })
  assert.deepEqual([ungranted.status, ungranted.stderr], [0, ''])
  assert.match(ungranted.stdout, /^usage: feeds/)
}

try {
  try {
    example()
    passed += 1
  } catch (error) {
    failed += 1
    console.log(`FAIL docs/manifest.md\n${error.stack}`)
  }
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
