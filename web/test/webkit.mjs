// The package in WebKit, in the variants that it has: `node web/test/webkit.mjs`.
import { fileURLToPath } from 'node:url'
import { serve } from '../../scripts/serve.mjs'
import { launchWebKit } from '../../tests/hosts/webkit-driver.mjs'
import { buildGuest, count, finish } from './harness.mjs'

const guest = Buffer.from(buildGuest()).toString('base64')
for (const wait of ['sab', 'none']) {
  const isolated = wait === 'sab'
  const server = await serve({ folder: fileURLToPath(new URL('..', import.meta.url)), isolated })
  const page = await launchWebKit(`${server.address}test/blank.html`)
  const results = await page.evaluate(
    `const [wait, guest, done] = arguments
     const cases = async () => {
       const { Capfs } = await import('/dist/index.js')
       const { runCases } = await import('/test/cases.mjs')
       const bytes = Uint8Array.from(atob(guest), (char) => char.charCodeAt(0))
       const results = []
       const report = (name, error) => results.push([name, error ? String(error) + '\\n' + error.stack : null])
       await runCases(Capfs, { wait, memory: 'single' }, bytes, report)
       return results
     }
     cases().then(done, (error) => done([['the page', String(error)]]))`,
    wait,
    guest,
  )
  for (const [name, error] of results) count(`webkit${isolated ? ' isolated' : ''} ${wait} single: ${name}`, error && { stack: error })
  await page.close()
  await server.close()
}
finish()
