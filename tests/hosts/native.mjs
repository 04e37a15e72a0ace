// Runs cases by `capfs-host run`, each in a process of its own, on folders of a scratch directory.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Clients } from './clients.mjs'
import { dialogue } from './dialogue.mjs'
import { tar } from './tar.mjs'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** The built program. */
const binary = join(resolve(root, process.env.CARGO_TARGET_DIR ?? 'target'), 'release', 'capfs-host')

/** How long a run may take before it counts as hung, in milliseconds, unless its case says `patience`. */
const PATIENCE = 120_000

/**
 * `directory`: writable mounts are host directories. `memory`: they are memory file systems. `baseline`: as `directory`, with code of the
 * baseline compiler wherever that takes the module; the others have optimised code from their first start.
 */
export const variants = ['directory', 'memory', 'baseline']

/** Makes host files for mounts, and the options that name them. */
class Folders {
  constructor(scratch, inMemory) {
    this.scratch = scratch
    this.inMemory = inMemory
    this.count = 0
    /** The host folder of each mount that has one. */
    this.places = new Map()
  }

  /** A folder with these files. */
  folder(files) {
    const at = join(this.scratch, `mount${this.count++}`)
    mkdirSync(at)
    for (const [path, contents] of Object.entries(files)) {
      mkdirSync(dirname(join(at, path)), { recursive: true })
      writeFileSync(join(at, path), contents)
    }
    return at
  }

  archive(files) {
    const at = join(this.scratch, `mount${this.count++}.tar`)
    writeFileSync(at, tar(files))
    return at
  }

  /** The options for one mount; those of a union come in the order in which they are searched. */
  options(path, mount) {
    if (Array.isArray(mount)) {
      return mount.flatMap((member) => this.options(path, member))
    }
    if (mount.host !== undefined) return ['--dir', `${mount.host}::${path}:${mount.rights ?? 'rw'}`]
    if (mount.type === 'null' || mount.type === 'zero') return ['--mount', `${mount.type}:${path}`]
    if (mount.type === 'archive') return ['--mount', `archive=${mount.data ?? this.archive(mount.files)}:${path}`]
    if (this.inMemory && Object.keys(mount.files ?? {}).length === 0 && mount.rights !== 'ro') {
      return ['--mount', `memory:${path}`]
    }
    const folder = this.folder(mount.files ?? {})
    this.places.set(path, folder)
    return ['--dir', `${folder}::${path}:${mount.rights ?? 'rw'}`]
  }
}

