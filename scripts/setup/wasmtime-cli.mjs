// The wasmtime command, which the benchmarks compare with.

import { join } from 'node:path'
import { ask, run } from '../command.mjs'
import { target } from '../project.mjs'
import { step } from '../progress.mjs'

/** Of the line of versions that capfs-host is built on, so that what differs is not the engine. */
const VERSION = '48.0.8'

/** What `wasmtime compile` and `wasmtime run` need; the pooling allocator, so that it can be asked for. */
const FEATURES = ['compile', 'run', 'parallel-compilation', 'pooling-allocator']

const root = join(target, 'tools', 'wasmtime')

/** Where the command is once it has been installed. */
export const wasmtimeCli = () => join(root, 'bin', 'wasmtime')

/** Installs the command unless it is there. */
export async function addWasmtimeCli() {
  if (ask([wasmtimeCli(), '--version'])?.split(' ')[1] === VERSION) return
  await step(`Build wasmtime ${VERSION} to compare with (some 10 minutes, once)`, (report) =>
    run(
      ['cargo', 'install', '--locked', 'wasmtime-cli', '--version', VERSION, '--no-default-features', '--features', FEATURES.join(','), '--root', root],
      { report, env: { CARGO_TARGET_DIR: join(target, 'tools', 'build') } },
    ),
  )
}
