// Builds the guest and counts results.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

/** Compiles guest.c and returns its bytes. */
export function buildGuest() {
  mkdirSync(here('../../.cache'), { recursive: true })
  const out = here('../../.cache/web-test-guest.wasm')
  execFileSync('clang', ['--target=wasm32-wasi', '-O2', '-o', out, here('guest.c')], { stdio: 'inherit' })
  return new Uint8Array(readFileSync(out))
}

const totals = { passed: 0, failed: 0 }

export function count(name, error) {
  totals[error ? 'failed' : 'passed']++
  console.log(error ? `FAIL ${name}\n     ${error.stack ?? error}` : `ok   ${name}`)
}

/** Prints the totals; a run in which nothing ran has failed. */
export function finish() {
  console.log(`${totals.passed} passed, ${totals.failed} failed`)
  process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0
}
