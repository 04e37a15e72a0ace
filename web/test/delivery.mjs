// The package on pages that get it in other ways: under a policy (CSP, Trusted Types), from another origin, or both.
//   node web/test/delivery.mjs [--browser chromium|firefox]
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname } from 'node:path'
import { parseArgs } from 'node:util'
import { buildGuest, count, finish } from './harness.mjs'
import { BROWSERS } from './page-browsers.mjs'

const { values: options } = parseArgs({ options: { browser: { type: 'string', default: 'chromium' } } })
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm' }

/** Serves the package for every origin, and at `/page?POLICY` an empty page with that policy. */
async function serve() {
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url, 'http://localhost')
    if (pathname === '/page') {
      const policy = decodeURIComponent(search.slice(1))
      const headers = { 'Content-Type': 'text/html', ...(policy ? { 'Content-Security-Policy': policy } : {}) }
      return response.writeHead(200, headers).end('<!doctype html><title>capfs test</title><body></body>')
    }
    try {
      const file = await readFile(new URL(`../dist/${pathname.slice('/dist/'.length)}`, import.meta.url))
      response.writeHead(200, { 'Content-Type': TYPES[extname(pathname)] ?? 'text/plain', 'Access-Control-Allow-Origin': '*' }).end(file)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const close = () =>
    new Promise((closed) => {
      server.close(closed)
      server.closeAllConnections()
    })
  return { origin: `http://localhost:${server.address().port}`, close }
}

/** On the page: what comes of an agent that says hello, and of one that has a part of the page. */
async function onPage(address, capabilities, guest) {
  try {
    const { Capfs } = await import(address)
    const capfs = await Capfs.create({ capabilities })
    const bytes = Uint8Array.from(atob(guest), (character) => character.charCodeAt(0))
    const hello = await capfs.spawn(bytes, { args: ['hello'] })
    let outcome = await new Response(hello.stdout).text()
    if (capabilities) {
      const dom = document.createElement('div')
      document.body.append(dom)
      const agent = await capfs.spawn(bytes, { args: ['script'], stdin: 'set /cap/dom/1/html <b style="color: rgb(1, 2, 3)">good</b>\n', grants: ['dom,cleanup=no', 'crypto,persist=no'], dom })
      outcome += await new Response(agent.stdout).text()
      outcome += `${dom.textContent} ${getComputedStyle(dom.firstElementChild).color}`
    }
    capfs.close()
    return outcome
  } catch (error) {
    return [error.name, error.code, error.message]
  }
}

const guest = Buffer.from(buildGuest()).toString('base64')
const browser = await BROWSERS[options.browser]()
const [own, other] = [await serve(), await serve()]
const types = options.browser === 'chromium'

/** Runs on a page with a policy, with the package from an origin; `check` throws at what is not as it should be. */
async function on(name, policy, from, check = shows) {
  for (const capabilities of [false, true]) {
    const page = await browser.open(`${own.origin}/page?${encodeURIComponent(policy)}`)
    try {
      check(await page.run(onPage, [`${from.origin}/dist/index.js`, capabilities, guest]), capabilities)
      count(`${options.browser}: ${name}${capabilities ? ', with capabilities' : ''}`)
    } catch (error) {
      count(`${options.browser}: ${name}${capabilities ? ', with capabilities' : ''}`, error)
    } finally {
      await page.close()
    }
  }
}

function shows(outcome, capabilities) {
  const expected = capabilities ? 'hello\n=\ngood rgb(1, 2, 3)' : 'hello\n'
  if (outcome !== expected) throw new Error(`got ${JSON.stringify(outcome)} instead of ${JSON.stringify(expected)}`)
}

/** That it is refused in words that help, by one of these codes. */
const refuses = (codes, words) => (outcome) => {
  const [name, code, message] = outcome
  if (name !== 'CapfsError' || !codes.includes(code) || !words.test(message)) throw new Error(`got ${JSON.stringify(outcome)}`)
}

const strict = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'"
const foreign = `default-src 'self'; script-src 'self' ${other.origin} 'wasm-unsafe-eval'; connect-src 'self' ${other.origin}`
await on('under a strict policy', strict, own)
await on('from another origin', '', other)
await on('in a sandbox, where the page has no origin', 'sandbox allow-scripts', own)
await on('from another origin, under a policy', `${foreign}; worker-src 'self' blob:`, other)
await on('from another origin, under a policy without blob:', foreign, other, refuses(['FETCH_FAILED', 'POLICY_BLOCKED'], /worker-src blob:/))
await on('under Trusted Types', "require-trusted-types-for 'script'; trusted-types capfs", own)
await on('under Trusted Types from another origin', "require-trusted-types-for 'script'; trusted-types capfs", other)
await on("under Trusted Types that don't name the package", "require-trusted-types-for 'script'; trusted-types mine", own, types ? refuses(['POLICY_BLOCKED'], /trusted-types capfs/) : (outcome, capabilities) => (Array.isArray(outcome) ? refuses(['POLICY_BLOCKED'], /trusted-types capfs/)(outcome) : shows(outcome, capabilities)))

await browser.close()
await Promise.all([own.close(), other.close()])
finish()
