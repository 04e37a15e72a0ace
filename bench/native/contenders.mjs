// Who runs WASI programs natively, and how each is called.

import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { run } from '../../scripts/command.mjs'
import { binary, path } from '../../scripts/project.mjs'
import { cargoTool } from '../../scripts/setup/cargo-tools.mjs'

/**
 * @typedef {{name: string, command: (program: string, args: string[], files?: {host?: string, memory?: boolean}) => string[]}} Contender
 * `program` is a module's file; `files` is the directory that the program finds in descriptor 3.
 */

/**
 * The contenders that are here. Each is given the program in the form that it starts fastest from.
 *
 * @param {{folder: string, programs: string[], against?: string}} options `folder` takes what is compiled ahead; `against` is
 * another checkout of this project, built, whose command takes part as well
 * @returns {Promise<Contender[]>}
 */
export async function contenders({ folder, programs, against }) {
  const ours = (name, command) => ({
    name,
    command: (program, args, { host, memory } = {}) => [
      command, 'run', '--quiet',
      ...(memory ? ['--mount', 'memory:/work'] : []),
      ...(host ? ['--dir', `${host}::/work:rw`] : []),
      program, ...args,
    ],
  })
  const own = [ours('capfs-host', binary('capfs-host')), ...(against ? [ours('capfs-host before', resolve(against, 'target/release/capfs-host'))] : [])]
  const node = {
    name: 'node:wasi',
    command: (program, args, { host } = {}) => [process.execPath, '--no-warnings', path('bench', 'native', 'node-wasi.mjs'), host ?? '-', program, ...args],
  }
  const wasmtime = cargoTool('wasmtime')
  if (!existsSync(wasmtime)) return [...own, node]
  const ahead = new Map()
  for (const program of programs) {
    const compiled = join(folder, `${basename(program, '.wasm')}.cwasm`)
    await run([wasmtime, 'compile', '-o', compiled, program])
    ahead.set(program, compiled)
  }
  const rival = {
    name: 'wasmtime',
    command: (program, args, { host } = {}) => [
      wasmtime, 'run', '--allow-precompiled', ...(host ? ['--dir', `${host}::/work`] : []), ahead.get(program), ...args,
    ],
  }
  return [...own, rival, node]
}
