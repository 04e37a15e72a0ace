// Stored files in a browser with a profile on the disk: `node web/test/opfs.mjs [--browser chromium|firefox]`.
import { parseArgs } from 'node:util'
import { same } from './cases.mjs'
import { count, finish } from './harness.mjs'
import { Profile, buildGuest, openPage, servePackage } from './opfs-browser.mjs'

const { values } = parseArgs({ options: { browser: { type: 'string', default: 'chromium' }, only: { type: 'string' } } })
const guest = buildGuest()

/** Fails unless the guest was content. */
function well(result) {
  if (result.code !== 0 || result.message !== undefined) throw new Error(JSON.stringify(result))
  return result.out.replace(/ok\n$/, '')
}

const MIB = 2 ** 20

/** Cases of one page; each has a directory of its own. */
const onePage = {
  async 'keeps many files, their names and links'({ call, mount }) {
    well(await call('run', ['many', '300'], mount))
    well(await call('run', ['check-many', '300'], mount))
  },
  async 'has sparse files, truncates, appends, and unlinks what is open'({ call, mount }) {
    well(await call('run', ['shapes'], mount))
  },
  async 'has a thousand files open at once'({ call, mount }) {
    well(await call('run', ['open-many', '1000'], mount))
  },
  async 'says EDQUOT at its own limit, and can be emptied then'({ call, mount }) {
    const limited = { ...mount, quota: 3 * MIB }
    same(well(await call('run', ['fill'], limited)), `${3 * MIB} EDQUOT\n`)
    well(await call('run', ['check-fill'], limited))
  },
  async 'is read by the page when the agent has ended'({ call, mount }) {
    same(await call('readAfter', ['put', '5000'], mount, '/s/put'), { names: ['put'], length: 5000 })
    well(await call('run', ['expect', '5000'], mount))
  },
  async 'keeps directories apart'({ call, mount }) {
    well(await call('run', ['put', '100'], { directory: `${mount.directory}/a` }))
    well(await call('run', ['put', '200'], { directory: `${mount.directory}/b` }))
    well(await call('run', ['expect', '100'], { directory: `${mount.directory}/a` }))
  },
  async 'may not be written where it is only read'({ call, mount }) {
    well(await call('run', ['put', '100'], mount))
    same((await call('run', ['try'], { ...mount, rights: 'ro' })).out !== 'made\nok\n', true)
    well(await call('run', ['expect', '100'], { ...mount, rights: 'ro' }))
  },
  async 'is granted as a capability, with its quota beside it'({ call, mount }) {
    const grants = [`opfs,at=/s/tree,name=${mount.directory},quota=2MiB`]
    same(well(await call('run', ['fill', '/s/tree/full'], undefined, grants)), `${2 * MIB} EDQUOT\n`)
    same(well(await call('run', ['quota'], undefined, grants)), `used 102400\ntotal ${2 * MIB}\n`)
  },
  async 'refuses a directory that leads out, or that some browser can\'t have'({ call }) {
    for (const directory of ['../x', 'a\\b', 'a/b\\', 'x'.repeat(300)]) {
      const [code, message] = await call('refusal', { directory })
      same([directory, code, message.includes(directory)], [directory, 'OPTION_INVALID', true])
    }
  },
  async 'refuses what is damaged before an agent begins, and says where'({ call, mount }) {
    well(await call('run', ['put', '100'], mount))
    for (const index of ['index-0', 'index-1']) await call('spoil', mount.directory, index)
    for (const grants of [undefined, [`opfs,name=${mount.directory}`]]) {
      const [code, message] = await call('refusal', mount, grants)
      same([code, message.includes(mount.directory), message.includes('damaged')], ['STORAGE_DAMAGED', true, true])
    }
  },
}

/** Cases that end something in the middle of its work. */
const endings = {
  async 'loses nothing that was synced when its worker is ended'({ call, mount, wait, guest }) {
    for (const how of wait === 'none' ? ['write'] : ['write', 'spin']) {
      const directory = `${mount.directory}-${how}`
      await call('begin', ['synced', how], { directory }, 'synced')
      await call('close')
      await call('start', wait, guest)
      well(await call('run', ['check-synced'], { directory }))
    }
  },
  async 'loses nothing that was synced when its tab is closed'({ open, mount }) {
    const doomed = await open()
    await doomed.call('begin', ['synced', 'write'], mount, 'synced')
    await doomed.page.close({ runBeforeUnload: false })
    const next = await open()
    well(await next.call('run', ['check-synced'], mount))
    await next.close()
  },
}

