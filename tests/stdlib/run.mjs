// The standard libraries' own tests, compiled for WASI and run on this project's hosts. On demand.
//
//   npm run stdtests -- [go|zig] [--host native,node] [--only NAME] [--verbose]
//
// Compilers are fetched. What is known to fail is in known.mjs with the reason; anything else that fails, and anything
// listed that does not, is a failure of this suite. `--verbose` prints what failing programs said.

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readFileSync } from 'node:fs'
import { step } from '../../scripts/progress.mjs'
import { target } from '../../scripts/project.mjs'
import { KNOWN } from './known.mjs'

const LIBRARIES = ['go', 'zig']

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: 'string', default: 'native,node' },
    only: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
})
const strange = positionals.find((name) => !LIBRARIES.includes(name))
if (strange) {
  console.error(`usage: npm run stdtests -- [${LIBRARIES.join('|')}] [--host native,node] [--only NAME]\nthere is no ${strange}`)
  process.exit(2)
}

const total = { passed: 0, failed: 0 }

/** Holds one run against what is known. */
function judge(where, known, results, result) {
  const count = { PASS: 0, FAIL: 0, SKIP: 0 }
  const wrong = []
  for (const [name, end] of results) {
    const why = known[name]
    count[end] += 1
    if (end === 'FAIL' && !why) wrong.push(`${name} fails`)
    if (end === 'PASS' && why) wrong.push(`${name} passes, and is listed as failing: ${why}`)
  }
  for (const name of Object.keys(known)) if (!results.has(name)) wrong.push(`${name} is listed as failing, and there is no such test`)
  if (result.reason !== 'exit' || result.code !== (count.FAIL > 0 ? 1 : 0)) wrong.push(`it ended by ${result.reason} ${result.code ?? ''} ${result.message ?? ''}`)
  if (count.PASS === 0) wrong.push('no test passed')
  total.passed += count.PASS
  total.failed += wrong.length
  console.log(`${where}: ${count.PASS} pass, ${count.SKIP} skipped by themselves, ${count.FAIL} fail, of which ${count.FAIL - wrong.filter((line) => line.endsWith(' fails')).length} are known`)
  for (const line of wrong) console.log(`FAIL ${where}: ${line}`)
  if (wrong.length > 0 && options.verbose) console.log(`${Buffer.from(result.stdout)}${Buffer.from(result.stderr)}`.replace(/^/gm, '    '))
}

/** The system-call variant that a host is tested with; the conformance cases go through all of them. */
const VARIANT = { native: 'directory', node: 'sab-single', chromium: 'jspi-multi', firefox: 'jspi-multi' }

for (const library of positionals.length > 0 ? positionals : LIBRARIES) {
  const { compiled, results } = await import(`./${library}.mjs`)
  const only = (name) => !options.only || name.includes(options.only)
  const cases = await step(`Compile the tests of ${library}'s standard library`, (report) => compiled({ work: join(target, 'stdlib', library), only, report }))
  for (const host of options.host.split(',')) {
    const { open } = await import(`../hosts/${host}.mjs`)
    const session = await open(VARIANT[host])
    try {
      for (const { name, wanted, module } of cases) {
        const where = `${host} ${library} ${name}`
        try {
          const result = await session.run(wanted, readFileSync(module))
          const listed = KNOWN[library]?.[name] ?? {}
          const here = Object.entries(listed).filter(([, { hosts }]) => !hosts || hosts.includes(host))
          judge(where, Object.fromEntries(here.map(([test, { why }]) => [test, why])), results(`${Buffer.from(result.stdout)}${Buffer.from(result.stderr)}`), result)
        } catch (error) {
          total.failed += 1
          console.log(`FAIL ${where}: ${error.message}`)
        }
      }
    } finally {
      await session.close()
    }
  }
}
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)
