// Drives the demo page in Chromium as a person would. Every wait is for a condition, none is for a time.
// Prints what it does, then `N passed, N failed`.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { binary } from '../../scripts/project.mjs'
import { badModules } from './bad-modules.mjs'
import { launchChromium } from './chromium.mjs'
import { serve as serveRelay } from '../servers/relay.mjs'
import { serveFolder } from './static-server.mjs'
import { conclude, dist, leaveTerminal, runTest } from './suite.mjs'

/** Loading and compiling clang, 31 MB, on a busy machine of 2 cores. */
const SLOW = { timeout: 90_000 }

const server = await serveFolder(dist)
const relay = await serveRelay()
const browser = await launchChromium()
async function test(name, body, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options })
  page.setDefaultTimeout(30_000)
  await runTest(name, page, server.address, body)
}

const terminalShows = (page, text, options) =>
  page.waitForFunction((wanted) => globalThis.terminalText().includes(wanted), text, options)
/** What is shown and a finger can't hit: less than 44 pixels in one direction. What has a label is hit by that. */
const tooSmall = (page) =>
  page.evaluate(() => {
    const all = document.querySelectorAll('button, select, input, textarea, summary, [role=tab], [role=treeitem], [tabindex="0"]')
    const shown = [...all].filter((element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.closest('.xterm'))
    const small = shown.filter((element) => {
      const boxes = [element, element.closest('label')].filter(Boolean).map((part) => part.getBoundingClientRect())
      return !boxes.some(({ width, height }) => width >= 43.5 && height >= 43.5)
    })
    return small.map((element) => {
      const { width, height } = element.getBoundingClientRect()
      return `${element.outerHTML.slice(0, 90)} ${Math.round(width)} x ${Math.round(height)}`
    })
  })
const terminal = (page) => page.evaluate(() => globalThis.terminalText())
const stateIs = (page, state, options) => page.waitForSelector(`.agent:not([hidden])[data-state=${state}]`, options)
const treeShows = (page, path) => page.waitForSelector(`[data-path="${path}"]`)
const start = async (page, sample) => {
  await page.check(`input[value=${sample}]`)
  await page.click('.launcher button[type=submit]')
}
const take = (page, name, buffer) =>
  page.setInputFiles('[data-role=module]', { name, mimeType: 'application/wasm', buffer })
/** Drops files on a part of the page, as a file manager does. */
const drop = async (page, selector, name, bytes) => {
  const data = await page.evaluateHandle(
    ([file, content]) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([new Uint8Array(content)], file))
      return transfer
    },
    [name, [...bytes]],
  )
  await page.dispatchEvent(selector, 'drop', { dataTransfer: data })
}
const compile = async (page, example) => {
  await page.selectOption('.editor select', { label: example })
  await page.click('.editor .primary:enabled')
  await page.waitForSelector('.agent:not([hidden])', SLOW)
}

await test('runs the hello sample without isolation headers', async (page) => {
  assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), false)
  await start(page, 'hello')
  await stateIs(page, 'done')
  assert.match(await terminal(page), /hello/i)
  assert.match(await page.textContent('.phases'), /ms/)
  for (const figure of ['memory', 'heldPeak', 'bytesWritten']) {
    assert.match(await page.textContent(`[data-usage=${figure}]`), /^[\d.]+ ([KM]i)?B$/, figure)
  }
})

await test('the form is there before the kernel is, and what is started meanwhile starts when it has come', async (page) => {
  let release
  const held = new Promise((resolve) => {
    release = resolve
  })
  await page.route(/capfs\/(index\.js|kernel-full\.wasm)$|xterm\.mjs$/, async (route) => {
    await held
    await route.continue()
  })
  await page.reload({ waitUntil: 'commit' })
  await page.waitForSelector('#stage .notice:has-text("Loading")')
  await start(page, 'hello')
  await page.waitForSelector('#stage .notice:has-text("Hello starts")')
  assert.equal(await page.getAttribute('body', 'data-ready'), null)
  await page.check('input[value=explorer]')
  await page.click('[data-grant=fetch] summary')
  await page.fill('[data-grant=fetch] [data-term=origin]', 'ftp://example.com')
  assert.equal(await page.locator('[data-grant=fetch] .problem:visible').count(), 0)
  release()
  await stateIs(page, 'done')
  assert.match(await page.textContent('[data-grant=fetch] .problem'), /expected \* or SCHEME/)
  assert.equal(await page.locator('#stage .notice').count(), 0)
})

