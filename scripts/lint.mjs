// Checks what no compiler checks: `npm run lint`.
//
//   node scripts/lint.mjs [--write]     --write brings the table in docs/dependencies.md up to date

import { checkDevices } from './devices.mjs'
import { checkCargoDeny } from './invariants/cargo-deny.mjs'
import { checkCrateGraph } from './invariants/crate-graph.mjs'
import { checkDependencies, writeDependencies } from './invariants/dependencies.mjs'
import { checkNamedFiles } from './invariants/named-files.mjs'
import { checkTrackedFiles } from './invariants/tracked-files.mjs'
import { checkWebGraph } from './invariants/web-graph.mjs'
import { entry, green, red } from './progress.mjs'

await entry(async () => {
  if (process.argv.includes('--write')) await writeDependencies()
  let passed = 0
  let failed = 0
  /** Reports one invariant: what must hold, and everything that is against it. */
  const report = (invariant, violations) => {
    if (violations.length === 0) passed += 1
    else failed += 1
    console.log(`${violations.length === 0 ? green('✓') : red('✗')} ${invariant}`)
    for (const violation of violations) console.log(`    ${violation}`)
  }
  await checkCrateGraph(report)
  await checkWebGraph(report)
  await checkTrackedFiles(report)
  await checkNamedFiles(report)
  await checkDependencies(report)
  await checkDevices(report)
  await checkCargoDeny(report)
  console.log(`${passed} passed, ${failed} failed`)
  return failed > 0 ? 1 : 0
})