export async function open(variant) {
  if (!existsSync(binary)) throw new Error(`${binary} is missing: cargo build --release -p capfs-host`)
  const scratch = mkdtempSync(join(tmpdir(), 'capfs-tests-'))
  let count = 0
  return {
    async run(wanted, program) {
      const own = join(scratch, String(count++))
      mkdirSync(own)
      const module = join(own, `${wanted.guest ?? wanted.name}.wasm`)
      writeFileSync(module, program)
      const folders = new Folders(own, variant === 'memory' && !wanted.collect)
      const limits = wanted.limits ?? {}
      // A host that listens must say where.
      const argv = ['run', ...(wanted.listen ? [] : ['--quiet']), '--json']
      for (let count = 0; count < (wanted.listen ?? 0); count += 1) argv.push('--listen', '127.0.0.1:0')
      for (const [path, mount] of Object.entries(wanted.mounts ?? {})) argv.push(...folders.options(path, mount))
      for (const [name, value] of Object.entries(wanted.env ?? {})) argv.push('--env', `${name}=${value}`)
      for (const grant of wanted.grants ?? []) argv.push('--grant', grant)
      // What lasts does so for the session, whichever guest it is.
      if (wanted.grants) argv.push('--state', join(scratch, 'state'), '--id', 'conformance')
      argv.push('--compiler', variant === 'baseline' ? 'baseline' : 'optimising')
      if (limits.memory) argv.push('--max-memory', String(limits.memory))
      if (limits.time) argv.push('--timeout', `${limits.time}ms`)
      if (limits.files) argv.push('--max-files', String(limits.files))
      const audit = join(own, 'audit')
      if (wanted.asked) argv.push('--audit', audit)
      argv.push(module, ...(wanted.args ?? []))
      try {
        const result = await ended(argv, wanted)
        const events = wanted.asked ? readFileSync(audit, 'utf8').trim().split('\n').map((line) => JSON.parse(line)) : []
        // A task of the agent's has lines of its own; what it asks is told of the agent as well.
        const asked = events.filter(({ agent }) => !agent.includes(' task '))
        const collected = (wanted.collect ?? [])
          .map((path) => [path, join(folders.places.get('/'), path)])
          .filter(([, file]) => existsSync(file))
          .map(([path, file]) => [path, readFileSync(file)])
        return { ...result, asked, files: Object.fromEntries(collected) }
      } finally {
        rmSync(own, { recursive: true, force: true })
      }
    },
    async close() {
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}

/** Runs the program and plays the case's dialogue with it. */
function ended(argv, wanted) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, argv, { stdio: ['pipe', 'pipe', 'pipe'] })
    const stdout = []
    const stderr = []
    let hung = false
    let deaf = false
    const patience = setTimeout(() => {
      hung = true
      child.kill('SIGKILL')
    }, wanted.patience ?? PATIENCE)
    const clients = new Clients()
    const observe = dialogue(wanted.dialogue ?? [], async (step) => {
      if (step.send !== undefined) child.stdin.write(step.send)
      if (step.close) child.stdin.end()
      if (step.deafen) {
        deaf = true
        child.stdout.destroy()
      }
      if (step.kill) child.kill('SIGINT')
      await clients.act(step)
    })
    observe().catch(reject)
    child.stdout.on('data', (chunk) => {
      // What still arrives after the reader has gone is chance.
      if (deaf) return
      stdout.push(chunk)
      observe(chunk).catch(reject)
    })
    child.stderr.on('data', (chunk) => {
      stderr.push(chunk)
      if (wanted.listen) clients.learn(Buffer.concat(stderr).toString('utf8'))
    })
    // The guest may end, or close its input, before it has taken everything.
    child.stdin.on('error', () => {})
    if (!wanted.dialogue) child.stdin.end(wanted.stdin ?? '')
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(patience)
      if (hung) return reject(new Error(`it hung: capfs-host ${argv.join(' ')}`))
      const finished = clients.end().then((connections) => {
        const said = Buffer.from(clients.withoutAddresses(Buffer.concat(stderr).toString('latin1')), 'latin1')
        resolve({ ...outcome(code, signal, Buffer.concat(stdout), said), connections })
      })
      finished.catch(reject)
    })
  })
}

/** Takes apart what the command wrote: the guest's own standard error, then one line of JSON. */
function outcome(code, signal, stdout, stderr) {
  const [at, report] = lastReport(stderr)
  if (!report) throw new Error(`no report at the end, exit code ${code}, signal ${signal}: ${stderr.subarray(-2_000)}`)
  if (report.code !== code) throw new Error(`the report says ${report.code}, the exit code is ${code}`)
  if (report.reason === 'refused') {
    return { stdout, stderr: Buffer.alloc(0), reason: 'refused', code, error: report.error, message: report.message }
  }
  // Ctrl-C is this host's way to be killed.
  const reason = report.reason === 'interrupt' ? 'killed' : report.reason
  return { stdout, stderr: stderr.subarray(0, at), reason, code, message: report.message }
}

/** Where the report begins, and what it says. The guest's last line may have no end; behind a refusal are the words for people. */
function lastReport(stderr) {
  for (let end = stderr.length; end > 0; ) {
    const start = stderr.lastIndexOf('\n', end - 1) + 1
    for (let at = start - 1; (at = stderr.indexOf('{"', at + 1)) >= 0 && at < end; ) {
      try {
        const report = JSON.parse(stderr.subarray(at, end).toString('utf8'))
        if ('code' in report && 'reason' in report) return [at, report]
      } catch {
        // The guest's own words.
      }
    }
    end = start - 1
  }
  return [-1, undefined]
}
