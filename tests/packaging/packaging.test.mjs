// Packs the npm package, installs it into sample consumers and uses it there (see README.md).
// Prints what it does, then `N passed, N failed`.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { cp, mkdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { launchChromium } from '../page/chromium.mjs'
import { serveFolder } from '../page/static-server.mjs'
import { EXPECTED } from './consumers/greet.js'
import { BUDGET, BUDGET_FULL, printSizes } from './size-budget.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, '../..')
// Inside the checkout, so that the bundlers are found in its node_modules; the package itself is each consumer's own.
const work = join(root, '.cache/packaging')
const require = createRequire(import.meta.url)

/** Runs a command to its end and answers what it printed; its output is part of the error when it fails. */
function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error ?? `status ${status}`}\n${stdout}\n${stderr}`)
  return stdout
}

/** The script behind a command of an installed package. */
function program(name, command = name) {
  const folder = require.resolve.paths(name).map((path) => join(path, name)).find((path) => {
    try {
      return require(join(path, 'package.json'))
    } catch {
      return false
    }
  })
  assert(folder, `the npm package ${name} is not installed`)
  const { bin } = require(join(folder, 'package.json'))
  return join(folder, typeof bin === 'string' ? bin : bin[command])
}

const node = (cwd, script, ...args) => run(process.execPath, [script, ...args], cwd)

await rm(work, { recursive: true, force: true })
await mkdir(work, { recursive: true })
const [{ filename, files }] = JSON.parse(
  run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], join(root, 'web')),
)
console.log(`packed ${filename}, ${files.length} files`)
for (const needed of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'dist/index.js.map', 'dist/worker.js.map']) assert(files.some(({ path }) => path === needed), `the package has no ${needed}`)
const browser = await launchChromium()
const results = { passed: 0, failed: 0 }

/** Copies a consumer, installs the tarball there and hands over its folder. */
async function consumer(name, body) {
  const folder = join(work, name)
  try {
    await cp(join(here, 'consumers', name), folder, { recursive: true })
    await cp(join(here, 'consumers/greet.js'), join(folder, 'src/greet.js'))
    if (name === 'typescript') await rm(join(folder, 'src/greet.js'))
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', join('..', filename)], folder)
    await body(folder)
    results.passed++
    console.log(`ok   ${name}`)
  } catch (error) {
    results.failed++
    console.log(`FAIL ${name}\n${error.stack}`)
  }
}

/** The policy that the package's README names for a page's own files; in the development of Vite its client adds styles. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'"

/** Opens an address, under a policy where one is given, and answers what the consumer's page says came of its agent. */
async function outcome(address, policy, search = '') {
  const page = await browser.newPage()
  const remarks = []
  if (policy) {
    await page.route('**/*', async (route) => {
      const response = await route.fetch()
      await route.fulfill({ response, headers: { ...response.headers(), 'content-security-policy': policy } })
    })
  }
  page.on('console', (message) => remarks.push(message.text()))
  page.on('pageerror', (error) => remarks.push(error.stack))
  try {
    await page.goto(address + search)
    await page.waitForSelector('body[data-outcome]', { state: 'attached' })
    return await page.getAttribute('body', 'data-outcome')
  } catch (error) {
    throw new Error(`${error.message}\nthe page said:\n${remarks.join('\n')}`)
  } finally {
    // What the page still loads is of no interest any more, and must not fail behind its end.
    await page.unrouteAll({ behavior: 'ignoreErrors' })
    await page.close()
  }
}

async function inBrowser(folder, search) {
  const server = await serveFolder(folder)
  try {
    assert.equal(await outcome(server.address, undefined, search), EXPECTED)
    return server.served
  } finally {
    server.close()
  }
}

await consumer('plain', async (folder) => {
  const readme = await readFile(join(root, 'web/README.md'), 'utf8')
  for (const [budget, search, said] of [[BUDGET, '', /loads less than (\d+) KB after gzip/], [BUDGET_FULL, '?capabilities', /less than (\d+) KB with `capabilities: true`/], [BUDGET_FULL, '?full', /less than (\d+) KB with `capabilities: true`/]]) {
    const served = await inBrowser(folder, search)
    const ours = [...served].filter((file) => file.includes(`node_modules${sep}capfs${sep}`))
    assert(ours.some((file) => file.endsWith(search === '' ? 'kernel.wasm' : 'kernel-full.wasm')), 'the page loaded no kernel')
    const total = await printSizes(ours, folder, budget)
    assert(total < budget, `a page loads ${total} bytes, ${total - budget} more than the budget`)
    assert.equal(said.exec(readme)?.[1], String(budget / 1000), 'the README names another budget')
  }
})

/** Runs one of Vite's servers; `body` gets its address. */
async function withVite(folder, args, body) {
  const server = spawn(process.execPath, [program('vite'), ...args, '--host', '127.0.0.1', '--port', '0'], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const address = await new Promise((found, failed) => {
      let printed = ''
      server.stdout.setEncoding('utf8').on('data', (text) => {
        printed += text
        const match = /http:\/\/127\.0\.0\.1:\d+\//.exec(printed)
        if (match) found(match[0])
      })
      server.once('exit', (code) => failed(new Error(`vite ${args[0]} ended with ${code}: ${printed}`)))
    })
    await body(address)
  } finally {
    server.kill()
  }
}

await consumer('vite', async (folder) => {
  node(folder, program('vite'), 'build', '--logLevel', 'warn')
  await withVite(folder, ['preview'], async (address) => {
    assert.equal(await outcome(address), EXPECTED)
    assert.equal(await outcome(address, POLICY), EXPECTED)
  })
  await withVite(folder, ['dev'], async (address) => assert.equal(await outcome(address), EXPECTED))
})

await consumer('webpack', async (folder) => {
  node(folder, program('webpack-cli'))
  await cp(join(folder, 'index.html'), join(folder, 'dist/index.html'))
  await inBrowser(join(folder, 'dist'))
})

await consumer('esbuild', async (folder) => {
  const dist = join(folder, 'dist')
  await build({ entryPoints: [join(folder, 'src/main.js')], absWorkingDir: folder, outdir: dist, bundle: true, splitting: true, format: 'esm', logLevel: 'warning' })
  await cp(join(folder, 'index.html'), join(dist, 'index.html'))
  const packed = join(folder, 'node_modules/capfs/dist')
  const asset = (file) => file === packed || /\.wasm$|[\\/]worker(-full)?\.js$/.test(file)
  await cp(packed, join(dist, 'static/capfs'), { recursive: true, filter: asset })
  await inBrowser(dist)
})

await consumer('node', async (folder) => {
  assert.equal(node(folder, 'src/main.js').trim(), EXPECTED)
  assert.equal(node(folder, 'src/full.js').trim(), `/cap/crypto, ${EXPECTED}`)
})

await consumer('typescript', async (folder) => {
  for (const resolution of ['bundler', 'nodenext', 'defaults']) node(folder, program('typescript', 'tsc'), '-p', `tsconfig.${resolution}.json`)
})

await browser.close()
console.log(`${results.passed} passed, ${results.failed} failed`)
process.exitCode = results.failed > 0 ? 1 : 0
