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

/** The element that has the focus, as its text or label; what the terminal types into is `terminal`. */
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement
    if (element.classList.contains('xterm-helper-textarea')) return 'terminal'
    return element.getAttribute('aria-label') ?? element.textContent.trim()
  })

/** Presses Shift and Tab until what is called so has the focus. */
async function backTo(page, wanted) {
  const seen = []
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.down('Shift')
    await page.keyboard.press('Tab')
    await page.keyboard.up('Shift')
    seen.push(await focused(page))
    if (seen.at(-1) === wanted) return
  }
  throw new Error(`Shift and Tab don't lead to ${wanted}, but to ${seen.join(', ')}`)
}

/** Leaves a terminal whose program reads, kills that, and leaves it again, by the keyboard alone. The page shows the terminal of a program that waits for a line. */
export async function leaveTerminal(page) {
  assert.equal(await focused(page), 'terminal')
  const said = () =>
    page.evaluate(() => {
      const line = document.getElementById(document.querySelector('.agent:not([hidden]) .xterm-helper-textarea').getAttribute('aria-describedby'))
      return line.checkVisibility() && line.textContent
    })
  assert.match(await said(), /Escape, then Tab/)
  // The first is the program's, as any key.
  await page.keyboard.press('Tab')
  assert.equal(await focused(page), 'terminal')
  await page.keyboard.press('Escape')
  await backTo(page, 'Kill')
  await page.keyboard.press('Enter')
  await page.waitForSelector('.agent:not([hidden])[data-state=failed]')
  await page.focus('.agent:not([hidden]) .xterm-helper-textarea')
  assert.match(await said(), /Nothing is read any more/)
  await backTo(page, 'Start agent')
  await page.focus('.agent:not([hidden]) .xterm-helper-textarea')
  await page.keyboard.press('Tab')
  assert.notEqual(await focused(page), 'terminal')
}

/** Prints `N passed, N failed`, and ends the process accordingly. */
export function conclude() {
  console.log(`${results.passed} passed, ${results.failed} failed`)
  process.exitCode = results.failed > 0 || results.passed === 0 ? 1 : 0
}