/** Cases of two tabs, for the variants that can wait. */
const twoTabs = {
  async 'is one tab\'s at a time, and the other\'s when the first has ended'({ call, open, mount }) {
    const number = await call('begin', ['hold'], mount, 'holding')
    const other = await open()
    // In another tab, in the same, and as a capability: refused by name, before the agent has run.
    for (const asked of [other.call, call]) {
      for (const grants of [undefined, [`opfs,name=${mount.directory}`]]) {
        const [code, message] = await asked('refusal', mount, grants)
        same([code, message.includes(mount.directory)], ['STORAGE_BUSY', true])
      }
    }
    well(await call('finish', number))
    same((await other.call('run', ['try'], mount)).out, 'made\nok\n')
    await other.close()
  },
  async 'is another tab\'s when its page is left, whether the browser keeps that or not'({ open, mount, blank }) {
    const [left, other] = [await open(), await open()]
    const ends = await left.call('begin', ['hold'], mount, 'holding')
    // What a browser tells a page that it keeps; this one stays, to be asked.
    await left.page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })))
    same((await other.call('run', ['try'], mount)).out, 'made\nok\n')
    const { code, reason, message } = await left.call('finish', ends)
    same([code, reason, message], [137, 'killed', 'the page was left, and gave up the stored files that it had open'])
    // Firefox keeps it; Chromium, as it is driven here, does not.
    await left.call('begin', ['hold'], mount, 'holding')
    await left.page.goto(blank)
    same((await other.call('run', ['try'], mount)).out, 'made\nok\n')
    await left.close()
    await other.close()
  },
}

const profile = new Profile(values.browser)
let browser = await profile.launch()

async function attempt(title, body) {
  if (values.only && !title.includes(values.only)) return
  try {
    await body()
    count(title)
  } catch (error) {
    count(title, error)
  }
}

for (const isolated of [false, true]) {
  const server = await servePackage(isolated)
  for (const wait of isolated ? ['sab'] : ['jspi', 'none']) {
    const open = () => openPage(browser, server, wait, guest)
    const page = await open()
    let number = 0
    const all = Object.entries({ ...onePage, ...endings, ...(wait === 'none' ? {} : twoTabs) })
    for (const [name, body] of all) {
      const mount = { directory: `${wait}-${++number}` }
      await attempt(`${values.browser} ${wait}: ${name}`, () => body({ ...page, open, mount, wait, guest, blank: `${server.address}test/blank.html` }))
    }
    await page.close()
  }
  if (!isolated) {
    await attempt(`${values.browser}: loses nothing that was synced when the browser is killed`, async () => {
      const mount = { directory: 'killed' }
      const { call } = await openPage(browser, server, 'jspi', guest)
      await call('begin', ['synced', 'write'], mount, 'synced')
      const gone = new Promise((resolve) => browser.process().once('exit', resolve))
      browser.process().kill('SIGKILL')
      await gone
      browser = await profile.launch()
      const next = await openPage(browser, server, 'jspi', guest)
      well(await next.call('run', ['check-synced'], mount))
      await next.close()
    })
  }
  if (!isolated && values.browser === 'chromium') {
    await attempt('chromium: says ENOSPC when the origin has no more room, and loses nothing', async () => {
      const { page, call, close } = await openPage(browser, server, 'jspi', guest)
      const { usage } = await page.evaluate(() => navigator.storage.estimate())
      const session = await page.createCDPSession()
      await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(server.address).origin, quotaSize: usage + 20 * MIB })
      const mount = { directory: 'nospace' }
      well(await call('run', ['put', '5000'], mount))
      const [bytes, error] = well(await call('run', ['fill'], mount)).trim().split(' ')
      same([error, Number(bytes) > 5 * MIB], ['ENOSPC', true])
      well(await call('run', ['check-fill'], mount))
      well(await call('run', ['expect', '5000'], mount))
      await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(server.address).origin, quotaSize: 1 })
      for (const grants of [undefined, ['opfs,name=no-room']]) {
        const [code, message] = await call('refusal', { directory: 'no-room' }, grants)
        same([code, message.includes('no-room')], ['STORAGE_UNAVAILABLE', true])
      }
      await close()
    })
  }
  await server.close()
}
await browser.close()
profile.remove()
finish()
