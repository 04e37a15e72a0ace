// The package in WebKit, in the variants that it has: `node web/test/webkit.mjs`.
import { fileURLToPath } from 'node:url'
import { serve } from '../../scripts/serve.mjs'
import { launchWebKit } from '../../tests/hosts/webkit-driver.mjs'
import { buildGuest, count, finish } from './harness.mjs'

const guest = Buffer.from(buildGuest()).toString('base64')
/**
 * Browsers one after the other, each for a part of the cases: a worker that is ended while its agent computes without a call runs on in
 * WebKitGTK until its page's process ends, and two of those leave nothing of a small machine to the cases that follow.
 */
const PARTS = 8

async function run(wait, part) {
  const isolated = wait === 'sab'
  const server = await serve({ folder: fileURLToPath(new URL('..', import.meta.url)), isolated })
  const page = await launchWebKit(`${server.address}test/blank.html`)
  await page.evaluate(
    `const [wait, guest, part, done] = arguments
     window.results = []
     window.finished = false
     window.heard = () => {}
     const report = (name, error) => {
       results.push([name, error ? String(error) + '\\n' + error.stack : null])
       heard()
     }
     const cases = async () => {
       const { Capfs } = await import('/dist/index.js')
       const { runCases } = await import('/test/cases.mjs')
       const bytes = Uint8Array.from(atob(guest), (char) => char.charCodeAt(0))
       await runCases(Capfs, { wait, memory: 'single' }, bytes, report, part)
     }
     cases().catch((error) => report('the page', error)).then(() => {
       finished = true
       heard()
     })
     done()`,
    wait,
    guest,
    part,
  )
  // One by one: a script of the driver's has a time limit.
  for (let finished = false; !finished; ) {
    const [results, over] = await page.evaluate(
      `const [done] = arguments
       const tell = () => (results.length > 0 || finished) && done([results.splice(0), finished])
       heard = tell
       tell()`,
    )
    finished = over
    for (const [name, error] of results) count(`webkit${isolated ? ' isolated' : ''} ${wait} single: ${name}`, error && { stack: error })
  }
  await page.close()
  await server.close()
}

for (const wait of ['sab', 'none']) for (let part = 0; part < PARTS; part += 1) await run(wait, [part, PARTS])
finish()
