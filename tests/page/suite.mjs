// The tests of the demo page, whichever program drives the browser.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..')

/** The page as it was built. */
export const dist = join(root, 'web/dist/demo')
assert(existsSync(join(dist, 'index.html')), 'the demo page is not built: npm run build')

const results = { passed: 0, failed: 0 }

/**
 * Runs one test on a page of its own, and closes that; nothing may be thrown in the page meanwhile.
 *
 * @param {string} name
 * @param {import('playwright-core').Page | import('puppeteer-core').Page} page a new page
 * @param {string} address of the demo page
 * @param {(page: any) => Promise<void>} body
 */
export async function runTest(name, page, address, body) {
  const errors = []
  page.on('pageerror', (error) => errors.push(error))
  try {
    await page.goto(address)
    await page.waitForSelector('body[data-ready=true]')
    await body(page)
    assert.deepEqual(errors, [])
    results.passed++
    console.log(`ok   ${name}`)
  } catch (error) {
    results.failed++
    console.log(`FAIL ${name}\n${error.stack}\n${errors.join('\n')}`)
    console.log(await page.evaluate(() => globalThis.terminalText?.()).catch(() => 'the page is gone'))
  } finally {
    await page.close()
  }
}

/** Prints `N passed, N failed`, and ends the process accordingly. */
export function conclude() {
  console.log(`${results.passed} passed, ${results.failed} failed`)
  process.exitCode = results.failed > 0 || results.passed === 0 ? 1 : 0
}
