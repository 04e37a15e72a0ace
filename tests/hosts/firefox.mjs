// Runs cases in Firefox by puppeteer-core over WebDriver BiDi.

import { existsSync } from 'node:fs'
import { openPage } from './browser.mjs'

export const variants = ['jspi-multi', 'jspi-single', 'sab-multi', 'sab-single', 'none-multi', 'none-single']

const PLACES = [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox']

async function launch(address) {
  const { default: puppeteer } = await import('puppeteer-core')
  const executablePath = PLACES.find((place) => place && existsSync(place))
  if (!executablePath) throw new Error('no Firefox found; install it, or name it in the variable FIREFOX')
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath,
    headless: true,
    // A case may take longer than a driver's usual patience.
    protocolTimeout: 300_000,
  })
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error(`page: ${error.stack}`))
  await page.goto(address)
  await page.waitForFunction('window.conformance !== undefined')
  return {
    call: (name, json) => page.evaluate((name, json) => window.conformance.call(name, json), name, json),
    close: () => browser.close(),
  }
}

export const open = (variant) => openPage(variant, launch)
