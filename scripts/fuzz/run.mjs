// Feeds a target with anything, for as long as one likes, steered by coverage (libFuzzer). On demand: `npm run fuzz`.
//
//   npm run fuzz                                 lists the targets
//   npm run fuzz -- TARGET [--minutes N]         10 minutes unless told
//
// What was found on the way is kept in .cache/fuzz and is where the next run begins. An input that fails is written to
// fuzz/found/TARGET; committed there it is run again in every test.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run, start } from '../command.mjs'
import { entry, step } from '../progress.mjs'
import { cache, path, target } from '../project.mjs'
import { checkRust } from '../setup/toolchain.mjs'

/** Bytes of an input, at most. */
const INPUT_MAX = 64 << 10
/** Seconds that one input may take, and MiB that the process may have. */
const SECONDS_MAX = 10
const MEMORY_MAX = 2048

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await entry(async () => {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { minutes: { type: 'string', default: '10' } } })
    await checkRust()
    const seeds = ['cargo', 'run', '--quiet', '--release', '--locked', '--package', 'capfs-fuzz', '--bin', 'seeds', '--']
    const [name] = positionals
    if (!name) {
      console.log(await run(seeds))
      return 0
    }
    const corpus = join(cache, 'fuzz', name)
    mkdirSync(corpus, { recursive: true })
    await step('Write the seeds', () => run([...seeds, name, corpus]))
    await step('Build the target, instrumented', (report) =>
      run(['cargo', 'build', '--release', '--locked', '--package', 'capfs-fuzz', '--bin', 'capfs-fuzz', '--features', 'libfuzzer'], {
        report,
        env: { RUSTC_WORKSPACE_WRAPPER: path('scripts', 'fuzz', 'instrument') },
      }),
    )
    const found = path('fuzz', 'found', name)
    mkdirSync(found, { recursive: true })
    const child = start(
      [
        join(target, 'release', 'capfs-fuzz'), corpus, `-max_total_time=${Number(values.minutes) * 60}`, `-max_len=${INPUT_MAX}`,
        `-timeout=${SECONDS_MAX}`, `-rss_limit_mb=${MEMORY_MAX}`, `-artifact_prefix=${found}/`, '-print_final_stats=1',
      ],
      { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, CAPFS_FUZZ_TARGET: name } },
    )
    return new Promise((resolve, reject) => child.once('error', reject).once('close', (code) => resolve(code ?? 1)))
  })
}
