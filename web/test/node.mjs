// The package in Node: `node web/test/node.mjs`.
import { Capfs } from '../dist/node.js'
import { agentKernelCases } from './agent-kernel-cases.mjs'
import { runCases } from './cases.mjs'
import { buildGuest, count, finish } from './harness.mjs'
import { kernelCases } from './kernel-cases.mjs'
import { networkCases } from './network-cases.mjs'
import { nodeCases } from './node-programs.mjs'

const guest = buildGuest()
const waits = ['sab', 'none', ...(typeof WebAssembly.Suspending === 'function' ? ['jspi'] : [])]
for (const wait of waits) {
  const variant = { wait, memory: 'single' }
  await runCases(Capfs, variant, guest, (name, error) => count(`node ${wait} single: ${name}`, error))
}
const capfs = await Capfs.create()
for (const [name, body] of Object.entries({ ...nodeCases, ...networkCases, ...kernelCases, ...agentKernelCases })) {
  await body({ capfs, guest }).then(
    () => count(`node: ${name}`),
    (error) => count(`node: ${name}`, error),
  )
}
capfs.close()
finish()
