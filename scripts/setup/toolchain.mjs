// The compiler and Node: which ones are here, and whether they will do.

import { readFileSync } from 'node:fs'
import { ask, run } from '../command.mjs'
import { path } from '../project.mjs'
import { Problem, say, step, yellow } from '../progress.mjs'

/** The oldest Node major version that the scripts and the package run on. */
const OLDEST_NODE = 20

/** The version that rust-toolchain.toml pins. */
const pinned = () => /^channel\s*=\s*"([^"]+)"/m.exec(readFileSync(path('rust-toolchain.toml'), 'utf8'))[1]

/** The version of a compiler, or `undefined` where it doesn't start. */
const versionOf = (env = {}) =>
  /^rustc (\S+)/.exec(ask(['rustc', '--version'], { env: { ...process.env, ...env } }) ?? '')?.[1]

/** Where the compiler in use keeps its libraries. */
export const sysroot = () => ask(['rustc', '--print', 'sysroot'])

export const rustVersion = () => versionOf()

export function checkNode() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < OLDEST_NODE) {
    throw new Problem(`Node ${process.versions.node} is too old`, {
      hint: `install Node ${OLDEST_NODE} or newer (https://nodejs.org)`,
    })
  }
}

/**
 * Makes sure that `cargo` and `rustc` are the pinned version, in this process's environment.
 *
 * rustup installs the pinned toolchain. Where it can't (no way to its download server) but an
 * installed toolchain under another name, `stable` say, is of that version, that one is used: the
 * choice is `RUSTUP_TOOLCHAIN`, which every command started from here inherits.
 */
export async function checkRust() {
  const wanted = pinned()
  if (versionOf() === wanted) return
  if (ask(['rustup', '--version']) === undefined) {
    const found = versionOf()
    throw new Problem(found ? `Rust ${wanted} is needed, and rustc is ${found}` : 'there is no Rust here', {
      hint: 'install Rust by rustup (https://rustup.rs) and see that ~/.cargo/bin is on PATH',
    })
  }
  const override = process.env.RUSTUP_TOOLCHAIN
  if (override) {
    throw new Problem(`RUSTUP_TOOLCHAIN=${override} is ${versionOf() ?? 'not installed'}, not Rust ${wanted}`, {
      hint: 'unset RUSTUP_TOOLCHAIN',
    })
  }
  try {
    await step(`Install Rust ${wanted}`, (report) =>
      run(['rustup', 'toolchain', 'install', wanted, '--profile', 'minimal', '--no-self-update'], { report }),
    )
    return
  } catch (error) {
    const names = (ask(['rustup', 'toolchain', 'list', '--quiet']) ?? '').split('\n').map((line) => line.split(' ')[0])
    const same = names.find((name) => name && versionOf({ RUSTUP_TOOLCHAIN: name }) === wanted)
    if (!same) throw error
    say(yellow(`  the toolchain ${same} is Rust ${wanted} too, and serves instead`))
    process.env.RUSTUP_TOOLCHAIN = same
  }
}

/** Makes sure that the formatter and the linter are there; only the tests need them. */
export async function addComponents() {
  const missing = [
    ['rustfmt', ['cargo', 'fmt', '--version']],
    ['clippy', ['cargo', 'clippy', '--version']],
  ].filter(([, probe]) => ask(probe) === undefined)
  if (missing.length === 0) return
  const names = missing.map(([name]) => name)
  await step(`Add ${names.join(' and ')}`, (report) => run(['rustup', 'component', 'add', ...names], { report }))
}
