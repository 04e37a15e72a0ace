// The programs that every host runs.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../scripts/command.mjs'
import { path, target } from '../scripts/project.mjs'
import { step } from '../scripts/progress.mjs'

/** Bytes of a block, as in guest/src/bin/calls.rs. */
export const BLOCK = 4096

/**
 * The system calls that are measured: the argument of `calls.wasm`, how many are made, and what that is
 * called. `target` is in the unit that is shown, milliseconds.
 */
export const CALLS = [
  { name: 'write-byte', count: 1_000_000, work: '1,000,000 fd_write of 1 byte' },
  { name: 'read-byte', count: 1_000_000, work: '1,000,000 fd_read of 1 byte' },
  { name: 'write-block', count: 16_384, work: '64 MiB written by 4 KiB' },
  { name: 'read-block', count: 16_384, work: '64 MiB read by 4 KiB' },
  { name: 'pread-block', count: 16_384, work: '16,384 fd_pread of 4 KiB, all over 64 MiB' },
  { name: 'open-close', count: 100_000, work: '100,000 path_open and fd_close' },
  { name: 'stat', count: 100_000, work: '100,000 path_filestat_get' },
  { name: 'clock', count: 1_000_000, work: '1,000,000 clock_time_get' },
]

/** Builds them and answers where they are. */
export async function buildGuests() {
  const folder = join(target, 'bench-guest')
  await step('Build the programs to be measured', (report) =>
    run(['cargo', 'build', '--release', '--locked', '--target', 'wasm32-wasip1', '--target-dir', folder], { cwd: path('bench', 'guest'), report }),
  )
  const module = (name) => join(folder, 'wasm32-wasip1', 'release', `${name}.wasm`)
  return { hello: module('hello'), calls: module('calls'), devices: module('devices') }
}

/** The bytes of a program. */
export const bytes = (file) => new Uint8Array(readFileSync(file))

/**
 * What `calls.wasm` printed, in milliseconds. The first repetition is left out where there are more: it is the one
 * in which engines still compile and devices still grow.
 *
 * @param {string} output lines of `NAME COUNT NANOSECONDS`
 */
export function milliseconds(output, name) {
  const lines = output.split('\n').filter((line) => line.startsWith(`${name} `))
  if (lines.length === 0) throw new Error(`nothing was measured: ${output.slice(0, 500)}`)
  const times = lines.map((line) => Number(line.split(' ')[2]) / 1e6)
  return times.length > 1 ? times.slice(1) : times
}
