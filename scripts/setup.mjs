// Sets the project up: `npm run setup`, and the first thing that start and test do. Does only what
// is missing, so that a second run takes a moment.
//
//   node scripts/setup.mjs [--for start|test|bench]

import { fileURLToPath } from 'node:url'
import { entry } from './progress.mjs'
import { addCargoTool } from './setup/cargo-tools.mjs'
import { installNpmPackages, workspaces } from './setup/npm-packages.mjs'
import { addSystemPackages } from './setup/system-packages.mjs'
import { addComponents, checkNode, checkRust } from './setup/toolchain.mjs'
import { addWasmTargets } from './setup/wasm-targets.mjs'

/**
 * @param {'start' | 'test' | 'bench'} purpose `start` needs the compiler and the page's packages;
 * `test` browsers, a C compiler and every other package besides; `bench` the wasmtime command too
 */
export async function setUp(purpose) {
  checkNode()
  await checkRust()
  await addWasmTargets()
  if (purpose === 'start') return installNpmPackages(['web'])
  await addComponents()
  await addSystemPackages()
  await installNpmPackages(workspaces())
  if (purpose === 'test') await addCargoTool('cargo-deny')
  if (purpose === 'bench') await addCargoTool('wasmtime')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const at = process.argv.indexOf('--for')
  await entry(() => setUp(at < 0 ? 'test' : process.argv[at + 1]))
}