await test('says so when its own script does not come, or breaks, or scripts are switched off', async (page) => {
  assert.equal(await page.isVisible('#broken'), false)
  const scripts = [
    [/app\/main\.js$/, { status: 503 }],
    [/app\/launcher\.js$/, { status: 404 }],
    [/app\/main\.js$/, { contentType: 'text/javascript', body: 'this is no script' }],
    [/app\/main\.js$/, { contentType: 'text/javascript', body: 'throw new Error("broken on its way")' }],
  ]
  const other = await browser.newPage()
  for (const [file, answer] of scripts) {
    await other.route(file, (route) => route.fulfill(answer))
    await other.goto(server.address)
    await other.waitForSelector('#broken:visible')
    assert.match(await other.textContent('#broken'), /could not be started/)
    await other.unroute(file)
  }
  await other.close()
  const context = await browser.newContext({ javaScriptEnabled: false })
  const plain = await context.newPage()
  await plain.goto(server.address)
  assert.match(await plain.locator('noscript .notice').innerText(), /switched off/)
  assert.equal(await plain.isVisible('#broken'), false)
  await context.close()
})

await test('says that the kernel can’t be loaded', async (page) => {
  await page.route(/kernel-full\.wasm$/, (route) => route.fulfill({ status: 503 }))
  await page.reload({ waitUntil: 'commit' })
  await page.waitForSelector('body[data-ready=failed]')
  assert.match(await page.textContent('#stage .failure'), /kernel-full\.wasm can't be loaded: the server answers 503/)
})

await test('runs a module that was dropped, with a file that was dropped', async (page) => {
  const hello = await readFile(join(dist, 'agents/hello.wasm'))
  await drop(page, '.drop:not(.small)', 'mine.wasm', hello)
  await page.waitForSelector('input[value=own]:checked')
  await drop(page, '.drop.small', 'notes.txt', Buffer.from('dropped text'))
  await page.waitForSelector('.files li')
  await page.click('.launcher button[type=submit]')
  await stateIs(page, 'done')
  await page.click('[data-path="/notes.txt"]')
  await page.waitForFunction(() => document.querySelector('.viewer pre').textContent === 'dropped text')
  await page.click('.viewer button:text-is("Hex")')
  assert.match(await page.textContent('.viewer pre'), /^000000 {2}64 72 6f 70/)
})

await test('shows the variant in use, and forces another one', async (page) => {
  const before = await page.getAttribute('#variant', 'data-variant')
  assert.match(before, /^(jspi|sab|none)-(multi|single)$/)
  const [wait] = before.split('-')
  await page.selectOption('#variant select', `${wait} · single`)
  await page.waitForSelector(`#variant[data-variant=${wait}-single]`)
  await start(page, 'hello')
  await stateIs(page, 'done')
})

await test('runs programs where calls can’t wait, and says what they can’t have', async (page) => {
  await page.selectOption('#variant select', 'none · single')
  await page.waitForSelector('#variant[data-variant=none-single]')
  await start(page, 'hello')
  await stateIs(page, 'done')
  await start(page, 'tasks')
  await stateIs(page, 'failed')
  assert.match(await page.textContent('.agent:not([hidden]) .failure'), /it has no tasks/)
})

await test('a program in C reads what is typed, to the end of the input', async (page) => {
  await start(page, 'lines')
  await stateIs(page, 'running')
  // The output follows each line: the program reads while the page types.
  await page.keyboard.type('first\n')
  await terminalShows(page, '1  first')
  await page.keyboard.type('second\n')
  await terminalShows(page, '2  second')
  await page.keyboard.press('Control+d')
  await stateIs(page, 'done')
})

await test('Python answers in the terminal, edits lines, and its files appear in the tree', async (page) => {
  await start(page, 'python')
  await terminalShows(page, '>>>', SLOW)
  await page.keyboard.type('print(6 * 8')
  await page.keyboard.press('Backspace')
  await page.keyboard.type('7)\n')
  await terminalShows(page, '\n42')
  await page.keyboard.type("open('/made.txt', 'w').write('by python')\n")
  await treeShows(page, '/made.txt')
  await page.keyboard.press('Control+d')
  await stateIs(page, 'done')
})

await test('shows how much of a program has arrived', async (page) => {
  // Everything that the bar of an agent ever said.
  await page.evaluate(() => {
    globalThis.said = []
    const listen = () => document.querySelectorAll('.state-label').forEach((label) => globalThis.said.push(label.textContent))
    new MutationObserver(listen).observe(document.querySelector('#stage'), { subtree: true, childList: true, characterData: true })
  })
  await start(page, 'sqlite')
  await terminalShows(page, 'sqlite>', SLOW)
  const said = await page.evaluate(() => globalThis.said)
  assert(said.some((label) => /^loading sqlite\.wasm, [\d.]+ [KM]i?B of 3\.4\d? MiB$/.test(label)), [...new Set(said)].join('\n'))
})

await test('SQLite answers in the terminal', async (page) => {
  await start(page, 'sqlite')
  await terminalShows(page, 'sqlite>', SLOW)
  await page.keyboard.type('.read /stars.sql\n')
  await terminalShows(page, 'Proxima Centauri')
  await treeShows(page, '/stars.db')
})

await test('QuickJS runs its script', async (page) => {
  await start(page, 'quickjs')
  await terminalShows(page, 'FizzBuzz', SLOW)
})

await test('compiles C in the tab, runs it, and shares its file with other agents', async (page) => {
  await compile(page, 'Conversation')
  await terminalShows(page, 'What is your name?')
  await page.keyboard.type('Ada\n')
  await stateIs(page, 'done')
  assert.match(await terminal(page), /Hello, Ada\./)
  await page.click('#editor-tab')
  await page.click('[data-path="/shared"]')
  await page.click('[data-path="/shared/guests.txt"]')
  await page.waitForFunction(() => document.querySelector('.viewer pre').textContent === 'Ada\n')
})

await test('kills an agent that spins', async (page) => {
  await compile(page, 'Spin for ever')
  await terminalShows(page, 'Spinning.')
  await page.click('.agent:not([hidden]) button:text-is("Kill")')
  await stateIs(page, 'failed')
  assert.match(await terminal(page), /killed \(137\)/)
})

await test('explains a trap', async (page) => {
  await compile(page, 'Trap')
  await stateIs(page, 'failed')
  assert.match(await page.textContent('.failure'), /trapped/)
})

await test('points at the mistakes in C', async (page) => {
  await page.fill('.editor textarea', 'int main(void) { return nothing; }\n')
  await page.click('.editor .primary:enabled')
  await page.waitForSelector('.report li.error button', SLOW)
  await page.click('.report li.error button')
  assert.equal(await page.evaluate(() => document.activeElement.selectionStart), 24)
})

for (const [name, bytes, words] of [
  ['a truncated module', badModules.truncated, /not a WebAssembly module/],
  ['a component', badModules.component, /is a component/],
  ['an unknown import', badModules.unknownImport, /env[\s\S]*mystery/],
  ['a missing _start', badModules.noStart, /no _start/],
]) {
  await test(`explains ${name}`, async (page) => {
    await take(page, 'bad.wasm', bytes)
    await page.waitForSelector('input[value=own]:checked')
    await page.click('.launcher button[type=submit]')
    await stateIs(page, 'failed')
    assert.match(await page.textContent('.agent:not([hidden]) .failure'), words)
  })
}

await test('says that an argument line has an open quote', async (page) => {
  await page.fill('.launcher input[name=args]', "it's")
  await page.click('.launcher button[type=submit]')
  await page.waitForSelector('.launcher .problem:visible')
  assert.equal(await page.locator('.agent').count(), 0)
})

await test('keeps several agents in tabs that the keyboard reaches', async (page) => {
  await start(page, 'hello')
  await stateIs(page, 'done')
  await start(page, 'hello')
  await stateIs(page, 'done')
  assert.equal(await page.locator('[role=tab]').count(), 3)
  // No two of them have one name.
  const names = await page.locator('.tab .close').evaluateAll((all) => all.map((button) => button.getAttribute('aria-label')))
  assert.equal(new Set(names).size, 2, names.join(', '))
  await page.focus('[role=tab][aria-selected=true]')
  await page.keyboard.press('Home')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'editor-tab')
  await page.keyboard.press('End')
  await page.keyboard.press('Delete')
  await page.waitForFunction(() => document.querySelectorAll('[role=tab]').length === 2)
})

