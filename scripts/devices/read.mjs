// Reads the descriptions of devices, and refuses what can't be one.

import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'

const source = new URL('../../devices/src/', import.meta.url)

const TEXT = (value) => typeof value === 'string' && value !== ''
const YES = (value) => value === true
const ONE_OF = (...all) => (value) => all.includes(value)
const MAP = (value) => typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string')
const TEXTS = (value) => Array.isArray(value) && value.length > 0 && value.every(TEXT)
const MATCHES = (pattern) => (value) => TEXT(value) && pattern.test(value)

/** What each field is; those with `true` behind must be there. */
const TERM = {
  key: [MATCHES(/^[a-z]+(-[a-z]+)*$/), true],
  about: [MATCHES(/^[A-Z`].*\.$/s), true],
  value: [(value) => ONE_OF('text', 'size', 'count', 'duration', 'rate', 'yes', 'header')(value) || TEXTS(value), true],
  label: [TEXT, true],
  example: [TEXT, true],
  type: [MATCHES(/^[A-Z][A-Za-z]*$/)],
  word: [TEXT],
  many: [YES],
  needed: [YES],
  secret: [YES],
  only: [ONE_OF('native', 'machine')],
  start: [TEXT],
  words: [MAP],
}
const NATIVE = { needs: [ONE_OF('nothing', 'state', 'terminal', 'page'), true], why: [TEXT], note: [TEXT] }
const HOSTS = { native: [fits(NATIVE), true], page: [TEXT, true], node: [TEXT, true] }
const DEVICE = {
  name: [MATCHES(/^[a-z][a-z-]{0,15}$/), true],
  type: [MATCHES(/^[A-Z][A-Za-z]*$/), true],
  path: [MATCHES(/^(\/[a-z]+)+$/), true],
  about: [TEXT, true],
  may: [TEXT, true],
  kernel: [ONE_OF('every', 'capabilities'), true],
  build: [YES],
  keeps: [fits({ in: [TEXT], unless: [MAP] })],
  hosts: [fits(HOSTS), true],
  files: [MAP],
  notes: [TEXTS],
  terms: [(value) => Array.isArray(value), true],
}

function fits(fields) {
  return (value) => typeof value === 'object' && value !== null && wrong(fields, value) === undefined
}

/** The first field that is not what it should be. */
function wrong(fields, value) {
  const unknown = Object.keys(value).find((key) => !(key in fields))
  if (unknown !== undefined) return unknown
  return Object.keys(fields).find((key) => (value[key] === undefined ? fields[key][1] : !fields[key][0](value[key])))
}

/** The descriptions, each with the name of its module, by their names. */
export async function readDevices() {
  const entries = await readdir(source, { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/device.json`, source)))
  const devices = await Promise.all(folders.map(async ({ name: module }) => {
    const device = JSON.parse(await readFile(new URL(`${module}/device.json`, source), 'utf8'))
    const refuse = (why) => {
      throw new Error(`devices/src/${module}/device.json: ${why}`)
    }
    const field = wrong(DEVICE, device)
    if (field !== undefined) refuse(`\`${field}\` is not what scripts/devices.mjs says`)
    for (const term of device.terms) {
      const field = wrong(TERM, term)
      if (field !== undefined) refuse(`\`${field}\` of the term \`${term.key}\` is not what scripts/devices.mjs says`)
    }
    const keys = device.terms.map(({ key }) => key)
    const strange = [...device.may.matchAll(/[{[]([\w-]+)/g)].find(([, key]) => !keys.includes(key))
    if (strange) refuse(`\`may\` speaks of \`${strange[1]}\`, which is no term`)
    const { needs, why } = device.hosts.native
    if ((needs === 'nothing') !== (why === undefined)) refuse('`why` goes with what it `needs`')
    return { module, ...device }
  }))
  devices.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const field of ['name', 'type', 'path']) {
    const values = devices.map((device) => device[field])
    const twice = values.find((value, index) => values.indexOf(value) !== index)
    if (twice !== undefined) throw new Error(`two devices have the ${field} ${twice}`)
  }
  return devices
}

/** What stands for the value of a term in documents and help texts. */
export function wordOf({ value, word }) {
  if (Array.isArray(value)) return value.join('|')
  return { text: word ?? 'TEXT', size: 'SIZE', count: 'N', duration: 'TIME', rate: 'N/s', yes: 'yes|no', header: 'ORIGIN NAME: VALUE' }[value]
}

/** What files that are written say of themselves. */
export const MADE = 'Written by `node scripts/devices.mjs` from the `device.json` of each device.'
