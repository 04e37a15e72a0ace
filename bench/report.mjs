// How results are shown.

import { bold, dim, green, red } from '../scripts/progress.mjs'
import { summary } from './statistics.mjs'

/**
 * One measurement of several contenders.
 *
 * @typedef {object} Row
 * @property {string} group
 * @property {string} id
 * @property {string} work
 * @property {'ms' | 'us' | 'MiB'} unit
 * @property {Record<string, number[]>} samples by contender; the first is capfs, which the others are compared with
 * @property {number} [scale] by which samples are multiplied, where less was done than `work` says
 * @property {string} [floor] a contender that is no host
 * @property {{most?: number, of?: string, at?: number}} [target] at most so much, or so many times what a contender takes
 * @property {string[]} [notes]
 * @property {boolean} [isolated]
 */

/** A row with its medians, and whether the target holds. */
export function evaluated(row) {
  const { samples, scale = 1, target } = row
  const results = Object.fromEntries(Object.entries(samples).map(([name, numbers]) => [name, summary(numbers.map((number) => number * scale))]))
  const own = Object.values(results)[0].median
  const limit = target && (target.most ?? (results[target.of] && results[target.of].median * target.at))
  const { samples: _, ...rest } = row
  return { ...rest, results, ...(limit === undefined ? {} : { limit, holds: own <= limit }) }
}

/** Three digits at most. */
const shown = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3))

/** What a row's target says, in words. */
function aim({ target, limit, unit, holds }) {
  if (limit === undefined) return ''
  const words = target.most === undefined ? `${shown(target.at)} times ${target.of}: ${shown(limit)} ${unit}` : `${shown(limit)} ${unit}`
  return holds ? green(`at most ${words}: reached`) : red(`at most ${words}: not reached`)
}

/** Prints evaluated rows as tables, one a group. */
export function print(rows, print = console.log) {
  for (const group of new Set(rows.map((row) => row.group))) {
    print(`\n${bold(group)}`)
    for (const row of rows.filter((row) => row.group === group)) {
      print(`\n  ${row.work}${row.isolated ? ' (isolated page)' : ''}  ${aim(row)}`)
      const names = Object.keys(row.results)
      const own = row.results[names[0]]
      const width = Math.max(28, ...names.map((name) => name.length))
      for (const name of names) {
        const { median, least, most } = row.results[name]
        const ratio = name === names[0] ? '' : `${shown(median / own.median)} x`
        // Of the least values too: they are what a busy machine disturbs least.
        const ofLeast = name === names[0] ? '' : `, least ${shown(least / own.least)} x`
        print(`    ${name.padEnd(width)} ${`${shown(median)} ${row.unit}`.padStart(12)}  ${ratio.padStart(9)}  ${dim(`${shown(least)} to ${shown(most)}${ofLeast}`)}`)
      }
      for (const note of row.notes ?? []) print(dim(`    ${note}`))
    }
  }
}

/** The rows as a table in Markdown, for docs/benchmarks.md. */
export function markdown(rows) {
  const lines = []
  for (const group of new Set(rows.map((row) => row.group))) {
    const members = rows.filter((row) => row.group === group)
    const names = [...new Set(members.flatMap((row) => Object.keys(row.results)))]
    lines.push(`### ${group}`, '', `| work | ${names.join(' | ')} | to reach |`, `|---|${names.map(() => '---:').join('|')}|---|`)
    for (const row of members) {
      const cells = names.map((name) => (row.results[name] ? shown(row.results[name].median) : ''))
      const target = row.limit === undefined ? '' : `${shown(row.limit)}${row.holds ? '' : ', not reached'}`
      lines.push(`| ${row.work}, ${row.unit}${row.isolated ? ' (isolated page)' : ''} | ${cells.join(' | ')} | ${target} |`)
    }
    lines.push('')
  }
  return lines.join('\n')
}
