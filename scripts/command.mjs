// Running other programs.

import { spawn, spawnSync } from 'node:child_process'
import { root } from './project.mjs'
import { Problem } from './progress.mjs'

/** How many lines of a failed command's output are shown. */
const LAST_WORDS = 60

/** Shows a command's output as it comes instead of only when it fails. */
const verbose = Boolean(process.env.CAPFS_VERBOSE)

const groups = new Set()

/** Ends a command together with everything that it started. */
export function killGroup(child, signal = 'SIGKILL') {
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    // The group is gone already.
    if (error.code !== 'ESRCH') throw error
  }
}

// Commands run in process groups of their own, so that one that hangs can be ended with all its
// children; a Ctrl-C on the terminal therefore has to be handed on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of groups) killGroup(child, signal)
    process.exit(signal === 'SIGINT' ? 130 : 143)
  })
}

/**
 * Starts a command in a process group of its own that ends when this process does.
 *
 * @param {string[]} argv
 * @param {import('node:child_process').SpawnOptions} options
 */
export function start(argv, options) {
  const child = spawn(argv[0], argv.slice(1), { cwd: root, detached: true, ...options })
  groups.add(child)
  child.once('close', () => groups.delete(child))
  child.once('error', () => groups.delete(child))
  return child
}

/**
 * Runs a command to its end and collects what it prints (stdout and stderr in one).
 *
 * @param {string[]} argv
 * @param {{cwd?: string, env?: Record<string, string>, report?: (line: string) => void, hint?: string}} [options]
 * `report` is called with each line.
 * @returns {Promise<string>} the output
 * @throws {Problem} when it can't be started or fails
 */
export function run(argv, { cwd = root, env = {}, report = () => {}, hint } = {}) {
  return new Promise((resolve, reject) => {
    const child = start(argv, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text) => {
        output += text
        if (verbose) process.stderr.write(text)
        const line = text.trimEnd().split(/[\r\n]+/).at(-1)
        if (line) report(line)
      })
    }
    child.once('error', (error) =>
      reject(new Problem(`${argv[0]} can't be started: ${error.message}`, { hint })),
    )
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(output)
      const last = output.trimEnd().split('\n').slice(-LAST_WORDS).join('\n')
      reject(
        new Problem(`${argv.join(' ')} ${signal ? `was ended by ${signal}` : `failed with exit code ${code}`}`, {
          hint,
          output: verbose ? undefined : last,
        }),
      )
    })
  })
}

/**
 * What a short command prints on stdout, trimmed, or `undefined` where there is no such command or it fails.
 *
 * @param {string[]} argv
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 */
export function ask(argv, options = {}) {
  const done = spawnSync(argv[0], argv.slice(1), {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 1024 * 1024,
    ...options,
  })
  return done.status === 0 ? done.stdout.trim() : undefined
}

/** Whether a program of that name can be found. */
export const onPath = (name) => ask(['sh', '-c', 'command -v "$1"', 'sh', name]) !== undefined
