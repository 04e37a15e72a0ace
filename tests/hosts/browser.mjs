// What the browser hosts share: a page that is opened once, and cases sent to it.

import { readFileSync } from 'node:fs'
import { serve } from './server.mjs'

/** Mounts may name files of this machine; a page gets their bytes. */
function portable(wanted) {
  const convert = (mount) =>
    Array.isArray(mount) ? mount.map(convert) : typeof mount.data === 'string' ? { ...mount, base64: readFileSync(mount.data).toString('base64'), data: undefined } : mount
  const mounts = Object.fromEntries(Object.entries(wanted.mounts ?? {}).map(([path, mount]) => [path, convert(mount)]))
  return { ...wanted, mounts }
}

/**
 * Starts a session of one variant.
 *
 * @param {string} variant `jspi-multi` and the like; those with `sab` get a page that is isolated
 * @param {(address: string) => Promise<{call(name: string, json: string): Promise<string>, close(): Promise<void>}>} launch
 * starts the browser and opens the page
 */
export async function openPage(variant, launch) {
  const server = await serve(variant.startsWith('sab'))
  let page
  try {
    page = await launch(server.address)
    const ask = async (name, ...args) => JSON.parse(await page.call(name, JSON.stringify(args)))
    const started = await ask('start', variant)
    if (started.variant !== variant) throw new Error(`the page can't use ${variant}: ${JSON.stringify(started)}`)
    return {
      async run(wanted, program) {
        const result = await ask('run', portable(wanted), Buffer.from(program).toString('base64'))
        if (result.failure) throw new Error(result.failure)
        return { ...result, stdout: Buffer.from(result.stdout, 'base64'), stderr: Buffer.from(result.stderr, 'base64') }
      },
      async close() {
        await page.close()
        server.close()
      },
    }
  } catch (error) {
    await page?.close()
    server.close()
    throw error
  }
}
