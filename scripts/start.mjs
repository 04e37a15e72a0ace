// `npm start`: set-up, build, a sample agent natively, and then the demo page.
//
//   node scripts/start.mjs [--port N] [--isolated]

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { agentsOut, build } from './build.mjs'
import { start } from './command.mjs'
import { binary, shown } from './project.mjs'
import { Problem, bold, entry, say } from './progress.mjs'
import { servePage } from './serve.mjs'
import { setUp } from './setup.mjs'

/** What is shown on the terminal: the sample, and what it is called with. */
const SAMPLE = { agent: 'hello.wasm', args: ['from', 'the', 'terminal'] }

/** Runs the sample in capfs-host with this terminal as its own. */
async function transcript() {
  const argv = [binary('capfs-host'), 'run', join(agentsOut, SAMPLE.agent), ...SAMPLE.args]
  say(`\n${bold(`$ ${argv.map(shown).join(' ')}`)}`)
  const child = start(argv, { stdio: ['ignore', 'inherit', 'inherit'] })
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  if (code !== 0) throw new Problem(`the sample agent ended with exit code ${code}`)
}

await entry(async () => {
  const { values } = parseArgs({ options: { port: { type: 'string' }, isolated: { type: 'boolean' } } })
  await setUp('start')
  await build()
  await transcript()
  await servePage({ port: values.port === undefined ? undefined : Number(values.port), isolated: values.isolated })
})
