// The package in Firefox, by WebDriver BiDi, in every variant: `node web/test/firefox.mjs`.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'
import { serve } from '../../scripts/serve.mjs'
import { buildGuest, count, finish } from './harness.mjs'

const executablePath = [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'].find((place) => place && existsSync(place))
if (!executablePath) throw new Error('no Firefox found; install it, or name it in the variable FIREFOX')

const guest = Buffer.from(buildGuest()).toString('base64')
const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, protocolTimeout: 120_000 })
for (const isolated of [false, true]) {
  const server = await serve({ folder: fileURLToPath(new URL('..', import.meta.url)), isolated })
  const page = await browser.newPage()
  await page.goto(`${server.address}test/blank.html`)
  for (const wait of isolated ? ['sab'] : ['jspi', 'none']) {
    for (const memory of ['multi', 'single']) {
      const results = await page.evaluate(
        async (variant, guest) => {
          const { Capfs } = await import('/dist/index.js')
          const { runCases } = await import('/test/cases.mjs')
          const bytes = Uint8Array.from(atob(guest), (char) => char.charCodeAt(0))
          const results = []
          await runCases(Capfs, variant, bytes, (name, error) => results.push([name, error ? `${error}\n${error.stack}` : null]))
          return results
        },
        { wait, memory },
        guest,
      )
      for (const [name, error] of results) count(`firefox${isolated ? ' isolated' : ''} ${wait} ${memory}: ${name}`, error && { stack: error })
    }
  }
  await page.close()
  await server.close()
}
await browser.close()
finish()
