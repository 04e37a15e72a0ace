// Runs every odd module on one or more hosts, in each of their variants: all of them say the same of it.
//
//   node tests/odd/odd.test.mjs [--host native,node,chromium,firefox,webkit] [--variant jspi-multi] [--only NAME]

import { parseArgs } from 'node:util'
import loadWabt from 'wabt'
import { FEATURES, cases } from './cases.mjs'

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: 'native' },
    variant: { type: 'string' },
    only: { type: 'string' },
  },
})

/** What the modules are made of. */
const PROPOSALS = {
  bulk_memory: true, exceptions: true, memory64: true, multi_memory: true, mutable_globals: true, threads: true,
}
const wabt = await loadWabt()

/** The module's file. */
function built({ name, wat, bytes, cut = 0, append = Buffer.alloc(0) }) {
  if (bytes) return bytes
  const parsed = wabt.parseWat(name, wat, PROPOSALS)
  try {
    const binary = Buffer.from(parsed.toBinary({}).buffer)
    return Buffer.concat([binary.subarray(0, binary.length - cut), append])
  } finally {
    parsed.destroy()
  }
}

const modules = new Map(cases.map((given) => [given.name, built(given)]))
if (modules.size !== cases.length) throw new Error('two cases have one name')

/** What must come out of a case on a host whose engine lacks these features. */
function wanted(given, lacking) {
  // The engine's own words follow.
  if (lacking.includes(given.needs)) return { end: 'refused MODULE_INVALID', says: 'is not a valid WebAssembly module', stdout: '' }
  const { exit } = given
  const end = given.refused ? `refused ${given.refused}` : exit.reason === 'exit' ? `exit ${exit.code}` : exit.reason
  return { end, says: given.says ?? '', stdout: given.stdout ?? '' }
}

/** What is wrong with a result; nothing if it is as wanted. */
function wrong({ end, says, stdout }, result) {
  const detail = { refused: result.error, exit: result.code }[result.reason]
  const ended = detail === undefined ? result.reason : `${result.reason} ${detail}`
  const printed = Buffer.from(result.stdout).toString('utf8')
  const message = result.message ?? ''
  if (ended !== end) return `it ended with ${ended}, not with ${end}: ${message}`
  if (!message.includes(says)) return `it says ${JSON.stringify(message)}, without ${JSON.stringify(says)}`
  if (printed !== stdout) return `it printed ${JSON.stringify(printed)}, not ${JSON.stringify(stdout)}`
  // A trap is 134 everywhere.
  if (result.reason === 'trap' && result.code !== 134) return `its code is ${result.code}`
  return undefined
}

let passed = 0
let failed = 0
for (const host of options.host.split(',')) {
  const { variants, open } = await import(`../hosts/${host}.mjs`)
  const lacking = Object.keys(FEATURES).filter((feature) => !FEATURES[feature](host, variants))
  for (const feature of lacking) console.log(`${host}: its engine lacks ${feature}: what needs them must be refused there`)
  for (const variant of variants.filter((variant) => !options.variant || variant === options.variant)) {
    const before = [passed, failed]
    const session = await open(variant)
    try {
      for (const given of cases) {
        if (options.only && !given.name.includes(options.only)) continue
        let problem
        try {
          const result = await session.run({ name: given.name.replaceAll(' ', '-'), limits: given.limits }, modules.get(given.name))
          problem = wrong(wanted(given, lacking), result)
        } catch (error) {
          problem = error.stack
        }
        if (problem === undefined) {
          passed += 1
          continue
        }
        failed += 1
        console.log(`FAIL ${host} ${variant} ${given.name}\n${problem.replace(/^/gm, '    ')}`)
      }
    } finally {
      await session.close()
    }
    console.log(`${host} ${variant}: ${passed - before[0]} passed, ${failed - before[1]} failed`)
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
