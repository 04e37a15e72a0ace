// Which way the modules of the npm package point: web/src/both <- {web/src/page, web/src/worker}. What a page loads has nothing that only a worker runs, and the
// other way round; types count, too.

import { readFileSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import { run } from '../command.mjs'
import { path } from '../project.mjs'

const SOURCES = 'web/src'

/** The modules at the top: entries, and what must lie beside them because it names files by addresses relative to itself. Which side each is on. */
const TOP = { 'index.ts': 'page', 'node.ts': 'page', 'full.ts': 'page', 'full-node.ts': 'page', 'assets.ts': 'page', 'worker.ts': 'worker', 'worker-node.ts': 'worker' }

/** From which sides each side may import. */
const MAY_IMPORT = { page: ['page', 'both'], worker: ['worker', 'both'], both: ['both'] }

/** What the kernel's build generates, for both sides; it is in no source folder. */
const GENERATED = new Set(['kernel.js', 'kernel-full.js', 'kernel-bindings.js'])

/** Everything that a module names to import from, types and imports at run time included. */
export const importedBy = (source) =>
  [...source.matchAll(/^\s*(?:import|export)\b[^'"`;]*?(?:\bfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm)].map(([, named, called]) => named ?? called)

/** The side that a module of `web/src` is on, if it is on any. */
export const sideOf = (name) => (name.includes('/') ? Object.keys(MAY_IMPORT).find((side) => name.startsWith(`${side}/`)) : TOP[name])

/**
 * What is against the rule.
 *
 * @param {Map<string, string>} sources text by name relative to `web/src`
 * @returns {string[]}
 */
export function crossings(sources) {
  const found = []
  for (const [name, source] of sources) {
    const side = sideOf(name)
    if (!side) {
      found.push(`${SOURCES}/${name} is in none of page/, worker/ and both/, and no entry of the package`)
      continue
    }
    for (const target of importedBy(source).filter((named) => named.startsWith('.'))) {
      const at = posix.normalize(posix.join(dirname(name), target))
      if (GENERATED.has(at)) continue
      const other = sideOf(at.replace(/\.js$/, '.ts'))
      if (!MAY_IMPORT[side].includes(other)) found.push(`${SOURCES}/${name}, which is for ${side}, imports ${target}, which is for ${other ?? 'neither side'}`)
    }
  }
  return found
}

/** @param {(invariant: string, violations: string[]) => void} report */
export async function checkWebGraph(report) {
  const names = (await run(['git', 'ls-files', '-z', SOURCES])).split('\0').filter((name) => name.endsWith('.ts'))
  const sources = new Map(names.map((name) => [name.slice(SOURCES.length + 1), readFileSync(path(name), 'utf8')]))
  report('web/src/page imports nothing of web/src/worker, web/src/worker nothing of web/src/page, web/src/both neither', crossings(sources))
}
