// /cap/dom in a browser: `node web/test/dom.mjs [--browser chromium|firefox|webkit] [--pictures FOLDER] [--case TEXT] [--full]`. In WebKit calls can wait on an
// isolated page alone, so that is where it runs. With `--full`, all that browsers take long for is put on the page as often as there may be any, which takes many minutes.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { serve } from '../../scripts/serve.mjs'
import { buildGuest, count, finish } from './harness.mjs'
import { serveOutside } from './outside.mjs'
import { BROWSERS } from './page-browsers.mjs'

const { values: options } = parseArgs({ options: { browser: { type: 'string', default: 'chromium' }, pictures: { type: 'string' }, case: { type: 'string', default: '' }, full: { type: 'boolean', default: false } } })
/** Milliseconds. Without bounds it takes minutes, or the tab ends. */
const LONGEST_PAUSE = 10_000
const launch = BROWSERS[options.browser]
if (!launch) throw new Error(`no browser is called ${options.browser}: there are ${Object.keys(BROWSERS).join(', ')}`)

/** That nothing at its greatest takes the page's thread for longer than a slow machine may take. Each by itself, so that it is known what does. */
async function greatest(page) {
  const names = await page.run(async () => {
    const [{ greatest }, policy] = await Promise.all([import('/test/dom-greatest.mjs'), import('/dist/page/dom/policy.js')])
    return Object.keys(greatest(policy))
  }, [])
  for (const name of names.filter((name) => name.includes(options.case))) {
    const costs = page.run(
      async (name, full) => {
        const { cost, greatest } = await import('/test/dom-greatest.mjs')
        const [{ domPart }, policy] = await Promise.all([import('/dist/page/dom/part.js'), import('/dist/page/dom/policy.js')])
        return cost(domPart, greatest(policy)[name], full)
      },
      [name, options.full],
    )
    const error = await costs.then(
      ({ count, ...tasks }) => {
        const [task, took] = Object.entries(tasks).sort(([, a], [, b]) => b - a)[0]
        return took > LONGEST_PAUSE ? new Error(`${task} takes ${Math.round(took)} ms, of ${count}`) : undefined
      },
      (error) => error,
    )
    count(`${options.browser} dom: the page goes on with ${name}`, error)
  }
}

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
  // What doesn't depend on how calls wait is looked at once, where it was measured.
  if (!isolated) await greatest(page)
  await page.close()
  await server.close()
}
await browser.close()
await outside.close()
finish()
