// Which way the crates point: capfs <- {runtime, devices, storage, remote} <- {worker-shim, native-host}, with modules behind runtime, and what must never be
// below which of them.

import { readFileSync } from 'node:fs'
import { run } from '../command.mjs'
import { path } from '../project.mjs'

/** What makes a crate depend on an engine, an executor, an operating system or the web. */
const PLATFORMS = [
  'wasmtime', 'wasmtime-wasi', 'wasi-common', 'tokio', 'async-std', 'smol', 'rustix', 'libc', 'nix', 'windows-sys', 'cap-std',
  'mio', 'wasm-bindgen', 'js-sys', 'web-sys', 'wasm-bindgen-futures', 'getrandom',
]

/** For each crate: the target to look at, and what it must not depend on, directly or not. */
const RULES = [
  { crate: 'capfs', never: [...PLATFORMS, 'capfs-runtime', 'capfs-host', 'capfs-worker-shim'] },
  { crate: 'capfs-storage', never: [...PLATFORMS, 'capfs-runtime', 'capfs-host', 'capfs-worker-shim'] },
  { crate: 'capfs-devices', never: [...PLATFORMS, 'url', 'capfs-runtime', 'capfs-host', 'capfs-native-devices', 'capfs-worker-shim'] },
  { crate: 'capfs-native-devices', never: ['wasmtime', 'wasm-bindgen', 'js-sys', 'web-sys', 'capfs-runtime', 'capfs-host', 'capfs-worker-shim'] },
  { crate: 'capfs-remote', never: [...PLATFORMS, 'capfs-devices', 'capfs-storage', 'capfs-runtime', 'capfs-host', 'capfs-worker-shim'] },
  { crate: 'capfs-runtime', never: [...PLATFORMS, 'capfs-host', 'capfs-worker-shim'] },
  { crate: 'capfs-modules', never: [...PLATFORMS, 'capfs-host', 'capfs-worker-shim'] },
  { crate: 'capfs-host', never: ['wasm-bindgen', 'js-sys', 'web-sys', 'wasmtime-wasi', 'wasi-common', 'capfs-worker-shim'] },
  { crate: 'capfs-worker-shim', target: 'wasm32-unknown-unknown', never: ['wasmtime', 'wasmtime-wasi', 'tokio', 'cap-std', 'capfs-host'] },
]

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkCrateGraph(report) {
  for (const { crate, target, never } of RULES) {
    const tree = await run([
      'cargo', 'tree', '--locked', '--package', crate, '--edges', 'normal,build', '--prefix', 'none', '--format', '{p}',
      ...(target ? ['--target', target] : []),
    ])
    const below = new Set(tree.split('\n').map((line) => line.split(' ')[0]))
    const found = never.filter((name) => below.has(name))
    report(`${crate} depends on no ${never.slice(0, 4).join(', ')} …`, found.map((name) => `${crate} depends on ${name}: cargo tree -p ${crate} -i ${name}`))
  }
  const library = readFileSync(path('capfs', 'src', 'lib.rs'), 'utf8')
  report('capfs forbids unsafe code', library.includes('#![forbid(unsafe_code)]') ? [] : ['capfs/src/lib.rs lacks #![forbid(unsafe_code)]'])
}
