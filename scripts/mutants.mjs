// How much the tests notice: cargo-mutants changes one thing at a time and runs what should fail then. On demand.
//
//   npm run mutants -- [CRATE…] [--shard K/N] [--list] [-- ARGS FOR cargo-mutants]
//
// A crate's mutants are held against every suite that is meant to hold it, not its own alone. All of them take days on two
// cores; a shard is a sample of them: `--shard 0/200` is every two-hundredth. What was measured: CONTRIBUTING.md.
//
// cargo-mutants builds in a copy, from the beginning. `--in-place --baseline skip --timeout 90` builds incrementally in this tree,
// once the tests pass here: nothing in it may be edited until it ends.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { start } from './command.mjs'
import { Problem, bold, entry, say } from './progress.mjs'
import { target } from './project.mjs'
import { addCargoTool, cargoTool } from './setup/cargo-tools.mjs'

/** The crates, and the packages whose tests are meant to notice. */
const HELD_BY = {
  capfs: ['capfs', 'capfs-runtime'],
  'capfs-storage': ['capfs-storage'],
  'capfs-runtime': ['capfs-runtime'],
  'capfs-devices': ['capfs-devices', 'capfs-native-devices'],
  'capfs-native-devices': ['capfs-native-devices'],
}

function mutants(crate, args) {
  say(bold(`── ${crate}, held by the tests of ${HELD_BY[crate].join(', ')}`))
  const output = join(target, 'mutants', crate)
  mkdirSync(output, { recursive: true })
  const child = start(
    [
      cargoTool('cargo-mutants'), 'mutants', '--package', crate, '--test-package', HELD_BY[crate].join(','),
      // Else a shard is the mutants of a few files that are beside each other, which is no sample.
      '--sharding', 'round-robin',
      // Room for what a mutant makes endless, and no more.
      ...(args.includes('--timeout') ? [] : ['--timeout-multiplier', '3', '--minimum-test-timeout', '60']),
      '--output', output, ...args,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await entry(async () => {
    const words = process.argv.slice(2)
    const crates = words.filter((word, at) => Object.hasOwn(HELD_BY, word) && words[at - 1] !== '--shard')
    const args = words.filter((word) => !Object.hasOwn(HELD_BY, word) && word !== '--')
    if (args[0] && !args[0].startsWith('-')) {
      throw new Problem(`there is no crate ${args[0]} here`, { hint: `crates: ${Object.keys(HELD_BY).join(', ')}` })
    }
    await addCargoTool('cargo-mutants')
    let failed = 0
    // Exit code 2 of cargo-mutants: some were not noticed. They are in target/mutants/CRATE/mutants.out/missed.txt.
    for (const crate of crates.length > 0 ? crates : Object.keys(HELD_BY)) failed = (await mutants(crate, args)) || failed
    return failed
  })
}
