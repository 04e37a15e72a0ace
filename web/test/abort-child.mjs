// Starts that are given up while their files are opened and read: `node web/test/abort-child.mjs PROGRAM ARCHIVE`. Prints the codes that there were. The
// process ends with 0 unless something was thrown that nobody could have caught, or a file is still open.
import { readdirSync, readlinkSync, utimesSync } from 'node:fs'
import { Capfs } from '../dist/node.js'

const [program, archive] = process.argv.slice(2)
const capfs = await Capfs.create()
const codes = new Set()
const turn = () => new Promise((resolve) => setImmediate(resolve))
let version = 0

/** One start, of a version of the files that was not read yet. */
async function start(signal, options) {
  version += 1
  for (const path of [program, archive]) utimesSync(path, version, version)
  try {
    const agent = await capfs.spawn(program, { args: ['hello'], signal, ...options })
    await agent.dispose()
  } catch ({ code }) {
    codes.add(code)
  }
}

for (const options of [{}, { limits: { memory: 64 << 20 } }, { mounts: { '/a': { type: 'archive', data: archive } } }]) {
  await start(AbortSignal.abort(), options)
  for (let turns = 0; turns < 60; turns++) {
    const abort = new AbortController()
    const started = start(abort.signal, options)
    for (let count = 0; count < turns; count++) await turn()
    abort.abort()
    await started
  }
}
for (let milliseconds = 0; milliseconds <= 30; milliseconds++) await start(AbortSignal.timeout(milliseconds), {})
capfs.close()
if (process.platform === 'linux') {
  const open = () => readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return [program, archive].includes(readlinkSync(`/proc/self/fd/${fd}`))
    } catch {
      // The one by which the folder is read.
      return false
    }
  })
  // What was being read is closed as soon as that is over.
  while (open().length > 0) await turn()
}
console.log([...codes].join(' '))
