// Makes files of the package that the compiler doesn't.
//
// Puts the stub into the package's code, as a module of `dist/`: it is so small that bundlers would make a `data:` URL of it, which a
// page's policy lets nobody fetch.

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'

const stub = readFileSync(new URL('./dist/stub.wasm', import.meta.url))
writeFileSync(new URL('./dist/page/stub.js', import.meta.url), `export const stub = '${stub.toString('base64')}';\n`)

// The licences belong to what is packed, which is this folder alone.
for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(new URL(`../${name}`, import.meta.url), new URL(name, import.meta.url))
