// What the browser hosts share: a page that is opened once, and cases sent to it.

import { readFileSync } from 'node:fs'
import { serve } from './server.mjs'

/** A mount as JSON can carry it: files of this machine and bytes become base64. */
function portable(mount) {
  if (Array.isArray(mount)) return mount.map(portable)
  if (typeof mount.data === 'string') return { type: mount.type, base64: readFileSync(mount.data).toString('base64') }
  if (!mount.files) return mount
  const files = Object.entries(mount.files).map(([path, file]) => [
    path,
    typeof file === 'string' ? file : { base64: Buffer.from(file).toString('base64') },
  ])
  return { ...mount, files: Object.fromEntries(files) }
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
        const mounts = Object.entries(wanted.mounts ?? {}).map(([path, mount]) => [path, portable(mount)])
        const result = await ask('run', { ...wanted, mounts: Object.fromEntries(mounts), program: undefined }, Buffer.from(program).toString('base64'))
        if (result.failure) throw new Error(result.failure)
        const files = Object.entries(result.files).map(([path, contents]) => [path, Buffer.from(contents, 'base64')])
        return {
          ...result,
          stdout: Buffer.from(result.stdout, 'base64'),
          stderr: Buffer.from(result.stderr, 'base64'),
          files: Object.fromEntries(files),
        }
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
