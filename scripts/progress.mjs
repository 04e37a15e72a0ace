// What the scripts say on the terminal: one line when a step begins, a line now and then while it
// lasts, one line when it ends. Everything goes to stderr: stdout is for results.

const colour = process.stderr.isTTY && !process.env.NO_COLOR
const paint = (code, text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)

export const bold = (text) => paint('1', text)
export const dim = (text) => paint('2', text)
export const green = (text) => paint('32', text)
export const red = (text) => paint('31', text)
export const yellow = (text) => paint('33', text)

/** Milliseconds between two signs of life of a step that takes long. */
const HEARTBEAT_MS = 15_000

/** A duration for people: `0.4 s`, `12 s`, `3 min 05 s`. */
export function duration(milliseconds) {
  const seconds = milliseconds / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
}

export function say(text) {
  process.stderr.write(`${text}\n`)
}

/** What is wrong, and what to do about it, if that is known. */
export class Problem extends Error {
  /**
   * @param {string} message what happened
   * @param {{hint?: string, output?: string}} [more] what helps, and the last words of the command that failed
   */
  constructor(message, { hint, output } = {}) {
    super(message)
    this.name = 'Problem'
    this.hint = hint
    this.output = output
  }
}

/**
 * Runs `work` as a step with a name. `work` gets a function to report how far it is; the last
 * report is shown with the elapsed time while the step lasts.
 *
 * @template T
 * @param {string} title
 * @param {(report: (detail: string) => void) => Promise<T> | T} work
 * @returns {Promise<T>}
 */
export async function step(title, work) {
  const began = Date.now()
  let detail = ''
  say(`${dim('…')} ${title}`)
  const heartbeat = setInterval(() => {
    const what = detail.length > 90 ? `${detail.slice(0, 89)}…` : detail
    say(dim(`  ${title}: ${duration(Date.now() - began)}${what ? ` · ${what}` : ''}`))
  }, HEARTBEAT_MS)
  try {
    const result = await work((text) => (detail = text.trim()))
    say(`${green('✓')} ${title} ${dim(duration(Date.now() - began))}`)
    return result
  } catch (error) {
    say(`${red('✗')} ${title} ${dim(duration(Date.now() - began))}`)
    throw error
  } finally {
    clearInterval(heartbeat)
  }
}

/** Runs a script's `main` and turns what it throws into a message and an exit code. */
export async function entry(main) {
  try {
    process.exitCode = (await main()) ?? 0
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.output) say(error.output.trimEnd())
    say(`${red('error:')} ${error.message}`)
    if (error.hint) say(`${bold('hint:')} ${error.hint}`)
    process.exitCode = 1
  }
}
