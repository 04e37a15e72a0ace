// The devices as the package and its demo page know them.

import { MADE } from './read.mjs'

const text = (value) => `'${value.replaceAll(/['\\]/g, '\\$&')}'`
const property = (key) => (/^[a-z]+$/.test(key) ? key : text(key))
const choices = (values) => values.map(text).join(' | ')

/** A page has no files and no environment, so what says where something is in them is no term of its objects. */
const inObjects = ({ only }) => only !== 'machine'

/** The type of a value. */
function typeOf({ value, type }) {
  if (Array.isArray(value)) return type ?? choices(value)
  return { text: 'string', size: 'Size', count: 'Count', duration: 'Duration', rate: 'Rate', yes: 'YesNo', header: '`${string} ${string}: ${string}`' }[value]
}

/** web/src/both/device-grants.ts */
export function grants(devices) {
  const named = new Map(devices.flatMap(({ path, terms }) => terms.filter(({ type }) => type).map((term) => [term.type, { path, ...term }])))
  const helpers = ['Count', 'Duration', 'OneOrMore', 'Rate', 'Size', 'YesNo']
  const term = (term) => {
    const type = typeOf(term)
    return `  /** ${term.value === 'header' ? '`ORIGIN NAME: VALUE`. ' : ''}${term.about} */\n  ${property(term.key)}${term.needed ? '' : '?'}: ${term.many ? `OneOrMore<${type}>` : type};\n`
  }
  const parts = devices.map(({ name, type, path, about, terms }) => {
    const members = terms.filter(inObjects).map(term).join('')
    const sentence = `${about[0].toUpperCase()}${about.slice(1)}, at \`${path}\`.${members ? '' : ' It has no terms.'}`
    return `\n/** ${sentence} */\nexport interface ${type}Grant extends Granted<${text(name)}> {${members ? `\n${members}` : ''}}\n`
  })
  return `/** Grants of each device as objects. ${MADE} See docs/capabilities.md. */
import type { ${helpers.join(', ')} } from './grant-terms.js';

/** A grant as an object. A term that its device doesn't know does not compile; a flag that has one is refused with \`GRANT_INVALID\`. */
export type GrantTerms =
${devices.map(({ type }) => `  | ${type}Grant`).join('\n')};

/** What every grant has. */
interface Granted<Device extends string> {
  device: Device;
  /** Where it appears, an absolute path; its usual place unless told. */
  at?: string;
}
${[...named].map(([type, { path, key, value }]) => `\n/** What \`${key}\` of \`${path}\` can be. */\nexport type ${type} = ${choices(value)};\n`).join('')}${parts.join('')}`
}

/** web/src/both/devices.ts: what the package itself has to know. */
export function kernels(devices) {
  const small = devices.filter(({ kernel }) => kernel === 'every').map(({ name }) => text(name))
  const keeping = devices.filter(({ keeps }) => keeps).map(({ name, keeps, terms }) => {
    const unless = Object.entries(keeps.unless ?? {}).map(([key, value]) => `[${text(key)}, [${text(value)}${value === 'no' ? ", 'false'" : ''}]]`)
    const owner = terms.some(({ key }) => key === 'name') ? [`['name', []]`] : []
    return `  [${text(name)}, { ${keeps.in ? `in: ${text(keeps.in)}, ` : ''}unless: new Map<string, string[]>([${[...owner, ...unless].join(', ')}]) }],\n`
  })
  return `/** What the package knows of devices beside the types of their grants. ${MADE} */

/** Devices of every kernel: what they do, the platform answers at once, without the event loop. The others are in the kernel with \`capabilities\` alone. */
export const IN_EVERY_KERNEL: ReadonlySet<string> = new Set([${small.join(', ')}]);

/** Devices that keep something under the agent's identity: where there is this global, and unless a term is there with one of these values, or with any. */
export const KEEPING: ReadonlyMap<string, { in?: string; unless: ReadonlyMap<string, readonly string[]> }> = new Map([
${keeping.join('')}]);
`
}

/** web/demo/src/capabilities/described.ts */
export function form(devices) {
  const list = (values) => `[${values.map(text).join(', ')}]`
  const term = ({ key, label, example, value, many, only, start, words }) => {
    const fields = [
      `key: ${text(key)}, label: ${text(label)}, example: ${text(example)}`,
      ...(Array.isArray(value) ? [`choices: ${list(value)}`] : value === 'yes' ? [`choices: ${list(['yes', 'no'])}`] : []),
      ...(many ? ['repeats: true'] : []),
      ...(only ? ['nativeAlone: true'] : []),
      ...(start ? [`start: ${text(start)}`] : []),
      ...(words ? [`words: { ${Object.entries(words).map(([value, word]) => `${text(value)}: ${text(word)}`).join(', ')} }`] : []),
    ]
    return `      { ${fields.join(', ')} },\n`
  }
  const device = ({ name, path, about, may, hosts, keeps, terms }) => `  {
    name: ${text(name)},
    path: ${text(path)},
    about: ${text(about)},
    may: ${text(may)},
    onPageAlone: ${hosts.native.needs === 'page'},
${keeps ? `    keepsUnless: { ${Object.entries(keeps.unless ?? {}).map(([key, value]) => `${property(key)}: ${text(value)}`).join(', ')} },\n` : ''}    terms: [
${terms.filter(inObjects).map(term).join('')}    ],
  },
`
  return `/** The devices that the page can grant. ${MADE} */
import type { DeviceInfo } from './devices.js';

export const DESCRIBED: readonly DeviceInfo[] = [
${devices.map(device).join('')}];
`
}
