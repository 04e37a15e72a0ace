// Commands of others that are built from crates.io, each at one version, below the target directory.

import { join } from 'node:path'
import { ask, run } from '../command.mjs'
import { target } from '../project.mjs'
import { step } from '../progress.mjs'

/**
 * The commands: what `cargo install` calls each, its version, how long it takes to build, in words, and how it
 * is asked for its version.
 *
 * wasmtime is of the line of versions that capfs-host is built on, so that what differs is not the engine; with what `compile` and
 * `run` need, and the pooling allocator, so that it can be asked for.
 */
const TOOLS = {
  'cargo-deny': { crate: 'cargo-deny', version: '0.20.2', takes: 'some minutes' },
  'cargo-mutants': { crate: 'cargo-mutants', version: '27.1.0', takes: 'some minutes', asked: ['mutants', '--version'] },
  wasmtime: {
    crate: 'wasmtime-cli',
    version: '48.0.8',
    takes: 'some 10 minutes',
    args: ['--no-default-features', '--features', 'compile,run,parallel-compilation,pooling-allocator'],
  },
}

const root = (name) => join(target, 'tools', name)

/** Where a command is once it has been installed. @param {keyof typeof TOOLS} name */
export const cargoTool = (name) => join(root(name), 'bin', name)

/** Installs a command unless it is there. @param {keyof typeof TOOLS} name */
export async function addCargoTool(name) {
  const { crate, version, takes, args = [], asked = ['--version'] } = TOOLS[name]
  const there = ask([cargoTool(name), ...asked])?.split(/\s+/)
  if (there?.includes(version)) return
  await step(`Build ${crate} ${version} (${takes}, once)`, (report) =>
    run(['cargo', 'install', '--locked', crate, '--version', version, ...args, '--root', root(name)], {
      report,
      env: { CARGO_TARGET_DIR: join(target, 'tools', 'build') },
    }),
  )
}
