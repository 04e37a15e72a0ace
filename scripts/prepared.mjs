// Sets up, builds, and then runs another program of the project: for what is of use only when
// everything is there, the benchmarks and the official test suite.
//
//   node scripts/prepared.mjs start|test|bench PROGRAM [ARGS…]

import { build } from './build.mjs'
import { start } from './command.mjs'
import { has, path } from './project.mjs'
import { Problem, entry } from './progress.mjs'
import { setUp } from './setup.mjs'

await entry(async () => {
  const [purpose, program, ...args] = process.argv.slice(2)
  if (!program || !has(program)) throw new Problem(`${program ?? 'no program'}: there is no such file in this checkout`)
  await setUp(purpose)
  await build()
  const child = start([process.execPath, path(program), ...args], {
    // Its arguments may name files relative to where the person is.
    cwd: process.env.INIT_CWD ?? process.cwd(),
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (...end) => resolve(end))
  })
  return code ?? 1
})
