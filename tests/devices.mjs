// The cases that devices bring along: `conformance.json` in a folder of devices/src has what is granted (`grants`) and what the sample agent
// `explorer` is told (`stdin`, a line each), and maybe other fields of cases.mjs; the transcript is `conformance.txt` beside it.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = new URL('../devices/src/', import.meta.url)
const file = (device, name) => fileURLToPath(new URL(`${device}/${name}`, folder))
const program = fileURLToPath(new URL('../agents/dist/explorer.wasm', import.meta.url))

/** @type {Record<string, any>[]} */
export const deviceCases = readdirSync(folder)
  .filter((device) => existsSync(file(device, 'conformance.json')))
  .map((device) => {
    const { stdin, ...rest } = JSON.parse(readFileSync(file(device, 'conformance.json'), 'utf8'))
    return { name: `device_${device}`, guest: 'explorer', program, stdin: stdin.map((line) => `${line}\n`).join(''), ...rest }
  })

/** Where the transcript of such a case is. */
export function deviceTranscript(name) {
  const device = deviceCases.some((wanted) => wanted.name === name) && name.replace('device_', '')
  return device ? file(device, 'conformance.txt') : undefined
}
