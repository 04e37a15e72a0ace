// Runs cases in Chromium by playwright-core. Pages of `jspi` and `none` come without isolation headers.

import { existsSync } from 'node:fs'
import { openPage } from './browser.mjs'

export const variants = ['jspi-multi', 'jspi-single', 'sab-multi', 'sab-single', 'none-multi', 'none-single']

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

async function launch(address) {
  const { chromium } = await import('playwright-core')
  const executablePath = PLACES.find((place) => place && existsSync(place))
  if (!executablePath) throw new Error('no Chromium found; install it, or name it in the variable CHROMIUM')
  const browser = await chromium.launch({
    executablePath,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error(`page: ${error.stack}`))
  await page.goto(address)
  await page.waitForFunction(() => window.conformance !== undefined)
  return {
    call: (name, json) => page.evaluate(([name, json]) => window.conformance.call(name, json), [name, json]),
    close: () => browser.close(),
  }
}

export const open = (variant) => openPage(variant, launch)