await test('the focus stays with an agent that is killed by its button', async (page) => {
  await start(page, 'lines')
  await stateIs(page, 'running')
  await page.focus('.agent:not([hidden]) button:text-is("Kill")')
  await page.keyboard.press('Enter')
  await stateIs(page, 'failed')
  assert.equal(await page.evaluate(() => document.activeElement.matches('.agent')), true)
})

await test('the keyboard leaves the terminal, while a program reads and when it has ended', async (page) => {
  await start(page, 'lines')
  await stateIs(page, 'running')
  await leaveTerminal(page)
})

await test('Tab leaves the terminal of a program whose input has ended', async (page) => {
  await start(page, 'python')
  await terminalShows(page, '>>>', SLOW)
  await page.keyboard.type('import time; time.sleep(1e6)\n')
  await page.click('.agent:not([hidden]) button:text-is("End input")')
  await page.focus('.agent:not([hidden]) .xterm-helper-textarea')
  await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.classList.contains('xterm-helper-textarea')), false)
})

await test('no control that has the focus is beneath another', async (page) => {
  await page.check('input[value=explorer]')
  for (const summary of await page.$$('.launcher summary')) if (await summary.evaluate((element) => !element.parentElement.open)) await summary.click()
  await page.focus('.skip')
  const seen = new Set()
  for (;;) {
    await page.keyboard.press('Tab')
    const [name, beneath] = await page.evaluate(() => {
      const element = document.activeElement
      const name = `${element.tagName} ${element.id || element.getAttribute('aria-label') || element.textContent.trim()}`
      if (element === document.body) return [name, undefined]
      const { left, top, width, height } = element.getBoundingClientRect()
      const shown = [top + 2, top + height / 2, top + height - 2].map((y) => document.elementFromPoint(left + width / 2, y))
      const others = shown.filter((one) => !one || !(element.contains(one) || one.contains(element)))
      // Of what takes several lines the line with the caret is enough.
      const hidden = others.length > (height < 60 ? 0 : shown.length - 1)
      return [name, hidden ? (others[0]?.outerHTML.slice(0, 80) ?? 'the edge') : undefined]
    })
    // Round once: after the last control comes the document, or the first one again.
    if (seen.has(name) && seen.size > 20) break
    seen.add(name)
    assert.equal(beneath, undefined, `${name} is beneath ${beneath}`)
  }
  assert([...seen].some((name) => name.includes('Start agent')), [...seen].join('\n'))
})

