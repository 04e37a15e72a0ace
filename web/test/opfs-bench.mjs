// Stored files against a bare access handle, in the same browser and the same run:
//
//   node web/test/opfs-bench.mjs [--browser chromium|firefox] [--wait jspi|sab] [--rounds N] [--mib N] [--json]
//
// A guest writes a new file in pieces of one size, syncs it, and reads it in the same pieces; JavaScript does the same
// on a handle. Medians of the rounds, which take turns; a ratio is how many times as fast the guest was.
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

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]

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
const results = [...found].map(([size, { bare, stored }]) => {
  const of = (runs, pick) => median(runs.map(pick))
  const parts = { write: ([write]) => write, sync: ([, sync]) => sync, both: ([write, sync]) => write + sync, read: ([, , read]) => read }
  const row = Object.entries(parts).map(([name, pick]) => [name, { bare: of(bare, pick), stored: of(stored, pick) }])
  return { size, mib: Number(values.mib), ...Object.fromEntries(row) }
})
if (values.json) console.log(JSON.stringify({ browser: values.browser, wait: values.wait, rounds, results }))
else {
  console.log(`${values.browser}, ${values.wait}: ${values.mib} MiB, medians of ${rounds}; milliseconds bare / stored, and how many times as fast`)
  for (const { size, write, sync, both, read } of results) {
    const cell = ({ bare, stored }) => `${bare.toFixed(1)} / ${stored.toFixed(1)} = ${(bare / stored).toFixed(1)}`.padEnd(24)
    console.log(`${String(size).padStart(8)}  write ${cell(write)} sync ${sync.bare.toFixed(1)} / ${sync.stored.toFixed(1)}`.padEnd(62), `write+sync ${cell(both)} read ${cell(read)}`)
  }
}
await browser.close()
await server.close()
profile.remove()
