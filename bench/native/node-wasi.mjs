// Runs a program with node:wasi: `node node-wasi.mjs FOLDER|- PROGRAM [ARGS…]`.

import { readFileSync } from 'node:fs'
import { WASI } from 'node:wasi'

const [folder, program, ...args] = process.argv.slice(2)
const wasi = new WASI({
  version: 'preview1',
  args: [program, ...args],
  preopens: folder === '-' ? {} : { '/work': folder },
})
const module = new WebAssembly.Module(readFileSync(program))
wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()))
