// Runs cases by the npm package in this Node, in worker threads.

import { runCase } from './package.mjs'

/** Node 20 has neither multi-memory nor JSPI without a flag; it always has shared memory. */
export const variants = ['sab-single', 'none-single']

export async function open(variant) {
  const { Capfs } = await import('../../web/dist/node.js')
  const [wait, memory] = variant.split('-')
  const capfs = await Capfs.create({ variant: { wait, memory }, capabilities: true })
  const used = `${capfs.variant.wait}-${capfs.variant.memory}`
  if (used !== variant) throw new Error(`${used} is in use, not ${variant}`)
  return {
    run: (wanted, program) => runCase(capfs, Uint8Array.from(program), wanted),
    async close() {
      capfs.close()
    },
  }
}
