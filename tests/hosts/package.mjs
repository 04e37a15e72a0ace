// Runs cases by the npm package. The same code drives it in Node and in a page.

import { dialogue } from './dialogue.mjs'
import { tar } from './tar.mjs'

/** Bytes that crossed into a page as base64. */
const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))

/** A case's mount as the package takes it. */
function mount(given) {
  if (Array.isArray(given)) return given.map(mount)
  if (given.type === 'memory' && given.files) {
    const files = Object.entries(given.files).map(([path, file]) => [path, file.base64 === undefined ? file : bytes(file.base64)])
    return { ...given, files: Object.fromEntries(files) }
  }
  if (given.type === 'archive') {
    const data = given.base64 === undefined ? (given.data ?? tar(given.files)) : bytes(given.base64)
    return { type: 'archive', data }
  }
  return given
}

/** Puts the files of mounts of the page's tree into it. */
async function share(capfs, mounts) {
  for (const mount of mounts.flat()) {
    if (mount.type !== 'shared') continue
    await capfs.makeDir(mount.path)
    for (const [path, file] of Object.entries(mount.files ?? {})) {
      await capfs.writeFile(`${mount.path}/${path}`, file.base64 === undefined ? file : bytes(file.base64))
    }
    delete mount.files
  }
}

function joined(chunks) {
  const whole = new Uint8Array(chunks.reduce((total, chunk) => total + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

/**
 * Runs one case to its end.
 *
 * @param {any} capfs a `Capfs`
 * @param {any} program what `spawn` takes
 * @param {any} wanted the case
 * @returns {Promise<{stdout: Uint8Array, stderr: Uint8Array, reason: string, code?: number, error?: string, message?: string}>}
 */
export async function runCase(capfs, program, wanted) {
  const steps = wanted.dialogue
  const stderr = []
  // As a process tells its messages: on standard error.
  const message = (level) => (line) => stderr.push(new TextEncoder().encode(`${level}: ${line}\n`))
  /** What the audit tells of servers that were asked. */
  const asked = []
  let agent
  const mounts = Object.entries(wanted.mounts ?? {}).map(([path, given]) => [path, mount(given)])
  await share(capfs, mounts.map(([, given]) => given))
  try {
    agent = await capfs.spawn(program, {
      name: `${wanted.guest ?? wanted.name}.wasm`,
      // Hosts give compiled modules, which have no digest, and cases go on with what earlier ones have kept.
      id: (wanted.guest ?? wanted.name).replace(/[^\w-]/g, '_').slice(0, 64),
      args: wanted.args ?? [],
      env: wanted.env ?? {},
      mounts: Object.fromEntries(mounts),
      grants: wanted.grants ?? [],
      console: { log: message('log'), warn: message('warn'), error: message('error') },
      stdin: steps ? 'pipe' : (wanted.stdin ?? 'closed'),
      limits: wanted.limits,
      ...(wanted.asked ? { audit: (event) => asked.push(event) } : {}),
    })
  } catch (error) {
    const none = new Uint8Array()
    if (typeof error.code !== 'string') throw error
    return { stdout: none, stderr: none, reason: 'refused', error: error.code, message: error.message }
  }
  try {
    const reader = agent.stdout.getReader()
    const observe = dialogue(steps ?? [], async (step) => {
      if (step.send !== undefined) await agent.write(step.send)
      if (step.close) await agent.closeStdin()
      if (step.deafen) await reader.cancel()
      if (step.kill) await agent.kill()
    })
    const stdout = []
    const reading = (async () => {
      await observe()
      for (;;) {
        const { value, done } = await reader.read()
        if (done) return
        stdout.push(value)
        await observe(value)
      }
    })()
    const hearing = (async () => {
      const ear = agent.stderr.getReader()
      for (;;) {
        const { value, done } = await ear.read()
        if (done) return
        stderr.push(value)
      }
    })()
    const exit = await agent.exit
    await Promise.all([reading, hearing])
    const files = {}
    // What a program didn't leave is missed by the case that needs it.
    for (const path of wanted.collect ?? []) files[path] = await agent.readFile(path).catch(() => undefined)
    return { stdout: joined(stdout), stderr: joined(stderr), reason: exit.reason, code: exit.code, message: exit.message, files, asked }
  } finally {
    await agent.dispose()
  }
}
