// Transcripts: what a run printed and how it ended, as text that is compared byte for byte.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { deviceTranscript } from './devices.mjs'

const folder = join(dirname(fileURLToPath(import.meta.url)), 'transcripts')

/** Where a case's transcript is. */
export const transcriptFile = (name) => deviceTranscript(name) ?? join(folder, `${name}.txt`)

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

/** How a run ended. The code stands in it only where the guest chose it: a trap's or a time-out's is the host's, and documented there. */
function end({ reason, code = 0, error }) {
  if (reason === 'exit' || reason === 'signal') return `${reason} ${code}`
  return reason === 'refused' ? `refused ${error}` : reason
}

/** A run's output with names in place of what differs from run to run: `masks` is name -> regular expression. */
export function masked(bytes, masks = {}) {
  const text = Buffer.from(bytes).toString('latin1')
  const all = Object.entries(masks)
  return Buffer.from(all.reduce((shown, [name, pattern]) => shown.replaceAll(new RegExp(pattern, 'g'), `{${name}}`), text), 'latin1')
}

/** What the audit tells of servers that were asked: a line each. */
export function asked(events) {
  const calls = events.filter(({ operation }) => operation === 'request' || operation === 'connect')
  const line = ({ operation, method, subject, status, outcome }) => [operation, method, subject, ...(status === undefined ? [] : [status]), outcome].join(' ')
  return calls.map((call) => `${line(call)}\n`).join('')
}

/** The transcript of a run. */
export function transcript(wanted, result) {
  const heard = (result.connections ?? []).map((bytes, index) => stream(`connection ${index}`, bytes)).join('')
  const asked = stream('asked', result.asked ?? '')
  return `${stream('stdout', result.stdout, wanted.digest)}${stream('stderr', result.stderr)}${heard}${asked}--- ${end(result)}\n`
}

/** The end that a case must have, in a transcript's words. */
export const wantedEnd = ({ exit = { reason: 'exit' } }) => end(exit)
