// The package in Chromium, every variant forced, from a static server without and with the headers for
// cross-origin isolation: `node web/test/browser.mjs`.
import { launchChromium } from '../../tests/page/chromium.mjs'
import { serve } from '../../scripts/serve.mjs'
import { fileURLToPath } from 'node:url'
import { buildGuest, count, finish } from './harness.mjs'

const guest = Buffer.from(buildGuest()).toString('base64')
const browser = await launchChromium()

for (const isolated of [false, true]) {
  const server = await serve({ folder: fileURLToPath(new URL('..', import.meta.url)), isolated })
  const page = await browser.newPage()
  page.on('pageerror', (error) => count('the page', error))
  await page.exposeFunction('report', (name, error) => count(name, error && { stack: error }))
  await page.goto(`${server.address}test/blank.html`)
  const waits = isolated ? ['sab', 'jspi'] : ['jspi', 'none']
  for (const wait of waits) {
    for (const memory of ['multi', 'single']) {
      const title = `chromium${isolated ? ' isolated' : ''} ${wait} ${memory}`
      await page.evaluate(
        async ({ variant, guest, title }) => {
          const { Capfs } = await import('/dist/index.js')
          const { runCases } = await import('/test/cases.mjs')
          const bytes = Uint8Array.from(atob(guest), (char) => char.charCodeAt(0))
          await runCases(Capfs, variant, bytes, (name, error) => window.report(`${title}: ${name}`, error && String(error.stack ?? error)))
        },
        { variant: { wait, memory }, guest, title },
      )
    }
  }
  if (!isolated) {
    const outcome = await page.evaluate(async () => {
      const { Capfs } = await import('/dist/index.js')
      return Capfs.create({ variant: { wait: 'sab' } }).then(() => 'created', (error) => error.code)
    })
    count('chromium: shared memory is refused without isolation', outcome === 'VARIANT_UNAVAILABLE' ? undefined : new Error(outcome))
  }
  await page.close()
  await server.close()
}
await browser.close()
finish()