await test('the explorer has what was granted, each operation is shown, and what is revoked is gone', async (page) => {
  await start(page, 'explorer')
  await terminalShows(page, '/%')
  await page.keyboard.type('head 16 /cap/random > bytes; ls -l\n')
  await terminalShows(page, '16  bytes')
  const read = page.locator('.operations tbody tr', { hasText: 'random read' }).first()
  await read.waitFor()
  const cells = await read.locator('td').allTextContents()
  assert.match(cells[0], /^\d\d:\d\d:\d\d\.\d{3}$/)
  assert.deepEqual(cells.slice(1, 6), ['explorer 1', 'random read', '/cap/random', '16 B', 'ok'])
  assert.match(cells[6], /^\d+\.\d\d$/)
  await page.click('[data-revoke="/cap/random"]')
  await page.waitForSelector('[data-at="/cap/random"].revoked')
  await page.click('.agent:not([hidden]) .console')
  await page.keyboard.type('head 1 /cap/random\n')
  await terminalShows(page, '/cap/random: ENODEV')
  await page.locator('.operations tbody .failed', { hasText: 'ENODEV' }).first().waitFor()
  await page.check('.operations [type=checkbox]')
  assert.equal(await page.locator('.operations tbody tr:not(.failed)').count(), 0)
})

