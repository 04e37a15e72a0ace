// /cap/dom in a browser: `node web/test/dom.mjs [--browser chromium|firefox|webkit] [--pictures FOLDER] [--case TEXT]`. In WebKit calls can wait on an
// isolated page alone, so that is where it runs.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { serve } from '../../scripts/serve.mjs'
import { buildGuest, count, finish } from './harness.mjs'
import { serveOutside } from './outside.mjs'
import { BROWSERS } from './page-browsers.mjs'

const { values: options } = parseArgs({ options: { browser: { type: 'string', default: 'chromium' }, pictures: { type: 'string' }, case: { type: 'string', default: '' } } })
const launch = BROWSERS[options.browser]
if (!launch) throw new Error(`no browser is called ${options.browser}: there are ${Object.keys(BROWSERS).join(', ')}`)

const guest = Buffer.from(buildGuest()).toString('base64')
const browser = await launch()
const outside = await serveOutside()
for (const [isolated, wait] of [[false, 'jspi'], [true, 'sab']]) {
  if (!isolated && options.browser === 'webkit') continue
  const server = await serve({ folder: fileURLToPath(new URL('..', import.meta.url)), isolated })
  const page = await browser.open(`${server.address}test/blank.html`)
  const results = await page.run(
    async (wait, guest, outside, only) => {
      const { Capfs } = await import('/dist/index.js')
      const { runDomCases } = await import('/test/dom-cases.mjs')
      const bytes = Uint8Array.from(atob(guest), (char) => char.charCodeAt(0))
      const results = []
      const report = (name, error) => results.push([name, error ? `${error}\n${error.stack}` : null])
      await runDomCases(Capfs, wait, bytes, report, outside, window.picture, only)
      return results
    },
    [wait, guest, outside.address, options.case],
    options.pictures && ((name) => `${options.pictures}/dom-${name}-${options.browser}-${wait}.png`),
  )
  for (const [name, error] of results) count(`${options.browser} dom ${wait}: ${name}`, error && { stack: error })
  await page.close()
  await server.close()
}
await browser.close()
await outside.close()
finish()
