// Empties `dist/` but for what the kernel's build has put there, so that nothing of a source that was moved or deleted is packed.

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const dist = fileURLToPath(new URL('dist/', import.meta.url))
/** What `capfs-build` writes (`tools/build`). */
const KERNEL = /^(kernel(-full)?\.(js|d\.ts|wasm)|kernel-bindings\.d\.ts|adapter-(multi|single)\.wasm|stub\.wasm)$/

for (const name of existsSync(dist) ? readdirSync(dist) : []) {
  if (!KERNEL.test(name)) rmSync(`${dist}${name}`, { recursive: true })
}
