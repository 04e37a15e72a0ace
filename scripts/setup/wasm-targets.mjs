// Rust's standard library for the two WebAssembly targets: from rustup, or else from source.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ask, run } from '../command.mjs'
import { Problem, say, step, yellow } from '../progress.mjs'
import { buildFromSource } from './wasm-std-from-source.mjs'
import { sysroot } from './toolchain.mjs'

const TARGETS = ['wasm32-unknown-unknown', 'wasm32-wasip1']

/** Whether a sysroot has the standard library for a target. */
export function installed(root, target) {
  const library = join(root, 'lib', 'rustlib', target, 'lib')
  return existsSync(library) && readdirSync(library).some((name) => /^libstd-.*\.rlib$/.test(name))
}

/** Adds what is missing of the two targets to the sysroot of the compiler in use. */
export async function addWasmTargets() {
  const root = sysroot()
  const missing = () => TARGETS.filter((target) => !installed(root, target))
  if (missing().length === 0) return

  if (ask(['rustup', '--version']) !== undefined) {
    try {
      await step(`Add Rust's targets ${missing().join(' and ')}`, (report) =>
        run(['rustup', 'target', 'add', ...missing()], { report }),
      )
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      say(yellow(`  rustup can't: ${reason(error)}`))
    }
  }
  if (missing().length === 0) return
  await buildFromSource(root, missing())
  if (missing().length > 0) throw new Problem(`no standard library for ${missing().join(' and ')} in ${root}`)
}

/** What a failed command says is wrong, without what it says around it. */
function reason(error) {
  const lines = (error.output ?? error.message).split('\n')
  return (lines.find((line) => line.startsWith('error:')) ?? lines[0]).replace(/^error: /, '')
}
