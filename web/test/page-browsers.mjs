// Browsers for cases that run on a page as a whole: one way to open a page and to run a function on it, whatever drives the browser.
import { existsSync } from 'node:fs'
import puppeteer from 'puppeteer-core'
import { launchChromium } from '../../tests/page/chromium.mjs'
import { launchWebKit } from '../../tests/hosts/webkit-driver.mjs'

/** Each starts a browser. `run` runs an async function on the page with arguments; `pictureFile(name)` says where pictures go. */
export const BROWSERS = {
  async chromium() {
    const browser = await launchChromium()
    return {
      async open(address) {
        const page = await browser.newPage({ viewport: { width: 800, height: 400 } })
        const thrown = []
        page.on('pageerror', (error) => thrown.push(error))
        await page.goto(address)
        return {
          async run(body, args, pictureFile) {
            if (pictureFile) await page.exposeFunction('picture', (name) => page.screenshot({ path: pictureFile(name) }).then(() => undefined))
            // As text: on the page itself its policy may forbid to make functions of text.
            const result = await page.evaluate(`(${body})(...${JSON.stringify(args)})`)
            if (thrown.length > 0) throw new AggregateError(thrown, `the page threw ${thrown.join(', ')}`)
            return result
          },
          close: () => page.close(),
        }
      },
      close: () => browser.close(),
    }
  },
  async firefox() {
    const executablePath = [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'].find((place) => place && existsSync(place))
    if (!executablePath) throw new Error('no Firefox found; install it, or name it in the variable FIREFOX')
    const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, protocolTimeout: 120_000 })
    return {
      async open(address) {
        const page = await browser.newPage()
        await page.goto(address)
        return {
          run: (body, args) => page.evaluate(body, ...args),
          close: () => page.close(),
        }
      },
      close: () => browser.close(),
    }
  },
  async webkit() {
    return {
      async open(address) {
        const page = await launchWebKit(address)
        return {
          async run(body, args) {
            const [error, value] = await page.evaluate(
              `const [args, done] = arguments
               ;(${body})(...args).then((value) => done([null, value]), (error) => done([String(error) + '\\n' + error.stack]))`,
              args,
            )
            if (error !== null) throw new Error(error)
            return value
          },
          close: () => page.close(),
        }
      },
      close: async () => {},
    }
  },
}
