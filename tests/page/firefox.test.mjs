// The demo page in Firefox: an agent that uses most capabilities, and what the page says of it. Prints `N passed, N failed`.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import puppeteer from 'puppeteer-core'
import { serveFolder } from './static-server.mjs'

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..')
const dist = join(root, 'web/dist/demo')
assert(existsSync(join(dist, 'index.html')), 'the demo page is not built: npm run build')
const executablePath = [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'].find((place) => place && existsSync(place))
if (!executablePath) throw new Error('no Firefox found; install it, or name it in the variable FIREFOX')

const server = await serveFolder(dist)
const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, protocolTimeout: 120_000 })
const results = { passed: 0, failed: 0 }

/** Runs one test on a page of its own; nothing may be thrown in the page meanwhile. */
async function test(name, width, height, body) {
  const page = await browser.newPage()
  await page.setViewport({ width, height })
  const errors = []
  page.on('pageerror', (error) => errors.push(error))
  try {
    await page.goto(server.address)
    await page.waitForSelector('body[data-ready=true]')
    await body(page)
    assert.deepEqual(errors, [])
    results.passed++
    console.log(`ok   ${name}`)
  } catch (error) {
    results.failed++
    console.log(`FAIL ${name}\n${error.stack}\n${errors.join('\n')}`)
  } finally {
    await page.close()
  }
}

const click = (page, selector) => page.$eval(selector, (element) => element.click())
const shows = (page, selector, text) =>
  page.waitForFunction((where, what) => document.querySelector(where)?.textContent.includes(what), {}, selector, text)

await test('the feed reader shows a feed, until fetching is revoked', 1280, 800, async (page) => {
  await click(page, 'input[value=feeds]')
  await click(page, '.launcher button[type=submit]')
  await shows(page, '.page-part h2', 'This text came through /cap/fetch')
  await shows(page, '.operations tbody', 'dom write')
  await click(page, '[data-revoke="/cap/fetch"]')
  await page.waitForSelector('[data-at="/cap/fetch"].revoked')
  await click(page, '.page-part button')
  await shows(page, '.page-part small', 'ENODEV')
})

await test('a phone of 390 pixels is wide enough', 390, 844, async (page) => {
  await click(page, 'input[value=explorer]')
  await click(page, '.launcher button[type=submit]')
  await page.waitForFunction(() => window.terminalText().includes('/%'))
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
})

await browser.close()
server.close()
console.log(`${results.passed} passed, ${results.failed} failed`)
process.exitCode = results.failed > 0 || results.passed === 0 ? 1 : 0
