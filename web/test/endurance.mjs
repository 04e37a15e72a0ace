// A thousand agents one after the other and two hundred at once, none disposed of; aborted starts; workers that fail; no memory. In bounded memory, as
// the system counts it, and with no worker left: `node web/test/endurance.mjs [--host node|chromium|firefox]`.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { serve } from '../../scripts/serve.mjs'
import { same } from './checks.mjs'
import { buildGuest, count, finish } from './harness.mjs'
import { BROWSERS } from './page-browsers.mjs'

const { values: options } = parseArgs({ options: { host: { type: 'string', default: 'node' } } })

/** MiB that a thousand agents may leave behind, beside what the first hundred do. */
const GROWTH_MAX = 160
/** MiB that all may take at once. */
const TOTAL_MAX = 2_500

/** Runs a case and counts it. */
async function tested(name, body) {
  try {
    await body()
    count(name)
  } catch (error) {
    count(name, error)
  }
}

/** MiB that this process and all that it has started take in memory, what they share divided among them. */
function memory() {
  const parents = new Map()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      parents.set(pid, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    } catch {
      // It has ended since.
    }
  }
  const ours = (pid) => pid === String(process.pid) || (parents.has(pid) && ours(parents.get(pid)))
  let total = 0
  for (const pid of parents.keys()) {
    if (!ours(pid)) continue
    try {
      total += Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
    } catch {
      // It has ended since.
    }
  }
  return total / 1024
}

/** Runs all of it by one host; `call(name, …args)` calls a case there. */
async function endure(title, call, waits) {
  await tested(`${title}: runs 1,000 agents one after the other in bounded memory`, async () => {
    await call('oneByOne', 100)
    const early = memory()
    await call('oneByOne', 900)
    const late = memory()
    console.log(`     ${early.toFixed(0)} MiB after 100 agents, ${late.toFixed(0)} MiB after 1,000`)
    same(late - early <= GROWTH_MAX || `${late - early} MiB more`, true)
  })
  await tested(`${title}: runs 200 agents at once`, async () => {
    await call('together', 200)
    const now = memory()
    console.log(`     ${now.toFixed(0)} MiB after them`)
    same(now <= TOTAL_MAX || `${now} MiB`, true)
  })
  await tested(`${title}: leaves no worker when starts are given up`, () => call('aborted', 60))
  for (const what of ['program', 'archive']) {
    await tested(`${title}: cancels the download of ${what === 'program' ? 'a program' : 'an archive'} whose start is given up`, async () => {
      const file = await endless()
      await call('download', what, file.address)
      await file.asked
      await call('giveUp')
      await file.closed
      file.close()
    })
  }
  for (const wait of waits) {
    // What an agent's own worker was asking nobody hears of any more when that is lost.
    const ways = ['waits and is killed', 'waits and is closed', 'sends and is killed', 'sends and is closed', 'sends and exits', 'starts a task and is killed', 'starts a task and is closed', 'starts a task and exits', ...(wait === 'sab' ? ['waits and is lost', 'sends and is lost', 'starts a task and is lost'] : [])]
    for (const how of ways) {
      await tested(`${title} ${wait}: tells the audit of a server that was asked before the end of an agent that ${how}`, async () => {
        const file = await endless(true)
        await call('asks', wait, file.address, how)
        await file.asked
        await call('ended', how)
        await file.closed
        file.close()
      })
    }
  }
  await tested(`${title}: ends agents in time that flood functions of the page's`, () => call('flooded'))
  await tested(`${title}: ends an agent that can't wait until its audit is heard`, () => call('unheard'))
  await tested(`${title}: settles what waits when workers fail`, () => call('failing'))
}

