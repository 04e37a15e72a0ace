// Stored files against a bare access handle, in the same browser and the same run:
//
//   node web/test/opfs-bench.mjs [--browser chromium|firefox] [--wait jspi|sab] [--rounds N] [--mib N] [--json]
//
// A guest writes a new file in pieces of one size, syncs it, and reads it in the same pieces; JavaScript does the same
// on a handle. The two take turns. Of the rounds the best is shown, and the median behind it: on a machine that is busy with
// other things the best says more. A ratio is how many times as fast the guest was.
import { parseArgs } from 'node:util'
import { Profile, buildGuest, openPage, servePackage } from './opfs-browser.mjs'

const { values } = parseArgs({
  options: {
    browser: { type: 'string', default: 'chromium' },
    wait: { type: 'string', default: 'jspi' },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const total = Number(values.mib) * 2 ** 20
const SIZES = [4096, 65536, 2 ** 20]

/** The best and the median. */
const both = (numbers) => {
  const sorted = numbers.sort((a, b) => a - b)
  return { best: sorted[0], median: sorted[Math.floor(sorted.length / 2)] }
}

const profile = new Profile(values.browser)
const browser = await profile.launch()
const server = await servePackage(values.wait === 'sab')
const { call } = await openPage(browser, server, values.wait, buildGuest())
const found = new Map(SIZES.map((size) => [size, { bare: [], stored: [] }]))
for (let round = 0; round < rounds; round++) {
  for (const [size, { bare, stored }] of found) {
    bare.push(await call('raw', size, total))
    const { out, code } = await call('run', ['bench', String(size), values.mib], { directory: 'bench' })
    if (code !== 0) throw new Error(out)
    stored.push(out.split('\n')[0].split(' ').map(Number))
  }
}
const PARTS = { write: ([write]) => write, sync: ([, sync]) => sync, 'write+sync': ([write, sync]) => write + sync, read: ([, , read]) => read }
const results = [...found].flatMap(([size, { bare, stored }]) =>
  Object.entries(PARTS).map(([part, pick]) => ({ size, part, bare: both(bare.map(pick)), stored: both(stored.map(pick)) })),
)
if (values.json) console.log(JSON.stringify({ browser: values.browser, wait: values.wait, rounds, mib: Number(values.mib), results }))
else {
  console.log(`${values.browser}, ${values.wait}: ${values.mib} MiB, ${rounds} rounds; milliseconds, best (median)`)
  console.log(`${'piece'.padStart(8)} ${'part'.padEnd(11)}${'bare handle'.padEnd(20)}${'stored file'.padEnd(20)}times as fast`)
  for (const { size, part, bare, stored } of results) {
    const cell = ({ best, median }) => `${best.toFixed(1)} (${median.toFixed(1)})`.padEnd(20)
    const ratio = (pick) => (bare[pick] / stored[pick]).toFixed(1)
    console.log(`${String(size).padStart(8)} ${part.padEnd(11)}${cell(bare)}${cell(stored)}${ratio('best')} (${ratio('median')})`)
  }
}
await browser.close()
await server.close()
profile.remove()
