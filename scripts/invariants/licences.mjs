// Which licences a dependency may have.

/** Those that ask for no more than a notice. */
const ALLOWED = new Set([
  '0BSD', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BSL-1.0', 'CC0-1.0',
  'ISC', 'MIT', 'MIT-0', 'NCSA', 'Python-2.0', 'Unicode-3.0', 'Unicode-DFS-2016', 'Unlicense', 'WTFPL', 'Zlib',
])

/**
 * Packages with another licence, and why they are here all the same. The MPL's duty to publish
 * changes ends at its own files, and none of these is changed.
 */
const EXCEPTIONS = [
  { name: /^option-ext$/, licence: 'MPL-2.0', why: 'unchanged, below `directories`' },
  { name: /^lightningcss(-.+)?$/, licence: 'MPL-2.0', why: 'unchanged, below `vite`, in the packaging tests only' },
  { name: /^webpki-roots$/, licence: 'CDLA-Permissive-2.0', why: 'data, below the Nostr relay of the tests' },
  { name: /^caniuse-lite$/, licence: 'CC-BY-4.0', why: 'data, below `webpack`, in the packaging tests only' },
]

/** Whether a package may be used although its licence is not allowed in general. */
export const excepted = (name, licence) => EXCEPTIONS.some((exception) => exception.name.test(name) && exception.licence === licence)

/**
 * Whether an SPDX expression can be met by allowed licences alone. `A/B` is what old manifests
 * write for `A OR B`.
 */
export function allowed(expression) {
  const tokens = expression.replaceAll('/', ' OR ').match(/\(|\)|[^\s()]+/g) ?? []
  let at = 0
  const either = () => {
    let value = both()
    while (tokens[at]?.toUpperCase() === 'OR') {
      at += 1
      const right = both()
      value = value || right
    }
    return value
  }
  const both = () => {
    let value = single()
    while (tokens[at]?.toUpperCase() === 'AND') {
      at += 1
      const right = single()
      value = value && right
    }
    return value
  }
  const single = () => {
    if (tokens[at] === '(') {
      at += 1
      const value = either()
      at += 1
      return value
    }
    let name = tokens[at++] ?? ''
    if (tokens[at]?.toUpperCase() === 'WITH') {
      name += ` WITH ${tokens[at + 1]}`
      at += 2
    }
    return ALLOWED.has(name)
  }
  const value = either()
  return value && at === tokens.length
}