/** An address whose file never ends, or with `silent` never begins: `asked` when somebody wants it, `closed` when he has given up. */
async function endless(silent = false) {
  let [came, went] = []
  const asked = new Promise((resolve) => (came = resolve))
  const closed = new Promise((resolve) => (went = resolve))
  const server = createServer((request, response) => {
    came()
    response.on('close', went)
    if (silent) return
    response.writeHead(200, { 'Content-Type': 'application/wasm', 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' })
    response.write(Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { address: `http://127.0.0.1:${server.address().port}/never.wasm`, asked, closed, close: () => server.close() }
}

async function inNode() {
  const { Capfs } = await import('../dist/node.js')
  const cases = await import('./endurance-cases.mjs')
  const guest = buildGuest()
  cases.countWorkers()
  await cases.open(Capfs, {}, guest)
  await endure('node', (name, ...args) => cases[name](...args), ['sab'])
  await tested('node: ends every worker when it is closed', () => cases.close())
  for (const [name, script] of Object.entries(SCRIPTS)) {
    await tested(`node: a script ends when its agents have: ${name}`, () => ends(['--input-type=module', '-e', sourceOf(script)]))
  }
  const folder = mkdtempSync(join(tmpdir(), 'capfs-endurance-'))
  const script = sourceOf(SCRIPTS['with a capability from the device worker'])
  const file = join(folder, 'script.mjs')
  writeFileSync(file, script)
  for (const [options, env] of OPTIONS) {
    const given = options.some((option) => option.startsWith('--input-type')) || env?.NODE_OPTIONS?.includes('--input-type') ? ['-e', script] : [file]
    const shown = [...Object.entries(env ?? {}).map((pair) => pair.join('=')), ...options].join(' ')
    await tested(`node: a script runs by node with ${shown}`, () => ends([...options, ...given], env))
  }
  rmSync(folder, { recursive: true })
}

/** What Node runs for one of the scripts. */
const sourceOf = (script) => `import { Capfs } from ${JSON.stringify(new URL('../dist/node.js', import.meta.url).href)}
  import { readFile } from 'node:fs/promises'
  import { Readable } from 'node:stream'
  const guest = await readFile(${JSON.stringify(fileURLToPath(new URL('../../.cache/web-test-guest.wasm', import.meta.url)))})
  ${script}`

/** Runs Node with these arguments: it prints what it should, and ends by itself, with nothing to say about anything. */
async function ends(args, env = {}) {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  // Its standard input stays open: it must end all the same.
  const killer = setTimeout(() => child.kill('SIGKILL'), 30_000)
  child.stdin.write('a line of the terminal\n')
  child.stdin.on('error', () => undefined)
  const printed = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  const [code, signal] = await new Promise((resolve) => child.on('exit', (...end) => resolve(end)))
  clearTimeout(killer)
  same([code, signal, ...(await printed)], [0, null, 'hello\n', ''])
}

/** Options that Node is run with: V8's, the process's own and those of each script; and the environment's. */
const OPTIONS = [
  [['--max-old-space-size=4096', '--max-semi-space-size=32', '--expose-gc', '--stack-size=900', '--stack-trace-limit=50']],
  [['--title=capfs', '--use-openssl-ca', '--trace-warnings', '--enable-source-maps', '--conditions=capfs']],
  [['--input-type=module', '--max-old-space-size=4096', '--title=capfs', '--trace-warnings']],
  [['--expose-gc', '--input-type', 'module']],
  [['--trace-warnings'], { NODE_OPTIONS: '--max-old-space-size=4096 --input-type=module' }],
  [[], { NODE_OPTIONS: '--max-old-space-size=4096 --stack-trace-limit=50' }],
]

/** Scripts that print what an agent prints, and then have nothing more to do. */
const SCRIPTS = {
  'without close': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'] })
    process.stdout.write(await new Response(agent.stdout).text())`,
  'that awaits nothing of the agent': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'] })
    void new Response(agent.stdout).text().then((text) => process.stdout.write(text))`,
  'with close': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'] })
    process.stdout.write(await new Response(agent.stdout).text())
    capfs.close()`,
  'that has made a Capfs alone': `
    await Capfs.create({ capabilities: true })
    process.stdout.write('hello\\n')`,
  'whose standard input the agent has, without close': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'], stdin: Readable.toWeb(process.stdin) })
    process.stdout.write(await new Response(agent.stdout).text())`,
  'whose standard input the agent has, with close': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'], stdin: Readable.toWeb(process.stdin) })
    process.stdout.write(await new Response(agent.stdout).text())
    await agent.exit
    capfs.close()`,
  'that has asked what is never answered': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'], grants: ['console'], console: { write() {} } })
    agent.readText('/cap/console/cons').catch(({ code }) => process.stdout.write(code === 'CLOSED' ? '' : code))
    process.stdout.write(await new Response(agent.stdout).text())
    await agent.exit
    await agent.dispose()`,
  'whose arguments were wrong': `
    const capfs = await Capfs.create()
    const agent = await capfs.spawn(guest, { args: ['hello'], mounts: { '/w': { type: 'memory' } } })
    const gone = new Uint8Array(8)
    structuredClone(gone, { transfer: [gone.buffer] })
    await agent.writeFile('/w/a', gone).catch(({ code }) => process.stdout.write(code === 'OPTION_INVALID' ? '' : code))
    process.stdout.write(await new Response(agent.stdout).text())`,
  'with a capability from the device worker': `
    const capfs = await Capfs.create({ capabilities: true })
    const agent = await capfs.spawn(guest, { args: ['hello'], grants: ['crypto'] })
    process.stdout.write(await new Response(agent.stdout).text())`,
}

async function inBrowser(name) {
  const launch = BROWSERS[name]
  if (!launch) throw new Error(`no browser is called ${name}: there are ${Object.keys(BROWSERS).join(', ')}`)
  const guest = Buffer.from(buildGuest()).toString('base64')
  const browser = await launch()
  for (const isolated of [false, true]) {
    const title = `${name}${isolated ? ' isolated' : ''}`
    const server = await serve({ folder: fileURLToPath(new URL('..', import.meta.url)), isolated })
    const page = await browser.open(`${server.address}test/blank.html`)
    const call = (name, ...args) =>
      page.run(
        async (name, args) => {
          const cases = await import('/test/endurance-cases.mjs')
          await cases[name](...args)
        },
        [name, args],
      )
    await page.run(
      async (guest) => {
        const cases = await import('/test/endurance-cases.mjs')
        const { Capfs } = await import('/dist/index.js')
        cases.countWorkers()
        await cases.open(Capfs, {}, Uint8Array.from(atob(guest), (char) => char.charCodeAt(0)))
      },
      [guest],
    )
    await endure(title, call, name === 'chromium' ? (isolated ? ['sab', 'jspi'] : ['jspi']) : isolated ? ['sab'] : [])
    if (name === 'chromium') {
      await tested(`${title}: starts agents when memories come back`, () => call('memoriesThatComeBack'))
      await tested(`${title}: says so when there is no memory`, () => call('withoutMemory'))
    }
    await tested(`${title}: ends every worker when it is closed`, () => call('close'))
    await page.close()
    await server.close()
  }
  await browser.close()
}

if (options.host === 'node') await inNode()
else await inBrowser(options.host)
finish()
