// How many tests a suite ran, read from what it printed.

const sum = (matches, group) => matches.reduce((total, match) => total + Number(match[group]), 0)

// A terminal's colours would hide what is looked for.
const plain = (output) => output.replace(/\x1b\[[0-9;]*m/g, '')

/**
 * @param {'summary' | 'cargo' | 'tap' | 'check'} how see suites.mjs
 * @param {string} output everything that the suite printed
 * @param {number | null} code its exit code
 * @returns {{passed: number, failed: number, skipped: number}}
 */
export function counted(how, output, code) {
  const text = plain(output)
  if (how === 'check') return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 }
  if (how === 'cargo') {
    const results = [...text.matchAll(/^test result: \S+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm)]
    return { passed: sum(results, 1), failed: sum(results, 2), skipped: sum(results, 3) }
  }
  if (how === 'tap') {
    const of = (word) => Number([...text.matchAll(new RegExp(`^# ${word} (\\d+)$`, 'gm'))].at(-1)?.[1] ?? 0)
    return { passed: of('pass'), failed: of('fail') + of('cancelled'), skipped: of('skipped') + of('todo') }
  }
  const last = [...text.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?/gm)].at(-1)
  return { passed: Number(last?.[1] ?? 0), failed: Number(last?.[2] ?? 0), skipped: Number(last?.[3] ?? 0) }
}

/** Why a suite did not pass, or `undefined` when it did. */
export function verdict({ passed, failed }, code) {
  if (failed > 0) return 'failed'
  if (code !== 0) return code === null ? 'was killed' : `exit code ${code}`
  if (passed === 0) return 'ran nothing'
  return undefined
}
