// Transcripts: what a run printed and how it ended, as text that is compared byte for byte.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = join(dirname(fileURLToPath(import.meta.url)), 'transcripts')

/** Where a case's transcript is. */
export const transcriptFile = (name) => join(folder, `${name}.txt`)

/** The transcript that a case must have, or `undefined` where none was written yet. */
export function expected(name) {
  const file = transcriptFile(name)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

function stream(name, bytes, digest) {
  const buffer = Buffer.from(bytes)
  if (digest) {
    return `--- ${name}\n${buffer.length} bytes, SHA-256 ${createHash('sha256').update(buffer).digest('hex')}\n`
  }
  const text = buffer.toString('utf8')
  if (text === '') return ''
  return `--- ${name}\n${text}${text.endsWith('\n') ? '' : '\n--- (no newline)\n'}`
}

/**
 * The transcript of a run. The code stands in it only where the guest chose it: a trap's or a
 * time-out's is the host's, and documented there.
 */
export function transcript(wanted, result) {
  const end = result.reason === 'exit' ? `exit ${result.code}` : result.reason === 'refused' ? `refused ${result.error}` : result.reason
  return `${stream('stdout', result.stdout, wanted.digest)}${stream('stderr', result.stderr)}--- ${end}\n`
}

/** The end that a case must have, in a transcript's words. */
export function wantedEnd(wanted) {
  const { reason, code = 0, error } = wanted.exit ?? { reason: 'exit' }
  return reason === 'exit' ? `exit ${code}` : reason === 'refused' ? `refused ${error}` : reason
}
