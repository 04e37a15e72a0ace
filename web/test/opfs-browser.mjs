// Browsers with a profile on the disk, and pages that know `window.stored`: for the tests and the benchmark of stored files.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'
import { serve } from '../../scripts/serve.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

const BROWSERS = {
  chromium: {
    browser: 'chrome',
    places: [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  },
  firefox: {
    browser: 'firefox',
    places: [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'],
    args: [],
  },
}

/** Compiles the guest and returns it in base64. */
export function buildGuest() {
  mkdirSync(here('../../.cache'), { recursive: true })
  const out = here('../../.cache/web-test-opfs-guest.wasm')
  execFileSync('clang', ['--target=wasm32-wasi', '-O2', '-Wall', '-Wextra', '-Werror', '-o', out, here('opfs-guest.c')], { stdio: 'inherit' })
  return readFileSync(out).toString('base64')
}

/** A browser whose stored files outlive it. */
export class Profile {
  #folder = mkdtempSync(join(tmpdir(), 'capfs-profile-'))

  constructor(name) {
    this.#choice = BROWSERS[name]
    this.#executable = this.#choice.places.find((place) => place && existsSync(place))
    if (!this.#executable) throw new Error(`no ${name} found; install it, or name it in the variable ${name.toUpperCase()}`)
  }
  #choice
  #executable

  launch() {
    const { browser, args } = this.#choice
    return puppeteer.launch({ browser, args, executablePath: this.#executable, headless: true, userDataDir: this.#folder, protocolTimeout: 120_000 })
  }

  remove() {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Serves the package; pages of the two servers are of different origins. */
export function servePackage(isolated) {
  return serve({ folder: here('..'), isolated })
}

/** Opens a page and starts capfs in it. */
export async function openPage(browser, server, wait, guest) {
  const page = await browser.newPage()
  await page.goto(`${server.address}test/opfs.html`)
  await page.waitForFunction(() => window.stored !== undefined)
  const call = (name, ...args) => page.evaluate((name, args) => window.stored[name](...args), name, args)
  await call('start', wait, guest)
  return { page, call, close: () => page.close() }
}
