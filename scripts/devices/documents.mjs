// The parts of docs/capabilities.md that follow from the descriptions: between `<!-- devices NAME -->` and `<!-- end -->`.

import { wordOf } from './read.mjs'

const cell = (text) => text.replaceAll('|', '\\|')
const row = (...cells) => `| ${cells.join(' | ')} |\n`
const table = (head, rows) => `${row(...head)}|${head.map(() => '---|').join('')}\n${rows.join('')}`

const natively = ({ needs, note }) => note ?? { nothing: 'yes', state: 'with `--state`', terminal: 'yes', page: 'no' }[needs]

function overview(devices) {
  const rows = devices.map(({ name, path, about, hosts, kernel }) =>
    row(`\`${name}\``, `\`${path}\``, about, natively(hosts.native), hosts.page === 'no' || kernel === 'every' ? hosts.page : `${hosts.page}; with \`capabilities\``, hosts.node))
  return table(['device', 'appears at', 'what it is', 'natively', 'in a page', 'in Node'], rows)
}

function terms({ terms }) {
  if (terms.length === 0) return 'It has no terms.\n'
  const rows = terms.map((term) => {
    const marks = [term.needed && 'needed', term.many && 'may be repeated'].filter(Boolean).join('; ')
    return row(`\`${cell(`${term.key}=${wordOf(term)}`)}\``, `${cell(term.about)}${marks ? ` (${marks})` : ''}`)
  })
  return table(['term', ''], rows)
}

/** A section of a device that says all that there is to say in its description. */
function section(device) {
  const files = table(['file', ''], Object.entries(device.files).map(([path, about]) => row(`\`${cell(path)}\``, cell(about))))
  const about = `${device.about[0].toUpperCase()}${device.about.slice(1)}.`
  return [`## ${device.name}`, about, files.trimEnd(), ...(device.notes ?? []), terms(device).trimEnd()].join('\n\n')
}

/** docs/capabilities.md */
export function documents(devices, before) {
  const parts = {
    all: overview(devices),
    others: `${devices.filter(({ files }) => files).map(section).join('\n\n')}\n`,
    ...Object.fromEntries(devices.filter(({ files }) => !files).map((device) => [`terms of ${device.name}`, terms(device)])),
  }
  const missing = new Set(Object.keys(parts))
  const after = before.replaceAll(/(<!-- devices: ([a-z -]+) -->\n)[^]*?(<!-- end -->)/g, (_, begin, part, end) => {
    if (!missing.delete(part)) throw new Error(`docs/capabilities.md: no part \`${part}\` follows from the descriptions of devices`)
    return `${begin}${parts[part]}${end}`
  })
  if (missing.size > 0) throw new Error(`docs/capabilities.md has no place for ${[...missing].map((part) => `<!-- devices: ${part} -->`).join(', ')}: a device has a section there, or \`files\` in its description`)
  return after
}
