// The demo page in Firefox: an agent that uses most capabilities, and what the page says of it. Prints `N passed, N failed`.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import puppeteer from 'puppeteer-core'
import { serveFolder } from './static-server.mjs'
import { conclude, dist, leaveTerminal, runTest } from './suite.mjs'

const executablePath = [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'].find((place) => place && existsSync(place))
if (!executablePath) throw new Error('no Firefox found; install it, or name it in the variable FIREFOX')

const server = await serveFolder(dist)
const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, protocolTimeout: 120_000 })
async function test(name, width, height, body) {
  const page = await browser.newPage()
  await page.setViewport({ width, height })
  await runTest(name, page, server.address, body)
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

await test('the keyboard leaves the terminal, while a program reads and when it has ended', 1280, 800, async (page) => {
  await click(page, 'input[value=lines]')
  await click(page, '.launcher button[type=submit]')
  await page.waitForSelector('.agent:not([hidden])[data-state=running]')
  await leaveTerminal(page)
})

await test('a phone of 390 pixels is wide enough', 390, 844, async (page) => {
  await click(page, 'input[value=explorer]')
  await click(page, '.launcher button[type=submit]')
  await page.waitForFunction(() => window.terminalText().includes('/%'))
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
})

await browser.close()
server.close()
conclude()
