// `npm test`: set-up, build, and every suite of suites.mjs in turn. Fails when a test fails, when a
// suite ran none, and when it hangs.
//
//   node scripts/test.mjs [--only NAME[,NAME…]] [--as-built] [--list]
//
// `--as-built` leaves set-up and build out, for who knows that they are up to date.

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildRelay } from '../tests/servers/relay.mjs'
import { build } from './build.mjs'
import { killGroup, start } from './command.mjs'
import { counted, verdict } from './count.mjs'
import { path } from './project.mjs'
import { Problem, bold, dim, duration, entry, green, red, say, step } from './progress.mjs'
import { setUp } from './setup.mjs'
import { SUITES } from './suites.mjs'

/** Runs one suite, its output straight through, and answers how it went. */
function runSuite({ command, cwd = '.', env = {}, count, minutes }) {
  return new Promise((resolve, reject) => {
    const began = Date.now()
    const child = start(command, {
      cwd: path(cwd),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const [stream, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      stream.setEncoding('utf8')
      stream.on('data', (text) => {
        output += text
        to.write(text)
      })
    }
    let hung = false
    const limit = setTimeout(() => {
      hung = true
      killGroup(child)
    }, minutes * 60_000)
    child.once('error', (error) => {
      clearTimeout(limit)
      reject(new Problem(`${command[0]} can't be started: ${error.message}`))
    })
    // A browser or a server that a suite left behind must not disturb the next one, nor hold this one's output open.
    child.once('exit', () => killGroup(child))
    child.once('close', (code) => {
      clearTimeout(limit)
      const counts = counted(count, output, code)
      resolve({ ...counts, why: hung ? `ended after ${minutes} minutes` : verdict(counts, code), milliseconds: Date.now() - began })
    })
  })
}

/** The table at the end. */
function table(results) {
  const width = Math.max(...results.map(({ name }) => name.length), 5)
  const row = (name, passed, failed, skipped, time, note) =>
    `${name.padEnd(width)}  ${String(passed).padStart(6)}  ${String(failed).padStart(6)}  ${String(skipped).padStart(7)}  ${time.padStart(12)}  ${note}`
  console.log(`\n${bold(row('suite', 'passed', 'failed', 'skipped', 'time', ''))}`)
  for (const { name, passed, failed, skipped, milliseconds, why } of results) {
    console.log(row(name, passed, failed, skipped, duration(milliseconds), why ? red(why) : green('ok')))
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await entry(async () => {
    const { values } = parseArgs({ options: { only: { type: 'string' }, 'as-built': { type: 'boolean' }, list: { type: 'boolean' } } })
    if (values.list) {
      for (const { name, about } of SUITES) console.log(`${name.padEnd(18)}${about}`)
      return 0
    }
    const only = values.only?.split(',')
    const unknown = only?.find((name) => !SUITES.some((suite) => suite.name === name))
    if (unknown) throw new Problem(`there is no suite ${unknown}`, { hint: 'npm test -- --list' })

    const began = Date.now()
    if (!values['as-built']) {
      await setUp('test')
      await build()
      await step('Build the relay of the tests', () => buildRelay())
    }
    const results = []
    for (const suite of SUITES.filter(({ name }) => !only || only.includes(name))) {
      say(`\n${bold(`── ${suite.name}`)} ${dim(suite.about)}`)
      results.push({ name: suite.name, ...(await runSuite(suite)) })
    }
    table(results)
    const sum = (key) => results.reduce((total, result) => total + result[key], 0)
    // What failed without a failed test, a crash say, counts as one failure: the last line tells all.
    const failed = results.reduce((total, { failed, why }) => total + (why ? Math.max(failed, 1) : 0), 0)
    console.log(dim(`in ${duration(Date.now() - began)}`))
    console.log(`${sum('passed')} passed, ${failed} failed`)
    return failed > 0 ? 1 : 0
  })
}