await test('the inspector reads a device only where it is asked to, and waits for none', async (page) => {
  await start(page, 'explorer')
  await terminalShows(page, '/%')
  await page.click('[data-path="/cap"]')
  await page.click('[data-path="/cap/random"]')
  await page.click('.viewer pre button:text-is("Read it once")')
  await page.waitForFunction(() => document.querySelector('.viewer pre').textContent.includes('EFBIG'))
  await page.click('[data-path="/cap/console"]')
  await page.click('[data-path="/cap/console/cons"]')
  await page.waitForSelector('.viewer pre button:text-is("Read it once")')
  const type = async (line, shown) => {
    await page.click('.agent:not([hidden]) .console')
    await page.keyboard.type(line)
    await terminalShows(page, shown)
  }
  // Nothing has taken these keys.
  await type('echo first > first.txt\n', 'echo first')
  await treeShows(page, '/first.txt')
  await page.click('.viewer pre button:text-is("Read it once")')
  await page.waitForSelector('.viewer pre button:text-is("Stop")')
  // While that waits the inspector goes on, and another file is shown at once; with that the read is given up.
  await page.click('[data-path="/readme.txt"]')
  await page.waitForFunction(() => document.querySelector('.viewer pre').textContent.startsWith('What was granted'))
  await type('echo second > kept.txt\n', 'echo second')
  await treeShows(page, '/kept.txt')
})

await test('an origin that was not granted is refused, and the refusal is told', async (page) => {
  await start(page, 'explorer')
  await terminalShows(page, '/%')
  await page.keyboard.type('cat /cap/fetch/https/example.com/\n')
  await terminalShows(page, 'the origin https://example.com is not granted')
  await page.locator('.operations tbody .failed', { hasText: 'EACCES' }).first().waitFor()
  assert.deepEqual(await page.locator('.operations tbody .failed .what').allTextContents(), ['https://example.com'])
  await page.waitForSelector('[data-at="/cap/fetch"]:has-text("1 refused")')
})

await test('grants are said in words, added, changed and taken away, and said as flags', async (page) => {
  await page.check('input[value=explorer]')
  const native = () => page.textContent('[data-role=native]')
  assert.match(await native(), /^capfs-host run \\\n {2}--dir files::\/:rw \\\n {2}--grant random \\\n {2}--grant fetch,origin=http:\/\/127/)
  assert.match(await page.textContent('[data-grant=fetch] .says'), /^It may send GET and HEAD requests to http:\/\/127\.0\.0\.1:\d+\.$/)
  await page.click('[data-grant=random] button')
  assert.doesNotMatch(await native(), /--grant random/)
  await page.selectOption('[data-role=add-grant]', 'random')
  await page.click('[data-grant=random] summary')
  await page.selectOption('[data-grant=random] .more', 'at')
  await page.fill('[data-grant=random] [data-term=at]', '/dev/random')
  assert.match(await native(), /--grant random,at=\/dev\/random/)
  await page.click('.launcher button[type=submit]')
  await terminalShows(page, '/%')
  await page.keyboard.type('ls /dev\n')
  await terminalShows(page, '\nrandom')
  await page.waitForSelector('[data-revoke="/dev/random"]')
})

