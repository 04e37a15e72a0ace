// Files that documents and comments name, and that there must be: links of documents, and paths from the project's root anywhere.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { posix } from 'node:path'
import { run } from '../command.mjs'
import { path } from '../project.mjs'

/** What is looked through. Consumers of the package have a root of their own, and so has each Cargo.toml. */
const READ = /\.(rs|ts|mjs|js|c|css|html|md|yml)$/
const OWN_ROOT = /^tests\/packaging\/consumers\//

/** A path of at least one folder and a file, alone or several at once: `a/{b,c}.rs`. */
const PATH = /(?<![\w/.~@$}-])((?:[\w.-]+\/)+[\w.{},-]+\.(?:rs|ts|mjs|js|md|toml|c|h|json|svg|css|html))(?![\w/*]|\.\w)/g
/** In a document also a folder, in a code span of its own. */
const FOLDER = /`((?:[\w.-]+\/)+[\w.-]*)`/g
const LINK = /\]\(([^)\s]+)\)/g
/** What is made by the build or by a set-up, and in no commit. */
const MADE = /(^|\/)(dist|target|node_modules|\.cache)(\/|$)/

/** A name that stands for others: `capfs/NAME`. */
const FORM = /(^|\/)[A-Z]+(\/|$)/

/** `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`. */
function several(named) {
  const [, before, among, behind] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(named) ?? []
  return among === undefined ? [named] : among.split(',').map((one) => `${before}${one.trim()}${behind}`)
}

/**
 * What a text names that there isn't, with its line.
 *
 * @param {string} name of the file with the text, from the root
 * @param {string} text
 * @param {Set<string>} tops the folders at the root
 * @param {(path: string) => boolean} exists
 * @returns {string[]}
 */
export function missing(name, text, tops, exists) {
  const found = []
  const document = name.endsWith('.md')
  text.split('\n').forEach((line, index) => {
    const say = (what) => found.push(`${name}:${index + 1} names ${what}, and there is none`)
    const named = [...line.matchAll(PATH), ...(document ? line.matchAll(FOLDER) : [])].flatMap(([, one]) => several(one))
    for (const one of new Set(named)) {
      if (tops.has(one.split('/')[0]) && !MADE.test(one) && !FORM.test(one) && !exists(one)) say(one)
    }
    for (const [, target] of document ? line.matchAll(LINK) : []) {
      const [file] = target.split('#')
      if (file === '' || /^[a-z]+:/.test(file)) continue
      const at = posix.normalize(posix.join(posix.dirname(name), file))
      if (!exists(at)) say(at)
    }
  })
  return found
}

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkNamedFiles(report) {
  const names = (await run(['git', 'ls-files', '-z'])).split('\0').filter(Boolean)
  const tops = new Set(names.filter((name) => name.includes('/')).map((name) => name.split('/')[0]))
  const read = names.filter((name) => READ.test(name) && !OWN_ROOT.test(name) && statSync(path(name), { throwIfNoEntry: false })?.isFile())
  const found = read.flatMap((name) => missing(name, readFileSync(path(name), 'utf8'), tops, (one) => existsSync(path(one))))
  report('every file that a document or a comment names is there', found)
}
