// The package in Node: `node web/test/node.mjs`.
import { Capfs } from '../dist/node.js'
import { runCases } from './cases.mjs'
import { buildGuest, count, finish } from './harness.mjs'

const guest = buildGuest()
const waits = ['sab', 'none', ...(typeof WebAssembly.Suspending === 'function' ? ['jspi'] : [])]
for (const wait of waits) {
  const variant = { wait, memory: 'single' }
  await runCases(Capfs, variant, guest, (name, error) => count(`node ${wait} single: ${name}`, error))
}
finish()