await test('what it says to run natively runs natively, as a command and by a manifest', async (page) => {
  const folder = await mkdtemp(join(tmpdir(), 'capfs-page-'))
  try {
    await symlink(join(dist, 'agents'), join(folder, 'agents'))
    await mkdir(join(folder, 'files'))
    const host = binary('capfs-host')
    const native = () => page.textContent('[data-role=native]')
    for (const sample of ['explorer', 'feeds', 'nostr', 'tasks']) {
      await page.check(`input[value=${sample}]`)
      await page.click('[data-form=manifest]')
      await writeFile(join(folder, 'agent.toml'), await native())
      const told = spawnSync(host, ['inspect', '--manifest', 'agent.toml', '--state', 'state'], { cwd: folder, encoding: 'utf8' })
      // What only a page has is missing natively: then it is understood, and does not start.
      assert.match(told.stdout, told.status === 0 ? /^starts +yes/m : /^starts +no/m, told.stderr)
      await page.click('[data-form=command]')
    }
    await page.check('input[value=hello]')
    await page.fill('.launcher input[name=args]', "it\\'s 'two words'")
    const command = await native()
    await page.click('[data-form=manifest]')
    await writeFile(join(folder, 'agent.toml'), await native())
    await writeFile(join(folder, 'files', 'note.txt'), 'a note')
    const options = { cwd: folder, encoding: 'utf8', env: { ...process.env, PATH: `${dirname(host)}:${process.env.PATH}` } }
    const [one, other] = [command, 'capfs-host run --manifest agent.toml'].map((line) => spawnSync('sh', ['-c', line], options))
    assert.match(one.stdout, /hello, it's two words/, one.stderr)
    assert.equal(other.stdout, one.stdout, other.stderr)
  } finally {
    await rm(folder, { recursive: true })
  }
})

await test('says what is wrong with a grant before the start, as the kernel does', async (page) => {
  await page.check('input[value=explorer]')
  await page.click('[data-grant=fetch] summary')
  await page.selectOption('[data-grant=fetch] .more', 'max-body')
  await page.fill('[data-grant=fetch] [data-term=max-body]', '10 megabytes')
  assert.equal(await page.textContent('[data-grant=fetch] .problem'), '`max-body`: expected a size, such as 4096, 64KiB or 10MiB')
  await page.click('.launcher button[type=submit]')
  assert.equal(await page.evaluate(() => document.activeElement.dataset.term), 'max-body')
  assert.equal(await page.locator('.agent').count(), 0)
  await page.fill('[data-grant=fetch] [data-term=max-body]', '10MB')
  await page.waitForSelector('[data-grant=fetch] .problem', { state: 'hidden' })
  assert.match(await page.textContent('[data-grant=fetch] .says'), /answers up to 10MB\.$/)
  await page.fill('[data-grant=fetch] [data-term=origin]', 'ftp://example.com')
  assert.match(await page.textContent('[data-grant=fetch] .problem'), /expected \* or SCHEME:\/\/HOST/)
})

/** The terms of a device, as the kernel lists them to whoever names another. */
const termsOf = async (device) => {
  const { Capfs } = await import('capfs')
  globalThis.other ??= await Capfs.create({ capabilities: true, spares: 0 })
  try {
    globalThis.other.checkGrant(`${device},no-such-term=1`)
  } catch ({ message }) {
    const [, list] = /it knows (.*)$/.exec(message)
    return list.replaceAll('`', '').replace(' alone', '').split(', ')
  }
  throw new Error(`${device} takes any term`)
}

/** Terms that a page can't keep to. */
const NATIVE_ALONE = new Set(['ws header', 'ws header-env', 'ws header-file', 'fetch header-env', 'fetch header-file'])

await test('every grant that the page offers can be given', async (page) => {
  await page.check('input[value=hello]')
  const values = (select) => page.$$eval(`${select} option`, (options) => options.map(({ value }) => value).filter(Boolean))
  const devices = await values('[data-role=add-grant]')
  assert.ok(devices.length > 8, `${devices}`)
  for (const device of devices) {
    await page.selectOption('[data-role=add-grant]', device)
    // Its terms, each with the value that a new one begins with: all that the kernel knows, but for those of other hosts alone.
    await page.click(`[data-grant=${device}] summary`)
    const more = `[data-grant=${device}] .more`
    const known = await page.evaluate(termsOf, device)
    const given = await page.$$eval(`[data-grant=${device}] [data-term]`, (fields) => fields.map(({ dataset }) => dataset.term))
    assert.deepEqual([...new Set([...given, ...(await values(more))])].sort(), known.filter((term) => !NATIVE_ALONE.has(`${device} ${term}`)).sort())
    for (const term of await values(more)) await page.selectOption(more, term)
    assert.equal(await page.textContent(`[data-grant=${device}] .problem`), '')
    await page.click(`[data-grant=${device}] .head button`)
    await page.selectOption('[data-role=add-grant]', device)
  }
  await page.click('.launcher button[type=submit]')
  await stateIs(page, 'done')
  assert.equal(await page.locator('[data-revoke]').count(), devices.length)
})

await test('the feed reader shows a feed on its part of the page, until fetching is revoked', async (page) => {
  await start(page, 'feeds')
  await page.waitForSelector('.page-part h2:has-text("This text came through /cap/fetch")')
  await page.click('[data-revoke="/cap/fetch"]')
  await page.waitForSelector('[data-at="/cap/fetch"].revoked')
  await page.click('.page-part button')
  await page.waitForSelector('.page-part p:has-text("ENODEV")')
})

await test('an agent starts another, which has what it was handed and nothing else', async (page) => {
  await start(page, 'tasks')
  await terminalShows(page, '/%')
  /** Types a line when the prompt is there, and answers what came of it. */
  const answer = async (line) => {
    const before = (await terminal(page)).length
    await page.keyboard.type(`${line}\n`)
    await page.waitForFunction((length) => /\n\/%$/.test(globalThis.terminalText().slice(length)), before)
    return (await terminal(page)).slice(before).split('\n').slice(1, -1)
  }
  assert.deepEqual(await answer('cat /task/new/wasi'), ['1'])
  for (const line of ['echo /bin/tree.wasm /cap > /task/1/cmd', 'echo bind /cap /cap > /task/1/ctl', 'echo start > /task/1/ctl']) assert.deepEqual(await answer(line), [])
  const shown = await answer('cat /task/1/fd/1 /task/1/wait')
  assert.equal(shown[0], '/cap')
  assert.match(shown[1], /random/)
  assert.equal(shown.at(-1), '0')
})

await test('notes are there again for the next agent', async (page) => {
  await start(page, 'notes')
  await page.waitForSelector('[data-at="/cap/storage/opfs"]')
  await stateIs(page, 'running')
  await page.keyboard.type('add -t home call Ada about the boat\n')
  await page.waitForSelector('[data-at="/cap/storage/opfs"] small:has-text("operations")')
  await page.keyboard.press('Control+d')
  await stateIs(page, 'done')
  await page.fill('.launcher input[name=args]', 'search boat')
  await page.click('.launcher button[type=submit]')
  await terminalShows(page, 'call Ada about the')
  await stateIs(page, 'done')
})

await test('a Nostr client posts to a relay and reads what it posted, with a key that it never sees', async (page) => {
  await page.check('input[value=nostr]')
  const run = async (args) => {
    await page.fill('.launcher input[name=args]', args)
    await page.click('.launcher button[type=submit]')
  }
  await page.click('[data-grant=ws] summary')
  await page.fill('[data-grant=ws] [data-term=origin]', relay.address)
  await run(`post --relay ${relay.address} 'Signed out of reach'`)
  await stateIs(page, 'done')
  await run(`read --relay ${relay.address} --author me`)
  await terminalShows(page, 'Signed out of reach')
  await page.locator('.agent:not([hidden]) .operations tbody tr', { hasText: 'crypto' }).first().waitFor()
  await run('read --relay wss://elsewhere.example')
  await stateIs(page, 'failed')
  await page.locator('.agent:not([hidden]) .operations tbody .failed .what', { hasText: 'wss://elsewhere.example/' }).first().waitFor()
  assert.match((await terminal(page)).replaceAll('\n', ''), /the origin wss:\/\/elsewhere\.example is not granted/)
})

await test('a program in C hashes what it may fetch, and is refused what it may not', async (page) => {
  await start(page, 'websum')
  await stateIs(page, 'failed')
  const digest = createHash('sha256').update(await readFile(join(dist, 'feed.xml'))).digest('hex')
  const shown = (await terminal(page)).replaceAll('\n', '')
  assert(shown.includes(`${digest}  ${server.address}feed.xml`), shown)
  assert.match(shown, /https:\/\/example\.com\/: .*not granted/)
  await page.locator('.operations tbody .failed', { hasText: 'EACCES' }).first().waitFor()
  assert.deepEqual(await page.locator('.operations tbody .failed .what').allTextContents(), ['https://example.com/'])
})

await test(
  'fits a phone of 390 pixels',
  async (page) => {
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    await page.check('input[value=feeds]')
    assert.equal(await page.evaluate(() => document.documentElement.scrollHeight), 844)
    for (const summary of await page.locator('.launcher summary').all()) if (!(await summary.evaluate(({ parentElement }) => parentElement.open))) await summary.click()
    assert.deepEqual(await tooSmall(page), [])
    await page.click('nav button[data-pane=stage]')
    assert.deepEqual(await tooSmall(page), [])
    await page.fill('.editor input[aria-label="Arguments of the program"]:visible', 'one two')
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    await page.click('nav button[data-pane=start]')
    await start(page, 'feeds')
    await page.waitForSelector('.page-part h2')
    await page.click('.operations summary')
    await page.locator('.operations tbody tr').first().waitFor()
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    assert.deepEqual(await tooSmall(page), [])
    await page.click('nav button[data-pane=inspector]')
    await treeShows(page, '/shared')
    await page.click('[data-path="/shared"]')
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    assert.deepEqual(await tooSmall(page), [])
  },
  { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
)

await browser.close()
server.close()
await relay.close()
conclude()
